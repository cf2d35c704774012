//! Index-headers on disk: made by ranged reads, written whole or not at all, mapped.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dolmen_block::Ulid;
use dolmen_ctx::{Ctx, Disk};
use dolmen_index::IndexHeader;
use dolmen_model::{Context, Error, Kind, Result};
use dolmen_source::{ByteSource, fetch_header};

use crate::BucketStoreMetrics;

/// Name of the file; Thanos' name, so that either finds the other's.
const FILE: &str = "index-header";
const TMP: &str = "index-header.tmp";

/// Index-headers in a directory.
#[derive(Clone)]
pub(crate) struct Headers {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    metrics: BucketStoreMetrics,
}

impl Headers {
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf, metrics: BucketStoreMetrics) -> Headers {
        Headers { disk, dir, metrics }
    }

    /// The header of a block: from disk where it is there and whole, else from the bucket.
    pub async fn get(&self, ctx: &Ctx, ulid: Ulid, source: &dyn ByteSource) -> Result<IndexHeader> {
        let path = self.dir.join(ulid.to_string()).join(FILE);
        let load = |disk: Arc<dyn Disk>, path: PathBuf| {
            blocking(move || IndexHeader::from_header(&disk.map(&path)?))
        };
        if self.disk.exists(&path) {
            match load(self.disk.clone(), path.clone()).await {
                Ok(header) => return Ok(header),
                Err(e) => tracing::warn!(path = %path.display(), "index-header is made again: {e}"),
            }
        }
        let bytes = fetch_header(ctx, source).await?;
        // Broken bytes are not kept.
        let bytes = bytes::Bytes::from(bytes);
        let header = IndexHeader::from_header(&bytes)?;
        self.metrics.headers_built.inc();
        let (disk, to) = (self.disk.clone(), path.clone());
        match blocking(move || write(&*disk, &to, &bytes)).await {
            Ok(()) => load(self.disk.clone(), path).await,
            Err(e) => {
                // A full disk makes answers dearer, not wrong.
                tracing::warn!(path = %path.display(), "index-header is kept in memory only: {e}");
                Ok(header)
            }
        }
    }

    /// Removes the headers of blocks that are not there any more.
    pub fn keep_only(&self, ulids: &HashSet<Ulid>) -> Result<()> {
        if !self.disk.is_dir(&self.dir) {
            return Ok(());
        }
        for name in self.disk.list(&self.dir).context("list index-headers")? {
            let Ok(ulid) = Ulid::from_string(&name) else { continue };
            let dir = self.dir.join(&name);
            if ulids.contains(&ulid) || !self.disk.is_dir(&dir) {
                continue;
            }
            // Only what we made: a block may have strayed into the directory.
            for file in [FILE, TMP] {
                if self.disk.exists(&dir.join(file)) {
                    self.disk.remove_file(&dir.join(file)).context("remove an index-header")?;
                }
            }
            if self.disk.list(&dir).context("list index-headers")?.is_empty() {
                self.disk.remove_dir_all(&dir).context("remove an index-header's folder")?;
            }
        }
        Ok(())
    }
}

fn write(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().ok_or_else(|| Error::invalid("index-header without a folder"))?;
    disk.create_dir_all(dir).context("write index-header")?;
    let tmp = dir.join(TMP);
    let mut file = disk.create(&tmp).context("write index-header")?;
    file.write_all(bytes).context("write index-header")?;
    // The name must not outlive the bytes: what is mapped is not checked again, page by page.
    file.sync().context("write index-header")?;
    disk.rename(&tmp, path).context("write index-header")
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(f).await;
    done.map_err(|e| Error::wrap(Kind::Halt, "work on an index-header", e))?
}
