//! What a fetcher sees in buckets of many kinds.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::sync::Arc;
use std::time::Duration;

use dolmen_block::meta::{BlockFile, Compaction, Stats, Thanos};
use dolmen_block::{Meta, Ulid};
use dolmen_bucket::faulty::{Fault, Faulty};
use dolmen_bucket::{Bucket, BucketMetrics, Patience, block_path};
use dolmen_ctx::Ctx;
use dolmen_fetcher::{Fetched, Fetcher, FetcherMetrics, FetcherSettings};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use prometheus_client::registry::Registry;

fn ulid(n: u64) -> Ulid {
    Ulid::from_parts(n * 1000, u128::from(n))
}

fn meta(n: u64, sources: &[u64]) -> Meta {
    let files = ["chunks/000001", "index", "meta.json"];
    let sizes = [3, 5, 0];
    let files =
        files.iter().zip(sizes).map(|(p, n)| BlockFile { rel_path: (*p).into(), size_bytes: n, hash: None });
    Meta {
        ulid: ulid(n),
        min_time: 0,
        max_time: 1,
        stats: Stats::default(),
        compaction: Compaction {
            level: 1,
            sources: sources.iter().map(|s| ulid(*s)).collect(),
            ..Default::default()
        },
        version: 1,
        thanos: Some(Thanos {
            labels: [("site".to_owned(), "a".to_owned())].into(),
            files: files.collect(),
            ..Thanos::default()
        }),
    }
}

async fn put(store: &dyn ObjectStore, n: u64, path: &str, body: impl Into<Vec<u8>>) {
    store.put(&block_path(ulid(n), path), body.into().into()).await.expect("put");
}

async fn put_block(store: &dyn ObjectStore, n: u64, sources: &[u64]) {
    put(store, n, "chunks/000001", "abc").await;
    put(store, n, "index", "index").await;
    put(store, n, "meta.json", meta(n, sources).to_json()).await;
}

struct World {
    faulty: Arc<Faulty>,
    store: Arc<dyn ObjectStore>,
}

fn world() -> World {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    let metrics = BucketMetrics::new(&mut Registry::default());
    let store = Bucket::wrap(faulty.clone(), Patience::default(), &metrics).store_for("fetcher");
    World { faulty, store }
}

fn fetcher(w: &World, settings: FetcherSettings) -> Fetcher {
    Fetcher::new(w.store.clone(), settings, FetcherMetrics::new(&mut Registry::default()))
}

async fn fetch(f: &Fetcher) -> Fetched {
    f.fetch(&Ctx::unbounded()).await.expect("fetch")
}

fn ids<T>(map: &std::collections::BTreeMap<Ulid, T>) -> Vec<u64> {
    map.keys().map(|u| u.timestamp_ms() / 1000).collect()
}

#[tokio::test(start_paused = true)]
async fn every_folder_is_what_it_is() {
    let w = world();
    let s = &*w.store;
    for n in [1, 2, 3] {
        put_block(s, n, &[n]).await;
    }
    put(s, 4, "index", "index").await; // no meta.json
    put_block(s, 5, &[5]).await;
    put(s, 5, "meta.json", "{").await;
    put_block(s, 6, &[6]).await;
    put(s, 6, "meta.json", meta(1, &[1]).to_json()).await;
    put_block(s, 7, &[7]).await;
    put(s, 7, "chunks/000001", "ab").await;
    put_block(s, 8, &[8]).await;
    s.delete(&block_path(ulid(8), "index")).await.unwrap();
    put(
        s,
        2,
        "deletion-mark.json",
        format!("{{\"id\":\"{}\",\"version\":1,\"deletion_time\":100}}", ulid(2)),
    )
    .await;
    put(
        s,
        4,
        "deletion-mark.json",
        format!("{{\"id\":\"{}\",\"version\":1,\"deletion_time\":100}}", ulid(4)),
    )
    .await;
    let text =
        format!("{{\"id\":\"{}\",\"version\":1,\"no_compact_time\":7,\"reason\":\"manual\"}}", ulid(3));
    put(s, 3, "no-compact-mark.json", text).await;
    put(s, 1, "deletion-mark.json", "{").await; // passed over
    for foreign in ["readme.txt", "debug/metas/x.json", "01aryz6s41tsv4rrffq69g5fav/meta.json"] {
        s.put(&foreign.into(), "x".into()).await.unwrap();
    }
    let f = fetch(&fetcher(&w, FetcherSettings::default())).await;
    assert_eq!(ids(&f.blocks), [1, 2, 3]);
    assert_eq!(ids(&f.partial), [4]);
    assert_eq!(ids(&f.corrupt), [5, 6, 7, 8]);
    assert_eq!(ids(&f.deletion_marks), [2, 4]);
    assert_eq!(ids(&f.no_compact_marks), [3]);
    let block = &f.blocks[&ulid(1)];
    assert_eq!((block.bytes() > 8, block.uploaded), (true, 1000), "no upload time: the ULID's");
    let paths: Vec<_> = block.objects.iter().map(|o| o.path.as_str()).collect();
    assert_eq!(paths, ["chunks/000001", "deletion-mark.json", "index", "meta.json"]);
    assert!(f.partial[&ulid(4)].newest_mtime > 1_000_000);
    let why: Vec<_> = f.corrupt.values().map(|c| c.why.as_str()).collect();
    assert!(why[0].contains("parse meta.json"), "{why:?}");
    assert!(why[1].contains("is of block"), "{why:?}");
    assert_eq!(&why[2..], ["chunks/000001 has 2 bytes, meta.json says 3", "index is missing"]);
}

#[tokio::test(start_paused = true)]
async fn metas_are_read_once_and_kept_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let settings = FetcherSettings { cache_dir: Some(dir.path().to_owned()), ..FetcherSettings::default() };
    let w = world();
    put_block(&*w.store, 1, &[1]).await;
    put_block(&*w.store, 2, &[2]).await;
    let one = fetcher(&w, settings.clone());
    w.faulty.log();
    assert_eq!(ids(&fetch(&one).await.blocks), [1, 2]);
    assert_eq!(w.faulty.log().len(), 3, "a listing and two metas");
    fetch(&one).await;
    assert_eq!(w.faulty.log(), ["list "]);
    assert!(dir.path().join(format!("meta-syncer/{}/meta.json", ulid(1))).exists());

    let two = fetcher(&w, settings.clone());
    assert_eq!(ids(&fetch(&two).await.blocks), [1, 2]);
    assert_eq!(w.faulty.log(), ["list "], "from the disk");
    // Somebody rewrites a meta, and another block goes.
    put(&*w.store, 1, "meta.json", meta(1, &[1, 9]).to_json()).await;
    w.store.delete(&block_path(ulid(2), "meta.json")).await.unwrap();
    let f = fetch(&two).await;
    assert_eq!(f.blocks[&ulid(1)].meta.compaction.sources.len(), 2);
    assert_eq!((ids(&f.blocks), ids(&f.partial)), (vec![1], vec![2]));
    assert!(!dir.path().join(format!("meta-syncer/{}", ulid(2))).exists());
    // Garbage in the cache is fetched again.
    std::fs::write(dir.path().join(format!("meta-syncer/{}/meta.json", ulid(1))), "{").unwrap();
    assert_eq!(ids(&fetch(&fetcher(&w, settings)).await.blocks), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_bucket_that_does_not_answer_is_an_error_never_an_empty_view() {
    let w = world();
    put_block(&*w.store, 1, &[1]).await;
    let f = fetcher(&w, FetcherSettings::default());
    let ctx = Ctx::unbounded();
    for (op, path) in [("list", ""), ("get", "meta.json")] {
        for fault in [Fault::Silence, Fault::Status(503), Fault::Status(403)] {
            w.faulty.fail(op, path, fault, usize::MAX);
            f.fetch(&ctx).await.unwrap_err();
            w.faulty.heal();
        }
    }
    w.faulty.fail("get", "meta.json", Fault::Status(404), 1);
    let gone = fetch(&f).await;
    assert!(gone.blocks.is_empty() && gone.partial.is_empty(), "deleted since it was listed");
    assert_eq!(ids(&fetch(&f).await.blocks), [1]);
    ctx.cancel.cancel();
    assert_eq!(f.fetch(&ctx).await.unwrap_err().kind(), dolmen_model::Kind::Canceled);
}

#[tokio::test(start_paused = true)]
async fn filters() {
    let w = world();
    let s = &*w.store;
    for (n, sources) in [(1, &[1][..]), (2, &[2]), (3, &[1, 2]), (4, &[1, 2]), (5, &[5])] {
        put_block(s, n, sources).await;
    }
    put(
        s,
        5,
        "deletion-mark.json",
        format!("{{\"id\":\"{}\",\"version\":1,\"deletion_time\":100}}", ulid(5)),
    )
    .await;
    let mut compacted = meta(6, &[5]);
    let thanos = compacted.thanos.as_mut().unwrap();
    thanos.source = "compactor".into();
    thanos.downsample.resolution = 300_000;
    put_block(s, 6, &[5]).await;
    put(s, 6, "meta.json", compacted.to_json()).await;
    let all = fetch(&fetcher(&w, FetcherSettings::default())).await;

    let mut f = all.clone();
    assert_eq!(f.hide_superseded(), 3);
    assert_eq!(
        ids(&f.blocks),
        [3, 5, 6],
        "equal sources: the older stays; another resolution is another group"
    );

    let mut f = all.clone();
    assert_eq!(f.hide_fresh(8_000, Duration::from_secs(5)), 2);
    assert_eq!(ids(&f.blocks), [1, 2, 3, 6], "a compactor's block is never too fresh");

    for (now, hidden) in [(100_000, 0), (110_000, 0), (110_001, 1)] {
        let mut f = all.clone();
        assert_eq!(f.hide_marked(now, Duration::from_secs(10)), hidden, "at {now}");
        assert_eq!(f.deletion_marks.len(), 1);
    }
}
