//! What the fetcher counts.

use std::time::Duration;

use dolmen_model::Result;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Fetched;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Counters of fetches. Clones are one.
#[derive(Clone, Debug)]
pub struct FetcherMetrics {
    blocks: Family<StateLabels, Gauge>,
    fetches: Family<ResultLabels, Counter>,
    seconds: Histogram,
}

impl FetcherMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> FetcherMetrics {
        let m = FetcherMetrics {
            blocks: Family::default(),
            fetches: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.005, 2.0, 14)),
        };
        // Rates need a first value.
        for result in ["success", "failure"] {
            drop(m.fetches.get_or_create(&ResultLabels { result }));
        }
        let blocks = "Blocks of the bucket as last seen; marked ones are counted twice";
        registry.register("dolmen_fetcher_blocks", blocks, m.blocks.clone());
        registry.register("dolmen_fetcher_fetches", "Looks at the bucket", m.fetches.clone());
        registry.register("dolmen_fetcher_fetch_seconds", "Time of a look", m.seconds.clone());
        m
    }

    pub(crate) fn fetched(&self, done: &Result<Fetched>, took: Duration) {
        let result = if done.is_ok() { "success" } else { "failure" };
        self.fetches.get_or_create(&ResultLabels { result }).inc();
        self.seconds.observe(took.as_secs_f64());
        let Ok(f) = done else { return };
        let counts = [
            ("whole", f.blocks.len()),
            ("partial", f.partial.len()),
            ("corrupt", f.corrupt.len()),
            ("marked_for_deletion", f.deletion_marks.len()),
            ("marked_no_compact", f.no_compact_marks.len()),
        ];
        for (state, n) in counts {
            self.blocks.get_or_create(&StateLabels { state }).set(n as i64);
        }
    }
}
