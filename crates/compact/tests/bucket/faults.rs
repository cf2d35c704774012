//! A run that fails loses nothing, and the next one brings it to its end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dolmen_block::{Meta, Ulid};
use dolmen_bucket::faulty::Fault;
use dolmen_ctx::{Disk, DiskFile, RealDisk};
use dolmen_model::Kind;

use crate::world::{FloatSamples, HOUR, Samples, World};

const NOW: i64 = 1_700_000_000_000;
/// A multiple of all block lengths, long before.
const START: i64 = 1_699_200_000_000 / (336 * HOUR) * (336 * HOUR);

fn ulid(n: u64) -> Ulid {
    Ulid::from_parts((NOW - 100 * HOUR) as u64 + n, n.into())
}

fn samples(n: i64) -> FloatSamples {
    let from = START + n * 2 * HOUR;
    let series = |name: &str, every: i64| {
        let labels = vec![("__name__".to_owned(), name.to_owned()), ("job".to_owned(), "x".to_owned())];
        (labels, (0..2 * HOUR / every).map(|i| (from + i * every, (n * 1000 + i) as f64)).collect())
    };
    [series("up", 60_000), series(&format!("only_{n}"), 600_000)].into()
}

/// A bucket with six neighbours of two hours, of which four make a block of eight.
pub async fn world() -> (World, Samples) {
    let world = World::new(NOW);
    for n in 0..6 {
        put(&world, n).await;
    }
    let all = world.live_samples().await;
    (world, all)
}

async fn put(world: &World, n: i64) -> Meta {
    let range = (START + n * 2 * HOUR, START + (n + 1) * 2 * HOUR);
    world.put(ulid(n as u64), range, &samples(n), "a").await
}

/// What holds after a run without faults: all samples once, the parents marked, nothing unfinished.
async fn at_rest(world: &World, all: &Samples) {
    let blocks = world.blocks().await;
    let live: Vec<_> = blocks.iter().filter(|(_, marked)| !marked).map(|(m, _)| m).collect();
    let levels: Vec<u32> = live.iter().map(|m| m.compaction.level).collect();
    assert_eq!(levels, [2, 1, 1]);
    assert_eq!(live[0].compaction.sources.len(), 4);
    assert_eq!(blocks.len() - live.len(), 4);
    assert!(world.live_samples().await == *all);
    for entry in std::fs::read_dir(world.bucket_dir()).unwrap() {
        let dir = entry.unwrap().path();
        // The local store leaves folders behind that are empty.
        let objects =
            std::fs::read_dir(&dir).unwrap().filter(|e| e.as_ref().unwrap().path().is_file()).count();
        assert!(objects == 0 || dir.join("meta.json").exists(), "{}", dir.display());
    }
    let left = |name: &str| std::fs::read_dir(world.dir.path().join(name)).unwrap().count();
    assert_eq!((left("work"), left("uploads")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_may_fail_once() {
    let requests = [
        ("put", "chunks/000001"),
        ("put", "index"),
        ("put", "meta.json"),
        ("put", "deletion-mark.json"),
        ("get", "chunks/000001"),
        ("get", "meta.json"),
        ("head", "deletion-mark.json"),
        ("list", ""),
    ];
    let cases = requests
        .iter()
        .flat_map(|(op, path)| [Fault::Status(503), Fault::LostAnswer].map(|fault| (*op, *path, fault)));
    for (op, path, fault) in cases {
        let (world, all) = world().await;
        world.faulty.fail(op, path, fault.clone(), 1);
        if let Err(e) = world.run().await {
            assert_eq!(e.kind(), Kind::Retry, "{op} {path} {fault:?}: {e}");
        }
        world.faulty.heal();
        assert!(world.live_samples().await == all, "{op} {path} {fault:?}");
        for _ in 0..2 {
            let report = world.run().await.unwrap();
            assert!(report.failures.is_empty(), "{op} {path} {fault:?}: {:?}", report.failures);
        }
        at_rest(&world, &all).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_away_ends_the_run() {
    let (world, all) = world().await;
    world.faulty.fail("put", "", Fault::Status(503), 1000);
    let report = world.run().await.unwrap();
    assert_eq!((report.failures.len(), report.compactions.len()), (1, 0), "{report:?}");
    assert!(report.failures[0].to_string().contains("upload block"), "{:?}", report.failures);
    world.faulty.fail("list", "", Fault::Reset, 1000);
    assert_eq!(world.run().await.unwrap_err().kind(), Kind::Retry);
    world.faulty.heal();
    world.run().await.unwrap();
    at_rest(&world, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_loses_nothing() {
    let (mut world, all) = world().await;
    let left = Arc::new(AtomicU64::new(6_000));
    world.disk = Arc::new(FullDisk(left.clone()));
    let report = world.run().await.unwrap();
    let text = report.failures[0].to_string();
    assert!(text.contains("No space left") && text.contains("work"), "{text}");
    assert!(report.quarantined.is_empty() && report.marked.is_empty());
    left.store(u64::MAX, Ordering::SeqCst);
    world.run().await.unwrap();
    at_rest(&world, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_of_others_go_after_two_days() {
    let (world, all) = world().await;
    let folder = world.bucket_dir().join(ulid(77).to_string());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("index"), b"half").unwrap();
    let age = |hours: u64| {
        let at =
            std::time::UNIX_EPOCH + Duration::from_millis(NOW as u64) - Duration::from_secs(hours * 3600);
        std::fs::File::options().append(true).open(folder.join("index")).unwrap().set_modified(at).unwrap();
    };
    age(47);
    assert!(world.run().await.unwrap().deleted.is_empty());
    age(49);
    assert_eq!(world.run().await.unwrap().deleted, [ulid(77)]);
    at_rest(&world, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_unfinished_uploads_go_at_once() {
    let (world, all) = world().await;
    // The upload of the result broke off, and the process with it.
    world.faulty.fail("put", "/index", Fault::Status(503), 1);
    let report = world.run().await.unwrap();
    assert_eq!(report.failures.len(), 1);
    let report = world.run().await.unwrap();
    assert_eq!(report.cleaned.deleted.len() + report.cleaned.finished.len(), 0, "the first run cleaned up");
    at_rest(&world, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_came_late_parts_its_neighbours() {
    let world = World::new(NOW);
    for n in [0, 1, 2, 4, 5, 6] {
        put(&world, n).await;
    }
    world.clock.set(NOW + 10_000);
    put(&world, 3).await;
    let all = world.live_samples().await;
    // At this time block 3 is younger than the delay, the others are not.
    let fresh = world.compactor_with(Duration::from_millis(10_000)).run_once(&world.ctx).await.unwrap();
    let sources: Vec<usize> = fresh.compactions.iter().map(|c| c.parents.len()).collect();
    assert_eq!(sources, [3], "{fresh:?}");
    world.clock.set(NOW + 30_000);
    let later = world.compactor_with(Duration::from_millis(10_000)).run_once(&world.ctx).await.unwrap();
    assert_eq!(later.compactions.len(), 1, "{later:?}");
    assert_eq!(later.compactions[0].result.as_ref().unwrap().compaction.sources.len(), 4);
    assert!(world.live_samples().await == all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_reaches_into_the_next_one_stops_no_other() {
    let world = World::new(NOW);
    for n in 0..6 {
        if n != 1 {
            put(&world, n).await;
            continue;
        }
        let range = (START + 2 * HOUR, START + 4 * HOUR);
        let mut more = samples(1);
        for samples in more.values_mut() {
            samples.push((range.1 + 1, 7.0));
        }
        world.put(ulid(1), range, &more, "a").await;
    }
    let all = world.live_samples().await;
    let report = world.run().await.unwrap();
    assert_eq!(report.quarantined, [ulid(1)], "{report:?}");
    assert!(report.failures[0].to_string().contains("reaches out of its block"), "{report:?}");
    let parents: Vec<_> = report.compactions.iter().map(|c| c.parents.clone()).collect();
    assert_eq!(parents, [vec![ulid(2), ulid(3)]]);
    assert!(world.live_samples().await == all);
    let again = world.run().await.unwrap();
    assert!(again.failures.is_empty() && again.compactions.is_empty(), "{again:?}");
}

/// A disk on which so many bytes more fit.
struct FullDisk(Arc<AtomicU64>);

struct FullFile(Box<dyn DiskFile>, Arc<AtomicU64>);

impl FullFile {
    fn take(&self, bytes: usize) -> std::io::Result<()> {
        let took = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(bytes as u64));
        took.map(drop).map_err(|_| std::io::Error::from_raw_os_error(28))
    }
}

impl DiskFile for FullFile {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.take(bytes.len())?;
        self.0.write_all(bytes)
    }
    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_at(at, bytes)
    }
    fn truncate(&mut self, len: u64) -> std::io::Result<()> {
        self.0.truncate(len)
    }
}

impl Disk for FullDisk {
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FullFile(RealDisk.create(path)?, self.0.clone())))
    }
    fn open_append(&self, path: &Path) -> std::io::Result<Box<dyn DiskFile>> {
        RealDisk.open_append(path)
    }
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        RealDisk.read(path)
    }
    fn read_at(&self, path: &Path, at: u64, len: usize) -> std::io::Result<Vec<u8>> {
        RealDisk.read_at(path, at, len)
    }
    fn map(&self, path: &Path) -> std::io::Result<Bytes> {
        RealDisk.map(path)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn len(&self, path: &Path) -> std::io::Result<u64> {
        RealDisk.len(path)
    }
    fn exists(&self, path: &Path) -> bool {
        RealDisk.exists(path)
    }
    fn is_dir(&self, path: &Path) -> bool {
        RealDisk.is_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.remove_dir_all(path)
    }
    fn create_dir_all(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}
