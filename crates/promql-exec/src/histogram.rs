//! Arithmetic on native histograms: what PromQL's operators, aggregations and functions need.
//!
//! Everything works on a [`FloatHistogram`] in place. Buckets are seen as ascending (index, count) pairs;
//! spans are only how a layout stores the indices, and are built anew, without gaps that could be closed,
//! whenever a layout changes. Where two histograms share a layout, counts are worked on column by column.
//!
//! - [`buckets`]: bounds of buckets, iteration
//! - [`combine`]: addition and subtraction, exact sums of many
//! - [`layout`]: lower resolution, wider zero bucket, no empty buckets
//! - [`reset`]: whether a counter was reset between two
//! - [`estimate`]: quantiles and fractions
//! - [`trim`]: observations up to or from a value
//! - [`moments`]: average, deviation
//! - [`text`]: written form

pub mod buckets;
pub mod combine;
pub mod estimate;
pub mod layout;
pub mod moments;
pub mod reset;
pub mod text;
pub mod trim;

#[cfg(test)]
mod tests;

use dolmen_model::{FloatHistogram, HistRef, ResetHint};

pub use buckets::{Bucket, api_buckets};
pub use combine::{Combined, Exact, HistogramMean, HistogramSum, Incompatible, add, sub};
pub use estimate::{Nans, fraction, quantile};
pub use layout::{compact, reduce_to};
pub use reset::detect_reset;
pub use trim::{Keep, trim};

/// Whether the bits of counts, sum and layout are the same. Reset hints do not matter.
pub fn equal<'a>(a: impl Into<HistRef<'a>>, b: impl Into<HistRef<'a>>) -> bool {
    let (a, b) = (a.into(), b.into());
    let same =
        |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits());
    let (la, lb) = (a.layout, b.layout);
    la.schema == lb.schema
        && la.zero_threshold == lb.zero_threshold
        && (!la.is_custom() || la.custom_values == lb.custom_values)
        && a.count.to_bits() == b.count.to_bits()
        && a.sum.to_bits() == b.sum.to_bits()
        && a.zero_count.to_bits() == b.zero_count.to_bits()
        && same(a.positive, b.positive)
        && same(a.negative, b.negative)
        && buckets::indices(&la.positive_spans).eq(buckets::indices(&lb.positive_spans))
        && buckets::indices(&la.negative_spans).eq(buckets::indices(&lb.negative_spans))
}

/// Multiplies all counts and the sum. A negative factor makes it a gauge.
pub fn mul(h: &mut FloatHistogram, factor: f64) {
    scale(h, |x| x * factor);
    if factor < 0.0 {
        h.hint = ResetHint::Gauge;
    }
}

/// Divides all counts and the sum. A negative divisor makes it a gauge; zero leaves no buckets.
pub fn div(h: &mut FloatHistogram, divisor: f64) {
    if divisor == 0.0 {
        layout::clear_buckets(h);
    }
    scale(h, |x| x / divisor);
    if divisor < 0.0 {
        h.hint = ResetHint::Gauge;
    }
}

fn scale(h: &mut FloatHistogram, f: impl Fn(f64) -> f64) {
    for x in [&mut h.count, &mut h.sum, &mut h.zero_count]
        .into_iter()
        .chain(&mut h.positive)
        .chain(&mut h.negative)
    {
        *x = f(*x);
    }
}

/// Whether any count or the sum has become infinite.
pub fn has_overflow(h: &FloatHistogram) -> bool {
    [h.count, h.sum, h.zero_count]
        .iter()
        .chain(&h.positive)
        .chain(&h.negative)
        .chain(&h.layout.custom_values)
        .any(|x| x.is_infinite())
}

/// How many samples of the query's limit it counts for: one for 16 bytes of Prometheus' struct and a time.
pub fn sample_weight<'a>(h: impl Into<HistRef<'a>>) -> usize {
    let h = h.into();
    const STRUCT: usize = 168;
    let l = h.layout;
    let words = l.positive_spans.len() + l.negative_spans.len() + l.custom_values.len();
    (STRUCT + 8 * (words + h.positive.len() + h.negative.len()) + 8) / 16
}
