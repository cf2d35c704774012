//! The cycle over a bucket in a directory.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dolmen_block::meta::{Compaction, Thanos};
use dolmen_block::{BlockWriter, ChunkIn, MetaSeed, Ulid};
use dolmen_bucket::{Bucket, BucketMetrics};
use dolmen_compactor::{CompactMetrics, Compactor, CompactorSettings, GroupState};
use dolmen_ctx::{Ctx, Disk, RealDisk};
use dolmen_fetcher::FetcherMetrics;
use dolmen_model::{Encoding, Kind, Labels};
use dolmen_service::{Metrics, Shutdown};

/// Writes a block of ten seconds with one sample.
fn block(bucket: &Path, n: i64) {
    let ulid = Ulid::from_parts(n as u64 + 1, 1);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut w = BlockWriter::create(disk, bucket, ulid, ["__name__", "up"]).unwrap();
    let mut data = Vec::new();
    dolmen_chunk::encode_floats(&[n * 10_000], &[1.0], 10, &mut data);
    let chunk = ChunkIn { mint: n * 10_000, maxt: n * 10_000, encoding: Encoding::Xor, data: &data[0].data };
    w.add_series(Labels::from_pairs([("__name__", "up")]).as_ref(), &[chunk]).unwrap();
    let thanos = Thanos { labels: [("site".into(), "a".into())].into(), ..Thanos::default() };
    let (min_time, max_time) = (n * 10_000, (n + 1) * 10_000);
    w.finish(MetaSeed { min_time, max_time, compaction: Compaction::default(), thanos: Some(thanos) })
        .unwrap();
}

struct Stand {
    dir: tempfile::TempDir,
    metrics: Metrics,
}

impl Stand {
    fn new(blocks: i64) -> Stand {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bucket")).unwrap();
        (0..blocks).for_each(|n| block(&dir.path().join("bucket"), n));
        Stand { dir, metrics: Metrics::new("0", "x") }
    }

    fn open(&self, ranges: &[i64]) -> dolmen_model::Result<Arc<Compactor>> {
        let bucket_metrics = self.metrics.register(BucketMetrics::new);
        let bucket = Bucket::filesystem(&self.dir.path().join("bucket"), &bucket_metrics)?;
        let settings = CompactorSettings {
            block_ranges: ranges.to_vec(),
            consistency_delay: Duration::ZERO,
            wait_interval: Duration::from_millis(1),
            ..CompactorSettings::new(self.dir.path().join("compact"))
        };
        let metrics = self.metrics.register(CompactMetrics::new);
        let fetcher = self.metrics.register(FetcherMetrics::new);
        Compactor::open(Ctx::unbounded(), Arc::new(RealDisk), &bucket, &settings, metrics, fetcher)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run() {
    let stand = Stand::new(7);
    let compactor = stand.open(&[10_000, 20_000, 60_000]).unwrap();
    let report = compactor.run_once(&Shutdown::new()).await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    // 20 s first, then the full minute.
    let parents: Vec<usize> = report.compactions.iter().map(|c| c.parents.len()).collect();
    assert_eq!(parents, [2, 2, 2, 3]);
    assert_eq!(report.groups_in(GroupState::Compacted), 1);
    let text = stand.metrics.text().unwrap();
    for line in [
        "dolmen_compact_groups{state=\"compacted\"} 1",
        "dolmen_compact_groups{state=\"overlapping\"} 0",
        "dolmen_compact_compactions_total 4",
        "dolmen_compact_runs_total{result=\"success\"} 1",
        "dolmen_compact_blocks_marked_total{reason=\"compacted\"} 9",
        "dolmen_compact_blocks_waiting{reason=\"overlap\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_until_the_word_to_end() {
    let stand = Stand::new(3);
    let compactor = stand.open(&[10_000, 20_000]).unwrap();
    let shutdown = Shutdown::new();
    let runs = tokio::spawn(compactor.run(shutdown.clone()));
    let done = || stand.metrics.text().unwrap().contains("dolmen_compact_compactions_total 1");
    while !done() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A block that comes later is seen by a later run.
    block(&stand.dir.path().join("bucket"), 3);
    block(&stand.dir.path().join("bucket"), 4);
    while !stand.metrics.text().unwrap().contains("dolmen_compact_compactions_total 2") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shutdown.trigger();
    runs.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_told_to_end_says_so() {
    let stand = Stand::new(3);
    let compactor = stand.open(&[10_000, 20_000]).unwrap();
    let shutdown = Shutdown::new();
    shutdown.trigger();
    // It may have come to its end before it looked.
    if let Err(e) = compactor.run_once(&shutdown).await {
        assert_eq!(e.kind(), Kind::Canceled);
    }
}

#[test]
fn lengths_that_do_not_rise_are_refused() {
    let stand = Stand::new(0);
    assert_eq!(stand.open(&[20, 10]).err().map(|e| e.kind()), Some(Kind::Invalid));
    assert!(!stand.dir.path().join("compact").exists());
}
