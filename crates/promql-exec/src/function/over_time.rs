//! Aggregation of one series over a window: the functions whose names end in `_over_time`.

use dolmen_model::{FloatHistogram, ResetHint, Timestamp};

use super::kernel::{Hists, Note, Notes, Operation, Value, Window};
use crate::histogram::{Exact, HistogramMean, HistogramSum, Incompatible};

/// Sum of floats, exact but for one rounding.
pub fn sum(v: &[f64]) -> f64 {
    let mut sum = Exact::default();
    for x in v {
        sum.add(*x);
    }
    if sum.sum.is_infinite() { sum.sum } else { sum.value() }
}

/// Average of floats; a running mean once the sum would overflow. NaN where there is none.
pub fn avg(v: &[f64]) -> f64 {
    let Some((first, rest)) = v.split_first() else { return f64::NAN };
    let mut sum = Exact { sum: *first, lost: 0.0 };
    for (i, x) in rest.iter().enumerate() {
        let mut more = sum;
        more.add(*x);
        if more.sum.is_infinite() {
            return running_mean(sum, i + 1, &rest[i..]);
        }
        sum = more;
    }
    let n = v.len() as f64;
    sum.sum / n + sum.lost / n
}

/// The mean of `n` values whose sum is known, and `rest`.
fn running_mean(sum: Exact, n: usize, rest: &[f64]) -> f64 {
    let before = n as f64;
    let mut mean = Exact { sum: sum.sum / before, lost: sum.lost / before };
    for (x, n) in rest.iter().zip(n + 1..) {
        let n = n as f64;
        let q = (n - 1.0) / n;
        mean = Exact { sum: q * mean.sum, lost: q * mean.lost };
        mean.add(x / n);
    }
    mean.value()
}

/// Place of the value that all others lose against; NaN loses against everything.
fn best(v: &[f64], wins: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (i, x) in v.iter().enumerate() {
        if wins(*x, v[best]) || v[best].is_nan() {
            best = i;
        }
    }
    best
}

/// The smallest value; NaN only where there is nothing else.
pub fn min(v: &[f64]) -> f64 {
    v[best(v, |a, b| a < b)]
}

/// The largest value; NaN only where there is nothing else.
pub fn max(v: &[f64]) -> f64 {
    v[best(v, |a, b| a > b)]
}

/// When the smallest value was last there, in seconds.
pub fn ts_of_min(t: &[Timestamp], v: &[f64]) -> f64 {
    t[best(v, |a, b| a <= b)] as f64 / 1000.0
}

/// When the largest value was last there, in seconds.
pub fn ts_of_max(t: &[Timestamp], v: &[f64]) -> f64 {
    t[best(v, |a, b| a >= b)] as f64 / 1000.0
}

/// Population variance (Welford), with compensation for what rounding loses.
pub fn variance(v: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Exact::default(), Exact::default());
    let mut n = 0.0;
    for x in v {
        n += 1.0;
        let delta = x - mean.value();
        mean.add(delta / n);
        squares.add(delta * (x - mean.value()));
    }
    squares.value() / n
}

/// The `q`-quantile of values, which get sorted: NaN first, linear between two of them.
pub fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// Median of the distances to the median; `scratch` is overwritten.
pub fn median_deviation(v: &[f64], scratch: &mut Vec<f64>) -> f64 {
    if v.iter().any(|x| x.is_nan()) {
        return f64::NAN;
    }
    scratch.clear();
    scratch.extend_from_slice(v);
    let median = quantile(0.5, scratch);
    for x in scratch.iter_mut() {
        *x = (*x - median).abs();
    }
    quantile(0.5, scratch)
}

/// Sum or average of a window of either kind.
pub fn total(average: bool, w: &Window<'_>, notes: &mut Notes<'_>) -> Value {
    match (w.v.is_empty(), w.h.is_empty()) {
        (false, false) => {
            notes(Note::MixedKinds);
            Value::None
        }
        (false, true) => Value::Float(if average { avg(w.v) } else { sum(w.v) }),
        (true, false) => total_of_histograms(average, w.h, notes).map_or(Value::None, Value::from),
        (true, true) => Value::None,
    }
}

fn total_of_histograms(average: bool, h: Hists<'_>, notes: &mut Notes<'_>) -> Option<FloatHistogram> {
    let (mut reset, mut not_reset, mut reconciled) = (false, false, false);
    for one in h.iter() {
        reset |= one.hint == ResetHint::Reset;
        not_reset |= one.hint == ResetHint::NotReset;
    }
    let mut rest = h.iter().skip(1);
    let done = if average {
        let mut mean = HistogramMean::new(h.at(0));
        rest.try_for_each(|one| {
            reconciled |= mean.add(one)?.bounds_reconciled;
            Ok(())
        })
        .map(|()| mean.finish())
    } else {
        let mut sum = HistogramSum::new(h.at(0));
        rest.try_for_each(|one| {
            reconciled |= sum.add(one)?.bounds_reconciled;
            Ok(())
        })
        .map(|()| sum.finish())
    };
    match done {
        Ok(total) => {
            if reset && not_reset {
                notes(Note::HintConflict);
            }
            if reconciled {
                notes(Note::BoundsReconciled(Operation::Aggregation));
            }
            Some(total)
        }
        Err(Incompatible) => {
            notes(Note::MixedLayouts);
            None
        }
    }
}

/// The first sample of either kind.
pub fn first(w: &Window<'_>) -> Value {
    match (w.t.first(), w.h.t().first()) {
        (Some(float), Some(hist)) if float < hist => Value::Float(w.v[0]),
        (_, Some(_)) => w.h.at(0).to_owned().into(),
        (Some(_), None) => Value::Float(w.v[0]),
        (None, None) => Value::None,
    }
}

/// The last sample of either kind.
pub fn last(w: &Window<'_>) -> Value {
    match (w.t.last(), w.h.t().last()) {
        (Some(float), Some(hist)) if float > hist => Value::Float(w.v[w.v.len() - 1]),
        (_, Some(_)) => w.h.at(w.h.len() - 1).to_owned().into(),
        (Some(_), None) => Value::Float(w.v[w.v.len() - 1]),
        (None, None) => Value::None,
    }
}

/// A function of floats that leaves histograms out.
pub fn of_floats(
    w: &Window<'_>,
    notes: &mut Notes<'_>,
    f: impl FnOnce(&[Timestamp], &[f64]) -> f64,
) -> Value {
    if w.v.is_empty() {
        return Value::None;
    }
    if !w.h.is_empty() {
        notes(Note::HistogramsIgnored);
    }
    Value::Float(f(w.t, w.v))
}
