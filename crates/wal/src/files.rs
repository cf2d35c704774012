//! Segment files, written one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dolmen_ctx::{Disk, DiskFile};
use dolmen_model::{Context, Result};

use crate::frame::{PAGE, frame, framed_len_max};
use crate::segment;

/// Bytes that are written at once.
const WRITE: usize = 1 << 20;
/// Memory that is kept for what comes.
const KEEP: usize = 8 << 20;

/// Segment files that are written one after the other.
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    pub number: u32,
    file: Box<dyn DiskFile>,
    out: Vec<u8>,
    segment_bytes: u64,
    /// Up to where the file is synced.
    pub synced: u64,
}

impl Segments {
    /// Begins with an empty segment of this number.
    pub fn create(disk: Arc<dyn Disk>, dir: &Path, number: u32, segment_bytes: u64) -> Result<Segments> {
        let file = create(&*disk, dir, number)?;
        let segment_bytes = segment_bytes.max(PAGE as u64);
        Ok(Segments { disk, dir: dir.to_owned(), number, file, out: Vec::new(), segment_bytes, synced: 0 })
    }

    /// How far the segment is.
    pub fn at(&self) -> u64 {
        self.file.len() + self.out.len() as u64
    }

    /// Adds a record, in the next segment where this one is full.
    pub fn push(&mut self, record: &[u8]) -> Result<()> {
        if self.at() > 0 && self.at() + framed_len_max(record.len()) > self.segment_bytes {
            self.roll()?;
        }
        let at = self.at();
        frame(record, at, &mut self.out);
        if self.out.len() >= WRITE { self.flush() } else { Ok(()) }
    }

    /// What was added is written.
    pub fn flush(&mut self) -> Result<()> {
        if !self.out.is_empty() {
            self.file.write_all(&self.out).context("write segment")?;
            self.out.clear();
            self.out.shrink_to(KEEP);
        }
        Ok(())
    }

    /// What was added would survive a loss of power.
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        if self.synced < self.file.len() {
            self.file.sync().context("sync segment")?;
            self.synced = self.file.len();
        }
        Ok(())
    }

    /// Ends this segment and begins the next; an empty one stays.
    pub fn roll(&mut self) -> Result<()> {
        if self.at() == 0 {
            return Ok(());
        }
        let used = (self.at() % PAGE as u64) as usize;
        if used > 0 {
            self.out.resize(self.out.len() + PAGE - used, 0);
        }
        self.sync()?;
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        self.file = create(&*self.disk, &self.dir, self.number + 1)?;
        self.number += 1;
        self.synced = 0;
        Ok(())
    }

    /// Leaves what is not synced and goes on in a segment that has nothing in it.
    pub fn give_up(&mut self) -> Result<()> {
        self.out.clear();
        if self.synced == 0 {
            self.file = create(&*self.disk, &self.dir, self.number)?;
            return Ok(());
        }
        // Whether this works or not: what is cut off here is written again.
        if let Err(e) = self.file.truncate(self.synced) {
            tracing::warn!(
                segment = self.number,
                "segment cannot be cut back, a later start will find it torn: {e}"
            );
        }
        self.next()
    }
}

fn create(disk: &dyn Disk, dir: &Path, number: u32) -> Result<Box<dyn DiskFile>> {
    let file = disk.create(&segment::path(dir, number)).context("create segment")?;
    disk.sync_dir(dir).context("sync the log's folder")?;
    Ok(file)
}
