//! A bucket in a directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dolmen_ctx::{Clock, SystemClock};
use dolmen_model::{Context, Error, Kind, Result, Timestamp};
use object_store::local::LocalFileSystem;

use crate::{Opened, PART_SIZE, Patience};

/// A file that a killed writer left half-written is swept once it is that old; younger ones may be another
/// process' that is still writing.
const STAGED_MAX_AGE: Duration = Duration::from_secs(3600);

/// Opens it; the directory is made. Writes are synced and become visible whole.
pub(crate) fn open(directory: &Path) -> Result<Opened> {
    let doing = || format!("open the bucket in {}", directory.display());
    std::fs::create_dir_all(directory).context(doing())?;
    sweep(directory, SystemClock.now()).context(doing())?;
    let store = LocalFileSystem::new_with_prefix(directory)
        .map_err(|e| Error::wrap(Kind::Halt, doing(), e))?
        .with_fsync(true)
        .with_automatic_cleanup(true);
    let store = Arc::new(store);
    Ok(Opened {
        parts: store.clone(),
        store,
        patience: Patience::default(),
        warnings: Vec::new(),
        part_size: PART_SIZE,
    })
}

/// Removes staged files (`NAME#1`), which no listing shows, and the folders that they keep from going.
fn sweep(directory: &Path, now: Timestamp) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sweep(&entry.path(), now)?;
        } else if kind.is_file() && is_staged(&entry.file_name()) && old(&entry, now)? {
            std::fs::remove_file(entry.path())?;
            tracing::info!(file = %entry.path().display(), "removed a half-written file of a killed process");
            // Fails where something else is in it, as it should.
            let _in_use = std::fs::remove_dir(directory);
        }
    }
    Ok(())
}

fn is_staged(name: &std::ffi::OsStr) -> bool {
    let Some((_, id)) = name.to_str().and_then(|n| n.rsplit_once('#')) else { return false };
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit())
}

fn old(entry: &std::fs::DirEntry, now: Timestamp) -> std::io::Result<bool> {
    let written = entry.metadata()?.modified()?;
    let since = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(now.saturating_sub(since.as_millis() as i64) > STAGED_MAX_AGE.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_staged_files_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let block = dir.path().join("01");
        std::fs::create_dir(&block).unwrap();
        for name in ["index#1", "index", "a#b"] {
            std::fs::write(block.join(name), b"x").unwrap();
        }
        let now = SystemClock.now();
        sweep(dir.path(), now).unwrap();
        assert!(block.join("index#1").exists(), "young");
        sweep(dir.path(), now + 3_700_000).unwrap();
        assert!(!block.join("index#1").exists());
        assert!(block.join("index").exists() && block.join("a#b").exists());
    }
}
