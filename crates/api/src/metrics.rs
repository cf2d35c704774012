//! What the API counts.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The status of a request whose client has left.
const CLIENT_LEFT: u16 = 499;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    kind: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabels {
    complete: &'static str,
}

impl AnswerLabels {
    fn of(complete: bool) -> AnswerLabels {
        AnswerLabels { complete: if complete { "true" } else { "false" } }
    }
}

/// Figures of the query API. Clones are one.
#[derive(Clone, Debug)]
pub struct ApiMetrics {
    seconds: Family<RequestLabels, Histogram, fn() -> Histogram>,
    pub(crate) running: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) refused: Counter,
    answers: Family<AnswerLabels, Counter>,
}

impl ApiMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> ApiMetrics {
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let m = ApiMetrics {
            seconds: Family::new_with_constructor(seconds),
            running: Gauge::default(),
            waiting: Gauge::default(),
            refused: Counter::default(),
            answers: Family::default(),
        };
        for complete in [true, false] {
            drop(m.answers.get_or_create(&AnswerLabels::of(complete)));
        }
        drop(m.seconds.get_or_create(&RequestLabels { kind: "query", code: 200 }));
        let text = "Time from a query's head to the first piece of its answer";
        registry.register("dolmen_query_seconds", text, m.seconds.clone());
        registry.register("dolmen_query_running", "Queries that run", m.running.clone());
        registry.register("dolmen_query_waiting", "Queries that wait for their turn", m.waiting.clone());
        let text = "Queries refused because too many waited already";
        registry.register("dolmen_query_refused", text, m.refused.clone());
        let text = "Answers with data, by whether they were complete; those that were not said so";
        registry.register("dolmen_answers", text, m.answers.clone());
        m
    }

    /// An answer with data goes out.
    pub(crate) fn answer(&self, complete: bool) {
        self.answers.get_or_create(&AnswerLabels::of(complete)).inc();
    }

    /// Starts the time of a request.
    pub(crate) fn begin(&self, kind: &'static str) -> Timer {
        Timer { metrics: self.clone(), kind, began: Instant::now(), code: CLIENT_LEFT }
    }
}

/// The time of one request, which ends when it is dropped: by its answer, or because its client left.
pub(crate) struct Timer {
    metrics: ApiMetrics,
    kind: &'static str,
    began: Instant,
    code: u16,
}

impl Timer {
    /// The request was answered.
    pub fn answered(mut self, code: u16) {
        self.code = code;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let labels = RequestLabels { kind: self.kind, code: self.code };
        self.metrics.seconds.get_or_create(&labels).observe(self.began.elapsed().as_secs_f64());
    }
}
