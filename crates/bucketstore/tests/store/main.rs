//! Blocks in a bucket that fails, changes and lies.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;
mod directories;
mod headers;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use dolmen_bucket::faulty::Fault;
use dolmen_ctx::{Budget, Ctx};
use dolmen_model::{Kind, Matcher, TimeRange};
use dolmen_source::Why;
use dolmen_storage::{LabelAsk, Queryable, Select};
use object_store::ObjectStoreExt;

const X: (&str, &[i64]) = ("x", &[10, 20]);
const Y: (&str, &[i64]) = ("y", &[10]);
const Z: (&str, &[i64]) = ("z", &[500]);

/// What reads ahead ends a moment after its reader.
async fn all_given_back(ctx: &Ctx) {
    for _ in 0..200 {
        if ctx.budget.used() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} bytes are not given back", ctx.budget.used());
}

#[tokio::test]
async fn blocks_are_read_once_and_headers_kept() {
    let w = world();
    w.block(1, &[1], &[X, Y]).await;
    w.block(2, &[2], &[Z]).await;
    let (store, metrics) = w.store();
    assert!(store.queryables().is_empty(), "nothing before the first sync");
    store.sync(&w.ctx).await.unwrap();
    let want = times(&[X, Y, Z]);
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap(), (want.clone(), Default::default()));
    let reads =
        ["header", "postings", "series", "chunks"].map(|c| w.requests.requests("get_range", c, "200"));
    // Start and end of the index, and its two sections: near each other, so one request each.
    assert_eq!(reads[1..], [2, 2, 2]);
    assert!((2..=4).contains(&reads[0]), "{reads:?}");
    assert_eq!((metrics.waves(Why::Header), metrics.waves(Why::Chunks)), (4, 2));
    // The same again comes from the cache; and after a restart the headers come from disk.
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap().0, want);
    assert_eq!(w.requests.requests("get_range", "chunks", "200"), 2);
    let (store, metrics) = w.store();
    store.sync(&w.ctx).await.unwrap();
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap().0, want);
    assert_eq!((metrics.waves(Why::Header), metrics.waves(Why::Chunks)), (0, 2));
    all_given_back(&w.ctx).await;
}

#[tokio::test]
async fn who_asks_at_once_opens_once() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    let (store, metrics) = w.store();
    store.sync(&w.ctx).await.unwrap();
    let all = futures::future::join_all((0..16).map(|_| ask(&w.ctx, store.queryables()))).await;
    assert!(all.iter().all(|a| a.as_ref().unwrap().0 == times(&[X])));
    assert_eq!(metrics.waves(Why::Header), 2);
}

#[tokio::test]
async fn a_merged_block_takes_the_place_of_its_parents() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    w.block(2, &[2], &[Z]).await;
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    let before = store.queryables();
    w.block(3, &[1, 2], &[X, Z]).await;
    store.sync(&w.ctx).await.unwrap();
    assert_eq!(store.ulids(), [ulid(3)]);
    let want = (times(&[X, Z]), Default::default());
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap(), want);
    // A query that began before the sync has the old view.
    assert_eq!(ask(&w.ctx, before).await.unwrap(), want);
    assert!(
        !w.headers().join(ulid(1).to_string()).exists() || w.headers().join(ulid(1).to_string()).is_dir()
    );
    // Once the parents are deleted, their headers go.
    for n in [1, 2] {
        for path in ["meta.json", "index", "chunks/000001"] {
            w.bucket.store().delete(&dolmen_bucket::block_path(ulid(n), path)).await.unwrap();
        }
    }
    store.sync(&w.ctx).await.unwrap();
    let left = |n: u64| w.headers().join(ulid(n).to_string()).exists();
    assert_eq!([left(1), left(2), left(3)], [false, false, true]);
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap(), want);
}

#[tokio::test]
async fn a_merged_block_that_does_not_open_leaves_its_parents_served() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    w.block(2, &[2], &[Z]).await;
    w.block(3, &[1, 2], &[X, Z]).await;
    let index = w.read(ulid(3), "index").await;
    let mut broken = index.clone();
    let n = broken.len();
    broken[n - 10] ^= 1;
    w.put(ulid(3), "index", broken).await;
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    assert_eq!(store.ulids(), [ulid(1), ulid(2)]);
    let want = (times(&[X, Z]), Default::default());
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap(), want);
    w.put(ulid(3), "index", index).await;
    store.sync(&w.ctx).await.unwrap();
    assert_eq!(store.ulids(), [ulid(3)]);
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap(), want);
}

#[tokio::test]
async fn marked_blocks_are_served_for_a_while() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    w.mark(1, 1_000_000).await;
    let (store, _) = w.store_with(|s| s.ignore_deletion_marks = Duration::from_secs(100));
    store.sync(&w.ctx).await.unwrap();
    assert_eq!(store.ulids(), [ulid(1)]);
    w.clock.set(1_000_101_000);
    store.sync(&w.ctx).await.unwrap();
    assert!(store.ulids().is_empty());
}

#[tokio::test]
async fn a_broken_block_is_named_by_answers_over_its_time() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    w.block(2, &[2], &[Z]).await;
    let index = w.read(ulid(2), "index").await;
    let mut broken = index.clone();
    broken[7] ^= 0xff;
    w.put(ulid(2), "index", broken).await;
    // And one whose file is shorter than its meta says.
    w.block(4, &[4], &[Y]).await;
    w.put(ulid(4), "chunks/000001", b"short".to_vec()).await;
    let (store, metrics) = w.store();
    store.sync(&w.ctx).await.unwrap();
    let (got, lacks) = ask(&w.ctx, store.queryables()).await.unwrap();
    assert_eq!(got, times(&[X]));
    let causes: Vec<&str> = lacks.missing.iter().map(|m| m.cause.as_str()).collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(causes.iter().any(|c| c.contains(&ulid(2).to_string()) && c.contains("symbols")), "{causes:?}");
    assert!(
        causes.iter().any(|c| c.contains(&ulid(4).to_string()) && c.contains("chunks/000001")),
        "{causes:?}"
    );
    assert_eq!(lacks.missing[0].range, TimeRange::new(0, 1000).unwrap());
    store.sync(&w.ctx).await.unwrap();
    assert_eq!(metrics.broken(), 2);
    // Whoever asks for another time is not told.
    let later = Select::new(TimeRange::new(1000, 2000).unwrap(), []);
    assert!(store.queryables().iter().all(|q| q.cover(&later).range.is_none()));
    let elsewhere = Select::new(TimeRange::ALL, [Matcher::eq("site", "other")]);
    assert!(store.queryables().iter().all(|q| q.cover(&elsewhere).range.is_none()));
    // Mended, it is read again.
    w.put(ulid(2), "index", index).await;
    let (got, lacks) = ask(&w.ctx, store.queryables()).await.unwrap();
    assert_eq!((got, lacks.missing.len()), (times(&[X, Z]), 1));
}

#[tokio::test]
async fn a_broken_chunk_is_named_and_the_rest_is_answered() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    w.block(2, &[2], &[Y, Z]).await;
    let mut chunks = w.read(ulid(2), "chunks/000001").await;
    let n = chunks.len();
    chunks[n - 1] ^= 1;
    w.put(ulid(2), "chunks/000001", chunks).await;
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    let (got, lacks) = ask(&w.ctx, store.queryables()).await.unwrap();
    assert_eq!(got, times(&[X]));
    let cause = &lacks.missing[0].cause;
    assert!(cause.starts_with(&format!("block {}: chunks/000001: chunk at byte ", ulid(2))), "{cause}");
    assert!(cause.ends_with("chunk fails its checksum"), "{cause}");
}

#[tokio::test]
async fn who_leaves_while_it_opens_does_no_harm() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    w.faulty.fail("get", "index", Fault::Silence, 1);
    let first = ask(&w.ctx, store.queryables());
    assert!(tokio::time::timeout(Duration::from_millis(50), first).await.is_err());
    let second = tokio::time::timeout(Duration::from_secs(1), ask(&w.ctx, store.queryables()));
    assert_eq!(second.await.unwrap().unwrap(), (times(&[X]), Default::default()));
    all_given_back(&w.ctx).await;
}

#[tokio::test]
async fn faults_that_pass_are_not_seen() {
    let w = world();
    w.block(1, &[1], &[X, Y]).await;
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    for (path, times) in [("index", 2), ("chunks", 1)] {
        w.faulty.fail("get", path, Fault::Status(503), times);
        w.faulty.fail("get", path, Fault::Reset, 1);
    }
    let got = ask(&w.ctx, store.queryables()).await.unwrap();
    assert_eq!(got, (times(&[X, Y]), Default::default()));
}

#[tokio::test]
async fn a_bucket_that_is_down_makes_answers_incomplete_and_the_view_stays() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    let (store, metrics) = w.store_with(|s| s.cache_max = 0);
    store.sync(&w.ctx).await.unwrap();
    assert!(ask(&w.ctx, store.queryables()).await.unwrap().1.is_complete());
    for op in ["get", "list"] {
        w.faulty.fail(op, "", Fault::Status(503), 1000);
    }
    let e = store.sync(&w.ctx).await.unwrap_err();
    assert_eq!((e.kind(), store.ulids(), metrics.syncs()), (Kind::Retry, vec![ulid(1)], 1));
    let (got, lacks) = ask(&w.ctx, store.queryables()).await.unwrap();
    assert_eq!((got.len(), lacks.missing.len()), (0, 1));
    w.faulty.heal();
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap(), (times(&[X]), Default::default()));
}

#[tokio::test]
async fn a_block_that_is_gone_makes_the_view_stale() {
    let w = world();
    w.block(1, &[1], &[X]).await;
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    for path in ["meta.json", "index", "chunks/000001"] {
        w.bucket.store().delete(&dolmen_bucket::block_path(ulid(1), path)).await.unwrap();
    }
    let (_, lacks) = ask(&w.ctx, store.queryables()).await.unwrap();
    assert_eq!(lacks.missing.len(), 1);
    tokio::time::timeout(Duration::from_secs(5), store.stale()).await.unwrap();
    store.sync(&w.ctx).await.unwrap();
    assert!(ask(&w.ctx, store.queryables()).await.unwrap().1.is_complete());
}

#[tokio::test]
async fn a_query_takes_no_more_than_its_budget() {
    let w = world();
    let names: Vec<String> = (0..3000).map(|i| format!("{i:05}")).collect();
    let series: Vec<(&str, &[i64])> = names.iter().map(|n| (n.as_str(), &[1i64, 2, 3][..])).collect();
    w.block(1, &[1], &series).await;
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    let ctx = Ctx { budget: Budget::new("query memory", 60_000), ..w.ctx.clone() };
    let e = ask(&ctx, store.queryables()).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Limit);
    all_given_back(&ctx).await;
    // The block is not to blame.
    assert_eq!(ask(&w.ctx, store.queryables()).await.unwrap().0.len(), 3000);
}

#[tokio::test]
async fn labels_come_with_those_of_the_block() {
    let w = world();
    w.block(1, &[1], &[X, Y]).await;
    let (store, _) = w.store();
    store.sync(&w.ctx).await.unwrap();
    let all = dolmen_fanout::Fanout::new(store.queryables());
    let select = Select::new(TimeRange::ALL, [Matcher::eq("a", "y")]);
    let ask = |ask| all.labels(&w.ctx, &select, ask);
    assert_eq!(ask(LabelAsk::Names).await.unwrap().value, ["a", "site"]);
    assert_eq!(ask(LabelAsk::Values("a".into())).await.unwrap().value, ["y"]);
    assert_eq!(ask(LabelAsk::Values("site".into())).await.unwrap().value, ["dc"]);
    let one: Arc<dyn Queryable> = store.queryables().remove(0);
    assert_eq!(one.cover(&select).range, TimeRange::new(0, 1000));
}
