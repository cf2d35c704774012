//! A file that is written in large steps and knows its position.

use dolmen_ctx::DiskFile;
use dolmen_model::{Context, Result};

const STEP: usize = 256 << 10;

/// A [`DiskFile`] behind a buffer of 256 KiB.
pub struct FileOut {
    file: Box<dyn DiskFile>,
    buf: Vec<u8>,
    pos: u64,
}

impl FileOut {
    /// Goes on at the end of `file`.
    pub fn new(file: Box<dyn DiskFile>) -> FileOut {
        let pos = file.len();
        FileOut { file, buf: Vec::with_capacity(STEP), pos }
    }

    /// Bytes written so far, those in the buffer among them.
    pub fn pos(&self) -> u64 {
        self.pos
    }

    /// Appends.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.pos += bytes.len() as u64;
        if self.buf.len() + bytes.len() > STEP {
            self.flush()?;
        }
        if bytes.len() >= STEP {
            return self.file.write_all(bytes).context("write");
        }
        self.buf.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends zeros until the position is a multiple of `align`, a power of two up to 16.
    pub fn pad(&mut self, align: u64) -> Result<()> {
        let over = (self.pos % align) as usize;
        if over == 0 {
            return Ok(());
        }
        self.put(&[0; 16][..align as usize - over])
    }

    /// Writes over bytes that were put before.
    pub fn put_at(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.flush()?;
        self.file.write_at(at, bytes).context("write")
    }

    /// Empties the buffer into the file.
    pub fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.buf).context("write")?;
        self.buf.clear();
        Ok(())
    }

    /// Returns once all that was put would survive a loss of power.
    pub fn sync(&mut self) -> Result<()> {
        self.flush()?;
        self.file.sync().context("sync")
    }
}
