//! The bytes of a block from mmap or a bucket, and the block reader over them.
//!
//! [`ByteSource`] reads many ranges in one call, which is one *wave*. [`BlockReader`] answers a select in at
//! most three dependent waves: postings, series entries, chunks.

mod bytes_of;
pub use bytes_of::{ByteSource, ObjectPart, RangeOf, Why};

mod file;
pub use file::FileSource;

mod bucket;
pub use bucket::{BucketSource, ReadCounts, ReadLimits};

mod pack;

mod reader;
pub use reader::{BlockReader, OWN_LABEL, fetch_header};
