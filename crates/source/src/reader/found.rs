//! Series of a select: label sets by rank, and where their chunks are.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dolmen_ctx::Ctx;
use dolmen_index::wire::Dec;
use dolmen_index::{SERIES_ALIGN, Series, Split, split_entry};
use dolmen_model::{Context, Error, Kind, Result, SourceId, TimeRange};

use super::view::Sources;
use super::{Block, View, fetch};
use crate::{ObjectPart, RangeOf, Why};

/// Bytes fetched for a series entry where meta.json does not tell the longest.
const ENTRY_GUESS: u64 = 4 << 10;
/// Most bytes that are fetched for a series entry before its length is known.
const ENTRY_GUESS_MAX: u64 = 64 << 10;

/// Where a chunk is, and its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkAt {
    pub mint: i64,
    pub maxt: i64,
    pub segment: u32,
    pub offset: u32,
    /// Bytes to the series' next chunk; 0 where that is not known.
    pub room: u32,
}

/// One series.
#[derive(Clone, Debug)]
pub(crate) struct One {
    pub id: u32,
    pub source: u32,
    pairs: Range<u32>,
    chunks: Range<u32>,
}

/// Series, and what they share.
#[derive(Default)]
pub(crate) struct Found {
    pub series: Vec<One>,
    pairs: Vec<(u32, u32)>,
    chunks: Vec<ChunkAt>,
    sources: Sources,
}

/// What has to be sorted so that series go out in the order of their final label sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorting {
    /// Nothing: they come in that order, or any order will do.
    None,
    /// Series that extend each other, among themselves: an added label may stand between them. (Others keep
    /// their order: they differ before the added label, or in the same place.) `open`: more may come.
    Runs { open: bool },
    /// All: labels that were taken out may have told any two apart.
    All,
}

impl Found {
    /// The label set of a series by ranks.
    pub fn pairs(&self, one: &One) -> &[(u32, u32)] {
        &self.pairs[one.pairs.start as usize..one.pairs.end as usize]
    }

    /// The chunks of a series.
    pub fn chunks(&self, one: &One) -> &[ChunkAt] {
        &self.chunks[one.chunks.start as usize..one.chunks.end as usize]
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> u64 {
        let n = self.series.capacity() * size_of::<One>()
            + self.pairs.capacity() * size_of::<(u32, u32)>()
            + self.chunks.capacity() * size_of::<ChunkAt>();
        n as u64
    }

    /// The series from `from` on, alone.
    pub fn tail(&self, from: usize) -> Found {
        let mut out = Found { sources: self.sources.clone(), ..Found::default() };
        for one in &self.series[from..] {
            let (pairs, chunks) = (out.pairs.len() as u32, out.chunks.len() as u32);
            out.pairs.extend_from_slice(self.pairs(one));
            out.chunks.extend_from_slice(self.chunks(one));
            let (pairs, chunks) = (pairs..out.pairs.len() as u32, chunks..out.chunks.len() as u32);
            out.series.push(One { id: one.id, source: one.source, pairs, chunks });
        }
        out
    }

    /// The source of a series.
    pub fn source(&self, one: &One) -> &SourceId {
        self.sources.get(one.source)
    }

    /// Sorts; gives how many series, from the front, have their place for good.
    fn sort(&mut self, sorting: Sorting, view: &View) -> usize {
        let all = self.series.len();
        match sorting {
            Sorting::None => all,
            Sorting::All => {
                self.sort_range(0..all);
                all
            }
            Sorting::Runs { open } => self.sort_runs(open, view),
        }
    }

    fn sort_runs(&mut self, open: bool, view: &View) -> usize {
        let mut start = 0;
        for at in 1..=self.series.len() {
            let of = |i: usize| self.pairs(&self.series[i]);
            if at < self.series.len() && view.extends(of(start), of(at)) {
                continue;
            }
            if at == self.series.len() && open {
                return start;
            }
            self.sort_range(start..at);
            start = at;
        }
        self.series.len()
    }

    fn sort_range(&mut self, which: Range<usize>) {
        if which.len() < 2 {
            return;
        }
        let mut series = std::mem::take(&mut self.series);
        series[which].sort_by(|a, b| {
            let sets = self.pairs(a).cmp(self.pairs(b));
            sets.then_with(|| self.source(a).cmp(self.source(b)))
        });
        self.series = series;
    }

    /// Adds a series, unless nothing of it is left in the range.
    fn add(&mut self, block: &Block, view: &View, id: u32, entry: &Series, range: TimeRange) -> Result<()> {
        let chunks = self.chunks.len();
        let masked = block.tombstones.get(&u64::from(id)).map_or(&[][..], |m| m);
        for (i, c) in entry.chunks.iter().enumerate() {
            let wanted = c.mint < range.maxt() && c.maxt >= range.mint();
            let gone = || masked.iter().any(|m| m.mint() <= c.mint && c.maxt < m.maxt());
            if !wanted || gone() {
                continue;
            }
            let next = entry.chunks.get(i + 1).filter(|n| n.segment() == c.segment());
            let room = next.and_then(|n| n.offset().checked_sub(c.offset())).unwrap_or(0);
            let (segment, offset) = (c.segment(), c.offset() as u32);
            self.chunks.push(ChunkAt { mint: c.mint, maxt: c.maxt, segment, offset, room: room as u32 });
        }
        if self.chunks.len() == chunks {
            return Ok(());
        }
        let pairs = self.pairs.len();
        let symbols = block.header.symbols();
        let source = view.apply(symbols, &entry.labels, &mut self.pairs, &mut self.sources)?;
        let end = |n: usize| {
            u32::try_from(n).map_err(|_| Error::new(Kind::Limit, "too many labels or chunks in one select"))
        };
        let pairs = end(pairs)?..end(self.pairs.len())?;
        let chunks = end(chunks)?..end(self.chunks.len())?;
        self.series.push(One { id, source, pairs, chunks });
        Ok(())
    }
}

/// Series entries as they stand in the index.
enum Entries {
    /// The whole series section, and where it starts.
    Mapped(Bytes, u64),
    /// The bytes of each.
    Read(Vec<Bytes>),
}

impl Entries {
    fn get(&self, i: usize, id: u32) -> &[u8] {
        match self {
            Entries::Mapped(section, start) => {
                let at = (u64::from(id) * SERIES_ALIGN).saturating_sub(*start);
                usize::try_from(at).ok().and_then(|at| section.get(at..)).unwrap_or_default()
            }
            Entries::Read(all) => all.get(i).map_or(&[][..], |b| b),
        }
    }
}

/// Reads the entries of `ids` and adds their series to `found`: one wave, or none where the index is mapped.
/// Gives them sorted, and how many from the front have their place for good.
pub(crate) async fn read(
    block: &Arc<Block>,
    ctx: &Ctx,
    view: &Arc<View>,
    ids: &[u32],
    range: TimeRange,
    sorting: Sorting,
    mut found: Found,
) -> Result<(Found, usize)> {
    let (entries, _held) = entries(block, ctx, ids).await?;
    let (block, view, ids, call) = (block.clone(), view.clone(), ids.to_vec(), ctx.clone());
    let decoded = dolmen_ctx::offload(&ctx.cpu, move || {
        let mut entry = Series::default();
        for (i, id) in ids.iter().enumerate() {
            if i.is_multiple_of(1024) {
                call.check()?;
            }
            decode(entries.get(i, *id), |body| entry.decode(body, TimeRange::ALL))
                .and_then(|()| found.add(&block, &view, *id, &entry, range))
                .context(format_args!("index: series {id}"))?;
        }
        let ready = found.sort(sorting, &view);
        Ok((found, ready))
    });
    decoded.await?
}

/// Reads the label refs of the series `ids`: one wave, or none where the index is mapped.
pub(crate) async fn read_labels(
    block: &Block,
    ctx: &Ctx,
    ids: &[u32],
    mut each: impl FnMut(&[(u32, u32)]),
) -> Result<()> {
    let (entries, _held) = entries(block, ctx, ids).await?;
    let mut entry = Series::default();
    for (i, id) in ids.iter().enumerate() {
        if i.is_multiple_of(1024) {
            ctx.check()?;
        }
        decode(entries.get(i, *id), |body| entry.decode_labels(body))
            .context(format_args!("index: series {id}"))?;
        each(&entry.labels);
    }
    Ok(())
}

fn decode(bytes: &[u8], mut to: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    match split_entry(bytes)? {
        Split::Whole(body, _) => to(body),
        Split::Need(_) => Err(Error::corrupt("series entry ends early")),
    }
}

async fn entries(block: &Block, ctx: &Ctx, ids: &[u32]) -> Result<(Entries, dolmen_ctx::Reservation)> {
    let toc = block.header.toc();
    let mut held = ctx.budget.reserve(0)?;
    if let Some(section) = block.source.ready(ObjectPart::Index, toc.series..toc.label_indices) {
        for id in ids {
            block.header.series_from(*id)?;
        }
        return Ok((Entries::Mapped(section, toc.series), held));
    }
    let told = block.meta.thanos.as_ref().map_or(0, |t| t.index_stats.series_max_size);
    let most = if told > 0 { told.min(ENTRY_GUESS_MAX) } else { ENTRY_GUESS };
    let mut ranges: Vec<RangeOf> = Vec::with_capacity(ids.len());
    for (i, id) in ids.iter().enumerate() {
        let place = block.header.series_from(*id)?;
        // An entry ends where another begins.
        let next = ids.get(i + 1).map(|n| u64::from(*n) * SERIES_ALIGN).filter(|n| *n > place.start);
        let end = place.end.min(place.start.saturating_add(most)).min(next.unwrap_or(u64::MAX));
        ranges.push((ObjectPart::Index, place.start..end));
    }
    held.grow(block.source.cost(&ranges))?;
    let mut bytes = fetch(ctx, &*block.source, Why::Series, &ranges).await?;
    // Where the guess was too short, another wave.
    let mut short = Vec::new();
    for (i, id) in ids.iter().enumerate() {
        let (start, end) = (ranges[i].1.start, block.header.series_from(*id)?.end);
        let need = start.saturating_add(length(&bytes[i])).min(end);
        if need > ranges[i].1.end {
            short.push((i, (ObjectPart::Index, start..need)));
        }
    }
    if !short.is_empty() {
        let again: Vec<RangeOf> = short.iter().map(|(_, r)| r.clone()).collect();
        held.grow(block.source.cost(&again))?;
        let more = fetch(ctx, &*block.source, Why::Series, &again).await?;
        for ((i, _), more) in short.into_iter().zip(more) {
            bytes[i] = more;
        }
    }
    Ok((Entries::Read(bytes), held))
}

/// Length of the entry at the front, prefix and checksum included; 0 where it has none.
fn length(bytes: &[u8]) -> u64 {
    let mut d = Dec::new(bytes);
    let n = d.uvarint32();
    n.map_or(0, |n| (bytes.len() - d.rest().len()) as u64 + u64::from(n) + 4)
}
