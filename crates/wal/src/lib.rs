//! Prometheus' write-ahead log: records, segments, checkpoint, replay.
//!
//! ```text
//! wal/checkpoint.00000007/00000000 …   what is still needed of segments up to 7
//! wal/00000008 …                       segments; the last one is written
//! ```
//! A Prometheus opens such a folder, and we open that of a Prometheus. Records are enqueued in the order in
//! which they were applied; one thread writes and syncs for all who wait ([`Wal::durable`]). While the disk
//! refuses, nothing is acknowledged and nothing forgotten: what is not durable is written again, into a
//! segment of its own, once the disk takes it.

mod settings;
pub use settings::{SyncMode, WalSettings};

mod metrics;
pub use metrics::WalMetrics;

mod wire;

mod record;
pub use record::{HistogramRec, Record, SampleRec, SeriesRec};

pub mod decode;
pub mod encode;

mod frame;
pub use frame::{Assembler, Damage, Event, PAGE, frame};

mod segment;

mod files;

mod checkpoint;

mod writer;

mod replay;
pub use replay::{Replay, ReplayReport};

mod log;
pub use log::Wal;
