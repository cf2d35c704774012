//! A block that somebody else deletes while it goes up, and listings that fail in between.

use std::sync::Mutex;

use dolmen_ctx::{Clock, SystemClock};
use dolmen_shipper::delete_abandoned;
use futures::FutureExt;

use super::hook::Hook;
use super::*;

const HOUR: i64 = 3_600_000;

/// As a store answers that is away.
fn away() -> object_store::Error {
    object_store::Error::Generic { store: "test", source: "connection reset".into() }
}

/// An uploader as after a start, over another store.
fn uploader(w: &World, store: Arc<dyn ObjectStore>) -> Uploader {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let journal = Journal::open(disk.clone(), w.dir.path().join("uploads")).unwrap();
    Uploader::new(store, disk, Arc::new(journal))
}

/// Takes an object away behind everybody's back.
fn take(w: &World, n: u64, path: &str) -> impl Fn() + Send + Sync + 'static {
    let (store, path) = (w.faulty.clone(), block_path(ulid(n), path));
    move || store.delete(&path).now_or_never().unwrap().unwrap()
}

#[tokio::test]
async fn what_is_deleted_before_meta_is_put_comes_back() {
    let w = world();
    let meta = w.block(1, 100);
    let take_chunks = take(&w, 1, "chunks/000001");
    let store = Hook::around(w.store.clone(), move |op, path| {
        if op == "put" && path.ends_with("meta.json") {
            take_chunks();
        }
        Ok(())
    });
    let up = uploader(&w, store);
    w.upload(&up, &meta).await.unwrap();
    assert_eq!(w.objects(1).await, WHOLE);
    assert!(up.journal().unfinished().is_empty());
}

#[tokio::test]
async fn a_try_that_ended_before_the_look_is_taken_up_again() {
    let w = world();
    let meta = w.block(1, 100);
    // The third listing is the look after meta.json; by then the index is gone.
    let (take_index, lists) = (take(&w, 1, "index"), Mutex::new(0));
    let store = Hook::around(w.store.clone(), move |op, _| {
        let mut lists = lists.lock().unwrap();
        *lists += i32::from(op == "list");
        if op == "list" && *lists == 3 {
            take_index();
            return Err(away());
        }
        Ok(())
    });
    let up = uploader(&w, store);
    w.upload(&up, &meta).await.unwrap_err();
    assert_eq!(up.journal().unfinished(), [ulid(1)], "not taken for whole");
    assert_eq!(w.objects(1).await, ["chunks/000001", "meta.json"]);
    w.upload(&w.uploader(), &meta).await.unwrap();
    assert_eq!(w.objects(1).await, WHOLE);
}

#[tokio::test]
async fn old_objects_of_an_earlier_try_go_up_again() {
    for (hours, again) in [(23, false), (25, true)] {
        let mut w = world();
        let meta = w.block(1, 100);
        w.faulty.fail("put", "index", Fault::Status(403), 1);
        w.upload(&w.uploader(), &meta).await.unwrap_err();
        w.ctx.clock = Arc::new(ManualClock::new(SystemClock.now() + hours * HOUR));
        w.faulty.log();
        w.upload(&w.uploader(), &meta).await.unwrap();
        let put = format!("put {}/chunks/000001", ulid(1));
        assert_eq!(w.faulty.log().contains(&put), again, "{hours} h");
        assert_eq!(w.objects(1).await, WHOLE);
    }
}

#[tokio::test]
async fn a_folder_that_was_given_up_goes_only_as_it_was() {
    let w = world();
    let put = async |path: &str| drop(w.store.put(&block_path(ulid(1), path), "x".into()).await.unwrap());
    let now = SystemClock.now();
    put("chunks/000001").await;
    assert!(!delete_abandoned(&*w.store, ulid(1), now - HOUR).await.unwrap(), "somebody wrote to it");
    put("meta.json").await;
    assert!(!delete_abandoned(&*w.store, ulid(1), now + HOUR).await.unwrap(), "it is a block by now");
    assert_eq!(w.objects(1).await, ["chunks/000001", "meta.json"]);
    take(&w, 1, "meta.json")();
    assert!(delete_abandoned(&*w.store, ulid(1), now + HOUR).await.unwrap());
    assert!(w.objects(1).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_empties_no_folder_to_which_meta_may_come() {
    let late = Duration::from_secs(3600);
    for fails in 1..=3 {
        let w = world();
        w.faulty.fail("put", "meta.json", Fault::Ghost(late), usize::MAX);
        w.upload(&w.uploader(), &w.block(1, 100)).await.unwrap_err();
        w.faulty.heal();
        let lists = Mutex::new(0);
        let store = Hook::around(w.store.clone(), move |op, _| {
            let mut lists = lists.lock().unwrap();
            *lists += i32::from(op == "list");
            if op == "list" && *lists == fails { Err(away()) } else { Ok(()) }
        });
        let up = uploader(&w, store);
        let first = up.clean_unfinished(&w.ctx, |_| false).await;
        assert_eq!(first.is_err(), fails < 3, "{fails}");
        up.clean_unfinished(&w.ctx, |_| false).await.ok();
        tokio::time::sleep(late * 2).await;
        assert_eq!(w.objects(1).await, WHOLE, "{fails}");
    }
}

#[test]
fn a_journal_is_read_without_being_opened() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let at = dir.path().join("uploads");
    assert!(Journal::peek(&*disk, &at).unwrap().is_empty());
    let journal = Journal::open(disk.clone(), &at).unwrap();
    journal.begin(ulid(1)).unwrap();
    std::fs::write(at.join(format!("{}.tmp", ulid(2))), "").unwrap();
    assert_eq!(Journal::peek(&*disk, &at).unwrap(), [ulid(1)]);
    assert!(at.join(format!("{}.tmp", ulid(2))).exists(), "its owner may be writing it");
}
