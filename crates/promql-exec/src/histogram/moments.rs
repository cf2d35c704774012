//! Average and variance of a histogram's observations.

use dolmen_model::HistRef;

use super::buckets::all;
use super::combine::Exact;

/// The average.
pub fn avg<'a>(h: impl Into<HistRef<'a>>) -> f64 {
    let h = h.into();
    h.sum / h.count
}

/// The variance, with every observation at the middle of its bucket: the geometric mean of the bounds, the
/// arithmetic one where bounds are custom, 0 in the zero bucket.
pub fn variance<'a>(h: impl Into<HistRef<'a>>) -> f64 {
    let h = h.into();
    let mean = avg(h);
    let mut sum = Exact::default();
    for b in all(h).filter(|b| b.count != 0.0) {
        let middle = if h.layout.is_custom() {
            (b.upper + b.lower) / 2.0
        } else if b.lower <= 0.0 && b.upper >= 0.0 {
            0.0
        } else if b.upper < 0.0 {
            -(b.upper * b.lower).sqrt()
        } else {
            (b.upper * b.lower).sqrt()
        };
        let delta = middle - mean;
        sum.add(b.count * delta * delta);
    }
    sum.value() / h.count
}
