//! What a receiver tells of itself, beside head, log and shipper.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Figures of a receiver. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct ReceiverMetrics {
    pub(crate) local_blocks: Gauge,
    pub(crate) flushes: Counter,
    pub(crate) broken_blocks: Gauge,
}

impl ReceiverMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> ReceiverMetrics {
        let m = ReceiverMetrics::default();
        registry.register(
            "dolmen_receiver_local_blocks",
            "Cut blocks that are held here",
            m.local_blocks.clone(),
        );
        registry.register("dolmen_receiver_flushes", "Flushes that were asked for", m.flushes.clone());
        registry.register(
            "dolmen_receiver_broken_blocks",
            "Local blocks that cannot be opened: neither answered from nor shipped",
            m.broken_blocks.clone(),
        );
        m
    }
}
