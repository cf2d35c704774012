//! What a log tells of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Figures of a log. Clones are one.
#[derive(Clone, Debug)]
pub struct WalMetrics {
    pub(crate) sync_seconds: Histogram,
    pub(crate) bytes: Counter,
    pub(crate) records: Counter,
    pub(crate) failures: Counter,
    pub(crate) segment: Gauge,
    pub(crate) damages: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) checkpoint_failures: Counter,
}

impl Default for WalMetrics {
    fn default() -> WalMetrics {
        WalMetrics {
            sync_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            bytes: Counter::default(),
            records: Counter::default(),
            failures: Counter::default(),
            segment: Gauge::default(),
            damages: Counter::default(),
            checkpoints: Counter::default(),
            checkpoint_failures: Counter::default(),
        }
    }
}

impl WalMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> WalMetrics {
        let m = WalMetrics::default();
        registry.register("dolmen_wal_sync_seconds", "Time of a sync of the log", m.sync_seconds.clone());
        registry.register("dolmen_wal_written_bytes", "Bytes written to the log", m.bytes.clone());
        registry.register("dolmen_wal_records", "Records written to the log", m.records.clone());
        let failures = "Writes or syncs of the log that failed; what they held is written again";
        registry.register("dolmen_wal_failures", failures, m.failures.clone());
        registry.register("dolmen_wal_segment", "Number of the segment that is written", m.segment.clone());
        let damages = "Places in the log that could not be read at start, a torn end among them";
        registry.register("dolmen_wal_damages", damages, m.damages.clone());
        registry.register("dolmen_wal_checkpoints", "Checkpoints made", m.checkpoints.clone());
        let failures = "Checkpoints that failed; older segments stay until the next one";
        registry.register("dolmen_wal_checkpoint_failures", failures, m.checkpoint_failures.clone());
        m
    }
}
