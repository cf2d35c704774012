//! The coat over a store that fails: what is repeated, what is not, and that nothing hangs.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::sync::Arc;
use std::time::Duration;

use dolmen_bucket::faulty::{Fault, Faulty};
use dolmen_bucket::{Bucket, BucketMetrics, Cause, Patience};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

struct World {
    faulty: Arc<Faulty>,
    store: Arc<dyn ObjectStore>,
    metrics: BucketMetrics,
    registry: Registry,
}

fn world() -> World {
    let mut registry = Registry::default();
    let metrics = BucketMetrics::new(&mut registry);
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    let store = Bucket::wrap(faulty.clone(), Patience::default(), &metrics).store_for("test");
    World { faulty, store, metrics, registry }
}

fn path(i: usize) -> Path {
    Path::from(format!("a/{i:04}"))
}

async fn fill(w: &World, n: usize) {
    for i in 0..n {
        w.store.put(&path(i), "body".into()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_repeated_and_every_try_counted() {
    let w = world();
    fill(&w, 1).await;
    for fault in [Fault::Status(503), Fault::Reset, Fault::Silence, Fault::LostAnswer] {
        w.faulty.fail("get", "a/", fault.clone(), 1);
        assert_eq!(w.store.get(&path(0)).await.unwrap().bytes().await.unwrap(), "body", "{fault:?}");
        w.faulty.fail("put", "a/", fault.clone(), 1);
        w.store.put(&path(0), "body".into()).await.unwrap();
        w.faulty.fail("delete", "a/", fault.clone(), 1);
        w.store.delete(&path(0)).await.unwrap();
        w.store.put(&path(0), "body".into()).await.unwrap();
    }
    let counts = ["200", "503", "timeout", "error"].map(|code| w.metrics.requests("get", "test", code));
    assert_eq!(counts, [4, 1, 1, 2]);
    let mut text = String::new();
    encode(&mut text, &w.registry).unwrap();
    for line in [
        "dolmen_bucket_requests_total{op=\"get\",cause=\"test\",code=\"503\"} 1",
        "dolmen_bucket_bytes_total{op=\"get\",direction=\"in\"} 16",
        "dolmen_bucket_request_seconds_count{op=\"get\"} 8",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_in_an_error_within_the_patience() {
    let w = world();
    fill(&w, 2).await;
    for op in ["get", "put", "delete", "list", "head"] {
        w.faulty.fail(op, "", Fault::Silence, usize::MAX);
    }
    let begin = tokio::time::Instant::now();
    let mut took = Vec::new();
    assert!(w.store.get(&path(0)).await.is_err());
    took.push(begin.elapsed());
    assert!(w.store.put(&path(0), "x".into()).await.is_err());
    took.push(begin.elapsed());
    assert!(w.store.delete(&path(0)).await.is_err());
    took.push(begin.elapsed());
    assert!(w.store.head(&path(0)).await.is_err());
    took.push(begin.elapsed());
    let e = w.store.list(None).try_collect::<Vec<_>>().await.unwrap_err();
    took.push(begin.elapsed());
    assert!(e.to_string().contains("no answer within"), "{e}");
    for (i, took) in took.iter().enumerate() {
        let most = Duration::from_secs(100) * (i as u32 + 1);
        assert!(*took < most, "request {i} ended after {took:?}, expected within {most:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_and_conditional_writes_are_not_repeated() {
    let w = world();
    fill(&w, 1).await;
    w.faulty.log();
    w.faulty.fail("get", "a/", Fault::Status(403), 1);
    assert!(w.store.get(&path(0)).await.is_err());
    w.faulty.fail("put", "a/", Fault::LostAnswer, 1);
    assert!(w.store.put_opts(&path(1), "x".into(), PutMode::Create.into()).await.is_err());
    assert_eq!(w.faulty.log(), ["get a/0000", "put a/0001"]);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_breaks_goes_on_where_it_was() {
    let w = world();
    fill(&w, 30).await;
    w.faulty.fail("list", "", Fault::Reset, 1);
    w.faulty.fail("list", "", Fault::Silence, 1);
    w.faulty.fail("list", "", Fault::Status(500), 1);
    let all: Vec<_> = w.store.list(None).map_ok(|o| o.location).try_collect().await.unwrap();
    assert_eq!(all, (0..30).map(path).collect::<Vec<_>>());
    w.faulty.fail("list", "", Fault::Reset, usize::MAX);
    assert!(w.store.list(None).try_collect::<Vec<_>>().await.is_err(), "never taken for the end");
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_deleted() {
    let w = world();
    fill(&w, 1).await;
    w.faulty.fail("delete", "a/0001", Fault::Status(404), 1);
    let both = futures::stream::iter([Ok(path(0)), Ok(path(1))]).boxed();
    let done: Vec<_> = w.store.delete_stream(both).collect().await;
    assert_eq!(done.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [path(0), path(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_request_brings_its_cause() {
    let w = world();
    fill(&w, 1).await;
    let mut options = GetOptions { range: Some((0..2).into()), ..GetOptions::default() };
    options.extensions.insert(Cause("postings"));
    assert_eq!(w.store.get_opts(&path(0), options).await.unwrap().bytes().await.unwrap(), "bo");
    assert_eq!(w.metrics.requests("get_range", "postings", "200"), 1);
}

#[tokio::test]
async fn filesystem_and_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = BucketMetrics::new(&mut Registry::default());
    let yaml = |prefix: &str| {
        format!(
            "type: FILESYSTEM\nprefix: \"{prefix}\"\nconfig:\n  directory: {}/new\n",
            dir.path().display()
        )
    };
    let bucket = dolmen_bucket::open(&yaml("in/side"), &metrics).unwrap();
    bucket.store().put(&path(0), "body".into()).await.unwrap();
    let mut upload = bucket.store().put_multipart(&path(1)).await.unwrap();
    upload.put_part("one".into()).await.unwrap();
    upload.put_part("two".into()).await.unwrap();
    upload.complete().await.unwrap();
    let mut upload = bucket.store().put_multipart(&path(2)).await.unwrap();
    upload.put_part("one".into()).await.unwrap();
    let all = |yaml: String| {
        let store = dolmen_bucket::open(&yaml, &metrics).unwrap().store();
        async move {
            let mut all: Vec<_> =
                store.list(None).map_ok(|o| o.location.to_string()).try_collect().await.unwrap();
            all.sort();
            all
        }
    };
    assert_eq!(all(yaml("")).await, ["in/side/a/0000", "in/side/a/0001"], "unfinished uploads do not show");
    assert_eq!(all(yaml("in/side")).await, ["a/0000", "a/0001"]);
    assert_eq!(bucket.store().get(&path(1)).await.unwrap().bytes().await.unwrap(), "onetwo");
    upload.abort().await.unwrap();
    for i in 0..2 {
        bucket.store().delete(&path(i)).await.unwrap();
    }
    assert!(!dir.path().join("new/in").exists(), "empty folders go");
    assert!(dolmen_bucket::open(&yaml("../x"), &metrics).unwrap_err().to_string().contains("prefix"));
}
