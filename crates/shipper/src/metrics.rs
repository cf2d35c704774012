//! What the shipper counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of uploads. Clones are one.
#[derive(Clone, Debug)]
pub struct ShipperMetrics {
    pub(crate) uploaded: Counter,
    pub(crate) failures: Counter,
    pub(crate) pending: Gauge,
}

impl ShipperMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> ShipperMetrics {
        let m = ShipperMetrics {
            uploaded: Counter::default(),
            failures: Counter::default(),
            pending: Gauge::default(),
        };
        let uploaded = "Local blocks that are in the bucket now";
        registry.register("dolmen_blocks_uploaded", uploaded, m.uploaded.clone());
        let failures = "Uploads of blocks that failed and will be tried again";
        registry.register("dolmen_block_upload_failures", failures, m.failures.clone());
        let pending = "Local blocks that are not in the bucket yet";
        registry.register("dolmen_blocks_pending_upload", pending, m.pending.clone());
        m
    }
}
