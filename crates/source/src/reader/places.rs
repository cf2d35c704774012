//! Where chunks are -> which bytes to fetch -> chunks, each with its checksum checked.

use std::ops::Range;

use bytes::Bytes;
use dolmen_block::segment::{self, Record};
use dolmen_ctx::{Ctx, Reservation};
use dolmen_index::wire::Dec;
use dolmen_model::{Context, Encoding, Error, Result};
use dolmen_storage::RawChunk;

use super::found::ChunkAt;
use super::{Block, fetch};
use crate::{ObjectPart, RangeOf, Why};

/// Bytes fetched for a chunk where neither a neighbour nor meta.json tells more.
const CHUNK_GUESS: u64 = 16 << 10;
/// Most bytes that are fetched for a chunk before its length is known.
const CHUNK_GUESS_MAX: u64 = 64 << 10;

/// Fetches records: one wave, or none where the segments are mapped. Gives their bytes in the order asked.
pub(crate) async fn read(block: &Block, ctx: &Ctx, places: &[ChunkAt]) -> Result<(Vec<Bytes>, Reservation)> {
    let mut held = ctx.budget.reserve(0)?;
    let ranges = ranges(block, places)?;
    if let Some(bytes) = ready(block, &ranges) {
        return Ok((bytes, held));
    }
    held.grow(block.source.cost(&ranges))?;
    let mut bytes = fetch(ctx, &*block.source, Why::Chunks, &ranges).await?;
    let mut short: Vec<(usize, RangeOf)> = Vec::new();
    for (i, (part, range)) in ranges.iter().enumerate() {
        let need = range.start.saturating_add(length(&bytes[i]));
        // What reaches past the segment is said to be broken when it is taken apart.
        if need > range.end && block.source.len(*part).is_some_and(|len| need <= len) {
            short.push((i, (*part, range.start..need)));
        }
    }
    if !short.is_empty() {
        let again: Vec<RangeOf> = short.iter().map(|(_, r)| r.clone()).collect();
        held.grow(block.source.cost(&again))?;
        let more = fetch(ctx, &*block.source, Why::Chunks, &again).await?;
        for ((i, _), more) in short.into_iter().zip(more) {
            bytes[i] = more;
        }
    }
    Ok((bytes, held))
}

/// Length of the record at the front; 0 where that cannot be told.
fn length(bytes: &[u8]) -> u64 {
    let mut d = Dec::new(bytes);
    let n = d.uvarint32().filter(|n| *n as usize <= segment::CHUNK_SIZE_MAX);
    n.map_or(0, |n| (bytes.len() - d.rest().len()) as u64 + 1 + u64::from(n) + 4)
}

/// Bytes of memory that reading these chunks takes, as far as one can know.
pub(crate) fn cost(block: &Block, places: &[ChunkAt]) -> Result<u64> {
    Ok(if block.mapped { 0 } else { block.source.cost(&ranges(block, places)?) })
}

fn expected(block: &Block, place: &ChunkAt) -> u64 {
    if place.room > 0 { u64::from(place.room) } else { most(block) }
}

fn most(block: &Block) -> u64 {
    let told = block.meta.thanos.as_ref().map_or(0, |t| t.index_stats.chunk_max_size);
    // One long chunk shall not make all others dear: it is fetched once more.
    if told > 0 { told.min(CHUNK_GUESS_MAX) } else { CHUNK_GUESS }
}

fn ranges(block: &Block, places: &[ChunkAt]) -> Result<Vec<RangeOf>> {
    let mut out: Vec<RangeOf> = Vec::with_capacity(places.len());
    for place in places {
        let part = ObjectPart::Chunks(place.segment);
        let len = block.source.len(part);
        let len = len.ok_or_else(|| Error::corrupt(format!("{}: there is no such segment", at(place))))?;
        let start = u64::from(place.offset);
        if start < segment::SEGMENT_HEADER || start >= len {
            return Err(Error::corrupt(format!("{}: the segment has {len} bytes", at(place))));
        }
        out.push((part, start..len.min(start.saturating_add(expected(block, place)))));
    }
    // A record ends where another begins.
    let mut order: Vec<usize> = (0..out.len()).collect();
    order.sort_unstable_by_key(|i| (out[*i].0, out[*i].1.start));
    for pair in order.windows(2) {
        let (next_part, next) = (out[pair[1]].0, out[pair[1]].1.start);
        let (part, range) = &mut out[pair[0]];
        if *part == next_part && range.start < next {
            range.end = range.end.min(next);
        }
    }
    Ok(out)
}

/// The bytes from each place to the segment's end, where these are mapped.
fn ready(block: &Block, ranges: &[RangeOf]) -> Option<Vec<Bytes>> {
    let mut last: Option<(ObjectPart, Bytes)> = None;
    let mut out = Vec::with_capacity(ranges.len());
    for (part, Range { start, .. }) in ranges {
        if last.as_ref().is_none_or(|(p, _)| p != part) {
            let len = block.source.len(*part)?;
            last = Some((*part, block.source.ready(*part, 0..len)?));
        }
        let (_, segment) = last.as_ref()?;
        let start = usize::try_from(*start).ok().filter(|s| *s <= segment.len())?;
        out.push(segment.slice(start..));
    }
    Some(out)
}

/// Takes a record apart and checks its checksum.
pub(crate) fn chunk(place: &ChunkAt, bytes: &Bytes) -> Result<RawChunk> {
    let at = || at(place);
    let Record::Whole(encoding, data, _) = segment::record(bytes).with(at)? else {
        return Err(Error::corrupt(format!("{}: the segment ends within the chunk", at())));
    };
    let encoding = Encoding::from_u8(encoding)
        .ok_or_else(|| Error::corrupt(format!("{}: unknown encoding {encoding}", at())))?;
    Ok(RawChunk { mint: place.mint, maxt: place.maxt, encoding, data: bytes.slice_ref(data) })
}

/// Says where a chunk stands, for errors.
fn at(place: &ChunkAt) -> String {
    format!("{}: chunk at byte {}", ObjectPart::Chunks(place.segment).path(), place.offset)
}

trait With<T> {
    /// Context whose text is made only when it is needed.
    fn with(self, doing: impl Fn() -> String) -> Result<T>;
}

impl<T> With<T> for Result<T> {
    fn with(self, doing: impl Fn() -> String) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(e) => Err(e).context(doing()),
        }
    }
}
