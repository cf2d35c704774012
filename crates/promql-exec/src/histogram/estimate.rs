//! Quantiles and fractions of a histogram's observations.
//!
//! Within a bucket observations are taken to lie evenly: on a logarithmic scale in exponential buckets, on a
//! linear one in custom buckets and in the zero bucket. A zero bucket reaches only to 0 where all other
//! buckets lie on one side.

use dolmen_model::HistRef;

use super::buckets::{Bucket, all, all_rev};

/// What observations of NaN did to a quantile. They count, but lie in no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nans {
    /// There are none, or it did not matter.
    None,
    /// The result is higher than without them.
    Skewed,
    /// The quantile lies above all buckets: the result is NaN.
    Result,
}

/// The value below which the fraction `q` of all observations lies.
pub fn quantile<'a>(q: f64, h: impl Into<HistRef<'a>>) -> (f64, Nans) {
    let h = h.into();
    if q < 0.0 {
        return (f64::NEG_INFINITY, Nans::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, Nans::None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, Nans::None);
    }
    // From the nearer end, for the smaller error; NaN observations are missing at the upper one.
    if h.sum.is_nan() || q < 0.5 {
        find(h, all(h), q * h.count, true)
    } else {
        find(h, all_rev(h), (1.0 - q) * h.count, false)
    }
}

fn find(
    h: HistRef<'_>,
    mut buckets: impl Iterator<Item = Bucket>,
    mut rank: f64,
    ascending: bool,
) -> (f64, Nans) {
    let mut bucket = Bucket { lower: 0.0, upper: 0.0, count: 0.0 };
    let mut count = 0.0;
    for b in buckets.by_ref() {
        bucket = b;
        count += b.count;
        if b.count != 0.0 && count >= rank {
            break;
        }
    }
    let custom = h.layout.is_custom();
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, Nans::None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, Nans::None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        one_sided(h, &mut bucket);
    }
    // Rounding may have made it more than there are.
    count = count.min(h.count);
    if count < rank {
        let nans = h.sum.is_nan();
        return if nans { (f64::NAN, Nans::Result) } else { (bucket.upper, Nans::None) };
    }
    rank = if ascending { rank - (count - bucket.count) } else { count - rank };
    let mut nans = Nans::None;
    if h.sum.is_nan() {
        // A sum is NaN also where both infinities were observed; then no observation is missing.
        let found = buckets.fold(count, |n, b| n + b.count);
        if found < h.count {
            nans = Nans::Skewed;
        }
    }
    let fraction = rank / bucket.count;
    let v = if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        bucket.lower + (bucket.upper - bucket.lower) * fraction
    } else {
        let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
        if bucket.lower > 0.0 {
            (lower + (upper - lower) * fraction).exp2()
        } else {
            -(upper + (lower - upper) * (1.0 - fraction)).exp2()
        }
    };
    (v, nans)
}

/// A zero bucket ends at 0 where nothing lies on the other side.
fn one_sided(h: HistRef<'_>, zero: &mut Bucket) {
    match (h.negative.is_empty(), h.positive.is_empty()) {
        (true, false) => zero.lower = 0.0,
        (false, true) => zero.upper = 0.0,
        _ => {}
    }
}

/// How far into a bucket a value lies, from 0 to 1. The value lies within its bounds, which are finite.
pub(super) fn share_below(b: &Bucket, v: f64, linear: bool) -> f64 {
    if linear {
        return (v - b.lower) / (b.upper - b.lower);
    }
    let (lower, upper, at) = (b.lower.abs().log2(), b.upper.abs().log2(), v.abs().log2());
    if v > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
}

/// The fraction of observations between two values, and whether there are observations of NaN.
pub fn fraction<'a>(lower: f64, upper: f64, h: impl Into<HistRef<'a>>) -> (f64, bool) {
    let h = h.into();
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, false);
    }
    if lower >= upper {
        return (0.0, false);
    }
    let mut buckets = all(h);
    let (mut lower_rank, mut upper_rank) = (None, None);
    let (mut rank, mut count) = (0.0, 0.0);
    for mut b in buckets.by_ref() {
        count += b.count;
        let around_zero = b.lower <= 0.0 && b.upper >= 0.0;
        if around_zero {
            one_sided(h, &mut b);
        }
        let linear = h.layout.is_custom() || around_zero;
        for (found, v) in [(&mut lower_rank, lower), (&mut upper_rank, upper)] {
            if found.is_some() {
                continue;
            }
            if b.lower >= v {
                *found = Some(rank);
            } else if b.upper > v {
                // A bucket without lower end cannot be split.
                let whole = linear && b.lower == f64::NEG_INFINITY;
                *found = Some(if whole { b.count } else { rank + b.count * share_below(&b, v, linear) });
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += b.count;
    }
    let mut nans = false;
    if h.sum.is_nan() {
        count = buckets.fold(count, |n, b| n + b.count);
        nans = count < h.count;
    } else {
        count = h.count;
    }
    let bounded = |rank: Option<f64>| match rank {
        Some(rank) if rank > count => count,
        Some(rank) => rank,
        None => count,
    };
    ((bounded(upper_rank) - bounded(lower_rank)) / h.count, nans)
}
