//! A block in a directory as an input of a merge: its series one after the other, all checksums checked.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_block::segment::{self, Record};
use dolmen_block::tombstones::{self, Tombstones};
use dolmen_block::{CHUNKS, INDEX, Meta, TOMBSTONES};
use dolmen_ctx::Disk;
use dolmen_index::{ChunkMeta, IndexHeader, SERIES_ALIGN, Series, Split, Symbols, split_entry};
use dolmen_model::{Context, Encoding, Error, LabelsBuilder, Result, TimeRange, Timestamp};
use dolmen_storage::RawChunk;

use crate::merge::{Input, SeriesIn};

/// A block in a directory, mapped into memory.
pub struct BlockInput {
    index: Bytes,
    header: IndexHeader,
    segments: Vec<Bytes>,
    tombstones: Tombstones,
    range: TimeRange,
    /// Where the next series entry may stand.
    at: u64,
    entry: Series,
}

/// All time: the whole entry is decoded.
fn always() -> TimeRange {
    TimeRange::new(Timestamp::MIN, Timestamp::MAX).expect("MIN is before MAX")
}

impl BlockInput {
    /// Opens a finished block.
    pub fn open(disk: &dyn Disk, dir: &Path, meta: &Meta) -> Result<BlockInput> {
        let index = disk.map(&dir.join(INDEX)).context("open index")?;
        let header = IndexHeader::from_index(&index)?;
        let chunks = dir.join(CHUNKS);
        let mut segments = Vec::new();
        for number in 0.. {
            let path = chunks.join(segment::file_name(number));
            if !disk.exists(&path) {
                break;
            }
            let bytes = disk.map(&path).context("open chunks")?;
            segment::check_header(&bytes)?;
            segments.push(bytes);
        }
        let stones = dir.join(TOMBSTONES);
        let tombstones = match disk.exists(&stones) {
            true => tombstones::read(&disk.read(&stones).context("read tombstones")?)?,
            false => Tombstones::default(),
        };
        let range = meta.range().ok_or_else(|| Error::corrupt("meta.json: minTime is not before maxTime"))?;
        let at = header.toc().series;
        Ok(BlockInput { index, header, segments, tombstones, range, at, entry: Series::default() })
    }

    /// Label names and values, sorted; also some that no series uses.
    pub fn symbols(&self) -> &Symbols {
        self.header.symbols()
    }

    fn chunk(&self, at: &ChunkMeta) -> Result<RawChunk> {
        if at.maxt < self.range.mint() || at.mint >= self.range.maxt() {
            let (mint, maxt) = (at.mint, at.maxt);
            return Err(Error::corrupt(format!("chunk {mint}..{maxt} lies outside the block's time")));
        }
        let place = || format!("chunk at {} of segment {}", at.offset(), segment::file_name(at.segment()));
        let segment = self.segments.get(at.segment() as usize);
        let bytes = segment.and_then(|s| s.get(usize::try_from(at.offset()).ok()?..).map(|b| (s, b)));
        let (segment, bytes) = bytes.ok_or_else(|| Error::corrupt(format!("{} does not exist", place())))?;
        let (encoding, data) = match segment::record(bytes).context(place())? {
            Record::Whole(encoding, data, _) => (encoding, data),
            Record::Need(_) => return Err(Error::corrupt(format!("{} ends early", place()))),
        };
        let encoding = Encoding::from_u8(encoding)
            .ok_or_else(|| Error::corrupt(format!("{} has unknown encoding {encoding}", place())))?;
        Ok(RawChunk { mint: at.mint, maxt: at.maxt, encoding, data: segment.slice_ref(data) })
    }

    fn series(&mut self) -> Result<Option<SeriesIn>> {
        let at = self.at.next_multiple_of(SERIES_ALIGN);
        let end = self.header.toc().label_indices;
        if at >= end {
            return Ok(None);
        }
        // Both lie within the index: its table of contents was checked against its length.
        let body = match split_entry(&self.index[at as usize..end as usize])? {
            Split::Whole(body, len) => {
                self.at = at + len as u64;
                body
            }
            Split::Need(_) => return Err(Error::corrupt("index: the last series entry ends early")),
        };
        self.entry.decode(body, always())?;
        let mut labels = LabelsBuilder::default();
        for (name, value) in &self.entry.labels {
            labels.set(self.header.symbols().get(*name)?, self.header.symbols().get(*value)?);
        }
        let chunks = self.entry.chunks.iter().map(|c| self.chunk(c)).collect::<Result<Vec<_>>>();
        let masked = self.tombstones.get(&(at / SERIES_ALIGN)).cloned();
        Ok(Some(SeriesIn {
            labels: labels.build(),
            chunks: chunks?,
            masked: masked.unwrap_or_else(|| Arc::from([])),
        }))
    }
}

#[async_trait]
impl Input for BlockInput {
    async fn next(&mut self) -> Result<Option<SeriesIn>> {
        self.series()
    }
}
