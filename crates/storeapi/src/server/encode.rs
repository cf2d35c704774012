//! Batches -> frames.
//!
//! A frame is flushed once it is full: of series, or of bytes. A series that is larger than a frame goes on in the
//! next one, under the same labels; pieces of one series stand beside each other.

use std::collections::BTreeMap;

use dolmen_model::{Completeness, LabelsRef, Missing, SourceId, TimeRange};
use dolmen_storage::{Part, RawBatch, RawChunk, RawSeries};
use smol_str::SmolStr;
use xxhash_rust::xxh64::xxh64;

use super::codec::EncodedFrame;
use super::mask::unmask;
use super::shard::Shard;
use crate::wire::{Outgoing, Piece, put_key};

/// Bytes from which on a frame is full.
const FRAME_BYTES: usize = 1 << 20;
/// Bytes from which on frames go out before the batch is used up: a morsel.
const MORSEL_BYTES: usize = 1 << 20;
/// Room before a batch for its key and length.
const HEAD: usize = 6;

/// Why others do not get some chunks.
const NOT_GIVEN: &str = "chunks with start timestamps (encodings 4 to 6) are not given to others yet";

/// Fields of `SeriesResponse`.
const SERIES: u32 = 1;
const BATCH: u32 = 4;
/// The series of a `SeriesBatch`.
const BATCH_SERIES: u32 = 1;

/// How frames are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Whether chunks are wanted.
    pub chunks: bool,
    /// Most series in a frame; `None`: one, without a batch around it.
    pub batch: Option<usize>,
    /// Whether it is told whose chunks are whose.
    pub runs: bool,
    /// Which series are wanted.
    pub shard: Option<Shard>,
    /// How many series may still come.
    pub left: u64,
}

/// Turns series into frames.
pub(crate) struct Encoder {
    shape: Shape,
    /// The open batch, behind room for its head.
    open: Vec<u8>,
    in_open: usize,
    ready: Vec<EncodedFrame>,
    ready_bytes: usize,
    series: u64,
    /// Time of chunks that were left out, by cause.
    left_out: BTreeMap<String, TimeRange>,
    chunks: Vec<Outgoing>,
    runs: Vec<(SourceId, u32)>,
}

/// What a morsel gave.
pub(crate) struct Morsel {
    pub frames: Vec<EncodedFrame>,
    pub bytes: usize,
    pub series: u64,
}

impl Encoder {
    pub fn new(shape: Shape) -> Encoder {
        Encoder {
            shape,
            open: vec![0; HEAD],
            in_open: 0,
            ready: Vec::new(),
            ready_bytes: 0,
            series: 0,
            left_out: BTreeMap::new(),
            chunks: Vec::new(),
            runs: Vec::new(),
        }
    }

    /// Whether no more series are wanted.
    pub fn is_full(&self) -> bool {
        self.shape.left == 0
    }

    /// Encodes series from `at` on until enough is ready; gives the place to go on at, past the end when all are
    /// done.
    pub fn encode(&mut self, batch: &RawBatch, mut at: usize) -> usize {
        while at < batch.series.len() && self.shape.left > 0 && self.ready_bytes < MORSEL_BYTES {
            let series = &batch.series[at];
            self.push(batch.labels.get(series.label), series);
            at += 1;
        }
        if self.shape.left == 0 { batch.series.len() } else { at }
    }

    /// The frames that are ready.
    pub fn take(&mut self) -> Morsel {
        let frames = std::mem::take(&mut self.ready);
        let (bytes, series) = (self.ready_bytes, self.series);
        (self.ready_bytes, self.series) = (0, 0);
        Morsel { frames, bytes, series }
    }

    /// Ends the open batch.
    pub fn flush(&mut self) {
        if self.in_open == 0 {
            return;
        }
        let mut frame = std::mem::replace(&mut self.open, vec![0; HEAD]);
        let len = frame.len() - HEAD;
        let mut head = Vec::with_capacity(HEAD);
        put_key(&mut head, BATCH, len);
        let start = HEAD - head.len();
        frame[start..HEAD].copy_from_slice(&head);
        self.in_open = 0;
        self.ready_bytes += frame.len() - start;
        let bytes = bytes::Bytes::from(frame).slice(start..);
        self.ready.push(EncodedFrame { bytes, held: None });
    }

    /// What was left out.
    pub fn lacks(&self) -> Completeness {
        let missing = |(cause, range): (&String, &TimeRange)| Missing {
            site: SmolStr::default(),
            store: SmolStr::default(),
            range: *range,
            cause: cause.clone(),
        };
        Completeness { missing: self.left_out.iter().map(missing).collect() }
    }

    fn push(&mut self, labels: LabelsRef<'_>, series: &RawSeries) {
        if self.shape.shard.as_mut().is_some_and(|s| !s.wants(labels)) {
            return;
        }
        let mut chunks = std::mem::take(&mut self.chunks);
        let mut runs = std::mem::take(&mut self.runs);
        chunks.clear();
        runs.clear();
        if self.shape.chunks {
            self.gather(&series.parts, &mut chunks, &mut runs);
        }
        // A series of which nothing is left has no samples to give.
        if !self.shape.chunks || !chunks.is_empty() {
            self.shape.left -= 1;
            self.series += 1;
            self.put(labels, &chunks, &runs);
        }
        (self.chunks, self.runs) = (chunks, runs);
    }

    /// The chunks of all parts: by time, each once; or part by part, where it is told whose they are.
    fn gather(&mut self, parts: &[Part], out: &mut Vec<Outgoing>, runs: &mut Vec<(SourceId, u32)>) {
        for part in parts {
            let before = out.len();
            self.readable(part, out);
            let n = (out.len() - before) as u32;
            if self.shape.runs && n > 0 {
                runs.push((part.source.clone(), n));
            }
        }
        if !self.shape.runs {
            if parts.len() > 1 {
                out.sort_by(|a, b| {
                    let key = |c: &Outgoing| (c.mint, c.maxt, c.encoding as u8);
                    key(a).cmp(&key(b)).then_with(|| a.data.cmp(&b.data))
                });
                out.dedup();
            }
            for chunk in out {
                chunk.hash = xxh64(&chunk.data, 0);
            }
        }
    }

    /// The chunks of a part that the client can read, without deleted time.
    fn readable(&mut self, part: &Part, out: &mut Vec<Outgoing>) {
        let mut unmasked = Vec::new();
        for chunk in &part.chunks {
            if !self.shape.runs && chunk.encoding as u8 > 3 {
                self.leave_out(NOT_GIVEN, chunk);
                continue;
            }
            if part.masked.is_empty() {
                out.push(outgoing(chunk.clone()));
                continue;
            }
            unmasked.clear();
            match unmask(chunk, &part.masked, &mut unmasked) {
                Ok(()) => out.extend(unmasked.drain(..).map(outgoing)),
                Err(e) => self.leave_out(&e.to_string(), chunk),
            }
        }
    }

    fn leave_out(&mut self, cause: &str, chunk: &RawChunk) {
        let Some(range) = TimeRange::inclusive(chunk.mint, chunk.maxt) else { return };
        match self.left_out.get_mut(cause) {
            Some(all) => {
                let (mint, maxt) = (all.mint().min(range.mint()), all.maxt().max(range.maxt()));
                *all = TimeRange::new(mint, maxt).unwrap_or(range);
            }
            None => drop(self.left_out.insert(cause.to_owned(), range)),
        }
    }

    /// Writes a series, in as many pieces as it takes.
    fn put(&mut self, labels: LabelsRef<'_>, chunks: &[Outgoing], runs: &[(SourceId, u32)]) {
        let mut runs = Runs { all: runs, used: 0 };
        let mut rest = chunks;
        loop {
            let taken = if self.shape.batch.is_some() { self.open.len() } else { 0 };
            let n = fitting(rest, FRAME_BYTES.saturating_sub(taken));
            let (now, later) = rest.split_at(n);
            let runs = runs.take(n as u32);
            self.put_piece(Piece { labels, chunks: now, runs: &runs });
            rest = later;
            if rest.is_empty() {
                return;
            }
        }
    }

    fn put_piece(&mut self, piece: Piece<'_>) {
        match self.shape.batch {
            None => {
                let mut frame = Vec::new();
                piece.put_field(&mut frame, SERIES);
                self.ready_bytes += frame.len();
                self.ready.push(frame.into());
            }
            Some(most) => {
                piece.put_field(&mut self.open, BATCH_SERIES);
                self.in_open += 1;
                if self.in_open >= most || self.open.len() >= FRAME_BYTES {
                    self.flush();
                }
            }
        }
    }
}

/// How many chunks fit into so many bytes; at least one, where there is one.
fn fitting(chunks: &[Outgoing], bytes: usize) -> usize {
    let mut sum = 0;
    for (i, chunk) in chunks.iter().enumerate() {
        sum += chunk.data.len();
        if sum >= bytes {
            return i + 1;
        }
    }
    chunks.len()
}

/// Runs, as pieces take their chunks.
struct Runs<'a> {
    all: &'a [(SourceId, u32)],
    /// Chunks of the first run that are gone.
    used: u32,
}

impl Runs<'_> {
    fn take(&mut self, mut n: u32) -> Vec<(SourceId, u32)> {
        let mut out = Vec::new();
        while let Some(((source, len), rest)) = self.all.split_first()
            && n > 0
        {
            let now = (len - self.used).min(n);
            out.push((source.clone(), now));
            n -= now;
            self.used += now;
            if self.used == *len {
                (self.all, self.used) = (rest, 0);
            }
        }
        out
    }
}

fn outgoing(chunk: RawChunk) -> Outgoing {
    let RawChunk { mint, maxt, encoding, data } = chunk;
    Outgoing { mint, maxt, encoding, data, hash: 0 }
}

#[cfg(test)]
mod tests;
