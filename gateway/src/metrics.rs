//! What a gateway tells of itself.

use dolmen_bucketstore::BucketStoreMetrics;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Figures of a gateway. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct GatewayMetrics {
    pub(crate) store: BucketStoreMetrics,
    pub(crate) first_sync: Gauge,
}

impl GatewayMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> GatewayMetrics {
        let m = GatewayMetrics { store: BucketStoreMetrics::new(registry), first_sync: Gauge::default() };
        let first = "Whether the bucket was seen since the start";
        registry.register("dolmen_gateway_first_sync_done", first, m.first_sync.clone());
        m
    }

    /// Those of the blocks.
    pub fn store(&self) -> &BucketStoreMetrics {
        &self.store
    }
}
