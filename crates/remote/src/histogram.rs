//! Native histograms of a write request, and whether they make sense.

use std::sync::Arc;

use dolmen_model::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistLayout, Histogram, IntHistogram, ResetHint, Result, Span,
    Timestamp,
};

use crate::wire::{BYTES, FIXED64, Reader, VARINT, zigzag};

/// The fields of a histogram message, whatever its kind turns out to be. Reused from message to message.
#[derive(Default)]
pub(crate) struct HistogramFields {
    layout: HistLayout,
    count: u64,
    /// A float count makes it a float histogram.
    count_float: Option<f64>,
    zero_count: u64,
    zero_count_float: f64,
    sum: f64,
    hint: u8,
    t: Timestamp,
    positive_deltas: Vec<i64>,
    negative_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    negative_counts: Vec<f64>,
}

impl HistogramFields {
    /// Reads a message.
    pub(crate) fn read(&mut self, mut r: Reader<'_>) -> Result<()> {
        *self = HistogramFields::default();
        while let Some((number, wire)) = r.field()? {
            match (number, wire) {
                (1, VARINT) => (self.count, self.count_float) = (r.varint()?, None),
                (2, FIXED64) => self.count_float = Some(r.double()?),
                (3, FIXED64) => self.sum = r.double()?,
                (4, VARINT) => self.layout.schema = zigzag(r.varint()?) as i32,
                (5, FIXED64) => self.layout.zero_threshold = r.double()?,
                (6, VARINT) => self.zero_count = r.varint()?,
                (7, FIXED64) => self.zero_count_float = r.double()?,
                (8, BYTES) => self.layout.negative_spans.push(span(r.message()?)?),
                (9, VARINT | BYTES) => deltas(&mut r, wire, &mut self.negative_deltas)?,
                (10, FIXED64 | BYTES) => doubles(&mut r, wire, &mut self.negative_counts)?,
                (11, BYTES) => self.layout.positive_spans.push(span(r.message()?)?),
                (12, VARINT | BYTES) => deltas(&mut r, wire, &mut self.positive_deltas)?,
                (13, FIXED64 | BYTES) => doubles(&mut r, wire, &mut self.positive_counts)?,
                (14, VARINT) => self.hint = u8::try_from(r.varint()?).unwrap_or(0),
                (15, VARINT) => self.t = r.varint()? as i64,
                (16, FIXED64 | BYTES) => doubles(&mut r, wire, &mut self.layout.custom_values)?,
                _ => r.skip(wire)?,
            }
        }
        Ok(())
    }

    /// The histogram, checked, and its time. `last` lends its layout where that is equal.
    pub(crate) fn finish(
        &mut self,
        last: &mut Option<Arc<HistLayout>>,
    ) -> std::result::Result<(Timestamp, Histogram), &'static str> {
        let layout = std::mem::take(&mut self.layout);
        let layout = match last {
            Some(last) if **last == layout => last.clone(),
            _ => last.insert(Arc::new(layout)).clone(),
        };
        let (sum, hint) = (self.sum, ResetHint::from_u8(self.hint));
        let histogram = match self.count_float {
            Some(count) => Histogram::Float(FloatHistogram {
                layout,
                count,
                zero_count: self.zero_count_float,
                sum,
                hint,
                positive: std::mem::take(&mut self.positive_counts),
                negative: std::mem::take(&mut self.negative_counts),
            }),
            None => Histogram::Int(IntHistogram {
                layout,
                count: self.count,
                zero_count: self.zero_count,
                sum,
                hint,
                positive_deltas: std::mem::take(&mut self.positive_deltas),
                negative_deltas: std::mem::take(&mut self.negative_deltas),
            }),
        };
        check(&histogram)?;
        Ok((self.t, histogram))
    }
}

/// Bytes of memory that a histogram takes, its layout counted as its own.
pub(crate) fn memory(h: &Histogram) -> u64 {
    let layout = h.layout();
    let buckets = match h {
        Histogram::Int(h) => h.positive_deltas.len() + h.negative_deltas.len(),
        Histogram::Float(h) => h.positive.len() + h.negative.len(),
    };
    let words =
        layout.positive_spans.len() + layout.negative_spans.len() + layout.custom_values.len() + buckets;
    (std::mem::size_of::<HistLayout>() + 16 + 8 * words) as u64
}

/// Whether a histogram contradicts itself; Prometheus' checks.
fn check(h: &Histogram) -> std::result::Result<(), &'static str> {
    let (positive, negative) = match h {
        Histogram::Int(h) => (h.positive_deltas.len(), h.negative_deltas.len()),
        Histogram::Float(h) => (h.positive.len(), h.negative.len()),
    };
    check_layout(h.layout(), positive, negative)?;
    let zero = match h {
        Histogram::Int(h) => {
            check_int_counts(h)?;
            h.zero_count != 0
        }
        Histogram::Float(h) => {
            let counts = h.positive.iter().chain(&h.negative).chain([&h.count, &h.zero_count]);
            if counts.into_iter().any(|c| *c < 0.0) {
                return Err("a negative count");
            }
            h.zero_count != 0.0
        }
    };
    if h.layout().is_custom() && zero {
        return Err("custom buckets with a zero bucket");
    }
    Ok(())
}

fn check_int_counts(h: &IntHistogram) -> std::result::Result<(), &'static str> {
    let mut sum = h.zero_count;
    for deltas in [&h.positive_deltas, &h.negative_deltas] {
        let mut count = 0i64;
        for delta in deltas {
            count = count.checked_add(*delta).ok_or("a bucket count that is too large")?;
            let count = u64::try_from(count).map_err(|_| "a negative count")?;
            sum = sum.checked_add(count).ok_or("a count that is too large")?;
        }
    }
    // NaN observations count, but fall in no bucket.
    match sum == h.count || (h.sum.is_nan() && sum <= h.count) {
        true => Ok(()),
        false => Err("the buckets do not add up to the count"),
    }
}

fn check_layout(l: &HistLayout, positive: usize, negative: usize) -> std::result::Result<(), &'static str> {
    for (spans, buckets) in [(&l.positive_spans, positive), (&l.negative_spans, negative)] {
        if spans.iter().skip(1).any(|s| s.offset < 0) {
            return Err("a span with a negative offset");
        }
        if spans.iter().map(|s| u64::from(s.length)).sum::<u64>() != buckets as u64 {
            return Err("spans and buckets differ in number");
        }
    }
    if l.schema != CUSTOM_BUCKETS_SCHEMA {
        return match l.schema {
            _ if !l.custom_values.is_empty() => Err("custom bounds in an exponential histogram"),
            -4..=8 => Ok(()),
            _ => Err("a schema that is not known"),
        };
    }
    let bounds = &l.custom_values;
    let ascends = bounds.windows(2).all(|w| w[0] < w[1]);
    if !ascends
        || bounds.iter().any(|b| b.is_nan() || *b == f64::INFINITY)
        || bounds.first() == Some(&f64::NEG_INFINITY)
    {
        return Err("custom bounds that do not ascend");
    }
    if l.zero_threshold != 0.0 || !l.negative_spans.is_empty() {
        return Err("custom buckets with a zero bucket or a negative side");
    }
    // One bucket more than bounds: the last reaches to infinity.
    let last = l.positive_spans.iter().map(|s| i64::from(s.offset) + i64::from(s.length)).sum::<i64>();
    match last <= bounds.len() as i64 + 1 && l.positive_spans.first().is_none_or(|s| s.offset >= 0) {
        true => Ok(()),
        false => Err("more custom buckets than bounds"),
    }
}

fn span(mut r: Reader<'_>) -> Result<Span> {
    let mut span = Span::default();
    while let Some((number, wire)) = r.field()? {
        match (number, wire) {
            (1, VARINT) => span.offset = zigzag(r.varint()?) as i32,
            (2, VARINT) => span.length = r.varint()? as u32,
            _ => r.skip(wire)?,
        }
    }
    Ok(span)
}

/// Packed or one by one: both are allowed.
fn deltas(r: &mut Reader<'_>, wire: u8, out: &mut Vec<i64>) -> Result<()> {
    if wire == VARINT {
        out.push(zigzag(r.varint()?));
        return Ok(());
    }
    let mut packed = r.message()?;
    while !packed.is_done() {
        out.push(zigzag(packed.varint()?));
    }
    Ok(())
}

fn doubles(r: &mut Reader<'_>, wire: u8, out: &mut Vec<f64>) -> Result<()> {
    if wire == FIXED64 {
        out.push(r.double()?);
        return Ok(());
    }
    let mut packed = r.message()?;
    while !packed.is_done() {
        out.push(packed.double()?);
    }
    Ok(())
}
