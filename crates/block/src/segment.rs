//! Chunk segments: files of chunk records.
//!
//! ```text
//! header  be32 0x85BD40DD | u8 1 | 3 zero bytes
//! record  uvarint length of the data | u8 encoding | data | be32 CRC32C(encoding, data)
//! ```
//!
//! A chunk's ref holds its segment (from 0; file `000001` is 0) in the upper 32 bits and the offset of its
//! record in the lower.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dolmen_ctx::Disk;
use dolmen_index::FileOut;
use dolmen_index::wire::{Dec, put_uvarint};
use dolmen_model::{Context, Error, Result};

/// First four bytes.
pub const SEGMENT_MAGIC: u32 = 0x85BD_40DD;
/// Bytes before the first record.
pub const SEGMENT_HEADER: u64 = 8;
/// A segment that has grown to it gets no further series: 512 MiB.
pub const SEGMENT_SIZE_MAX: u64 = 512 << 20;
/// Most bytes of a record beside its data.
pub const RECORD_EXTRA_MAX: u64 = 5 + 1 + 4;
/// Longest chunk that is read: 64 MiB.
pub const CHUNK_SIZE_MAX: usize = 64 << 20;

/// File name of a segment: 0 is `000001`.
pub fn file_name(segment: u32) -> String {
    format!("{:06}", u64::from(segment) + 1)
}

/// Number of a segment from its file name.
pub fn number(file_name: &str) -> Option<u32> {
    if file_name.len() < 6 || !file_name.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    file_name.parse::<u32>().ok()?.checked_sub(1)
}

/// Checks a segment's first [`SEGMENT_HEADER`] bytes.
pub fn check_header(bytes: &[u8]) -> Result<()> {
    let mut d = Dec::new(bytes);
    match (d.be32(), d.u8()) {
        (Some(SEGMENT_MAGIC), Some(1)) => Ok(()),
        (Some(SEGMENT_MAGIC), Some(v)) => {
            Err(Error::corrupt(format!("chunk segment has version {v}, expected 1")))
        }
        _ => Err(Error::corrupt("not a chunk segment: its magic number is wrong")),
    }
}

/// What stands at the front of some bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// A whole record: encoding byte, data, and the record's length.
    Whole(u8, &'a [u8], usize),
    /// The bytes end too early: so many are needed from the record's start on.
    Need(usize),
}

/// Takes the record at the front of `bytes` apart and checks its CRC.
pub fn record(bytes: &[u8]) -> Result<Record<'_>> {
    let mut d = Dec::new(bytes);
    let Some(n) = d.uvarint32() else {
        if bytes.len() >= 5 {
            return Err(Error::corrupt("chunk record has no length"));
        }
        return Ok(Record::Need(5));
    };
    let n = usize::try_from(n).ok().filter(|n| *n <= CHUNK_SIZE_MAX);
    let n = n.ok_or_else(|| Error::corrupt("chunk is longer than 64 MiB"))?;
    let whole = bytes.len() - d.rest().len() + 1 + n + 4;
    let (Some(body), Some(crc)) = (d.bytes(n + 1), d.be32()) else { return Ok(Record::Need(whole)) };
    if crc32c::crc32c(body) != crc {
        return Err(Error::corrupt("chunk fails its checksum"));
    }
    Ok(Record::Whole(body[0], &body[1..], whole))
}

/// Writes the segments of a block.
pub struct SegmentWriter {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Number and file of the segment that is being written.
    open: Option<(u32, FileOut)>,
    size_max: u64,
    sizes: Vec<u64>,
    record_max: u64,
    head: Vec<u8>,
}

impl SegmentWriter {
    /// Writes into `dir`, which exists. `size_max`: see [`SEGMENT_SIZE_MAX`].
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, size_max: u64) -> SegmentWriter {
        let size_max = size_max.min(SEGMENT_SIZE_MAX);
        let (sizes, head) = (Vec::new(), Vec::with_capacity(8));
        SegmentWriter { disk, dir: dir.to_owned(), open: None, size_max, sizes, record_max: 0, head }
    }

    /// Says how many bytes of records come next, so that they stay in one segment where they fit.
    pub fn room(&mut self, bytes: u64) -> Result<()> {
        let full =
            |out: &FileOut| out.pos() > SEGMENT_HEADER && out.pos().saturating_add(bytes) > self.size_max;
        if self.open.as_ref().is_some_and(|(_, out)| full(out)) {
            self.close()?;
        }
        Ok(())
    }

    /// Appends a chunk; gives its ref.
    pub fn add(&mut self, encoding: u8, data: &[u8]) -> Result<u64> {
        if data.len() > CHUNK_SIZE_MAX {
            return Err(Error::invalid("chunk is longer than 64 MiB"));
        }
        // Offsets are 32 bits wide, so even a lone series must go on in another segment.
        self.room(data.len() as u64 + RECORD_EXTRA_MAX)?;
        let (segment, out) = match &mut self.open {
            Some((segment, out)) => (*segment, out),
            none => {
                let segment = self.sizes.len() as u32;
                let file = self.disk.create(&self.dir.join(file_name(segment))).context("create segment")?;
                let (_, out) = none.insert((segment, FileOut::new(file)));
                out.put(&SEGMENT_MAGIC.to_be_bytes())?;
                out.put(&[1, 0, 0, 0])?;
                (segment, out)
            }
        };
        let at = out.pos();
        self.head.clear();
        put_uvarint(&mut self.head, data.len() as u64);
        self.head.push(encoding);
        out.put(&self.head)?;
        out.put(data)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&[encoding]), data);
        out.put(&crc.to_be_bytes())?;
        self.record_max = self.record_max.max(out.pos() - at);
        Ok(u64::from(segment) << 32 | at)
    }

    /// Length of the longest record so far.
    pub fn record_max(&self) -> u64 {
        self.record_max
    }

    /// Returns once all segments would survive a loss of power; gives their lengths in order.
    pub fn finish(mut self) -> Result<Vec<u64>> {
        self.close()?;
        Ok(self.sizes)
    }

    fn close(&mut self) -> Result<()> {
        if let Some((_, mut out)) = self.open.take() {
            out.sync()?;
            self.sizes.push(out.pos());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(
            (file_name(0), number("000001"), number("1"), number("000000")),
            ("000001".into(), Some(0), None, None)
        );
    }

    #[test]
    fn records_round_trip_over_segments() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(dolmen_ctx::RealDisk);
        let mut w = SegmentWriter::new(disk.clone(), dir.path(), 100);
        let chunks: Vec<Vec<u8>> = (0..9u8).map(|i| vec![i; 10 + 5 * i as usize]).collect();
        let refs: Vec<u64> = chunks.iter().map(|c| w.add(1, c).unwrap()).collect();
        let sizes = w.finish().unwrap();
        assert!(sizes.len() > 2 && sizes.iter().all(|n| *n <= 100));
        for (r, c) in refs.iter().zip(&chunks) {
            let data = disk.read(&dir.path().join(file_name((r >> 32) as u32))).unwrap();
            check_header(&data).unwrap();
            let at = &data[(r & 0xffff_ffff) as usize..];
            let Record::Whole(1, got, n) = record(at).unwrap() else { panic!() };
            assert_eq!(got, c);
            for cut in 0..n {
                assert!(matches!(record(&at[..cut]), Ok(Record::Need(m)) if m > cut));
            }
        }
    }
}
