//! A block in a directory as an input of a merge: its series one after the other, all checksums checked.

use std::path::Path;
use std::sync::Arc;

use dolmen_block::tombstones::{self, Tombstones};
use dolmen_block::{Meta, TOMBSTONES};
use dolmen_ctx::{Ctx, Disk};
use dolmen_index::{ChunkMeta, Symbols};
use dolmen_model::{Context, Encoding, Error, Result, TimeRange};
use dolmen_source::ObjectPart;
use dolmen_storage::RawChunk;

use crate::Fault;
use crate::local::LocalSource;
use crate::merge::{Input, SeriesIn};
use crate::walk::{LOCAL_STEP, Walk};

/// A block in a directory.
pub struct BlockInput {
    walk: Walk,
    tombstones: Tombstones,
    range: TimeRange,
}

impl BlockInput {
    /// Opens a finished block.
    pub async fn open(ctx: &Ctx, disk: &Arc<dyn Disk>, dir: &Path, meta: &Meta) -> Result<BlockInput> {
        let range = meta.range().ok_or_else(|| Error::corrupt("meta.json: minTime is not before maxTime"))?;
        let stones = dir.join(TOMBSTONES);
        let tombstones = match disk.exists(&stones) {
            true => tombstones::read(&disk.read(&stones).context("read tombstones")?)?,
            false => Tombstones::default(),
        };
        let source = Arc::new(LocalSource::open(disk.clone(), dir)?);
        Ok(BlockInput { walk: Walk::open(ctx, source, LOCAL_STEP).await?, tombstones, range })
    }

    /// Label names and values, sorted; also some that no series uses.
    pub fn symbols(&self) -> &Symbols {
        self.walk.symbols()
    }

    /// Checks a chunk's time against the block and the chunk before it.
    fn check(&self, chunk: &ChunkMeta, before: Option<&ChunkMeta>) -> Result<(), Fault> {
        let ChunkMeta { mint, maxt, .. } = *chunk;
        let place = (ObjectPart::Index, self.walk.offset());
        if maxt < self.range.mint() || mint >= self.range.maxt() {
            return Err(Fault::corrupt(
                place.0,
                place.1,
                format!("chunk {mint}..{maxt} lies outside the block"),
            ));
        }
        if let Some(before) = before.filter(|b| b.maxt >= mint) {
            let text = format!("chunk {mint}..{maxt} stands behind {}..{}", before.mint, before.maxt);
            return Err(Fault::corrupt(place.0, place.1, text));
        }
        Ok(())
    }

    async fn series(&mut self) -> Result<Option<SeriesIn>, Fault> {
        if !self.walk.advance().await? {
            return Ok(None);
        }
        let labels = self.walk.labels()?;
        let mut chunks = Vec::with_capacity(self.walk.entry().chunks.len());
        let mut before: Option<ChunkMeta> = None;
        for i in 0..self.walk.entry().chunks.len() {
            let meta = self.walk.entry().chunks[i];
            self.check(&meta, before.as_ref())?;
            let (encoding, data) = self.walk.chunk(&meta).await?;
            let known = Encoding::from_u8(encoding);
            let unknown = || {
                let part = ObjectPart::Chunks(meta.segment());
                Fault::corrupt(part, meta.offset(), format!("unknown chunk encoding {encoding}"))
            };
            let encoding = known.ok_or_else(unknown)?;
            chunks.push(RawChunk { mint: meta.mint, maxt: meta.maxt, encoding, data });
            before = Some(meta);
        }
        let masked = self.tombstones.get(&self.walk.id()).cloned();
        Ok(Some(SeriesIn { labels, chunks, masked: masked.unwrap_or_else(|| Arc::from([])) }))
    }
}

impl Input for BlockInput {
    fn range(&self) -> TimeRange {
        self.range
    }

    async fn next(&mut self) -> Result<Option<SeriesIn>> {
        Ok(self.series().await?)
    }
}
