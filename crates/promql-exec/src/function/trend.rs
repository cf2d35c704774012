//! Lines through samples: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use dolmen_model::Timestamp;

use crate::histogram::Exact;

/// Least-squares line: slope per second, and value at `at`. There are at least two samples.
pub fn line(t: &[Timestamp], v: &[f64], at: Timestamp) -> (f64, f64) {
    let first = v[0];
    if v.iter().skip(1).all(|y| *y == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x, mut y, mut xy, mut xx) =
        (Exact::default(), Exact::default(), Exact::default(), Exact::default());
    for (t, v) in t.iter().zip(v) {
        let dx = (t - at) as f64 / 1000.0;
        x.add(dx);
        y.add(*v);
        xy.add(dx * v);
        xx.add(dx * dx);
    }
    let n = v.len() as f64;
    let (x, y, xy, xx) = (x.value(), y.value(), xy.value(), xx.value());
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

/// Holt's double exponential smoothing: the level at the last of at least two samples.
pub fn smooth(v: &[f64], smoothing: f64, trend: f64) -> f64 {
    let (mut before, mut level) = (0.0, v[0]);
    let mut slope = v[1] - v[0];
    for (i, x) in v.iter().enumerate().skip(1) {
        if i > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * x + (1.0 - smoothing) * (level + slope);
        (before, level) = (level, next);
    }
    level
}
