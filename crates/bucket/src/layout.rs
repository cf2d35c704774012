//! Where a block's objects stand in the bucket: Thanos' layout.
//!
//! ```text
//! <ULID>/meta.json  <ULID>/index  <ULID>/chunks/000001 ...  <ULID>/*-mark.json
//! ```

use dolmen_block::Ulid;
use dolmen_model::{Result, Timestamp};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::from_store;

/// An object of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Path within the block: `chunks/000001`.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub mtime: Timestamp,
}

/// Where an object of a block stands; `rel_path` is a path within the block such as `chunks/000001`.
pub fn block_path(ulid: Ulid, rel_path: &str) -> Path {
    Path::from(format!("{ulid}/{rel_path}"))
}

/// Lists the objects of one block, by path; none where there is no such block.
pub async fn list_block(store: &dyn ObjectStore, ulid: Ulid) -> Result<Vec<Object>> {
    let prefix = Path::from(ulid.to_string());
    let objects: Vec<ObjectMeta> =
        store.list(Some(&prefix)).try_collect().await.map_err(|e| from_store(format!("list {prefix}"), e))?;
    let mut objects: Vec<Object> = objects.into_iter().filter_map(|o| Some(of_block(o)?.1)).collect();
    objects.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(objects)
}

/// The block that an object belongs to; `None` for what is in no folder with a ULID's name.
pub fn of_block(object: ObjectMeta) -> Option<(Ulid, Object)> {
    let (folder, path) = object.location.as_ref().split_once('/')?;
    let ulid = Ulid::from_string(folder).ok()?;
    // Lower case and the like would be another folder under the same name.
    if ulid.to_string() != folder {
        return None;
    }
    let mtime = object.last_modified.timestamp_millis();
    Some((ulid, Object { path: path.to_owned(), size: object.size, mtime }))
}
