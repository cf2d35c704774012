//! Merges blocks that do not overlap in time into one: a streaming k-way merge by label set.
//!
//! Memory holds one series of every input, whatever the size of the blocks. Chunks are passed on byte for
//! byte; only a chunk of which a part is deleted is encoded anew.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

use dolmen_block::{BlockWriter, ChunkIn};
use dolmen_ctx::Ctx;
use dolmen_model::{Error, Kind, Labels, Result, TimeRange};
use dolmen_storage::RawChunk;

use crate::mask::Mask;

/// A series of an input, without external labels.
#[derive(Clone, Debug)]
pub struct SeriesIn {
    /// Its labels.
    pub labels: Labels,
    /// Its chunks, by time.
    pub chunks: Vec<RawChunk>,
    /// Time that is deleted: half-open, sorted, apart.
    pub masked: Arc<[TimeRange]>,
}

/// Gives the series of a block in label order.
pub trait Input: Send {
    /// The time that the block claims.
    fn range(&self) -> TimeRange;

    /// The next series; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<SeriesIn>>> + Send;
}

/// Why a merge failed, and by which input.
#[derive(Clone, Debug)]
pub struct MergeError {
    /// Place of the input that is to blame.
    pub input: Option<usize>,
    /// What is wrong.
    pub error: Error,
}

impl MergeError {
    /// Blames an input.
    pub(crate) fn of(input: usize) -> impl FnOnce(Error) -> MergeError {
        move |error| MergeError { input: Some(input), error }
    }
}

impl From<Error> for MergeError {
    fn from(error: Error) -> MergeError {
        MergeError { input: None, error }
    }
}

/// What a merge met, in samples. What was written is `read - deleted - repeated`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// In the chunks of each input.
    pub read: Vec<u64>,
    /// Left out because tombstones cover them.
    pub deleted: u64,
    /// Left out because two inputs held the same chunk.
    pub repeated: u64,
    /// Label sets over all inputs, each counted once; also those of which nothing was written.
    pub series: u64,
}

impl Merged {
    /// Samples that the output must hold.
    pub fn written(&self) -> u64 {
        self.read.iter().sum::<u64>().saturating_sub(self.deleted).saturating_sub(self.repeated)
    }
}

/// An input and its next series. Ordered so that a heap gives the least label set first.
struct Cursor<I> {
    series: SeriesIn,
    place: usize,
    input: I,
}

impl<I> Ord for Cursor<I> {
    fn cmp(&self, other: &Cursor<I>) -> Ordering {
        other.series.labels.cmp(&self.series.labels).then(other.place.cmp(&self.place))
    }
}

impl<I> PartialOrd for Cursor<I> {
    fn partial_cmp(&self, other: &Cursor<I>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<I> PartialEq for Cursor<I> {
    fn eq(&self, other: &Cursor<I>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<I> Eq for Cursor<I> {}

/// Writes the union of the inputs' series. A series whose chunks overlap in time is an error: nothing is merged
/// that would have to be chosen from. Blocks that do not overlap have no such series unless a chunk reaches out
/// of its block, and that block is to blame; otherwise it is `Kind::Halt`. Stops between two series where the caller has left.
pub async fn merge<I: Input>(
    ctx: &Ctx,
    inputs: Vec<I>,
    writer: &mut BlockWriter,
) -> Result<Merged, MergeError> {
    let mut merged = Merged { read: vec![0; inputs.len()], ..Merged::default() };
    let ranges: Vec<TimeRange> = inputs.iter().map(Input::range).collect();
    let mut heap = BinaryHeap::with_capacity(inputs.len());
    for (place, mut input) in inputs.into_iter().enumerate() {
        if let Some(series) = input.next().await.map_err(MergeError::of(place))? {
            heap.push(Cursor { series, place, input });
        }
    }
    let (mut chunks, mut left, mut mask) = (Vec::new(), Vec::new(), Mask::default());
    while let Some(first) = heap.peek() {
        ctx.check()?;
        let labels = first.series.labels.clone();
        while let Some(mut cursor) = heap.peek_mut().filter(|c| c.series.labels == labels) {
            let Cursor { series, place, input } = &mut *cursor;
            let place = *place;
            for chunk in series.chunks.drain(..) {
                let samples = dolmen_chunk::samples(chunk.encoding, &chunk.data);
                let samples = u64::from(samples.map_err(Error::from).map_err(MergeError::of(place))?);
                merged.read[place] += samples;
                let gone = mask.push(chunk, samples, &series.masked, &mut left);
                merged.deleted += gone.map_err(MergeError::of(place))?;
                chunks.extend(left.drain(..).map(|c| (place, c)));
            }
            match input.next().await.map_err(MergeError::of(place))? {
                Some(next) if next.labels > labels => *series = next,
                Some(next) => {
                    let text =
                        format!("index is out of order: series {} stands behind {labels}", next.labels);
                    return Err(MergeError::of(place)(Error::corrupt(text)));
                }
                None => drop(PeekMut::pop(cursor)),
            }
        }
        merged.series += 1;
        merged.repeated += write(writer, &labels, &mut chunks, &ranges)?;
    }
    Ok(merged)
}

/// Writes one series from chunks and the places of their inputs; a chunk that two inputs hold alike is written
/// once. Returns the samples that this left out.
fn write(
    writer: &mut BlockWriter,
    labels: &Labels,
    chunks: &mut Vec<(usize, RawChunk)>,
    ranges: &[TimeRange],
) -> Result<u64, MergeError> {
    chunks.sort_by_key(|(_, c)| (c.mint, c.maxt));
    let mut repeated = 0;
    let same = |a: &RawChunk, b: &RawChunk| {
        (a.mint, a.maxt, a.encoding) == (b.mint, b.maxt, b.encoding) && a.data == b.data
    };
    for pair in chunks.windows(2).filter(|w| same(&w[0].1, &w[1].1)) {
        repeated +=
            u64::from(dolmen_chunk::samples(pair[1].1.encoding, &pair[1].1.data).map_err(Error::from)?);
    }
    chunks.dedup_by(|(_, b), (_, a)| same(a, b));
    if let Some(pair) = chunks.windows(2).find(|w| w[1].1.mint <= w[0].1.maxt) {
        return Err(overlap(labels, pair, ranges));
    }
    writer.add_series(labels.as_ref(), &chunks.iter().map(|(_, c)| view(c)).collect::<Vec<_>>())?;
    chunks.clear();
    Ok(repeated)
}

/// Which input is to blame for two chunks that overlap.
fn overlap(labels: &Labels, pair: &[(usize, RawChunk)], ranges: &[TimeRange]) -> MergeError {
    let times = pair.iter().map(|(_, c)| format!("{}..{}", c.mint, c.maxt)).collect::<Vec<_>>().join(" and ");
    let text = format!("series {labels}: chunks overlap, {times}");
    let out =
        |(place, c): &&(usize, RawChunk)| c.mint < ranges[*place].mint() || c.maxt >= ranges[*place].maxt();
    match pair.iter().find(out) {
        Some((place, c)) => {
            let text = format!("{text}: chunk {}..{} reaches out of its block", c.mint, c.maxt);
            MergeError::of(*place)(Error::corrupt(text))
        }
        None => Error::new(Kind::Halt, text).into(),
    }
}

fn view(c: &RawChunk) -> ChunkIn<'_> {
    ChunkIn { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: &c.data }
}

#[cfg(test)]
mod tests;
