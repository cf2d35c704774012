//! What the coat counts.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    op: &'static str,
    cause: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByteLabels {
    op: &'static str,
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpLabels {
    op: &'static str,
}

/// Counters of bucket requests. Clones are one.
#[derive(Clone, Debug)]
pub struct BucketMetrics {
    requests: Family<RequestLabels, Counter>,
    bytes: Family<ByteLabels, Counter>,
    seconds: Family<OpLabels, Histogram, fn() -> Histogram>,
}

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

impl BucketMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> BucketMetrics {
        let m = BucketMetrics {
            requests: Family::default(),
            bytes: Family::default(),
            seconds: Family::new_with_constructor(seconds),
        };
        registry.register(
            "dolmen_bucket_requests",
            "Requests to the bucket, each try counted; code is HTTP's, or timeout, connect, error",
            m.requests.clone(),
        );
        registry.register("dolmen_bucket_bytes", "Bytes of objects, in and out", m.bytes.clone());
        registry.register(
            "dolmen_bucket_request_seconds",
            "Time of one try of a request, body included",
            m.seconds.clone(),
        );
        m
    }

    /// Requests of an operation, over all causes and codes. For tests and tools.
    pub fn requests(&self, op: &'static str, cause: &'static str, code: &str) -> u64 {
        let labels = RequestLabels { op, cause, code: code.to_owned() };
        self.requests.get(&labels).map_or(0, |c| c.get())
    }

    pub(crate) fn request(&self, op: &'static str, cause: &'static str, code: String, took: Duration) {
        self.requests.get_or_create(&RequestLabels { op, cause, code }).inc();
        self.seconds.get_or_create(&OpLabels { op }).observe(took.as_secs_f64());
    }

    pub(crate) fn bytes(&self, op: &'static str, direction: &'static str, n: u64) {
        self.bytes.get_or_create(&ByteLabels { op, direction }).inc_by(n);
    }
}
