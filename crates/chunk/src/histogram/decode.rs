//! Histogram chunks -> columns, or histograms as they were written.

use std::sync::Arc;

use dolmen_model::{
    FloatHistogram, HistColumns, HistLayout, IntHistogram, ResetHint, Span, Timestamp, is_stale,
};

use super::layout::take_layout;
use super::{HEADER_BYTES, ResetHeader};
use crate::bits::BitReader;
use crate::error::{Corrupt, NO_HEADER, TIMES_NOT_RISING};
use crate::varbit::{take_signed, take_unsigned};
use crate::xor::take_xor;

/// Finest resolution that the engine computes with; finer ones are coarsened when read.
const FINEST_SCHEMA: i32 = 8;

/// One sample while a chunk is walked. Buckets are positive, then negative.
pub(crate) struct Sample<'a, C, B> {
    pub t: Timestamp,
    pub layout: &'a Arc<HistLayout>,
    pub count: C,
    pub zero_count: C,
    pub sum: f64,
    pub hint: ResetHint,
    /// Integers: each bucket's difference to the one before. Floats: absolute.
    pub buckets: &'a [B],
}

impl Sample<'_, u64, i64> {
    pub(crate) fn to_histogram(&self) -> IntHistogram {
        let (positive, negative) = self.buckets.split_at(self.layout.buckets().0);
        let h = IntHistogram {
            layout: self.layout.clone(),
            count: self.count,
            zero_count: self.zero_count,
            sum: self.sum,
            hint: self.hint,
            positive_deltas: positive.to_vec(),
            negative_deltas: negative.to_vec(),
        };
        if self.layout.schema > FINEST_SCHEMA { coarsen_int(h) } else { h }
    }
}

impl Sample<'_, f64, f64> {
    pub(crate) fn to_histogram(&self) -> FloatHistogram {
        let (positive, negative) = self.buckets.split_at(self.layout.buckets().0);
        let h = FloatHistogram {
            layout: self.layout.clone(),
            count: self.count,
            zero_count: self.zero_count,
            sum: self.sum,
            hint: self.hint,
            positive: positive.to_vec(),
            negative: negative.to_vec(),
        };
        if self.layout.schema > FINEST_SCHEMA { coarsen(h) } else { h }
    }
}

/// Calls `visit` with each sample until it gives false.
pub(crate) fn walk_int(
    data: &[u8],
    mut visit: impl FnMut(&Sample<'_, u64, i64>) -> bool,
) -> Result<(), Corrupt> {
    let Some(mut head) = Head::new(data)? else { return Ok(()) };
    let r = &mut head.r;
    let mut t = take_signed(r);
    let (mut count, mut zero_count) = (take_unsigned(r), take_unsigned(r));
    let mut sum = r.take(64);
    // Each bucket takes a bit or more.
    let mut buckets = vec![0i64; head.buckets.min(r.left())];
    let mut deltas = vec![0i64; buckets.len()];
    if buckets.len() < head.buckets {
        return Err(crate::error::ENDS_EARLY);
    }
    for b in &mut buckets {
        *b = take_signed(r);
    }
    let (mut t_delta, mut count_delta, mut zero_delta, mut lead, mut trail) = (0i64, 0i64, 0i64, 0, 0);
    for i in 0..head.n {
        if i > 0 {
            t_delta = t_delta.wrapping_add(take_signed(r));
            t = t.checked_add(t_delta).filter(|_| t_delta > 0).ok_or(TIMES_NOT_RISING)?;
            count_delta = count_delta.wrapping_add(take_signed(r));
            count = count.wrapping_add(count_delta as u64);
            zero_delta = zero_delta.wrapping_add(take_signed(r));
            zero_count = zero_count.wrapping_add(zero_delta as u64);
            sum = take_xor(r, sum, &mut lead, &mut trail)?;
            if !is_stale(f64::from_bits(sum)) {
                for (b, d) in buckets.iter_mut().zip(&mut deltas) {
                    *d = d.wrapping_add(take_signed(r));
                    *b = b.wrapping_add(*d);
                }
            }
        }
        r.check()?;
        let sum = f64::from_bits(sum);
        let s = if is_stale(sum) {
            let layout = &head.empty;
            Sample { t, layout, count: 0, zero_count: 0, sum, hint: ResetHint::Unknown, buckets: &[] }
        } else {
            let hint = head.header.hint(i);
            Sample { t, layout: &head.layout, count, zero_count, sum, hint, buckets: &buckets }
        };
        if !visit(&s) {
            return Ok(());
        }
    }
    Ok(())
}

/// Calls `visit` with each sample until it gives false.
pub(crate) fn walk_float(
    data: &[u8],
    mut visit: impl FnMut(&Sample<'_, f64, f64>) -> bool,
) -> Result<(), Corrupt> {
    let Some(mut head) = Head::new(data)? else { return Ok(()) };
    let r = &mut head.r;
    let mut t = take_signed(r);
    if head.buckets > r.left() / 64 {
        return Err(crate::error::ENDS_EARLY);
    }
    // Count, zero count and sum, then the buckets: all are coded alike.
    let mut values: Vec<f64> = (0..3 + head.buckets).map(|_| f64::from_bits(r.take(64))).collect();
    let mut windows = vec![(0u32, 0u32); values.len()];
    let mut t_delta = 0i64;
    for i in 0..head.n {
        if i > 0 {
            t_delta = t_delta.wrapping_add(take_signed(r));
            t = t.checked_add(t_delta).filter(|_| t_delta > 0).ok_or(TIMES_NOT_RISING)?;
            for (k, (v, (lead, trail))) in values.iter_mut().zip(&mut windows).enumerate() {
                *v = f64::from_bits(take_xor(r, v.to_bits(), lead, trail)?);
                if k == 2 && is_stale(*v) {
                    break;
                }
            }
        }
        r.check()?;
        let (count, zero_count, sum) = (values[0], values[1], values[2]);
        let s = if is_stale(sum) {
            let layout = &head.empty;
            Sample { t, layout, count: 0.0, zero_count: 0.0, sum, hint: ResetHint::Unknown, buckets: &[] }
        } else {
            let hint = head.header.hint(i);
            Sample { t, layout: &head.layout, count, zero_count, sum, hint, buckets: &values[3..] }
        };
        if !visit(&s) {
            return Ok(());
        }
    }
    Ok(())
}

/// Appends the samples of an integer chunk with `from <= t < to`.
pub(crate) fn decode_int(
    data: &[u8],
    from: Timestamp,
    to: Timestamp,
    out: &mut HistColumns,
) -> Result<(), Corrupt> {
    let base = out.len();
    let done = walk_int(data, |s| {
        if s.t < from || s.t >= to {
            return s.t < to;
        }
        if s.layout.schema > FINEST_SCHEMA {
            out.push(s.t, &s.to_histogram().to_float());
            return true;
        }
        let (positive, negative) = s.buckets.split_at(s.layout.buckets().0.min(s.buckets.len()));
        for deltas in [positive, negative] {
            let mut absolute = 0i64;
            out.buckets.extend(deltas.iter().map(|d| {
                absolute = absolute.wrapping_add(*d);
                absolute as f64
            }));
        }
        out.push_with_buckets(s.t, s.layout, s.count as f64, s.zero_count as f64, s.sum, s.hint);
        true
    });
    done.inspect_err(|_| out.truncate(base))
}

/// Appends the samples of a float chunk with `from <= t < to`.
pub(crate) fn decode_float(
    data: &[u8],
    from: Timestamp,
    to: Timestamp,
    out: &mut HistColumns,
) -> Result<(), Corrupt> {
    let base = out.len();
    let done = walk_float(data, |s| {
        if s.t < from || s.t >= to {
            return s.t < to;
        }
        if s.layout.schema > FINEST_SCHEMA {
            out.push(s.t, &s.to_histogram());
            return true;
        }
        out.buckets.extend_from_slice(s.buckets);
        out.push_with_buckets(s.t, s.layout, s.count, s.zero_count, s.sum, s.hint);
        true
    });
    done.inspect_err(|_| out.truncate(base))
}

/// What stands before the samples.
struct Head<'a> {
    r: BitReader<'a>,
    n: u16,
    header: ResetHeader,
    layout: Arc<HistLayout>,
    /// The layout of stale samples.
    empty: Arc<HistLayout>,
    buckets: usize,
}

impl<'a> Head<'a> {
    /// `None`: no samples.
    fn new(data: &'a [u8]) -> Result<Option<Head<'a>>, Corrupt> {
        let (h, _) = data.split_first_chunk::<HEADER_BYTES>().ok_or(NO_HEADER)?;
        let n = u16::from_be_bytes([h[0], h[1]]);
        if n == 0 {
            return Ok(None);
        }
        let mut r = BitReader::new(data);
        r.skip(8 * HEADER_BYTES as u32);
        let layout = Arc::new(take_layout(&mut r)?);
        let (positive, negative) = layout.buckets();
        let header = ResetHeader::from_flags(h[2]);
        Ok(Some(Head { r, n, header, layout, empty: Arc::default(), buckets: positive + negative }))
    }
}

impl ResetHeader {
    /// The hint of sample `i`. What was before the chunk may have been merged away, so its first sample
    /// knows nothing, whatever the header says.
    fn hint(self, i: u16) -> ResetHint {
        match (self, i) {
            (ResetHeader::Gauge, _) => ResetHint::Gauge,
            (_, 0) => ResetHint::Unknown,
            _ => ResetHint::NotReset,
        }
    }
}

fn coarsen_int(h: IntHistogram) -> IntHistogram {
    let f = coarsen(h.to_float());
    let deltas = |buckets: &[f64]| {
        let mut last = 0;
        buckets
            .iter()
            .map(|b| {
                let delta = (*b as i64).wrapping_sub(last);
                last = *b as i64;
                delta
            })
            .collect()
    };
    IntHistogram {
        positive_deltas: deltas(&f.positive),
        negative_deltas: deltas(&f.negative),
        layout: f.layout,
        ..h
    }
}

/// Adds up buckets until the resolution is [`FINEST_SCHEMA`].
fn coarsen(h: FloatHistogram) -> FloatHistogram {
    let by = h.layout.schema - FINEST_SCHEMA;
    let (positive_spans, positive) = coarsen_side(&h.layout.positive_spans, &h.positive, by);
    let (negative_spans, negative) = coarsen_side(&h.layout.negative_spans, &h.negative, by);
    let layout = HistLayout {
        schema: FINEST_SCHEMA,
        zero_threshold: h.layout.zero_threshold,
        positive_spans,
        negative_spans,
        custom_values: Vec::new(),
    };
    FloatHistogram { layout: Arc::new(layout), positive, negative, ..h }
}

fn coarsen_side(spans: &[Span], buckets: &[f64], by: i32) -> (Vec<Span>, Vec<f64>) {
    let mut coarse: Vec<(i32, f64)> = Vec::new();
    for (index, b) in super::widen::indices(spans).zip(buckets) {
        // Bucket i ends at base^i: the first of a coarse bucket's fine ones follows its lower end.
        let index = ((i64::from(index) - 1) >> by) as i32 + 1;
        match coarse.last_mut() {
            Some((last, sum)) if *last == index => *sum += b,
            _ => coarse.push((index, *b)),
        }
    }
    (super::widen::spans(coarse.iter().map(|(i, _)| *i)), coarse.into_iter().map(|(_, b)| b).collect())
}
