//! A block in a directory, read piece by piece.
//!
//! Mapped files would count as this process' memory as far as they were read, which for a merge is all of
//! them. Only the index' symbols are mapped: they are looked up all the time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_block::{CHUNKS, INDEX, META, TOMBSTONES, segment};
use dolmen_ctx::{Ctx, Disk};
use dolmen_model::{Context, Error, Result};
use dolmen_source::{ByteSource, ObjectPart, RangeOf, Why};

/// The files of a finished block in a directory.
pub struct LocalSource {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    lens: BTreeMap<ObjectPart, u64>,
    index: Bytes,
}

impl LocalSource {
    /// Looks which files there are.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<LocalSource> {
        let mut lens = BTreeMap::new();
        for (name, part) in
            [(INDEX, ObjectPart::Index), (TOMBSTONES, ObjectPart::Tombstones), (META, ObjectPart::Meta)]
        {
            let path = dir.join(name);
            if disk.exists(&path) {
                lens.insert(part, disk.len(&path).context(format_args!("open {}", path.display()))?);
            }
        }
        let chunks = dir.join(CHUNKS);
        let names = if disk.is_dir(&chunks) { disk.list(&chunks)? } else { Vec::new() };
        for name in names {
            if let Some(n) = segment::number(&name) {
                let len = disk.len(&chunks.join(&name)).context(format_args!("open {CHUNKS}/{name}"))?;
                lens.insert(ObjectPart::Chunks(n), len);
            }
        }
        let index = disk.map(&dir.join(INDEX)).context("open index")?;
        Ok(LocalSource { disk, dir: dir.to_owned(), lens, index })
    }
}

#[async_trait]
impl ByteSource for LocalSource {
    fn len(&self, part: ObjectPart) -> Option<u64> {
        self.lens.get(&part).copied()
    }

    fn ready(&self, part: ObjectPart, range: Range<u64>) -> Option<Bytes> {
        let within = range.start <= range.end && range.end <= self.index.len() as u64;
        let here = part == ObjectPart::Index && within;
        here.then(|| self.index.slice(range.start as usize..range.end as usize))
    }

    async fn read(&self, _: &Ctx, _: Why, ranges: &[RangeOf]) -> Result<Vec<Bytes>> {
        let one = |(part, range): &RangeOf| {
            let path = part.path();
            let len = range.end.saturating_sub(range.start) as usize;
            let within = range.start <= range.end && self.len(*part).is_some_and(|n| range.end <= n);
            if !within {
                return Err(Error::corrupt(format!("{path} ends before byte {}", range.end)));
            }
            let read = self.disk.read_at(&self.dir.join(&path), range.start, len);
            let bytes = read.context(format_args!("read {path} of {}", self.dir.display()))?;
            if bytes.len() != len {
                return Err(Error::corrupt(format!("{path} ends before byte {}", range.end)));
            }
            Ok(Bytes::from(bytes))
        };
        ranges.iter().map(one).collect()
    }

    fn cost(&self, ranges: &[RangeOf]) -> u64 {
        ranges.iter().map(|(_, r)| r.end.saturating_sub(r.start)).sum()
    }
}
