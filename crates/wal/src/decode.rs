//! Records -> values. Never panics, takes no memory that the bytes only claim to need.

use std::sync::Arc;

use dolmen_model::{
    CUSTOM_BUCKETS_SCHEMA, Error, FloatHistogram, HistLayout, Histogram, IntHistogram, Labels, ResetHint,
    Result, Span, Timestamp,
};

use crate::record::{HistogramRec, Record, SampleRec, SeriesRec, kind};
use crate::wire::Bytes;

/// A record's value.
pub fn record(bytes: &[u8]) -> Result<Record> {
    let mut b = Bytes(bytes);
    Ok(match b.u8()? {
        kind::SERIES => Record::Series(series(b)?),
        kind::SAMPLES => Record::Samples(samples(b)?),
        kind::SAMPLES_ST => Record::Samples(samples_st(b)?),
        k @ (kind::HISTOGRAMS | kind::CUSTOM_HISTOGRAMS) => Record::Histograms(histograms(b, k, int)?),
        k @ (kind::FLOAT_HISTOGRAMS | kind::CUSTOM_FLOAT_HISTOGRAMS) => {
            Record::Histograms(histograms(b, k, float)?)
        }
        kind::HISTOGRAMS_ST => Record::Histograms(histograms_st(b, int)?),
        kind::FLOAT_HISTOGRAMS_ST => Record::Histograms(histograms_st(b, float)?),
        other => Record::Other(other),
    })
}

fn series(mut b: Bytes<'_>) -> Result<Vec<SeriesRec>> {
    let mut out = Vec::new();
    let mut pairs = Vec::new();
    while !b.is_empty() {
        let reference = b.u64()?;
        pairs.clear();
        for _ in 0..b.count(2)? {
            pairs.push((b.text()?, b.text()?));
        }
        let sorted =
            pairs.windows(2).all(|w| w[0].0 < w[1].0) && pairs.iter().all(|(_, value)| !value.is_empty());
        let pairs = pairs.iter().copied();
        let labels = if sorted { Labels::from_sorted(pairs) } else { Labels::from_pairs(pairs) };
        out.push(SeriesRec { reference, labels });
    }
    Ok(out)
}

fn samples(mut b: Bytes<'_>) -> Result<Vec<SampleRec>> {
    if b.is_empty() {
        return Ok(Vec::new());
    }
    let (reference0, t0) = (b.u64()?, b.u64()? as i64);
    let mut out = Vec::with_capacity(b.0.len() / 10);
    while !b.is_empty() {
        let reference = reference0.wrapping_add(b.varint()? as u64);
        let t = t0.wrapping_add(b.varint()?);
        out.push(SampleRec { reference, t, v: b.f64()? });
    }
    Ok(out)
}

/// Where records with start timestamps stand: those of a sample are passed over.
#[derive(Default)]
struct Started {
    reference: u64,
    t0: Timestamp,
    any: bool,
}

impl Started {
    fn next(&mut self, b: &mut Bytes<'_>) -> Result<(u64, Timestamp)> {
        if !self.any {
            self.any = true;
            (self.reference, self.t0) = (b.varint()? as u64, b.varint()?);
            b.varint()?;
            return Ok((self.reference, self.t0));
        }
        self.reference = self.reference.wrapping_add(b.varint()? as u64);
        let t = self.t0.wrapping_add(b.varint()?);
        match b.u8()? {
            0 | 1 => {}
            2 => drop(b.varint()?),
            other => return Err(Error::corrupt(format!("start timestamp marker {other}, expected 0 to 2"))),
        }
        Ok((self.reference, t))
    }
}

fn samples_st(mut b: Bytes<'_>) -> Result<Vec<SampleRec>> {
    let (mut out, mut at) = (Vec::with_capacity(b.0.len() / 11), Started::default());
    while !b.is_empty() {
        let (reference, t) = at.next(&mut b)?;
        out.push(SampleRec { reference, t, v: b.f64()? });
    }
    Ok(out)
}

type One = fn(&mut Bytes<'_>) -> Result<Histogram>;

fn histograms(mut b: Bytes<'_>, kind: u8, one: One) -> Result<Vec<HistogramRec>> {
    if b.is_empty() {
        return Ok(Vec::new());
    }
    let custom = matches!(kind, kind::CUSTOM_HISTOGRAMS | kind::CUSTOM_FLOAT_HISTOGRAMS);
    let (reference0, t0) = (b.u64()?, b.u64()? as i64);
    let mut out = Vec::new();
    while !b.is_empty() {
        let reference = reference0.wrapping_add(b.varint()? as u64);
        let t = t0.wrapping_add(b.varint()?);
        let histogram = one(&mut b)?;
        if histogram.layout().is_custom() != custom {
            return Err(Error::corrupt(format!(
                "schema {} in record type {kind}",
                histogram.layout().schema
            )));
        }
        out.push(HistogramRec { reference, t, histogram });
    }
    Ok(out)
}

fn histograms_st(mut b: Bytes<'_>, one: One) -> Result<Vec<HistogramRec>> {
    let (mut out, mut at) = (Vec::new(), Started::default());
    while !b.is_empty() {
        let (reference, t) = at.next(&mut b)?;
        out.push(HistogramRec { reference, t, histogram: one(&mut b)? });
    }
    Ok(out)
}

fn int(b: &mut Bytes<'_>) -> Result<Histogram> {
    let (hint, mut layout) = head(b)?;
    let (zero_count, count, sum) = (b.uvarint()?, b.uvarint()?, b.f64()?);
    spans(b, &mut layout)?;
    let positive_deltas = list(b, 1, Bytes::varint)?;
    let negative_deltas = list(b, 1, Bytes::varint)?;
    let layout = tail(b, layout, positive_deltas.len(), negative_deltas.len())?;
    let h = IntHistogram { layout, count, zero_count, sum, hint, positive_deltas, negative_deltas };
    Ok(Histogram::Int(h))
}

fn float(b: &mut Bytes<'_>) -> Result<Histogram> {
    let (hint, mut layout) = head(b)?;
    let (zero_count, count, sum) = (b.f64()?, b.f64()?, b.f64()?);
    spans(b, &mut layout)?;
    let positive = list(b, 8, Bytes::f64)?;
    let negative = list(b, 8, Bytes::f64)?;
    let layout = tail(b, layout, positive.len(), negative.len())?;
    Ok(Histogram::Float(FloatHistogram { layout, count, zero_count, sum, hint, positive, negative }))
}

fn head(b: &mut Bytes<'_>) -> Result<(ResetHint, HistLayout)> {
    let hint = ResetHint::from_u8(b.u8()?);
    let schema = b.varint()?;
    if !(-4..=8).contains(&schema) && schema != i64::from(CUSTOM_BUCKETS_SCHEMA) {
        return Err(Error::corrupt(format!("histogram schema {schema}, expected -4 to 8, or -53")));
    }
    let zero_threshold = b.f64()?;
    Ok((hint, HistLayout { schema: schema as i32, zero_threshold, ..HistLayout::default() }))
}

fn spans(b: &mut Bytes<'_>, layout: &mut HistLayout) -> Result<()> {
    let one = |b: &mut Bytes<'_>| {
        let wide = |_| Error::corrupt("span does not fit in 32 bits");
        let offset = i32::try_from(b.varint()?).map_err(wide)?;
        Ok(Span { offset, length: u32::try_from(b.uvarint()?).map_err(wide)? })
    };
    layout.positive_spans = list(b, 2, one)?;
    layout.negative_spans = list(b, 2, one)?;
    Ok(())
}

fn tail(
    b: &mut Bytes<'_>,
    mut layout: HistLayout,
    positive: usize,
    negative: usize,
) -> Result<Arc<HistLayout>> {
    if layout.buckets() != (positive, negative) {
        return Err(Error::corrupt(format!(
            "histogram has {positive} and {negative} buckets, its spans {:?}",
            layout.buckets()
        )));
    }
    if layout.is_custom() {
        layout.custom_values = list(b, 8, Bytes::f64)?;
    }
    Ok(Arc::new(layout))
}

fn list<'a, T>(
    b: &mut Bytes<'a>,
    bytes_each: usize,
    one: impl Fn(&mut Bytes<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..b.count(bytes_each)?).map(|_| one(b)).collect()
}
