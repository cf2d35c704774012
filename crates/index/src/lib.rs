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

mod toc;
pub use toc::Toc;

mod symbols;
pub use symbols::Symbols;

mod table;
pub use table::{PostingsTable, Values};

mod postings;
pub use postings::{Postings, filter, union};

mod plan;
pub use plan::Plan;

pub mod header;
pub use header::IndexHeader;

/// First four bytes of an index.
pub const INDEX_MAGIC: u32 = 0xBAAA_D700;

/// Version that is written. 2 and 3 are read; they differ only in encodings that nobody writes yet.
pub const INDEX_VERSION: u8 = 2;
