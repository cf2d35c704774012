//! What a head tells of itself.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Figures of a head. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct HeadMetrics {
    pub(crate) series: Gauge,
    pub(crate) created: Counter,
    pub(crate) removed: Counter,
    pub(crate) streams: Gauge,
    pub(crate) chunk_bytes: Gauge,
    pub(crate) symbols: Gauge,
    pub(crate) cuts: Counter,
    pub(crate) cut_failures: Counter,
    pub(crate) cut_seconds: Counter<f64, AtomicU64>,
    pub(crate) read_only: Gauge,
    pub(crate) replay_seconds: Gauge<f64, AtomicU64>,
    pub(crate) replayed: Counter,
    pub(crate) unknown_refs: Counter,
    pub(crate) max_time: Gauge,
}

impl HeadMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> HeadMetrics {
        let m = HeadMetrics::default();
        registry.register("dolmen_head_series", "Series in the head", m.series.clone());
        registry.register("dolmen_head_series_created", "Series that were created", m.created.clone());
        registry.register("dolmen_head_series_removed", "Series that were removed", m.removed.clone());
        registry.register("dolmen_head_streams", "Streams: replicas that send", m.streams.clone());
        registry.register("dolmen_head_chunk_bytes", "Memory of chunks", m.chunk_bytes.clone());
        registry.register("dolmen_head_symbols", "Label strings held", m.symbols.clone());
        registry.register("dolmen_head_cuts", "Blocks cut", m.cuts.clone());
        registry.register("dolmen_head_cut_failures", "Cuts that failed", m.cut_failures.clone());
        registry.register("dolmen_head_cut_seconds", "Time spent cutting blocks", m.cut_seconds.clone());
        registry.register(
            "dolmen_head_read_only",
            "1 while the log cannot be written: samples are refused with 503",
            m.read_only.clone(),
        );
        registry.register(
            "dolmen_head_replay_seconds",
            "Time the last replay took",
            m.replay_seconds.clone(),
        );
        registry.register(
            "dolmen_head_replayed_samples",
            "Samples read from the log at start",
            m.replayed.clone(),
        );
        registry.register(
            "dolmen_head_unknown_refs",
            "Samples in the log whose series the log does not have",
            m.unknown_refs.clone(),
        );
        registry.register(
            "dolmen_head_max_time_milliseconds",
            "Time of the newest sample, in milliseconds since the epoch",
            m.max_time.clone(),
        );
        m
    }
}
