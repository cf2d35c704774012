//! Merges blocks that do not overlap in time into one: a streaming k-way merge by label set.
//!
//! Memory holds one series of every input, whatever the size of the blocks. Chunks are copied byte for byte.

use std::cmp::Ordering;

use async_trait::async_trait;
use dolmen_block::{BlockWriter, ChunkIn};
use dolmen_model::{Error, Kind, Labels, Result};
use dolmen_storage::RawChunk;

/// A series of an input, without external labels.
#[derive(Clone, Debug)]
pub struct SeriesIn {
    /// Its labels.
    pub labels: Labels,
    /// Its chunks, by time, deleted time taken out.
    pub chunks: Vec<RawChunk>,
}

/// Gives the series of a block in label order.
#[async_trait]
pub trait Input: Send {
    /// The next series; `None` at the end.
    async fn next(&mut self) -> Result<Option<SeriesIn>>;
}

struct Cursor {
    input: Box<dyn Input>,
    series: SeriesIn,
    place: usize,
}

impl Cursor {
    fn order(&self, other: &Cursor) -> Ordering {
        self.series.labels.cmp(&other.series.labels).then(self.place.cmp(&other.place))
    }
}

/// Writes the union of the inputs' series. Inputs that overlap in time within a series are refused.
pub async fn merge(inputs: Vec<Box<dyn Input>>, writer: &mut BlockWriter) -> Result<()> {
    let mut cursors = Vec::new();
    for (place, mut input) in inputs.into_iter().enumerate() {
        if let Some(series) = input.next().await? {
            cursors.push(Cursor { input, series, place });
        }
    }
    // Descending, so that the least label set is taken from the end.
    cursors.sort_by(|a, b| b.order(a));
    let mut chunks: Vec<RawChunk> = Vec::new();
    while let Some(last) = cursors.last() {
        let labels = last.series.labels.clone();
        while cursors.last().is_some_and(|c| c.series.labels == labels) {
            let mut cursor = cursors.pop().expect("looked at just before");
            chunks.append(&mut cursor.series.chunks);
            if let Some(series) = cursor.input.next().await? {
                if series.labels <= labels {
                    let text = format!("series {} stands behind {labels}: the index is out of order", series.labels);
                    return Err(Error::corrupt(text));
                }
                cursor.series = series;
                let at = cursors.partition_point(|c| c.order(&cursor) == Ordering::Greater);
                cursors.insert(at, cursor);
            }
        }
        write(writer, &labels, &mut chunks)?;
    }
    Ok(())
}

/// Writes one series; a chunk that two inputs hold alike is written once.
fn write(writer: &mut BlockWriter, labels: &Labels, chunks: &mut Vec<RawChunk>) -> Result<()> {
    chunks.sort_by_key(|c| (c.mint, c.maxt));
    chunks.dedup_by(|b, a| (a.mint, a.maxt, a.encoding) == (b.mint, b.maxt, b.encoding) && a.data == b.data);
    if let Some(pair) = chunks.windows(2).find(|w| w[1].mint <= w[0].maxt) {
        let text = format!(
            "series {labels}: chunks overlap, {}..{} and {}..{}",
            pair[0].mint, pair[0].maxt, pair[1].mint, pair[1].maxt
        );
        return Err(Error::new(Kind::Halt, text));
    }
    let views: Vec<ChunkIn<'_>> = chunks
        .iter()
        .map(|c| ChunkIn { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: &c.data })
        .collect();
    writer.add_series(labels.as_ref(), &views)?;
    chunks.clear();
    Ok(())
}
