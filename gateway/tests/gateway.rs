//! A gateway from its start to its end.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::sync::Arc;
use std::time::Duration;

use dolmen_block::meta::Thanos;
use dolmen_block::{BlockWriter, ChunkIn, MetaSeed, Ulid};
use dolmen_bucket::faulty::{Fault, Faulty};
use dolmen_bucket::{Bucket, BucketMetrics, Patience, block_path};
use dolmen_ctx::{Ctx, RealDisk};
use dolmen_fanout::Fanout;
use dolmen_fetcher::FetcherMetrics;
use dolmen_gateway::{Gateway, GatewayMetrics, GatewaySettings};
use dolmen_model::{Encoding, Labels, TimeRange};
use dolmen_service::Shutdown;
use dolmen_storage::{LabelAsk, Queryable, Select};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;

async fn put_block(bucket: &Bucket, n: u64) {
    let dir = tempfile::tempdir().unwrap();
    let ulid = Ulid::from_parts(n, 1);
    let mut w = BlockWriter::create(Arc::new(RealDisk), dir.path(), ulid, ["a", "x"]).unwrap();
    let chunk = ChunkIn { mint: 0, maxt: 0, encoding: Encoding::Xor, data: &[0, 1, 7] };
    w.add_series(Labels::from_pairs([("a", "x")]).as_ref(), &[chunk]).unwrap();
    let seed = MetaSeed { min_time: 0, max_time: 10, thanos: Some(Thanos::default()), ..MetaSeed::default() };
    w.finish(seed).unwrap();
    for path in ["chunks/000001", "index", "meta.json"] {
        let body = std::fs::read(dir.path().join(ulid.to_string()).join(path)).unwrap();
        bucket.store().put(&block_path(ulid, path), body.into()).await.unwrap();
    }
}

async fn until(what: impl Fn() -> bool) {
    for _ in 0..500 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to pass");
}

/// Time of which a query over all time is told that it is missing.
async fn lacks(gateway: &Gateway) -> Option<TimeRange> {
    let fanout = Fanout::new(gateway.queryables());
    let select = Select::new(TimeRange::ALL, []);
    let answer = fanout.labels(&Ctx::unbounded(), &select, LabelAsk::Names).await.unwrap();
    answer.completeness.missing.first().map(|m| m.range)
}

#[tokio::test]
async fn it_is_ready_once_it_has_seen_the_bucket_and_sees_what_comes() {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    let patience = Patience { retries: 0, ..Patience::default() };
    let mut registry = Registry::default();
    let bucket = Bucket::wrap(faulty.clone(), patience, &BucketMetrics::new(&mut registry));
    put_block(&bucket, 1).await;
    let dir = tempfile::tempdir().unwrap();
    let settings = GatewaySettings::new(dir.path().to_owned(), Duration::from_millis(50));
    let (fetcher, metrics) = (FetcherMetrics::new(&mut registry), GatewayMetrics::new(&mut registry));
    let disk = Arc::new(RealDisk);
    let gateway = Gateway::open(Ctx::unbounded(), disk, &bucket, settings, fetcher, metrics.clone());
    faulty.fail("list", "", Fault::Status(503), 2);
    let (first, shutdown) = (gateway.first_sync(), Shutdown::new());
    let run = tokio::spawn(gateway.clone().run(shutdown.clone()));
    // Who asks before the first look is told that all may be missing.
    assert!(!first.is_done() && lacks(&gateway).await == Some(TimeRange::ALL));
    tokio::time::timeout(Duration::from_secs(5), first.done()).await.unwrap();
    assert!(gateway.first_sync().is_done());
    assert_eq!((gateway.queryables().len(), lacks(&gateway).await), (1, None));
    put_block(&bucket, 2).await;
    until(|| gateway.store().ulids().len() == 2).await;
    // The bucket is down: what was seen stays.
    faulty.fail("list", "", Fault::Status(503), 1000);
    let before = metrics.store().syncs();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(gateway.store().ulids().len(), 2);
    // What came since is not known: it is newer than all that is.
    let newest = gateway.store().newest().unwrap();
    assert_eq!(lacks(&gateway).await, TimeRange::new(newest, i64::MAX));
    assert!(metrics.store().syncs() <= before + 1);
    shutdown.trigger();
    tokio::time::timeout(Duration::from_secs(5), run).await.unwrap().unwrap();
}
