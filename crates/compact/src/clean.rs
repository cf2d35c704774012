//! Takes blocks out of the bucket: marks first, deletes later; and removes what was never finished.

use bytes::Bytes;
use dolmen_block::mark::{DELETION_MARK, DeletionMark, Mark};
use dolmen_block::{META, Ulid};
use dolmen_model::{Error, Kind, Result, Timestamp};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

/// How old a folder without meta.json must be before it counts as given up: its writer may be slow.
pub const PARTIAL_AGE_MS: i64 = 48 * 3_600_000;

/// The folder of a block.
fn folder(ulid: Ulid) -> Path {
    Path::from(ulid.to_string())
}

fn failed(doing: &'static str) -> impl Fn(object_store::Error) -> Error {
    move |e| match e {
        object_store::Error::NotFound { .. } => Error::wrap(Kind::NotFound, doing, e),
        e => Error::wrap(Kind::Retry, doing, e),
    }
}

/// Puts a mark beside a block. A mark that is there already stays as it is: its time counts.
pub async fn mark<M: Mark>(bucket: &dyn ObjectStore, ulid: Ulid, mark: &M) -> Result<bool> {
    let path = folder(ulid).join(M::NAME);
    match bucket.head(&path).await {
        Ok(_) => return Ok(false),
        Err(object_store::Error::NotFound { .. }) => {}
        Err(e) => return Err(failed("look for a mark")(e)),
    }
    bucket.put(&path, Bytes::from(mark.to_json()).into()).await.map_err(failed("write a mark"))?;
    Ok(true)
}

/// A deletion mark of now.
pub fn deletion_mark(ulid: Ulid, details: &str, now: Timestamp) -> DeletionMark {
    DeletionMark { id: ulid, version: 1, details: details.to_owned(), deletion_time: now.div_euclid(1000) }
}

/// Deletes a block: meta.json first, so that nobody sees half of it, the deletion mark last, so that an
/// unfinished deletion is taken up again.
pub async fn delete_block(bucket: &dyn ObjectStore, ulid: Ulid) -> Result<()> {
    let folder = folder(ulid);
    let objects: Vec<Path> =
        bucket.list(Some(&folder)).map_ok(|o| o.location).try_collect().await.map_err(failed("list a block"))?;
    let (meta, mark) = (folder.clone().join(META), folder.join(DELETION_MARK));
    let rest = objects.iter().filter(|p| **p != meta && **p != mark);
    for path in [&meta].into_iter().filter(|m| objects.contains(m)).chain(rest).chain([&mark].into_iter().filter(|m| objects.contains(m))) {
        match bucket.delete(path).await {
            // Somebody else was quicker.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(failed("delete a block")(e)),
        }
    }
    Ok(())
}
