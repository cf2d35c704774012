//! Which uploads of ours are not finished: a file each, on the disk before the first object goes up.
//!
//! ```text
//! uploads/<ULID>        empty: objects are going up
//! uploads/<ULID>        bytes of meta.json: all other objects are there, meta.json is being put
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dolmen_block::{Meta, Ulid};
use dolmen_ctx::Disk;
use dolmen_model::{Context, Result};
use parking_lot::Mutex;

const TMP: &str = ".tmp";

/// An upload that was begun and not finished.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfinished {
    /// Objects were going up; meta.json was never put.
    Objects,
    /// All but meta.json was there, and that may have been put.
    Ready(Box<Meta>),
}

/// The journal. A directory belongs to one of them, in one process.
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    named: BTreeSet<Ulid>,
    /// Those that this process is working on.
    active: BTreeSet<Ulid>,
}

/// While it lives, nobody else works on the upload.
pub(crate) struct Active<'a> {
    journal: &'a Journal,
    ulid: Ulid,
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.journal.state.lock().active.remove(&self.ulid);
    }
}

impl Journal {
    /// Opens it; the directory is made.
    pub fn open(disk: Arc<dyn Disk>, dir: impl Into<PathBuf>) -> Result<Journal> {
        let dir = dir.into();
        let doing = format!("open the upload journal {}", dir.display());
        disk.create_dir_all(&dir).context(&doing)?;
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent).context(&doing)?;
        }
        let mut named = BTreeSet::new();
        for name in disk.list(&dir).context(&doing)? {
            if let Ok(ulid) = Ulid::from_string(&name) {
                named.insert(ulid);
            } else if name.ends_with(TMP) {
                disk.remove_file(&dir.join(name)).context(&doing)?;
            }
        }
        let state = Mutex::new(State { named, active: BTreeSet::new() });
        Ok(Journal { disk, dir, state })
    }

    /// Names in the journal in this directory, which may be another's and in use; none where it is not there.
    pub fn peek(disk: &dyn Disk, dir: &Path) -> Result<Vec<Ulid>> {
        if !disk.is_dir(dir) {
            return Ok(Vec::new());
        }
        let names = disk.list(dir).context(format_args!("list the upload journal {}", dir.display()))?;
        Ok(names.iter().filter_map(|name| Ulid::from_string(name).ok()).collect())
    }

    /// Names an upload. It is on the disk when this returns. One that is named already keeps its state: its
    /// meta.json may still arrive.
    pub fn begin(&self, ulid: Ulid) -> Result<()> {
        if self.state.lock().named.contains(&ulid) {
            return Ok(());
        }
        self.write(ulid, b"").context(format_args!("journal upload {ulid}"))?;
        self.state.lock().named.insert(ulid);
        Ok(())
    }

    /// All but meta.json is in the bucket, and that is about to be put.
    pub fn ready(&self, ulid: Ulid, meta_json: &[u8]) -> Result<()> {
        self.write(ulid, meta_json).context(format_args!("journal upload {ulid} as ready"))?;
        self.state.lock().named.insert(ulid);
        Ok(())
    }

    /// The upload is whole, or all of it is gone.
    pub fn done(&self, ulid: Ulid) -> Result<()> {
        if self.state.lock().named.contains(&ulid) {
            let doing = || format!("journal upload {ulid} as done");
            self.disk.remove_file(&self.path(ulid)).context(doing())?;
            self.disk.sync_dir(&self.dir).context(doing())?;
            self.state.lock().named.remove(&ulid);
        }
        Ok(())
    }

    /// Uploads that were begun and are not done, those under way included.
    pub fn unfinished(&self) -> Vec<Ulid> {
        self.state.lock().named.iter().copied().collect()
    }

    /// How far an unfinished upload came. What cannot be read is taken for the earlier state, which is safe:
    /// a block with meta.json is never touched.
    pub fn state(&self, ulid: Ulid) -> Result<Unfinished> {
        let bytes =
            self.disk.read(&self.path(ulid)).context(format_args!("read journal of upload {ulid}"))?;
        Ok(match Meta::parse(&bytes) {
            Ok(meta) if meta.ulid == ulid => Unfinished::Ready(Box::new(meta)),
            _ => Unfinished::Objects,
        })
    }

    /// Takes an upload for this caller; `None` while another works on it.
    pub(crate) fn activate(&self, ulid: Ulid) -> Option<Active<'_>> {
        self.state.lock().active.insert(ulid).then(|| Active { journal: self, ulid })
    }

    fn path(&self, ulid: Ulid) -> PathBuf {
        self.dir.join(ulid.to_string())
    }

    fn write(&self, ulid: Ulid, bytes: &[u8]) -> Result<()> {
        replace(&*self.disk, &self.path(ulid), bytes)
    }
}

/// Writes a file that is whole or not there, and on the disk when this returns.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(TMP);
    let tmp = PathBuf::from(tmp);
    let mut file = disk.create(&tmp)?;
    file.write_all(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&tmp, path)?;
    if let Some(dir) = path.parent() {
        disk.sync_dir(dir)?;
    }
    Ok(())
}
