//! Histograms -> chunks, by the rules by which Prometheus appends or begins a new chunk.

use std::sync::Arc;

use dolmen_model::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistLayout, IntHistogram, ResetHint, Timestamp, is_stale,
};

use super::counts::Count;
use super::layout::{most_bytes, put_layout};
use super::widen::{fit, place, union};
use super::{HEADER_BYTES, MAX_BUCKETS, ResetHeader, decode};
use crate::bits::BitWriter;
use crate::error::Corrupt;
use crate::xor::{NO_WINDOW, put_xor};

/// What became of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the chunk.
    Added,
    /// It is in the chunk, and what was there before was written anew with more buckets.
    Recoded,
    /// It is not in the chunk: it must begin the next one, which gets this header.
    NeedsNewChunk(ResetHeader),
}

/// Builds one chunk of integer histograms.
#[derive(Clone, Default)]
pub struct HistogramEncoder(Encoder<i64>);

/// Builds one chunk of float histograms.
#[derive(Clone, Default)]
pub struct FloatHistogramEncoder(Encoder<f64>);

macro_rules! encoder {
    ($name:ident, $histogram:ident) => {
        impl $name {
            /// An empty chunk that knows nothing of what was before.
            pub fn new() -> $name {
                $name::default()
            }

            /// An empty chunk with a header. A first sample that is a gauge, or says that there was a reset,
            /// sets its own.
            pub fn with_header(header: ResetHeader) -> $name {
                let mut encoder = $name::default();
                encoder.0.header = header;
                encoder
            }

            /// Adds a histogram; times rise.
            pub fn append(&mut self, t: Timestamp, h: &$histogram) -> Appended {
                self.0.append(t, h.into())
            }

            /// The header of the chunk that follows this one and begins with `h`, where this one is full.
            pub fn next_header(&self, h: &$histogram) -> ResetHeader {
                self.0.next_header(&h.into())
            }

            /// Samples so far.
            pub fn samples(&self) -> u16 {
                self.0.n
            }

            /// Time of the newest sample; meaningless in an empty chunk.
            pub fn maxt(&self) -> Timestamp {
                self.0.t
            }

            /// The chunk so far: valid bytes at any time.
            pub fn data(&self) -> &[u8] {
                if self.0.n == 0 { &[0; HEADER_BYTES] } else { &self.0.data }
            }

            /// The chunk.
            pub fn into_bytes(self) -> Vec<u8> {
                if self.0.n == 0 { vec![0; HEADER_BYTES] } else { self.0.data }
            }

            /// An encoder that goes on where the chunk ends.
            pub fn resume(chunk: &[u8]) -> Result<$name, Corrupt> {
                let mut encoder = $name::with_header(super::reset_header(chunk)?);
                encoder.0.go_on(chunk, None)?;
                Ok(encoder)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("samples", &self.0.n)
                    .field("bytes", &self.0.data.len())
                    .finish()
            }
        }
    };
}

encoder!(HistogramEncoder, IntHistogram);
encoder!(FloatHistogramEncoder, FloatHistogram);

/// A histogram with absolute buckets.
#[derive(Clone)]
struct Raw<N> {
    layout: Arc<HistLayout>,
    hint: ResetHint,
    count: N,
    zero_count: N,
    sum: f64,
    positive: Vec<N>,
    negative: Vec<N>,
}

impl From<&IntHistogram> for Raw<i64> {
    fn from(h: &IntHistogram) -> Raw<i64> {
        let absolute = |deltas: &[i64]| {
            let sums = deltas.iter().scan(0i64, |sum, d| {
                *sum = sum.wrapping_add(*d);
                Some(*sum)
            });
            sums.collect()
        };
        Raw {
            layout: h.layout.clone(),
            hint: h.hint,
            count: h.count as i64,
            zero_count: h.zero_count as i64,
            sum: h.sum,
            positive: absolute(&h.positive_deltas),
            negative: absolute(&h.negative_deltas),
        }
    }
}

impl From<&FloatHistogram> for Raw<f64> {
    fn from(h: &FloatHistogram) -> Raw<f64> {
        Raw {
            layout: h.layout.clone(),
            hint: h.hint,
            count: h.count,
            zero_count: h.zero_count,
            sum: h.sum,
            positive: h.positive.clone(),
            negative: h.negative.clone(),
        }
    }
}

impl<N: Count> Raw<N> {
    fn move_to(&mut self, wide: &Arc<HistLayout>) {
        self.positive = place(&self.layout.positive_spans, &self.positive, &wide.positive_spans);
        self.negative = place(&self.layout.negative_spans, &self.negative, &wide.negative_spans);
        self.layout = wide.clone();
    }

    /// A stale marker has no buckets, whatever the sender put there.
    fn empty_if_stale(&mut self) {
        if is_stale(self.sum) {
            let (hint, sum) = (self.hint, self.sum);
            let (count, zero_count) = (N::default(), N::default());
            let (positive, negative) = (Vec::new(), Vec::new());
            *self = Raw { layout: Arc::default(), hint, count, zero_count, sum, positive, negative };
        }
    }

    /// Count, zero count and buckets as the chunk holds them.
    fn stored(&self) -> Vec<N> {
        let mut out = Vec::with_capacity(2 + self.positive.len() + self.negative.len());
        out.extend([self.count, self.zero_count]);
        out.extend_from_slice(&self.positive);
        out.extend_from_slice(&self.negative);
        N::to_stored(&mut out[2..2 + self.positive.len()]);
        N::to_stored(&mut out[2 + self.positive.len()..]);
        out
    }

    /// Most bytes that a sample can take: ten a number.
    fn most_bytes(&self) -> usize {
        10 * (5 + self.positive.len() + self.negative.len())
    }
}

/// What a new histogram means for the chunk.
enum Verdict {
    Fits,
    /// One of the two must get more buckets first.
    Widen,
    New(ResetHeader),
}

#[derive(Clone)]
struct Encoder<N: Walk> {
    data: Vec<u8>,
    bits: usize,
    n: u16,
    header: ResetHeader,
    layout: Arc<HistLayout>,
    t: Timestamp,
    t_delta: i64,
    sum: f64,
    window: (u8, u8),
    /// Count, zero count, positive, negative buckets as the chunk holds them, and what is remembered of each.
    last: Vec<N>,
    memory: Vec<N::Memory>,
    /// Absolute buckets of the newest sample.
    positive: Vec<N>,
    negative: Vec<N>,
}

impl<N: Walk> Default for Encoder<N> {
    fn default() -> Encoder<N> {
        Encoder {
            data: Vec::new(),
            bits: 8 * HEADER_BYTES,
            n: 0,
            header: ResetHeader::Unknown,
            layout: Arc::default(),
            t: 0,
            t_delta: 0,
            sum: 0.0,
            window: (NO_WINDOW, 0),
            last: Vec::new(),
            memory: Vec::new(),
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

impl<N: Walk> Encoder<N> {
    fn append(&mut self, t: Timestamp, mut h: Raw<N>) -> Appended {
        if self.n == 0 {
            match h.hint {
                ResetHint::Gauge => self.header = ResetHeader::Gauge,
                ResetHint::Reset => self.header = ResetHeader::Reset,
                _ => {}
            }
            self.put_first(t, h);
            return Appended::Added;
        }
        if self.n == u16::MAX {
            return Appended::NeedsNewChunk(self.next_header(&h));
        }
        let mut done = Appended::Added;
        match self.verdict(&h) {
            Verdict::New(header) => return Appended::NeedsNewChunk(header),
            Verdict::Fits => {}
            Verdict::Widen => {
                let wide = self.wider(&h.layout);
                let (positive, negative) = wide.buckets();
                if positive + negative > MAX_BUCKETS {
                    return Appended::NeedsNewChunk(ResetHeader::Unknown);
                }
                if wide.buckets() != self.layout.buckets() {
                    self.recode(&wide);
                    done = Appended::Recoded;
                }
                h.move_to(&wide);
            }
        }
        self.put_next(t, h);
        done
    }

    /// The header of the next chunk where this one ends only because it is full.
    fn next_header(&self, h: &Raw<N>) -> ResetHeader {
        if h.hint == ResetHint::Gauge {
            return ResetHeader::Gauge;
        }
        match self.verdict(h) {
            Verdict::New(header) => header,
            _ if self.n == 0 => ResetHeader::Unknown,
            _ => ResetHeader::NotReset,
        }
    }

    fn verdict(&self, h: &Raw<N>) -> Verdict {
        let gauge = self.header == ResetHeader::Gauge;
        if is_stale(h.sum) && h.hint != ResetHint::Reset {
            // Its buckets do not matter.
            return Verdict::Fits;
        }
        if gauge != (h.hint == ResetHint::Gauge) {
            return Verdict::New(if gauge { ResetHeader::Unknown } else { ResetHeader::Gauge });
        }
        let other = if gauge { ResetHeader::Gauge } else { ResetHeader::Unknown };
        if h.hint == ResetHint::Reset {
            return Verdict::New(ResetHeader::Reset);
        }
        // After a stale sample only stale ones may follow.
        if is_stale(self.sum) {
            return Verdict::New(other);
        }
        if !gauge && h.count < self.last[0] {
            return Verdict::New(ResetHeader::Reset);
        }
        let (l, k) = (&self.layout, &h.layout);
        // Whether there was a reset is not known where buckets have other bounds.
        if l.schema != k.schema || l.zero_threshold != k.zero_threshold {
            return Verdict::New(other);
        }
        if l.schema == CUSTOM_BUCKETS_SCHEMA && l.custom_values != k.custom_values {
            return Verdict::New(if gauge { other } else { ResetHeader::Reset });
        }
        if !gauge && h.zero_count < self.last[1] {
            return Verdict::New(ResetHeader::Reset);
        }
        let positive = fit(
            &l.positive_spans,
            self.positive.iter().copied(),
            &k.positive_spans,
            h.positive.iter().copied(),
        );
        let negative = fit(
            &l.negative_spans,
            self.negative.iter().copied(),
            &k.negative_spans,
            h.negative.iter().copied(),
        );
        if !gauge && (positive.reset || negative.reset) {
            return Verdict::New(ResetHeader::Reset);
        }
        if positive.chunk_lacks || positive.new_lacks || negative.chunk_lacks || negative.new_lacks {
            return Verdict::Widen;
        }
        Verdict::Fits
    }

    fn wider(&self, other: &HistLayout) -> Arc<HistLayout> {
        Arc::new(HistLayout {
            positive_spans: union(&self.layout.positive_spans, &other.positive_spans),
            negative_spans: union(&self.layout.negative_spans, &other.negative_spans),
            ..HistLayout::clone(&self.layout)
        })
    }

    /// Writes the chunk anew with the buckets of `wide`.
    fn recode(&mut self, wide: &Arc<HistLayout>) {
        let mut fresh = Encoder { header: self.header, ..Encoder::default() };
        fresh.go_on(&self.data, Some(wide)).expect("an encoder's own bytes can be decoded");
        *self = fresh;
    }

    /// Adds the samples of a chunk, whose layout is ours or becomes `wide`.
    fn go_on(&mut self, chunk: &[u8], wide: Option<&Arc<HistLayout>>) -> Result<(), Corrupt> {
        N::walk(chunk, |t, mut h| {
            if let (Some(wide), false) = (wide, is_stale(h.sum)) {
                h.move_to(wide);
            }
            if self.n == 0 { self.put_first(t, h) } else { self.put_next(t, h) }
        })
    }

    fn put_first(&mut self, t: Timestamp, mut h: Raw<N>) {
        h.empty_if_stale();
        self.data.clear();
        self.data.resize(HEADER_BYTES + most_bytes(&h.layout) + h.most_bytes(), 0);
        self.data[2] = self.header.flags();
        let mut w = BitWriter::new(&mut self.data, 8 * HEADER_BYTES);
        put_layout(&mut w, &h.layout);
        crate::varbit::put_signed(&mut w, t);
        h.count.put_first(&mut w);
        h.zero_count.put_first(&mut w);
        w.put(h.sum.to_bits(), 64);
        let stored = h.stored();
        for bucket in &stored[2..] {
            bucket.put_first_bucket(&mut w);
        }
        self.bits = w.at();
        self.memory = vec![N::FRESH; stored.len()];
        (self.t_delta, self.window) = (0, (NO_WINDOW, 0));
        self.layout = h.layout.clone();
        self.close(t, h, stored);
    }

    fn put_next(&mut self, t: Timestamp, mut h: Raw<N>) {
        let stale = is_stale(h.sum);
        h.empty_if_stale();
        let stored = h.stored();
        self.data.resize(self.bits.div_ceil(8) + h.most_bytes(), 0);
        let mut w = BitWriter::new(&mut self.data, self.bits);
        let t_delta = t.wrapping_sub(self.t);
        crate::varbit::put_signed(&mut w, t_delta.wrapping_sub(self.t_delta));
        self.t_delta = t_delta;
        let (counts, buckets) = self.memory.split_at_mut(2);
        for (i, memory) in counts.iter_mut().enumerate() {
            if stale {
                N::put_stale(&mut w, self.last[i], memory);
            } else {
                stored[i].put_next(&mut w, self.last[i], memory);
            }
        }
        put_xor(&mut w, self.sum, h.sum, &mut self.window.0, &mut self.window.1);
        for ((bucket, last), memory) in stored[2..].iter().zip(&self.last[2..]).zip(buckets) {
            bucket.put_next(&mut w, *last, memory);
        }
        self.bits = w.at();
        self.close(t, h, stored);
    }

    fn close(&mut self, t: Timestamp, h: Raw<N>, stored: Vec<N>) {
        self.n += 1;
        self.data.truncate(self.bits.div_ceil(8));
        self.data[..2].copy_from_slice(&self.n.to_be_bytes());
        (self.t, self.sum, self.last) = (t, h.sum, stored);
        (self.positive, self.negative) = (h.positive, h.negative);
    }
}

/// What differs between walking integers and floats.
trait Walk: Count {
    fn walk(data: &[u8], add: impl FnMut(Timestamp, Raw<Self>)) -> Result<(), Corrupt>;
}

impl Walk for i64 {
    fn walk(data: &[u8], mut add: impl FnMut(Timestamp, Raw<i64>)) -> Result<(), Corrupt> {
        decode::walk_int(data, |s| {
            add(s.t, (&s.to_histogram()).into());
            true
        })
    }
}

impl Walk for f64 {
    fn walk(data: &[u8], mut add: impl FnMut(Timestamp, Raw<f64>)) -> Result<(), Corrupt> {
        decode::walk_float(data, |s| {
            add(s.t, (&s.to_histogram()).into());
            true
        })
    }
}
