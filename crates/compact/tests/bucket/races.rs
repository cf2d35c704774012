//! Uploads that go on while a run takes their folders for given up.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dolmen_block::Ulid;

use crate::hook::Hook;
use crate::world::{HOUR, World};

const NOW: i64 = 1_700_000_000_000;

fn ulid() -> Ulid {
    Ulid::from_parts((NOW - 100 * HOUR) as u64, 7)
}

/// A folder without meta.json whose objects are fifty hours old.
fn old_folder(world: &World) -> PathBuf {
    let folder = world.bucket_dir().join(ulid().to_string());
    std::fs::create_dir_all(folder.join("chunks")).unwrap();
    for path in ["chunks/000001", "index"] {
        write(&folder.join(path), 50);
    }
    folder
}

/// Writes a file that is some hours old.
fn write(path: &Path, hours: u64) {
    let at: SystemTime = UNIX_EPOCH + Duration::from_millis(NOW as u64) - Duration::from_secs(hours * 3600);
    std::fs::write(path, b"{}").unwrap();
    std::fs::File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
}

/// From now on something happens when a listing under this path begins.
fn at_listing(world: &mut World, of: String, what: impl Fn() + Send + Sync + 'static) {
    world.store = Hook::around(world.store.clone(), move |op, path| {
        if op == "list" && path == of {
            what();
        }
        Ok(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_goes_on_after_the_fetch_is_not_deleted() {
    // It comes to its end, or an object is put anew.
    for (written, hours) in [("meta.json", 50), ("index", 1)] {
        let mut world = World::new(NOW);
        let folder = old_folder(&world);
        let path = folder.join(written);
        at_listing(&mut world, ulid().to_string(), move || write(&path, hours));
        let report = world.run().await.unwrap();
        assert!(report.deleted.is_empty() && report.failures.is_empty(), "{written}: {report:?}");
        for path in ["chunks/000001", "index", written] {
            assert!(folder.join(path).exists(), "{written}: {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_in_journals_beside_are_left_to_them() {
    let mut world = World::new(NOW);
    let folder = old_folder(&world);
    let journal = world.dir.path().join("receiver");
    world.also_ours = vec![journal.clone(), world.dir.path().join("not there")];
    std::fs::create_dir(&journal).unwrap();
    let name = journal.join(ulid().to_string());
    std::fs::write(&name, "").unwrap();
    assert!(world.run().await.unwrap().deleted.is_empty());
    // One that ends while the bucket is listed was named when the run began.
    at_listing(&mut world, String::new(), move || drop(std::fs::remove_file(&name)));
    assert!(world.run().await.unwrap().deleted.is_empty());
    assert!(folder.join("index").exists());
    // Nobody names it any more.
    assert_eq!(world.run().await.unwrap().deleted, [ulid()]);
}
