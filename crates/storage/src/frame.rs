//! What a select gives: batches of series whose samples are still encoded.

use std::sync::Arc;

use bytes::Bytes;
use dolmen_ctx::Reservation;
use dolmen_model::{Completeness, Encoding, LabelBlock, SourceId, TimeRange, Timestamp};
use smallvec::SmallVec;
use smol_str::SmolStr;

/// Most series in one batch.
pub const SERIES_PER_BATCH_MAX: usize = 256;

/// One piece of a select's answer.
#[derive(Debug)]
pub enum Frame {
    /// Series.
    Batch(RawBatch),
    /// The end. A stream that stops without it has failed.
    End(Completeness),
}

/// At most [`SERIES_PER_BATCH_MAX`] series.
#[derive(Debug)]
pub struct RawBatch {
    /// Place of the batch among those of its stream.
    pub ord: u64,
    /// The label sets.
    pub labels: LabelBlock,
    /// The series; with `Order::Labels` ascending within the batch and over batches.
    pub series: Vec<RawSeries>,
    /// Its memory in the query's budget.
    pub held: Reservation,
}

/// One series: a label set, and parts of it by replica or place.
#[derive(Debug)]
pub struct RawSeries {
    /// Place of its label set in the batch.
    pub label: u32,
    /// The parts.
    pub parts: SmallVec<[Part; 1]>,
}

/// Samples of one series from one place.
#[derive(Clone, Debug)]
pub struct Part {
    /// Whose samples they are.
    pub source: SourceId,
    /// Which store gave them, where it is another process: named if they prove broken.
    pub origin: Option<Arc<Origin>>,
    /// Time that is deleted: half-open, sorted, apart.
    pub masked: Arc<[TimeRange]>,
    /// Chunks, by time; they may overlap only between parts.
    pub chunks: Vec<RawChunk>,
}

/// A store in another process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The datacenter; empty where it is not known.
    pub site: SmolStr,
    /// The store, by address.
    pub store: SmolStr,
}

/// A chunk as it is stored.
#[derive(Clone, Debug)]
pub struct RawChunk {
    /// Time of its first sample.
    pub mint: Timestamp,
    /// Time of its last sample, inclusive.
    pub maxt: Timestamp,
    /// How the bytes are laid out.
    pub encoding: Encoding,
    /// The chunk's data, without length, encoding byte and checksum.
    pub data: Bytes,
}
