//! A block as something to ask: postings -> series entries -> chunks, each in one wave.
//!
//! ```text
//! wave 1  postings of all matchers         -> ids of the series that pass
//! wave 2  their entries in the index       -> labels, places of their chunks
//! wave 3  the chunks, some MiB at a time   -> batches
//! ```

mod batch;
mod cursor;
mod found;
mod names;
mod places;
mod view;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_block::tombstones::{self, Tombstones};
use dolmen_block::{Meta, segment};
use dolmen_ctx::{Ctx, Reservation, offload};
use dolmen_index::{IndexHeader, Plan, Postings, header};
use dolmen_model::{Answer, Context, Cover, Error, Labels, Matcher, Result, TimeRange};
use dolmen_storage::{FrameStream, LabelAsk, Queryable, Select};
use smol_str::SmolStr;

use crate::{ByteSource, ObjectPart, RangeOf, Why};

pub(crate) use view::View;

/// The external label that every role takes as a replica label.
pub const OWN_LABEL: &str = "dolmen";

/// Reads one block. Series get its external labels, but for `dolmen`.
#[derive(Clone)]
pub struct BlockReader {
    pub(crate) block: Arc<Block>,
}

/// What is known of a block without reading more of it.
pub(crate) struct Block {
    /// `block <ULID>`, for errors.
    pub name: String,
    pub source: Arc<dyn ByteSource>,
    pub meta: Meta,
    pub range: TimeRange,
    pub header: IndexHeader,
    pub external: Labels,
    pub tombstones: Tombstones,
    /// Whether reading takes no I/O of its own.
    pub mapped: bool,
}

impl BlockReader {
    /// Opens a block. Of an index that is not mapped, symbols and postings' table are fetched.
    pub async fn open(ctx: &Ctx, source: Arc<dyn ByteSource>, meta: Meta) -> Result<BlockReader> {
        let name = format!("block {}", meta.ulid);
        let header = read_header(ctx, &*source).await.context(&name)?;
        BlockReader::with_header(ctx, source, meta, header).await
    }

    /// Opens a block whose index-header is at hand.
    pub async fn with_header(
        ctx: &Ctx,
        source: Arc<dyn ByteSource>,
        meta: Meta,
        header: IndexHeader,
    ) -> Result<BlockReader> {
        let name = format!("block {}", meta.ulid);
        let range = meta.range();
        let range = range
            .ok_or_else(|| Error::corrupt(format!("{name}: meta.json: minTime is not before maxTime")))?;
        check_segments(&*source).context(&name)?;
        let tombstones = read_tombstones(ctx, &*source).await.context(&name)?;
        let external = meta.external_labels();
        let mapped = source.ready(ObjectPart::Index, 0..0).is_some();
        let block = Block { name, source, meta, range, header, external, tombstones, mapped };
        Ok(BlockReader { block: Arc::new(block) })
    }

    /// Its meta.json.
    pub fn meta(&self) -> &Meta {
        &self.block.meta
    }

    /// Time that it covers.
    pub fn range(&self) -> TimeRange {
        self.block.range
    }

    /// Bytes of memory that it takes while nobody asks; mapped bytes are not among them.
    pub fn memory(&self) -> usize {
        self.block.header.memory() + self.block.tombstones.len() * 64 + size_of::<Block>()
    }
}

impl Block {
    /// The ids of the series that pass, and their memory: one wave.
    async fn ids(self: &Arc<Block>, ctx: &Ctx, matchers: &[Matcher]) -> Result<(Vec<u32>, Reservation)> {
        let mut held = ctx.budget.reserve(0)?;
        let Some(own) = self.own_matchers(matchers) else { return Ok((Vec::new(), held)) };
        let block = self.clone();
        let plan = offload(&ctx.cpu, move || Plan::new(block.header.postings(), &own)).await??;
        if plan.is_nothing() {
            return Ok((Vec::new(), held));
        }
        let lists: Vec<_> = plan.lists().collect();
        held.grow(lists.iter().map(|l| l.end - l.start).sum())?;
        let (lists, _fetched) = self.postings(ctx, &lists).await?;
        let ids = offload(&ctx.cpu, move || plan.resolve(&lists)).await?;
        held.resize(4 * ids.capacity() as u64)?;
        Ok((ids, held))
    }

    /// The matchers that concern labels within the block; `None` where its external labels do not pass.
    fn own_matchers(&self, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
        let mut own = Vec::with_capacity(matchers.len());
        for m in matchers {
            match self.external.get(m.name()) {
                Some(value) if !m.matches(value) => return None,
                Some(_) => {}
                None => own.push(m.clone()),
            }
        }
        Some(own)
    }

    /// Reads postings lists: one wave, or none where they are mapped.
    async fn postings(
        &self,
        ctx: &Ctx,
        lists: &[std::ops::Range<u64>],
    ) -> Result<(Vec<Postings>, Reservation)> {
        let ranges: Vec<RangeOf> = lists.iter().map(|l| (ObjectPart::Index, l.clone())).collect();
        let held = ctx.budget.reserve(self.source.cost(&ranges))?;
        let bytes = fetch(ctx, &*self.source, Why::Postings, &ranges).await?;
        let parse = |(bytes, (_, range)): (Bytes, &RangeOf)| {
            Postings::parse(bytes).context(format_args!("postings at byte {}", range.start))
        };
        Ok((bytes.into_iter().zip(&ranges).map(parse).collect::<Result<_>>()?, held))
    }
}

#[async_trait]
impl Queryable for BlockReader {
    fn cover(&self, select: &Select) -> Cover {
        let b = &self.block;
        let pass = select.matchers.iter().all(|m| b.external.get(m.name()).is_none_or(|v| m.matches(v)));
        Cover {
            labels: vec![b.external.clone()],
            range: b.range.intersect(select.range).filter(|_| pass),
            ..Cover::default()
        }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        ctx.check()?;
        let (ids, held) = self.block.ids(ctx, &select.matchers).await.context(&self.block.name)?;
        cursor::stream(self.block.clone(), ctx.clone(), select.clone(), ids, held)
    }

    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        ctx.check()?;
        let mut value = names::labels(&self.block, ctx, select, &ask).await.context(&self.block.name)?;
        if let Some(limit) = select.limit {
            value.truncate(usize::try_from(limit.get()).unwrap_or(usize::MAX));
        }
        Ok(Answer::whole(value))
    }
}

/// The bytes of an index-header, from an index that is not mapped: two waves.
pub async fn fetch_header(ctx: &Ctx, source: &dyn ByteSource) -> Result<Vec<u8>> {
    let len = index_len(source)?;
    let tail = len.saturating_sub(dolmen_index::Toc::LEN);
    let ends = [(ObjectPart::Index, 0..len.min(5)), (ObjectPart::Index, tail..len)];
    let ends = source.read(ctx, Why::Header, &ends).await.context("read index-header")?;
    let [start, tail] = ends.as_slice() else { return Err(short_answer()) };
    let (toc, ranges) = header::plan(len, tail)?;
    let ranges = ranges.map(|r| (ObjectPart::Index, r));
    let _held = ctx.budget.reserve(2 * ranges.iter().map(|(_, r)| r.end - r.start).sum::<u64>())?;
    let parts = source.read(ctx, Why::Header, &ranges).await.context("read index-header")?;
    let [symbols, table] = parts.as_slice() else { return Err(short_answer()) };
    header::build(start, toc, symbols, table)
}

async fn read_header(ctx: &Ctx, source: &dyn ByteSource) -> Result<IndexHeader> {
    let len = index_len(source)?;
    match source.ready(ObjectPart::Index, 0..len) {
        Some(index) => offload(&ctx.cpu, move || IndexHeader::from_index(&index)).await?,
        None => IndexHeader::from_header(&fetch_header(ctx, source).await?.into()),
    }
}

fn index_len(source: &dyn ByteSource) -> Result<u64> {
    source.len(ObjectPart::Index).ok_or_else(|| Error::corrupt("index is missing"))
}

/// Checks the segments' first bytes, where that takes no I/O. (Of others each record's checksum speaks.)
fn check_segments(source: &dyn ByteSource) -> Result<()> {
    for n in 0.. {
        let part = ObjectPart::Chunks(n);
        let Some(len) = source.len(part) else { break };
        if let Some(start) = source.ready(part, 0..len.min(segment::SEGMENT_HEADER)) {
            segment::check_header(&start).context(part.path())?;
        }
    }
    Ok(())
}

async fn read_tombstones(ctx: &Ctx, source: &dyn ByteSource) -> Result<Tombstones> {
    let part = ObjectPart::Tombstones;
    let Some(len) = source.len(part) else { return Ok(Tombstones::default()) };
    let bytes = fetch(ctx, source, Why::Other, &[(part, 0..len)]).await?;
    let bytes = bytes.first().ok_or_else(short_answer)?;
    tombstones::read(bytes)
}

/// Bytes at hand, or else one wave.
pub(crate) async fn fetch(
    ctx: &Ctx,
    source: &dyn ByteSource,
    why: Why,
    ranges: &[RangeOf],
) -> Result<Vec<Bytes>> {
    let ready: Option<Vec<Bytes>> = ranges.iter().map(|(part, r)| source.ready(*part, r.clone())).collect();
    let bytes = match ready {
        Some(bytes) => bytes,
        None => source.read(ctx, why, ranges).await?,
    };
    if bytes.len() != ranges.len() {
        return Err(short_answer());
    }
    Ok(bytes)
}

fn short_answer() -> Error {
    Error::corrupt("a source gave fewer ranges than asked")
}
