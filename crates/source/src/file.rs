//! A block in a directory, mapped into memory: every read is a slice.

use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_block::segment;
use dolmen_ctx::{Ctx, Disk};
use dolmen_model::{Context, Error, Result};

use crate::{ByteSource, ObjectPart, RangeOf, Why};

/// The files of a block's directory.
pub struct FileSource {
    index: Bytes,
    /// By number; a hole is a file that is missing.
    chunks: Vec<Option<Bytes>>,
    tombstones: Option<Bytes>,
    meta: Bytes,
}

/// Most chunk segments that a block may have: half a tebibyte.
const SEGMENTS_MAX: u32 = 1024;

impl FileSource {
    /// Maps the files of a finished block.
    pub fn open(disk: &dyn Disk, dir: &Path) -> Result<FileSource> {
        let map =
            |name: &str| disk.map(&dir.join(name)).context(format_args!("open {name} of {}", dir.display()));
        let folder = dir.join(dolmen_block::CHUNKS);
        let names =
            if disk.is_dir(&folder) { disk.list(&folder).context("list chunks")? } else { Vec::new() };
        let mut chunks = Vec::new();
        for name in names {
            let Some(n) = segment::number(&name).filter(|n| *n < SEGMENTS_MAX) else { continue };
            let n = n as usize;
            if chunks.len() <= n {
                chunks.resize(n + 1, None);
            }
            chunks[n] = Some(map(&format!("{}/{name}", dolmen_block::CHUNKS))?);
        }
        let stones = disk.exists(&dir.join(dolmen_block::TOMBSTONES));
        Ok(FileSource {
            index: map(dolmen_block::INDEX)?,
            chunks,
            tombstones: if stones { Some(map(dolmen_block::TOMBSTONES)?) } else { None },
            meta: map(dolmen_block::META)?,
        })
    }

    fn part(&self, part: ObjectPart) -> Option<&Bytes> {
        match part {
            ObjectPart::Index => Some(&self.index),
            ObjectPart::Chunks(n) => self.chunks.get(n as usize)?.as_ref(),
            ObjectPart::Tombstones => self.tombstones.as_ref(),
            ObjectPart::Meta => Some(&self.meta),
        }
    }
}

#[async_trait]
impl ByteSource for FileSource {
    fn len(&self, part: ObjectPart) -> Option<u64> {
        Some(self.part(part)?.len() as u64)
    }

    fn ready(&self, part: ObjectPart, range: Range<u64>) -> Option<Bytes> {
        let bytes = self.part(part)?;
        let within = range.start <= range.end && range.end <= bytes.len() as u64;
        within.then(|| bytes.slice(range.start as usize..range.end as usize))
    }

    async fn read(&self, _: &Ctx, _: Why, ranges: &[RangeOf]) -> Result<Vec<Bytes>> {
        let one =
            |(part, range): &RangeOf| self.ready(*part, range.clone()).ok_or_else(|| past_end(*part, range));
        ranges.iter().map(one).collect()
    }

    fn cost(&self, _: &[RangeOf]) -> u64 {
        0
    }
}

pub(crate) fn past_end(part: ObjectPart, range: &Range<u64>) -> Error {
    Error::corrupt(format!("{} ends before byte {}", part.path(), range.end))
}
