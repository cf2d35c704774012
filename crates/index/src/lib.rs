//! Labels -> postings -> chunk refs: the Prometheus index file and the index-header.
//!
//! The writer streams to a [`dolmen_ctx::Disk`]. Readers are pure: a planner says which bytes are needed, a
//! decoder turns them into values, whoever calls fetches. No bytes make them panic.

pub mod wire;

mod out;
pub use out::FileOut;

mod writer;
pub use writer::{IndexWriter, Written};

mod series;
pub use series::{ChunkMeta, SERIES_ALIGN, Series, Split, put_series, split_entry};

/// First four bytes of an index.
pub const INDEX_MAGIC: u32 = 0xBAAA_D700;

/// Version that is written. 2 and 3 are read; they differ only in encodings that nobody writes yet.
pub const INDEX_VERSION: u8 = 2;
