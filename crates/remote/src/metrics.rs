//! What the door counts.

use dolmen_storage::{AppendReport, RejectCause};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SampleLabels {
    result: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// Counters of remote write. Clones are one.
#[derive(Clone, Debug)]
pub struct RemoteMetrics {
    samples: Family<SampleLabels, Counter>,
    ignored: Family<KindLabels, Counter>,
    renamed: Counter,
    bytes: Family<KindLabels, Counter>,
    seconds: Family<CodeLabels, Histogram, fn() -> Histogram>,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

impl RemoteMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> RemoteMetrics {
        let m = RemoteMetrics {
            samples: Family::default(),
            ignored: Family::default(),
            renamed: Counter::default(),
            bytes: Family::default(),
            seconds: Family::new_with_constructor(seconds),
        };
        // Rates need a first value.
        for cause in ["", "duplicate"] {
            drop(m.samples.get_or_create(&SampleLabels { result: "stored", cause }));
        }
        for cause in CAUSES.map(RejectCause::as_str) {
            drop(m.samples.get_or_create(&SampleLabels { result: "refused", cause }));
        }
        registry.register("dolmen_remote_samples", "Samples that came by remote write", m.samples.clone());
        registry.register(
            "dolmen_remote_ignored",
            "Exemplars and metadata, which are not kept",
            m.ignored.clone(),
        );
        registry.register(
            "dolmen_remote_renamed_labels",
            "Labels renamed because they bear the name of a receiver's label with another value",
            m.renamed.clone(),
        );
        registry.register(
            "dolmen_remote_bytes",
            "Bytes of requests, as sent and decompressed",
            m.bytes.clone(),
        );
        registry.register(
            "dolmen_remote_request_seconds",
            "Time from a request's head to its answer",
            m.seconds.clone(),
        );
        m
    }

    pub(crate) fn report(&self, report: &AppendReport) {
        let add = |result, cause, n: u64| {
            if n > 0 {
                self.samples.get_or_create(&SampleLabels { result, cause }).inc_by(n);
            }
        };
        add("stored", "", report.accepted.saturating_sub(report.duplicates));
        add("stored", "duplicate", report.duplicates);
        for r in &report.rejected {
            add("refused", r.cause.as_str(), r.samples);
        }
    }

    pub(crate) fn decoded(&self, decoded: &crate::Decoded) {
        for (kind, n) in [("exemplar", decoded.exemplars), ("metadata", decoded.metadata)] {
            if n > 0 {
                self.ignored.get_or_create(&KindLabels { kind }).inc_by(n);
            }
        }
        self.renamed.inc_by(decoded.renamed);
    }

    pub(crate) fn bytes(&self, kind: &'static str, n: u64) {
        self.bytes.get_or_create(&KindLabels { kind }).inc_by(n);
    }

    pub(crate) fn answered(&self, code: u16, seconds: f64) {
        self.seconds.get_or_create(&CodeLabels { code }).observe(seconds);
    }
}

const CAUSES: [RejectCause; 7] = [
    RejectCause::OutOfOrder,
    RejectCause::TooOld,
    RejectCause::DuplicateTimestamp,
    RejectCause::Future,
    RejectCause::BadLabel,
    RejectCause::BadHistogram,
    RejectCause::SeriesLimit,
];
