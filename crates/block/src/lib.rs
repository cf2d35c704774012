//! A ULID directory: meta.json, marks, chunk segments, tombstones, writer.
//!
//! ```text
//! <ULID>/meta.json
//! <ULID>/index
//! <ULID>/chunks/000001 ...
//! <ULID>/tombstones            optional
//! ```
//!
//! A block is written as `<ULID>.tmp-for-creation` and renamed once all of it is on the disk.

pub mod mark;
pub mod meta;
pub mod segment;
pub mod tombstones;

mod writer;
pub use writer::{BlockWriter, ChunkIn, MetaSeed, TMP_SUFFIX};

pub use meta::Meta;
pub use ulid::Ulid;

/// Name of the meta file.
pub const META: &str = "meta.json";
/// Name of the index file.
pub const INDEX: &str = "index";
/// Name of the folder of chunk segments.
pub const CHUNKS: &str = "chunks";
/// Name of the tombstones file.
pub const TOMBSTONES: &str = "tombstones";
