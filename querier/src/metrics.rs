//! What is counted of stores in other processes.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use smol_str::SmolStr;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct StoreLabels {
    pub site: String,
    pub store: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SiteLabels {
    pub site: String,
}

/// Figures of stores in other processes. Clones are one.
#[derive(Clone, Debug)]
pub struct QuerierMetrics {
    pub(crate) up: Family<StoreLabels, Gauge>,
    seconds: Family<SiteLabels, Histogram, fn() -> Histogram>,
    failures: Family<StoreLabels, Counter>,
    pub(crate) asked: Family<StoreLabels, Counter>,
}

impl QuerierMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> QuerierMetrics {
        let seconds: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let m = QuerierMetrics {
            up: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            failures: Family::default(),
            asked: Family::default(),
        };
        registry.register("dolmen_store_up", "Whether a store is asked: 1 or 0", m.up.clone());
        let text = "Time from a question to a store to the end of its answer";
        registry.register("dolmen_store_seconds", text, m.seconds.clone());
        let text = "Questions that a store did not answer, or not to the end";
        registry.register("dolmen_store_failures", text, m.failures.clone());
        registry.register("dolmen_store_asked", "Questions to a store", m.asked.clone());
        m
    }

    /// How a store is. Its other figures are there from now on, so that their first increase shows.
    pub(crate) fn tell(&self, store: &StoreLabels, up: bool) {
        self.up.get_or_create(store).set(i64::from(up));
        drop(self.failures.get_or_create(store));
        drop(self.asked.get_or_create(store));
        drop(self.seconds.get_or_create(&SiteLabels { site: store.site.clone() }));
    }

    pub(crate) fn took(&self, site: &SmolStr, seconds: f64) {
        self.seconds.get_or_create(&SiteLabels { site: site.to_string() }).observe(seconds);
    }

    pub(crate) fn failed(&self, site: &SmolStr, store: &SmolStr) {
        self.failures.get_or_create(&StoreLabels { site: site.to_string(), store: store.to_string() }).inc();
    }
}
