//! Metas that were read before: in memory, and in files for the next run.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dolmen_block::{META, Meta, Ulid};
use dolmen_model::{Context, Error, Kind, Result, Timestamp};

/// The folder within the cache directory; Thanos' name, so that either finds the other's.
const FOLDER: &str = "meta-syncer";

/// Tells one state of an object from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub size: u64,
    pub mtime: Timestamp,
}

/// Values in memory.
pub(crate) struct Cache<T>(HashMap<Ulid, (Version, T)>);

impl<T> Default for Cache<T> {
    fn default() -> Cache<T> {
        Cache(HashMap::new())
    }
}

impl<T> Cache<T> {
    /// What was read of this version.
    pub fn get(&self, ulid: Ulid, version: Version) -> Option<&T> {
        self.0.get(&ulid).filter(|(v, _)| *v == version).map(|(_, value)| value)
    }

    /// Keeps these and no others.
    pub fn replace(&mut self, all: impl Iterator<Item = (Ulid, (Version, T))>) {
        self.0 = all.collect();
    }
}

/// Metas in files. All of it may be lost: whatever is not there, or does not fit, is fetched again.
pub(crate) struct DiskCache {
    dir: PathBuf,
    /// What the last run left; taken by the first fetch, which keeps it in memory.
    found: HashMap<Ulid, (u64, Arc<Meta>)>,
    on_disk: HashSet<Ulid>,
    new: Vec<(Ulid, Bytes)>,
}

impl DiskCache {
    /// Reads what the last run left in `<dir>/meta-syncer`.
    pub async fn open(dir: PathBuf) -> Result<DiskCache> {
        let dir = dir.join(FOLDER);
        let doing = format!("open the meta cache {}", dir.display());
        let read = move || -> std::io::Result<DiskCache> {
            std::fs::create_dir_all(&dir)?;
            let mut found = HashMap::new();
            let mut on_disk = HashSet::new();
            for entry in std::fs::read_dir(&dir)? {
                let entry = entry?;
                let name = entry.file_name();
                let Some(ulid) = name.to_str().and_then(|n| Ulid::from_string(n).ok()) else { continue };
                on_disk.insert(ulid);
                // A file that cannot be read counts as none.
                let Ok(bytes) = std::fs::read(entry.path().join(META)) else { continue };
                if let Ok(meta) = Meta::parse(&bytes)
                    && meta.ulid == ulid
                {
                    found.insert(ulid, (bytes.len() as u64, Arc::new(meta)));
                }
            }
            Ok(DiskCache { dir, found, on_disk, new: Vec::new() })
        };
        blocking(read).await?.context(doing)
    }

    /// A meta of the last run, if the object still has its length. Metas do not change; the length is checked
    /// for those that somebody rewrote with a tool.
    pub fn get(&self, ulid: Ulid, version: Version) -> Option<Arc<Meta>> {
        self.found.get(&ulid).filter(|(size, _)| *size == version.size).map(|(_, meta)| meta.clone())
    }

    /// Remembers a meta for [`DiskCache::write`].
    pub fn put(&mut self, ulid: Ulid, bytes: Bytes) {
        self.new.push((ulid, bytes));
    }

    /// Writes what is new and removes what does not exist any more.
    pub async fn write(&mut self, exists: impl Fn(Ulid) -> bool) {
        self.found = HashMap::new();
        let gone: Vec<Ulid> = self.on_disk.iter().copied().filter(|u| !exists(*u)).collect();
        let new = std::mem::take(&mut self.new);
        if new.is_empty() && gone.is_empty() {
            return;
        }
        self.on_disk.retain(|u| !gone.contains(u));
        self.on_disk.extend(new.iter().map(|(u, _)| *u));
        let dir = self.dir.clone();
        let written = blocking(move || change(&dir, &new, &gone)).await;
        if let Err(e) = written.and_then(|w| w.context("write")) {
            tracing::warn!(dir = %self.dir.display(), error = %e, "cannot keep metas for the next start");
        }
    }
}

fn change(dir: &Path, new: &[(Ulid, Bytes)], gone: &[Ulid]) -> std::io::Result<()> {
    for ulid in gone {
        std::fs::remove_dir_all(dir.join(ulid.to_string()))?;
    }
    for (ulid, bytes) in new {
        let block = dir.join(ulid.to_string());
        std::fs::create_dir_all(&block)?;
        let tmp = block.join("meta.json.tmp");
        std::fs::write(&tmp, bytes)?;
        std::fs::rename(&tmp, block.join(META))?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(f).await.map_err(|e| Error::wrap(Kind::Halt, "work with the meta cache", e))
}
