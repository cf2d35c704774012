//! Blocks in a bucket as one Queryable.
//!
//! ```text
//! fetcher ── every sync ──▶ view: which blocks are served ──▶ BucketBlock (opened by the first query)
//!                                                              │ index-header: mapped from the data dir
//!                                                              │ ranged reads: cached, counted by cause
//! directories ── dolmen open ──▶ blocks on disk                ▼
//!                                                              BlockReader
//! ```
//!
//! A view is replaced as a whole: a query sees the blocks before or after a compaction, never a hole. A block
//! that takes the place of others is opened before they go.

mod block;
mod cache;
mod directories;
mod headers;
mod metrics;
mod settings;
mod store;
mod view;

pub use block::BucketBlock;
pub use directories::{Directories, open_directories};
pub use metrics::BucketStoreMetrics;
pub use settings::BucketStoreSettings;
pub use store::BucketStore;
