//! The disk, as an argument: so that a test can bring one that forgets what was not synced, or fills up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

/// A file that is being written at its end.
pub trait DiskFile: Send {
    /// Appends.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once what was written would survive a loss of power.
    fn sync(&mut self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> u64;
    /// Whether nothing is in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Writes over bytes that stand already in the file.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// Files and directories. Paths are whole paths.
pub trait Disk: Send + Sync {
    /// A new empty file; what stood there is gone.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file, to go on at its end.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// The whole file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// A part of the file; shorter only at its end.
    fn read_at(&self, path: &Path, at: u64, len: usize) -> io::Result<Vec<u8>>;
    /// The file as it is now, mapped into memory where the disk can. Only for files that never change.
    fn map(&self, path: &Path) -> io::Result<Bytes>;
    /// Names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Length in bytes.
    fn len(&self, path: &Path) -> io::Result<u64>;
    /// Whether something stands there.
    fn exists(&self, path: &Path) -> bool;
    /// Whether a directory stands there.
    fn is_dir(&self, path: &Path) -> bool;
    /// Renames; what stood at `to` is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all that is in it.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory and those above it.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Returns once the names in the directory would survive a loss of power.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

struct RealFile {
    file: File,
    len: u64,
}

impl DiskFile for RealFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn len(&self) -> u64 {
        self.len
    }
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        // `pwrite` on a file opened for appending would append on Linux, so files are opened for writing.
        std::os::unix::fs::FileExt::write_all_at(&self.file, bytes, at)
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        use std::io::Seek;
        self.file.set_len(len)?;
        self.file.seek(io::SeekFrom::End(0))?;
        self.len = len;
        Ok(())
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        Ok(Box::new(RealFile { file, len: 0 }))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        use std::io::Seek;
        let mut file = OpenOptions::new().write(true).open(path)?;
        let len = file.seek(io::SeekFrom::End(0))?;
        Ok(Box::new(RealFile { file, len }))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }
    fn read_at(&self, path: &Path, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let n = (len as u64).min(end.saturating_sub(at)) as usize;
        let mut out = vec![0; n];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut out, at)?;
        Ok(out)
    }
    #[allow(
        unsafe_code,
        reason = "mapping a file is unsafe by nature; only files that never change are mapped"
    )]
    fn map(&self, path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: callers map only finished files, which are replaced by rename and never written again.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Bytes::from_owner(map))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir: PathBuf = if dir.as_os_str().is_empty() { ".".into() } else { dir.into() };
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn append_truncate_map() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let disk = RealDisk;
        let mut f = disk.create(&path).unwrap();
        f.write_all(b"hello world").unwrap();
        f.truncate(5).unwrap();
        f.write_all(b"!").unwrap();
        f.write_at(0, b"J").unwrap();
        f.sync().unwrap();
        drop(f);
        let mut f = disk.open_append(&path).unwrap();
        f.write_all(b"?").unwrap();
        assert_eq!(f.len(), 7);
        assert_eq!(&disk.map(&path).unwrap()[..], b"Jello!?");
        assert_eq!(disk.read_at(&path, 5, 99).unwrap(), b"!?");
    }
}
