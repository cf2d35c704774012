//! Index-headers byte for byte as Thanos' store gateway writes them, and broken ones on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dolmen_block::Ulid;

use crate::common::*;

#[tokio::test]
async fn headers_equal_those_of_thanos() {
    let Some(golden) = shared("golden") else { return };
    let mut blocks: BTreeMap<Ulid, PathBuf> = BTreeMap::new();
    for folder in ["downsample/bucket", "downsample/nhcb-bucket", "compact/before/main"] {
        for entry in std::fs::read_dir(golden.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if let Ok(ulid) = Ulid::from_string(&path.file_name().unwrap().to_string_lossy()) {
                blocks.insert(ulid, path);
            }
        }
    }
    let w = world();
    let mut wanted = Vec::new();
    for entry in std::fs::read_dir(golden.join("index-header")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(ulid) = name.strip_suffix(".index-header") else { continue };
        let ulid = Ulid::from_string(ulid).unwrap();
        w.upload(&blocks[&ulid], ulid).await;
        wanted.push((ulid, std::fs::read(&path).unwrap()));
    }
    assert!(wanted.len() >= 20);
    let (store, metrics) = w.store_with(|s| s.ignore_deletion_marks = std::time::Duration::MAX);
    store.sync(&w.ctx).await.unwrap();
    let (_, lacks) = ask_any(&w, &store).await;
    assert!(lacks.is_complete(), "{lacks:?}");
    let mut compared = 0;
    for (ulid, want) in wanted {
        let path = w.headers().join(ulid.to_string()).join("index-header");
        // Downsampled blocks are not served.
        if let Ok(got) = std::fs::read(&path) {
            assert!(got == want, "{ulid}");
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared}");
    assert_eq!(metrics.broken(), 0);
}

async fn ask_any(w: &World, store: &dolmen_bucketstore::BucketStore) -> (usize, dolmen_model::Completeness) {
    use dolmen_storage::{Frame, Queryable, Select};
    use futures::StreamExt;
    let all = dolmen_fanout::Fanout::new(store.queryables());
    let mut stream = all.select(&w.ctx, &Select::new(dolmen_model::TimeRange::ALL, [])).await.unwrap();
    let mut n = 0;
    loop {
        match stream.next().await.unwrap().unwrap() {
            Frame::Batch(b) => n += b.series.len(),
            Frame::End(lacks) => return (n, lacks),
        }
    }
}

#[tokio::test]
async fn a_broken_header_on_disk_is_made_again() {
    let w = world();
    w.block(1, &[1], &[("x", &[1])]).await;
    let path = w.headers().join(ulid(1).to_string()).join("index-header");
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    let want = ask(&w.ctx, store.queryables()).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    for n in 0..whole.len() {
        if n % 7 > 0 {
            continue;
        }
        let mut broken = whole.clone();
        if n % 2 == 0 {
            broken.truncate(n);
        } else {
            broken[n] ^= 0x40;
        }
        std::fs::write(&path, &broken).unwrap();
        let (store, _) = w.store();
        store.sync(&w.ctx).await.unwrap();
        assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap(), want, "byte {n}");
        assert!(std::fs::read(&path).unwrap() == whole, "byte {n}");
    }
}
