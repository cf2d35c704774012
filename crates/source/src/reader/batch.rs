//! Found series and the bytes of their chunks -> one batch.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dolmen_model::{LabelBlock, LabelBlockBuilder, Result};
use dolmen_storage::{Part, RawChunk, RawSeries};
use smallvec::SmallVec;

use super::found::{Found, One};
use super::{Block, View, places};

/// A batch that is planned, its chunks fetched.
pub(crate) struct Planned {
    /// Series with the same label set each.
    pub sets: Vec<Range<usize>>,
    /// Records of their chunks, in order; none where no samples are asked for.
    pub records: Vec<Bytes>,
}

/// Series of a batch, and the memory that they take beside the records.
pub(crate) struct Built {
    pub labels: LabelBlock,
    pub series: Vec<RawSeries>,
    pub bytes: u64,
}

/// Checks and assembles.
pub(crate) fn build(
    block: &Block,
    view: &View,
    found: &Found,
    planned: Planned,
    samples: bool,
) -> Result<Built> {
    let symbols = block.header.symbols();
    let mut labels = LabelBlockBuilder::default();
    let mut series = Vec::with_capacity(planned.sets.len());
    let mut set: Vec<(&str, &str)> = Vec::new();
    let mut records = planned.records.iter();
    let mut bytes = 0;
    for same in planned.sets {
        set.clear();
        for (name, value) in found.pairs(&found.series[same.start]) {
            set.push((view.text(symbols, *name)?, view.text(symbols, *value)?));
        }
        let label = labels.push(set.iter().copied());
        let mut parts: SmallVec<[Part; 1]> = SmallVec::new();
        for one in found.series[same].iter().filter(|_| samples) {
            let places = found.chunks(one).iter();
            bytes += places.len() * size_of::<RawChunk>() + size_of::<Part>();
            let chunks = places.zip(records.by_ref()).map(|(place, bytes)| places::chunk(place, bytes));
            add_parts(block, found, one, chunks, &mut parts)?;
        }
        series.push(RawSeries { label, parts });
    }
    let labels = labels.build();
    bytes += labels.bytes() + series.capacity() * size_of::<RawSeries>();
    Ok(Built { labels, series, bytes: bytes as u64 })
}

/// One part, or two where a chunk ends at the millisecond in which the next begins.
fn add_parts(
    block: &Block,
    found: &Found,
    one: &One,
    chunks: impl Iterator<Item = Result<RawChunk>>,
    parts: &mut SmallVec<[Part; 1]>,
) -> Result<()> {
    let masked = block.tombstones.get(&u64::from(one.id)).cloned().unwrap_or_else(|| Arc::from([]));
    let first = parts.len();
    for c in chunks {
        let c = c?;
        let fits = |p: &&mut Part| p.chunks.last().is_none_or(|l| l.maxt < c.mint);
        match parts[first..].iter_mut().find(fits) {
            Some(part) => part.chunks.push(c),
            None => {
                let mut chunks = Vec::with_capacity(found.chunks(one).len());
                chunks.push(c);
                parts.push(Part {
                    source: found.source(one).clone(),
                    origin: None,
                    masked: masked.clone(),
                    chunks,
                });
            }
        }
    }
    Ok(())
}
