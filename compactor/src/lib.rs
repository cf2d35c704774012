//! The compactor: looks at the bucket, merges what is due, deletes what was replaced long ago, sleeps.
//!
//! ```text
//! run ─▶ report ─▶ sleep until the interval is over ─▶ run …
//! ```
//!
//! In one process with a receiver and a gateway it stands beside them and shares the bucket, and a look
//! into the receiver's journal of uploads: its folder holds blocks that are being merged and the journal of its
//! own uploads, and may be lost at any time.

mod compactor;
mod settings;

pub use compactor::Compactor;
pub use dolmen_compact::{CompactMetrics, Compaction, GroupState, RunReport};
pub use settings::CompactorSettings;
