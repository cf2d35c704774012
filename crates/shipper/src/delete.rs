//! Blocks out of the bucket, and marks beside them.

use dolmen_block::mark::{DELETION_MARK, Mark};
use dolmen_block::{META, Ulid};
use dolmen_bucket::{block_path, from_store, list_block};
use dolmen_model::{Context, Kind, Result, Timestamp};
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};

/// Deletes a block: meta.json first, so that nobody takes the rest for a block; then all else; the deletion
/// mark last, so that what was begun is found again. For folders that were given up: [`delete_abandoned`].
pub async fn delete_block(store: &dyn ObjectStore, ulid: Ulid) -> Result<()> {
    let doing = || format!("delete block {ulid}");
    let objects = list_block(store, ulid).await.context(doing())?;
    let (mut metas, mut marks, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for object in &objects {
        let to = match object.path.as_str() {
            META => &mut metas,
            DELETION_MARK => &mut marks,
            _ => &mut rest,
        };
        to.push(block_path(ulid, &object.path));
    }
    for group in [metas, rest, marks] {
        delete_objects(store, group.into_iter()).await.context(doing())?;
    }
    Ok(())
}

/// Deletes a folder that its writer gave up: no meta.json, and no object from `since` or later. That is looked
/// at once more, since the writer may have come back; meta.json is never deleted, nor what came after the look.
/// Returns whether it was deleted.
pub async fn delete_abandoned(store: &dyn ObjectStore, ulid: Ulid, since: Timestamp) -> Result<bool> {
    let doing = || format!("delete the unfinished upload {ulid}");
    let objects = list_block(store, ulid).await.context(doing())?;
    if objects.iter().any(|o| o.path == META || o.mtime >= since) {
        return Ok(false);
    }
    let paths = objects.iter().map(|o| block_path(ulid, &o.path));
    delete_objects(store, paths).await.context(doing())?;
    Ok(true)
}

/// Deletes objects; those that are not there are deleted.
pub(crate) async fn delete_objects(
    store: &dyn ObjectStore,
    paths: impl ExactSizeIterator<Item = Path>,
) -> Result<()> {
    if paths.len() == 0 {
        return Ok(());
    }
    let paths: Vec<_> = paths.map(Ok).collect();
    let mut done = store.delete_stream(futures::stream::iter(paths).boxed());
    while let Some(one) = done.next().await {
        match one {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(from_store("delete objects", e)),
        }
    }
    Ok(())
}

/// Puts a mark beside a block, unless one is there: the first one's time counts. Returns whether it was put.
pub async fn write_mark<M: Mark>(store: &dyn ObjectStore, ulid: Ulid, mark: &M) -> Result<bool> {
    let path = block_path(ulid, M::NAME);
    match store.head(&path).await.map_err(|e| from_store(format!("look for {path}"), e)) {
        Ok(_) => return Ok(false),
        Err(e) if e.kind() == Kind::NotFound => {}
        Err(e) => return Err(e),
    }
    let put = store.put(&path, PutPayload::from(mark.to_json())).await;
    put.map_err(|e| from_store(format!("put {path}"), e))?;
    Ok(true)
}
