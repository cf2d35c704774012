//! Whole runs of samples -> chunks.

use bytes::Bytes;
use dolmen_model::{Encoding, FloatHistogram, Histogram, IntHistogram, Timestamp};

use crate::{Appended, FloatHistogramEncoder, HistogramEncoder, ResetHeader, XorEncoder};

/// Samples in a chunk where nothing else ends it: what Prometheus aims at.
pub const SAMPLES_PER_CHUNK: usize = 120;

/// A finished chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Time of the first sample.
    pub mint: Timestamp,
    /// Time of the last sample.
    pub maxt: Timestamp,
    /// How the data is laid out.
    pub encoding: Encoding,
    /// The chunk's bytes.
    pub data: Bytes,
    /// How many samples it holds.
    pub samples: u16,
}

/// Appends chunks of at most `per_chunk` samples (at least 1, at most 65,535). Times rise; columns are of
/// equal length.
pub fn encode_floats(t: &[Timestamp], v: &[f64], per_chunk: usize, out: &mut Vec<Encoded>) {
    let per_chunk = per_chunk.clamp(1, usize::from(u16::MAX));
    for (times, values) in t.chunks(per_chunk).zip(v.chunks(per_chunk)) {
        let mut encoder = XorEncoder::new();
        for (t, v) in times.iter().zip(values) {
            encoder.append(*t, *v);
        }
        out.push(Encoded {
            mint: times[0],
            maxt: times[times.len() - 1],
            encoding: Encoding::Xor,
            samples: encoder.samples(),
            data: encoder.into_bytes().into(),
        });
    }
}

/// Appends chunks of at most `per_chunk` samples; a new one also begins where Prometheus' rules ask for it:
/// at counter resets, other bounds, and between integer and float histograms. Times rise.
pub fn encode_histograms(
    histograms: impl IntoIterator<Item = (Timestamp, Histogram)>,
    per_chunk: usize,
    out: &mut Vec<Encoded>,
) {
    let per_chunk = per_chunk.clamp(1, usize::from(u16::MAX));
    let mut open: Option<Open> = None;
    for (t, h) in histograms {
        let header = match &mut open {
            Some(open) => match open.append(t, &h, per_chunk) {
                None => continue,
                Some(header) => header,
            },
            None => ResetHeader::Unknown,
        };
        if let Some(full) = open.replace(Open::begin(t, &h, header)) {
            out.push(full.finish());
        }
    }
    out.extend(open.map(Open::finish));
}

struct Open {
    mint: Timestamp,
    maxt: Timestamp,
    encoder: Either,
}

enum Either {
    Int(Box<HistogramEncoder>),
    Float(Box<FloatHistogramEncoder>),
}

impl Open {
    fn begin(t: Timestamp, h: &Histogram, header: ResetHeader) -> Open {
        let encoder = match h {
            Histogram::Int(h) => {
                let mut encoder = Box::new(HistogramEncoder::with_header(header));
                encoder.append(t, h);
                Either::Int(encoder)
            }
            Histogram::Float(h) => {
                let mut encoder = Box::new(FloatHistogramEncoder::with_header(header));
                encoder.append(t, h);
                Either::Float(encoder)
            }
        };
        Open { mint: t, maxt: t, encoder }
    }

    /// The next chunk's header, where the histogram must go there.
    fn append(&mut self, t: Timestamp, h: &Histogram, per_chunk: usize) -> Option<ResetHeader> {
        let done = match (&mut self.encoder, h) {
            (Either::Int(e), Histogram::Int(h)) => append_int(e, t, h, per_chunk),
            (Either::Float(e), Histogram::Float(h)) => append_float(e, t, h, per_chunk),
            _ => return Some(ResetHeader::Unknown),
        };
        match done {
            Appended::NeedsNewChunk(header) => Some(header),
            Appended::Added | Appended::Recoded => {
                self.maxt = t;
                None
            }
        }
    }

    fn finish(self) -> Encoded {
        let (encoding, samples, data) = match self.encoder {
            Either::Int(e) => (Encoding::Histogram, e.samples(), e.into_bytes()),
            Either::Float(e) => (Encoding::FloatHistogram, e.samples(), e.into_bytes()),
        };
        Encoded { mint: self.mint, maxt: self.maxt, encoding, samples, data: data.into() }
    }
}

fn append_int(e: &mut HistogramEncoder, t: Timestamp, h: &IntHistogram, per_chunk: usize) -> Appended {
    if usize::from(e.samples()) >= per_chunk {
        return Appended::NeedsNewChunk(e.next_header(h));
    }
    e.append(t, h)
}

fn append_float(
    e: &mut FloatHistogramEncoder,
    t: Timestamp,
    h: &FloatHistogram,
    per_chunk: usize,
) -> Appended {
    if usize::from(e.samples()) >= per_chunk {
        return Appended::NeedsNewChunk(e.next_header(h));
    }
    e.append(t, h)
}
