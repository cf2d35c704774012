//! Directories of Prometheus' blocks: read as they are, nothing written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use dolmen_bucket::{Bucket, BucketMetrics};
use dolmen_bucketstore::{BucketStore, BucketStoreMetrics, BucketStoreSettings, open_directories};
use dolmen_ctx::{Ctx, RealDisk};
use dolmen_fanout::Fanout;
use dolmen_fetcher::{Fetcher, FetcherMetrics, FetcherSettings};
use dolmen_model::{Labels, Matcher, TimeRange};
use dolmen_storage::{Frame, Queryable, Select};
use futures::StreamExt;
use prometheus_client::registry::Registry;

use crate::common::*;

/// All files with their times.
fn look(dir: &Path, all: &mut BTreeMap<PathBuf, (SystemTime, u64)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        all.insert(entry.path(), (meta.modified().unwrap(), meta.len()));
        if meta.is_dir() {
            look(&entry.path(), all);
        }
    }
}

type Chunks = BTreeMap<Labels, Vec<(String, i64, usize)>>;

async fn chunks(members: Vec<Arc<dyn Queryable>>, select: &Select) -> Chunks {
    let mut stream = Fanout::new(members).select(&Ctx::unbounded(), select).await.unwrap();
    let mut out = Chunks::new();
    loop {
        match stream.next().await.unwrap().unwrap() {
            Frame::Batch(b) => {
                for s in b.series {
                    let mut all: Vec<_> = s
                        .parts
                        .iter()
                        .flat_map(|p| {
                            let of = |c: &dolmen_storage::RawChunk| {
                                (p.source.as_str().to_owned(), c.mint, c.data.len())
                            };
                            p.chunks.iter().map(of).collect::<Vec<_>>()
                        })
                        .collect();
                    all.sort();
                    assert!(
                        out.insert(b.labels.get(s.label).to_labels(), all).is_none(),
                        "a label set comes once"
                    );
                }
            }
            Frame::End(lacks) => {
                assert!(lacks.is_complete(), "{lacks:?}");
                return out;
            }
        }
    }
}

#[tokio::test]
async fn a_data_directory_of_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    write(data, ulid(1), &[1], &[("x", &[10])]);
    write(data, ulid(2), &[2], &[("x", &[10, 20]), ("y", &[10])]);
    // A block that was merged into another, and what is no block.
    write(data, ulid(3), &[3], &[("gone", &[1])]);
    let merged = data.join(ulid(2).to_string()).join("meta.json");
    let text = std::fs::read_to_string(&merged).unwrap();
    let parents =
        format!("\"parents\": [{{\"ulid\": \"{}\", \"minTime\": 0, \"maxTime\": 5}}],\n\"level\"", ulid(3));
    std::fs::write(&merged, text.replacen("\"level\"", &parents, 1)).unwrap();
    for other in ["wal", "chunks_head", "01ARYZ6S41TSV4RRFFQ69G5FAV.tmp-for-creation"] {
        std::fs::create_dir(data.join(other)).unwrap();
    }
    std::fs::write(data.join("lock"), "").unwrap();
    // A broken one.
    write(data, ulid(4), &[4], &[("z", &[10])]);
    std::fs::write(data.join(ulid(4).to_string()).join("index"), "no index").unwrap();
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    look(data, &mut before);
    let ctx = Ctx::unbounded();
    let opened = open_directories(&ctx, &RealDisk, &[data.to_owned()]).await.unwrap();
    look(data, &mut after);
    assert_eq!(before, after);
    assert_eq!((opened.blocks.len(), opened.broken.len()), (3, 1));
    assert!(opened.broken[0].0.ends_with(ulid(4).to_string()));
    let (got, lacks) = ask(&ctx, opened.blocks.clone()).await.unwrap();
    assert_eq!(got, times(&[("x", &[10, 10, 20]), ("y", &[10])]));
    assert!(lacks.missing[0].cause.contains(&ulid(4).to_string()), "{lacks:?}");
    // No label is added, and nothing is a replica.
    let select = Select {
        without: ["site".into(), "a".into()].into(),
        ..Select::new(TimeRange::ALL, [Matcher::eq("a", "x")])
    };
    let mut whole = opened.blocks;
    whole.pop();
    let got = chunks(whole, &select).await;
    assert_eq!(got.keys().cloned().collect::<Vec<_>>(), [Labels::from_pairs([("a", "x")])]);
    assert!(got.values().flatten().all(|(source, ..)| source.is_empty()));
    let e = open_directories(&ctx, &RealDisk, &[data.join("nothing")]).await.err().unwrap();
    assert!(e.to_string().contains("nothing"));
    // A block's own directory.
    let one = open_directories(&ctx, &RealDisk, &[data.join(ulid(1).to_string())]).await.unwrap();
    assert_eq!((one.blocks.len(), one.range), (1, TimeRange::new(0, 1000)));
}

#[tokio::test]
async fn a_bucket_gives_what_the_directories_give() {
    let Some(dir) = shared("oracle/blocks") else { return };
    let ctx = Ctx::unbounded();
    let opened = open_directories(&ctx, &RealDisk, std::slice::from_ref(&dir)).await.unwrap();
    assert!(opened.broken.is_empty());
    let home = tempfile::tempdir().unwrap();
    let bucket = home.path().join("bucket");
    for entry in std::fs::read_dir(&dir).unwrap() {
        let block = entry.unwrap().path();
        if !block.join("meta.json").exists() {
            continue;
        }
        let to = bucket.join(block.file_name().unwrap());
        for file in files(&block) {
            std::fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
            std::fs::copy(block.join(&file), to.join(&file)).unwrap();
        }
    }
    let bucket = Bucket::filesystem(&bucket, &BucketMetrics::new(&mut Registry::default())).unwrap();
    let fetcher = FetcherMetrics::new(&mut Registry::default());
    let fetcher = Fetcher::new(bucket.store_for("fetcher"), FetcherSettings::default(), fetcher);
    let metrics = BucketStoreMetrics::new(&mut Registry::default());
    let settings = BucketStoreSettings::new(home.path().join("gateway"));
    let store = BucketStore::new(bucket.store_for("gateway"), fetcher, Arc::new(RealDisk), settings, metrics);
    store.sync(&ctx).await.unwrap();
    for matchers in [vec![Matcher::eq("job", "app")], vec![Matcher::eq("__name__", "up")], vec![]] {
        let select = Select::new(TimeRange::ALL, matchers);
        let (near, far) =
            (chunks(opened.blocks.clone(), &select).await, chunks(store.queryables(), &select).await);
        assert!(!near.is_empty());
        assert!(near == far, "{} series, {} from the bucket", near.len(), far.len());
    }
}
