//! Blocks go up whole or not at all, whatever the bucket does.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dolmen_block::mark::{DeletionMark, Mark, NoCompactMark};
use dolmen_block::meta::{Compaction, Thanos};
use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed, Ulid};
use dolmen_bucket::faulty::{Fault, Faulty};
use dolmen_bucket::{Bucket, BucketMetrics, Patience, block_path, list_block};
use dolmen_ctx::{Ctx, Disk, ManualClock, RealDisk};
use dolmen_model::{Encoding, Kind, Labels};
use dolmen_shipper::{
    Cleaned, Journal, Shipper, ShipperMetrics, UploadSettings, Uploader, delete_block, download_block,
    write_mark,
};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

mod hook;
mod races;

const NOW: i64 = 1_700_000_000_000;

fn ulid(n: u64) -> Ulid {
    Ulid::from_parts(n * 1000, u128::from(n))
}

/// A block in `dir` with one chunk of `bytes` bytes; the header alone is looked at.
fn block(dir: &Path, n: u64, bytes: usize, labels: &[(&str, &str)]) -> Meta {
    let mut data = vec![n as u8; bytes.max(2)];
    data[..2].copy_from_slice(&[0, 1]);
    let mut w = BlockWriter::create(Arc::new(RealDisk), dir, ulid(n), ["__name__", "up"]).unwrap();
    let series =
        Labels::from_pairs(&[("__name__", "up")].into_iter().collect::<std::collections::BTreeMap<_, _>>());
    let mint = n as i64 * 100;
    let chunk = ChunkIn { mint, maxt: mint, encoding: Encoding::Xor, data: &data };
    w.add_series(series.as_ref(), &[chunk]).unwrap();
    let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let thanos = Some(Thanos { labels, source: "receive".into(), ..Thanos::default() });
    w.finish(MetaSeed { min_time: mint, max_time: mint + 100, compaction: Compaction::default(), thanos })
        .unwrap()
}

const SITE: [(&str, &str); 1] = [("site", "a")];

struct World {
    dir: tempfile::TempDir,
    faulty: Arc<Faulty>,
    store: Arc<dyn ObjectStore>,
    registry: Registry,
    ctx: Ctx,
}

fn world() -> World {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    let mut registry = Registry::default();
    let metrics = BucketMetrics::new(&mut registry);
    let store = Bucket::wrap(faulty.clone(), Patience::default(), &metrics).store_for("shipper");
    let ctx = Ctx { clock: Arc::new(ManualClock::new(NOW)), ..Ctx::unbounded() };
    World { dir: tempfile::tempdir().unwrap(), faulty, store, registry, ctx }
}

impl World {
    /// As after a start: the journal is read from the disk.
    fn uploader(&self) -> Uploader {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let journal = Journal::open(disk.clone(), self.dir.path().join("uploads")).unwrap();
        let settings = UploadSettings { part_size: 1000, parts_at_once: 2 };
        Uploader::new(self.store.clone(), disk, Arc::new(journal)).with_settings(settings)
    }

    fn block(&self, n: u64, bytes: usize) -> Meta {
        block(self.dir.path(), n, bytes, &SITE)
    }

    async fn upload(&self, up: &Uploader, meta: &Meta) -> dolmen_model::Result<Meta> {
        up.upload(&self.ctx, &self.dir.path().join(meta.ulid.to_string()), meta).await
    }

    async fn objects(&self, n: u64) -> Vec<String> {
        list_block(&*self.store, ulid(n)).await.unwrap().into_iter().map(|o| o.path).collect()
    }
}

const WHOLE: [&str; 3] = ["chunks/000001", "index", "meta.json"];

#[tokio::test(start_paused = true)]
async fn chunks_then_index_then_meta() {
    let w = world();
    let up = w.uploader();
    let small = w.block(1, 100);
    let meta = w.upload(&up, &small).await.unwrap();
    let id = ulid(1);
    let puts: Vec<_> = w.faulty.log().into_iter().filter(|l| l.starts_with("put")).collect();
    assert_eq!(puts, WHOLE.map(|p| format!("put {id}/{p}")));
    let thanos = meta.thanos.unwrap();
    let files: Vec<_> = thanos.files.iter().map(|f| (f.rel_path.as_str(), f.size_bytes > 0)).collect();
    assert_eq!(files, [("chunks/000001", true), ("index", true), ("meta.json", false)]);
    assert_eq!(thanos.upload_time.timestamp_millis(), NOW);
    assert!(up.journal().unfinished().is_empty());
    // Again, and a large one in parts.
    w.upload(&up, &small).await.unwrap();
    assert_eq!(w.faulty.log().iter().filter(|l| l.starts_with("put")).count(), 0);
    let large = w.block(2, 4500);
    w.upload(&up, &large).await.unwrap();
    assert_eq!(w.faulty.log().iter().filter(|l| l.starts_with("put_part")).count(), 5);
    let local = std::fs::read(w.dir.path().join(ulid(2).to_string()).join("chunks/000001")).unwrap();
    let there = w.store.get(&block_path(ulid(2), "chunks/000001")).await.unwrap().bytes().await.unwrap();
    assert!(there == local);
    // Without external labels: refused, and nothing was asked.
    let bare = block(w.dir.path(), 3, 10, &[]);
    w.faulty.log();
    assert_eq!(w.upload(&up, &bare).await.unwrap_err().kind(), Kind::Invalid);
    assert!(w.faulty.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_breaks_off_anywhere_is_invisible_and_can_go_on() {
    for (op, path) in [
        ("put", "index"),
        ("put", "meta.json"),
        ("put_part", "chunks"),
        ("complete", "chunks"),
        ("list", ""),
        ("get", ""),
    ] {
        for fault in [Fault::Status(503), Fault::Reset, Fault::LostAnswer, Fault::Silence, Fault::Status(403)]
        {
            let case = format!("{op} {path} {fault:?}");
            let w = world();
            let meta = w.block(1, 2500);
            w.faulty.fail(op, path, fault.clone(), usize::MAX);
            let done = w.upload(&w.uploader(), &meta).await;
            w.faulty.heal();
            let objects = w.objects(1).await;
            // A completed upload whose answer got lost is found by its length.
            let found = (op, &fault) == ("complete", &Fault::LostAnswer);
            let lost_meta = (op, path, &fault) == ("put", "meta.json", &Fault::LostAnswer);
            assert_eq!(done.is_ok(), found, "{case}: {done:?}");
            assert_eq!(objects.contains(&"meta.json".to_owned()), found || lost_meta, "{case}: {objects:?}");
            let up = w.uploader();
            assert_eq!(up.journal().unfinished().is_empty(), found || op == "get", "{case}");
            // A new process goes on, and puts no object twice.
            w.faulty.log();
            w.upload(&up, &meta).await.unwrap_or_else(|e| panic!("{case}: {e}"));
            let log = w.faulty.log();
            for there in objects {
                let again = format!("put {}/{there}", ulid(1));
                assert!(!log.contains(&again), "{case}: {again}");
            }
            assert_eq!(w.objects(1).await, WHOLE, "{case}");
            assert!(up.journal().unfinished().is_empty(), "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn cleaning_finishes_what_lacks_only_meta_and_deletes_the_rest() {
    let w = world();
    let metas = [1, 2, 3, 4].map(|n| w.block(n, 100));
    let up = w.uploader();
    w.faulty.fail("put", &format!("{}/index", ulid(1)), Fault::Status(403), 1);
    w.faulty.fail("put", &format!("{}/meta.json", ulid(2)), Fault::Status(403), 1);
    w.faulty.fail("put", &format!("{}/index", ulid(3)), Fault::Status(403), 1);
    for meta in &metas[..3] {
        w.upload(&up, meta).await.unwrap_err();
    }
    w.upload(&up, &metas[3]).await.unwrap();
    up.journal().begin(ulid(4)).unwrap(); // killed between meta.json and the journal
    let up = w.uploader();
    assert_eq!(up.journal().unfinished(), [1, 2, 3, 4].map(ulid));
    let cleaned = up.clean_unfinished(&w.ctx, |u| u == ulid(3)).await.unwrap();
    assert_eq!(cleaned, Cleaned { finished: vec![ulid(2)], deleted: vec![ulid(1)] });
    assert!(w.objects(1).await.is_empty());
    assert_eq!(w.objects(2).await, WHOLE);
    assert_eq!(w.objects(3).await, ["chunks/000001"], "its files are at hand");
    assert_eq!(w.objects(4).await, WHOLE, "a block with meta.json is never touched");
    assert_eq!(up.journal().unfinished(), [1, 3].map(ulid), "until a look finds the folder empty");
    assert_eq!(up.clean_unfinished(&w.ctx, |u| u == ulid(3)).await.unwrap(), Cleaned::default());
    assert_eq!(up.journal().unfinished(), [ulid(3)]);
}

#[tokio::test(start_paused = true)]
async fn writes_that_a_stopped_gateway_carries_out_late_do_no_harm() {
    let w = world();
    let meta = w.block(1, 100);
    let late = Duration::from_secs(3600);
    // What is sent of the first block arrives an hour later; of the second, meta.json.
    w.faulty.fail("put", &format!("{}/chunks", ulid(1)), Fault::Ghost(late), usize::MAX);
    let up = w.uploader();
    assert_eq!(w.upload(&up, &meta).await.unwrap_err().kind(), Kind::Retry);
    w.faulty.heal();
    let second = w.block(2, 100);
    w.faulty.fail("put", &format!("{}/meta.json", ulid(2)), Fault::Ghost(late), usize::MAX);
    w.upload(&up, &second).await.unwrap_err();
    w.faulty.heal();
    let up = w.uploader();
    let cleaned = up.clean_unfinished(&w.ctx, |_| false).await.unwrap();
    assert_eq!(cleaned.finished, [ulid(2)], "finished rather than emptied");
    w.upload(&up, &meta).await.unwrap();
    tokio::time::sleep(late * 2).await;
    for n in [1, 2] {
        assert_eq!(w.objects(n).await, WHOLE);
    }
}

#[tokio::test(start_paused = true)]
async fn the_shipper_ships_oldest_first_and_keeps_the_note() {
    let mut w = world();
    let dir = w.dir.path().to_owned();
    let metrics = ShipperMetrics::new(&mut w.registry);
    let shipper = || Shipper::new(w.uploader(), &dir, metrics.clone());
    for n in [3, 1, 2] {
        w.block(n, 100);
    }
    block(&dir, 9, 10, &[]); // no external labels: fails for its own sake, the others go on
    std::fs::create_dir(dir.join(format!("{}.tmp-for-creation", ulid(5)))).unwrap();
    std::fs::create_dir(dir.join(ulid(6).to_string())).unwrap();
    let one = shipper();
    w.faulty.fail("put", &format!("{}/index", ulid(2)), Fault::Silence, usize::MAX);
    assert_eq!(one.sync(&w.ctx).await.unwrap_err().kind(), Kind::Retry);
    assert_eq!(one.uploaded().await.unwrap().into_iter().collect::<Vec<_>>(), [ulid(1)], "oldest first");
    w.faulty.heal();
    let again = shipper();
    assert_eq!(again.sync(&w.ctx).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(again.uploaded().await.unwrap().into_iter().collect::<Vec<_>>(), [1, 2, 3].map(ulid));
    let mut text = String::new();
    encode(&mut text, &w.registry).unwrap();
    for line in [
        "dolmen_blocks_uploaded_total 3",
        "dolmen_block_upload_failures_total 2",
        "dolmen_blocks_pending_upload 1",
    ] {
        assert!(text.contains(line), "{line} not in\n{text}");
    }
    std::fs::remove_dir_all(dir.join(ulid(9).to_string())).unwrap();
    // The note is Thanos'; a new process believes it, and one without it asks the bucket.
    let note = std::fs::read_to_string(dir.join("thanos.shipper.json")).unwrap();
    let ids = [1, 2, 3].map(|n| format!("\t\t\"{}\"", ulid(n))).join(",\n");
    assert_eq!(note, format!("{{\n\t\"version\": 1,\n\t\"uploaded\": [\n{ids}\n\t]\n}}"));
    w.faulty.log();
    assert!(shipper().sync(&w.ctx).await.unwrap().is_empty());
    assert!(w.faulty.log().is_empty());
    for broken in ["", "{\"version\":2,\"uploaded\":[]}"] {
        std::fs::write(dir.join("thanos.shipper.json"), broken).unwrap();
        assert_eq!(shipper().sync(&w.ctx).await.unwrap().len(), 3);
        assert!(!w.faulty.log().iter().any(|l| l.starts_with("put")));
    }
    // A block that is gone locally leaves the note.
    std::fs::remove_dir_all(dir.join(ulid(1).to_string())).unwrap();
    let last = shipper();
    last.sync(&w.ctx).await.unwrap();
    assert_eq!(last.uploaded().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn download_gives_the_same_files_or_nothing() {
    let w = world();
    let meta = w.block(1, 5000);
    let sent = w.upload(&w.uploader(), &meta).await.unwrap();
    let mark = NoCompactMark {
        id: ulid(1),
        version: 1,
        details: String::new(),
        no_compact_time: 1,
        reason: "manual".into(),
    };
    assert!(write_mark(&*w.store, ulid(1), &mark).await.unwrap());
    let into = w.dir.path().join("down");
    std::fs::create_dir(&into).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let down = || download_block(&w.ctx, &*w.store, ulid(1), &into, &disk);
    w.faulty.fail("get", "index", Fault::Status(403), 1);
    down().await.unwrap_err();
    assert!(!into.join(ulid(1).to_string()).exists());
    assert_eq!(down().await.unwrap(), sent);
    for file in ["chunks/000001", "index"] {
        let read = |dir: &Path| std::fs::read(dir.join(ulid(1).to_string()).join(file)).unwrap();
        assert!(read(&into) == read(w.dir.path()), "{file}");
    }
    assert!(!into.join(ulid(1).to_string()).join("no-compact-mark.json").exists());
    w.faulty.log();
    down().await.unwrap();
    assert!(w.faulty.log().is_empty(), "it is there already");
    std::fs::remove_dir_all(into.join(ulid(1).to_string())).unwrap();
    w.store.put(&block_path(ulid(1), "index"), "short".into()).await.unwrap();
    assert_eq!(down().await.unwrap_err().kind(), Kind::Corrupt);
    let missing = download_block(&w.ctx, &*w.store, ulid(7), &into, &disk).await;
    assert_eq!(missing.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn delete_takes_meta_first_and_the_mark_last() {
    let w = world();
    w.upload(&w.uploader(), &w.block(1, 100)).await.unwrap();
    let mark = |t| DeletionMark { id: ulid(1), version: 1, details: "x".into(), deletion_time: t };
    assert!(write_mark(&*w.store, ulid(1), &mark(5)).await.unwrap());
    assert!(!write_mark(&*w.store, ulid(1), &mark(6)).await.unwrap(), "the first one's time counts");
    let there = w.store.get(&block_path(ulid(1), DeletionMark::NAME)).await.unwrap().bytes().await.unwrap();
    assert_eq!(DeletionMark::parse(&there).unwrap().deletion_time, 5);
    w.faulty.log();
    w.faulty.fail("delete", "index", Fault::Status(403), 1);
    delete_block(&*w.store, ulid(1)).await.unwrap_err();
    assert_eq!(w.objects(1).await, ["deletion-mark.json", "index"], "what was begun is found again");
    delete_block(&*w.store, ulid(1)).await.unwrap();
    assert!(w.objects(1).await.is_empty());
    let deletes: Vec<_> = w.faulty.log().into_iter().filter(|l| l.starts_with("delete")).collect();
    assert!(deletes[0].ends_with("meta.json") && deletes[deletes.len() - 1].ends_with("deletion-mark.json"));
    delete_block(&*w.store, ulid(1)).await.unwrap();
}
