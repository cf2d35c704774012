//! What a bucket store tells of itself.

use dolmen_source::Why;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhyLabels {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

/// Figures of a bucket store. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct BucketStoreMetrics {
    pub(crate) blocks: Gauge,
    pub(crate) broken: Gauge,
    pub(crate) open_failures: Counter,
    pub(crate) headers_built: Counter,
    pub(crate) last_sync: Gauge,
    syncs: Family<ResultLabels, Counter>,
    waves: Family<WhyLabels, Counter>,
    bytes: Family<WhyLabels, Counter>,
    hits: Family<WhyLabels, Counter>,
    misses: Family<WhyLabels, Counter>,
    pub(crate) cached: Gauge,
}

impl BucketStoreMetrics {
    /// Registers them.
    pub fn new(registry: &mut Registry) -> BucketStoreMetrics {
        let m = BucketStoreMetrics::default();
        for result in ["success", "failure"] {
            drop(m.syncs.get_or_create(&ResultLabels { result }));
        }
        let r = registry;
        r.register(
            "dolmen_bucketstore_blocks_loaded",
            "Blocks of the bucket that are served",
            m.blocks.clone(),
        );
        r.register(
            "dolmen_bucketstore_broken_blocks",
            "Blocks of the bucket that should be served and cannot be read: answers over their time are incomplete",
            m.broken.clone(),
        );
        let failures = "Tries to open a block that failed";
        r.register("dolmen_bucketstore_open_failures", failures, m.open_failures.clone());
        let built = "Index-headers made from the bucket";
        r.register("dolmen_bucketstore_index_headers_built", built, m.headers_built.clone());
        r.register("dolmen_bucketstore_syncs", "Looks at the bucket for new blocks", m.syncs.clone());
        let last = "When the last look succeeded, in seconds since the Unix epoch";
        r.register("dolmen_bucketstore_last_sync_timestamp_seconds", last, m.last_sync.clone());
        let waves = "Rounds of reads, each of many ranges of one block";
        r.register("dolmen_bucketstore_waves", waves, m.waves.clone());
        let bytes = "Bytes that were asked of the bucket, without gaps that are fetched along";
        r.register("dolmen_bucketstore_read_bytes", bytes, m.bytes.clone());
        r.register("dolmen_bucketstore_cache_hits", "Ranges found in the cache", m.hits.clone());
        r.register("dolmen_bucketstore_cache_misses", "Ranges not found in the cache", m.misses.clone());
        r.register("dolmen_bucketstore_cached_bytes", "Bytes in the cache", m.cached.clone());
        m
    }

    /// Looks that succeeded. For tests and tools.
    pub fn syncs(&self) -> u64 {
        self.syncs.get_or_create(&ResultLabels { result: "success" }).get()
    }

    /// Rounds of reads for a cause. For tests and tools.
    pub fn waves(&self, why: Why) -> u64 {
        self.waves.get_or_create(&WhyLabels { cause: why.as_str() }).get()
    }

    /// Blocks that cannot be read. For tests and tools.
    pub fn broken(&self) -> i64 {
        self.broken.get()
    }

    pub(crate) fn synced(&self, success: bool) {
        let result = if success { "success" } else { "failure" };
        self.syncs.get_or_create(&ResultLabels { result }).inc();
    }

    pub(crate) fn wave(&self, why: Why, bytes: u64) {
        let labels = WhyLabels { cause: why.as_str() };
        self.waves.get_or_create(&labels).inc();
        self.bytes.get_or_create(&labels).inc_by(bytes);
    }

    pub(crate) fn looked_up(&self, why: Why, hits: u64, misses: u64) {
        let labels = WhyLabels { cause: why.as_str() };
        self.hits.get_or_create(&labels).inc_by(hits);
        self.misses.get_or_create(&labels).inc_by(misses);
    }
}
