//! One block out of the bucket onto the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dolmen_block::{CHUNKS, INDEX, META, Meta, TMP_SUFFIX, TOMBSTONES, Ulid, segment};
use dolmen_bucket::{Object, block_path, from_store, list_block};
use dolmen_ctx::{Ctx, Disk, DiskFile};
use dolmen_model::{Context, Error, Kind, Result};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};

/// Bytes of one request.
const PIECE: u64 = 16 << 20;
/// Requests at once: what bounds the memory of a download, in pieces.
const PIECES_AT_ONCE: usize = 3;

/// Downloads a block into `<into>/<ULID>`, which appears when all of it is on the disk, and returns its meta.
/// Lengths are checked against the listing and meta.json. A block that is there already is a success.
pub async fn download_block(
    ctx: &Ctx,
    store: &dyn ObjectStore,
    ulid: Ulid,
    into: &Path,
    disk: &Arc<dyn Disk>,
) -> Result<Meta> {
    download(ctx, store, ulid, into, disk).await.context(format_args!("download block {ulid}"))
}

async fn download(
    ctx: &Ctx,
    store: &dyn ObjectStore,
    ulid: Ulid,
    into: &Path,
    disk: &Arc<dyn Disk>,
) -> Result<Meta> {
    let target = into.join(ulid.to_string());
    if disk.exists(&target.join(META)) {
        return Meta::parse(&disk.read(&target.join(META))?);
    }
    let meta_path = block_path(ulid, META);
    let doing = || format!("get {meta_path}");
    let got = store.get(&meta_path).await.map_err(|e| from_store(doing(), e))?;
    let json = got.bytes().await.map_err(|e| from_store(doing(), e))?;
    let meta = Meta::parse(&json)?;
    if meta.ulid != ulid {
        return Err(Error::corrupt(format!("meta.json is of block {}", meta.ulid)));
    }
    let objects = list_block(store, ulid).await?;
    check(&meta, &objects)?;
    let tmp = into.join(format!("{ulid}{TMP_SUFFIX}"));
    if disk.is_dir(&tmp) {
        disk.remove_dir_all(&tmp)?;
    }
    disk.create_dir_all(&tmp.join(CHUNKS))?;
    for object in objects.iter().filter(|o| is_data(&o.path)) {
        let to = tmp.join(&object.path);
        fetch(ctx, store, ulid, object, disk, to).await.context(format_args!("fetch {}", object.path))?;
    }
    let mut file = disk.create(&tmp.join(META))?;
    file.write_all(&json)?;
    file.sync()?;
    drop(file);
    for dir in [&tmp.join(CHUNKS), &tmp] {
        disk.sync_dir(dir)?;
    }
    disk.rename(&tmp, &target)?;
    disk.sync_dir(into)?;
    Ok(meta)
}

/// What is fetched beside meta.json; marks and what others put there is not.
fn is_data(path: &str) -> bool {
    let in_chunks = || path.strip_prefix(CHUNKS)?.strip_prefix('/').and_then(segment::number);
    matches!(path, INDEX | TOMBSTONES) || in_chunks().is_some()
}

fn check(meta: &Meta, objects: &[Object]) -> Result<()> {
    let size = |path: &str| objects.iter().find(|o| o.path == path).map(|o| o.size);
    if size(INDEX).is_none() {
        return Err(Error::corrupt("index is missing in the bucket"));
    }
    let files = meta.thanos.iter().flat_map(|t| &t.files).filter(|f| f.size_bytes > 0);
    for f in files {
        let found = size(&f.rel_path);
        if found != Some(f.size_bytes) {
            let found = found.map_or_else(|| "nothing".to_owned(), |n| format!("{n} bytes"));
            return Err(Error::corrupt(format!(
                "{} in the bucket: {found}, meta.json says {} bytes",
                f.rel_path, f.size_bytes
            )));
        }
    }
    Ok(())
}

/// Streams an object into a file: some pieces are fetched ahead of the one that is being written.
async fn fetch(
    ctx: &Ctx,
    store: &dyn ObjectStore,
    ulid: Ulid,
    object: &Object,
    disk: &Arc<dyn Disk>,
    to: PathBuf,
) -> Result<()> {
    let path = &block_path(ulid, &object.path);
    let piece = |at: u64| async move {
        ctx.check()?;
        let range = at..object.size.min(at + PIECE);
        let bytes = store.get_range(path, range.clone()).await.map_err(|e| from_store("get a range", e))?;
        if bytes.len() as u64 != range.end - range.start {
            let text = format!("got {} bytes of {range:?}", bytes.len());
            return Err(Error::new(Kind::Retry, text));
        }
        Ok(bytes)
    };
    let mut file = disk.create(&to)?;
    let starts = (0..object.size).step_by(PIECE as usize);
    let mut pieces = futures::stream::iter(starts.map(piece)).buffered(PIECES_AT_ONCE);
    while let Some(bytes) = pieces.try_next().await? {
        file = write(file, bytes).await?;
    }
    blocking(move || file.sync()).await?
}

async fn write(mut file: Box<dyn DiskFile>, bytes: Bytes) -> Result<Box<dyn DiskFile>> {
    blocking(move || file.write_all(&bytes).map(|()| file)).await?
}

async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<Result<T>> {
    let done = tokio::task::spawn_blocking(f).await;
    let done = done.map_err(|e| Error::wrap(Kind::Halt, "write to the disk", e))?;
    Ok(done.map_err(Error::from))
}
