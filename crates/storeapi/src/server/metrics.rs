//! What the server counts.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: &'static str,
    code: String,
}

/// Figures of the StoreAPI's server. Clones are one.
#[derive(Clone, Debug)]
pub struct StoreApiMetrics {
    seconds: Family<CallLabels, Histogram, fn() -> Histogram>,
    pub(crate) running: Gauge,
    pub(crate) refused: Counter,
    pub(crate) incomplete: Counter,
    pub(crate) series: Counter,
    pub(crate) bytes: Counter,
}

impl StoreApiMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> StoreApiMetrics {
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let m = StoreApiMetrics {
            seconds: Family::new_with_constructor(seconds),
            running: Gauge::default(),
            refused: Counter::default(),
            incomplete: Counter::default(),
            series: Counter::default(),
            bytes: Counter::default(),
        };
        let text = "Time from a call of the StoreAPI to the end of its answer";
        registry.register("dolmen_storeapi_seconds", text, m.seconds.clone());
        registry.register("dolmen_storeapi_running", "Calls of the StoreAPI that run", m.running.clone());
        let text = "Calls of the StoreAPI refused because too many waited already";
        registry.register("dolmen_storeapi_refused", text, m.refused.clone());
        let text = "Answers of the StoreAPI that lacked data and said so";
        registry.register("dolmen_storeapi_incomplete", text, m.incomplete.clone());
        registry.register("dolmen_storeapi_series", "Series that were given", m.series.clone());
        registry.register("dolmen_storeapi_frame_bytes", "Bytes of frames that were given", m.bytes.clone());
        m
    }

    /// Starts the time of a call.
    pub(crate) fn begin(&self, method: &'static str) -> Timer {
        Timer { metrics: self.clone(), method, began: Instant::now(), code: Code::Cancelled }
    }
}

/// The time of one call, which ends when it is dropped: by its answer, or because its client left.
pub(crate) struct Timer {
    metrics: StoreApiMetrics,
    method: &'static str,
    began: Instant,
    code: Code,
}

impl Timer {
    /// The call was answered.
    pub fn answered(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let labels = CallLabels { method: self.method, code: format!("{:?}", self.code) };
        self.metrics.seconds.get_or_create(&labels).observe(self.began.elapsed().as_secs_f64());
    }
}
