//! Functions over a range, by name.

use super::kernel::{Note, Notes, Value, Window};
use super::rate::Change;
use super::{RangeFn, RangeKernel, Slide, over_time, rate, transitions, trend};
use crate::error::{PromqlError, Result};

/// The function of a name, where it is one over a range.
pub fn find(name: &str) -> Option<RangeFn> {
    FUNCTIONS.iter().find(|f| f.name == name).copied()
}

const FUNCTIONS: &[RangeFn] = {
    use over_time::of_floats;
    const fn f(name: &'static str, kernel: RangeKernel, slide: Option<Slide>) -> RangeFn {
        RangeFn { name, kernel, slide }
    }
    &[
        // The engine turns its values round.
        f("absent_over_time", |w, _, _, _| Ok(present(w)), None),
        f("avg_over_time", |w, _, _, n| Ok(over_time::total(true, w, n)), Some(Slide::Avg)),
        f("changes", |w, _, _, _| Ok(transitions::changes(w).into()), None),
        f("count_over_time", |w, _, _, _| Ok(count(w)), Some(Slide::Count)),
        f("delta", |w, _, _, n| Ok(rate::change(Change::Delta, w, n)), Some(Slide::Change(Change::Delta))),
        f("deriv", deriv, None),
        f("double_exponential_smoothing", smooth, None),
        f("first_over_time", |w, _, _, _| Ok(over_time::first(w)), None),
        f("idelta", |w, _, _, n| Ok(rate::instant_change(false, w, n)), None),
        f(
            "increase",
            |w, _, _, n| Ok(rate::change(Change::Increase, w, n)),
            Some(Slide::Change(Change::Increase)),
        ),
        f("irate", |w, _, _, n| Ok(rate::instant_change(true, w, n)), None),
        f("last_over_time", |w, _, _, _| Ok(over_time::last(w)), Some(Slide::Last)),
        f(
            "mad_over_time",
            |w, _, scratch, n| Ok(of_floats(w, n, |_, v| over_time::median_deviation(v, scratch))),
            None,
        ),
        f("max_over_time", |w, _, _, n| Ok(of_floats(w, n, |_, v| over_time::max(v))), Some(Slide::Max)),
        f("min_over_time", |w, _, _, n| Ok(of_floats(w, n, |_, v| over_time::min(v))), Some(Slide::Min)),
        f("predict_linear", predict, None),
        f("present_over_time", |w, _, _, _| Ok(present(w)), None),
        f("quantile_over_time", quantile, None),
        f("rate", |w, _, _, n| Ok(rate::change(Change::Rate, w, n)), Some(Slide::Change(Change::Rate))),
        f("resets", |w, _, _, _| Ok(transitions::resets(w).into()), None),
        f("stddev_over_time", |w, _, _, n| Ok(of_floats(w, n, |_, v| over_time::variance(v).sqrt())), None),
        f("stdvar_over_time", |w, _, _, n| Ok(of_floats(w, n, |_, v| over_time::variance(v))), None),
        f("sum_over_time", |w, _, _, n| Ok(over_time::total(false, w, n)), Some(Slide::Sum)),
        f("ts_of_first_over_time", |w, _, _, _| Ok(time_of(w, false)), None),
        f("ts_of_last_over_time", |w, _, _, _| Ok(time_of(w, true)), None),
        f("ts_of_max_over_time", |w, _, _, n| Ok(of_floats(w, n, over_time::ts_of_max)), None),
        f("ts_of_min_over_time", |w, _, _, n| Ok(of_floats(w, n, over_time::ts_of_min)), None),
    ]
};

impl From<Option<f64>> for Value {
    fn from(v: Option<f64>) -> Value {
        v.map_or(Value::None, Value::Float)
    }
}

fn count(w: &Window<'_>) -> Value {
    let n = w.t.len() + w.h.len();
    if n == 0 { Value::None } else { Value::Float(n as f64) }
}

fn present(w: &Window<'_>) -> Value {
    if w.t.is_empty() && w.h.is_empty() { Value::None } else { Value::Float(1.0) }
}

/// When the first or last sample of either kind was, in seconds.
fn time_of(w: &Window<'_>, last: bool) -> Value {
    let both = [w.t, w.h.t()];
    let t = if last {
        both.iter().filter_map(|t| t.last()).max()
    } else {
        both.iter().filter_map(|t| t.first()).min()
    };
    t.map(|t| *t as f64 / 1000.0).into()
}

/// A function that needs two floats and leaves histograms out.
fn of_two_floats(w: &Window<'_>, notes: &mut Notes<'_>, f: impl FnOnce() -> f64) -> Value {
    if !w.v.is_empty() && !w.h.is_empty() {
        notes(Note::HistogramsIgnored);
    }
    if w.v.len() < 2 { Value::None } else { Value::Float(f()) }
}

fn deriv(w: &Window<'_>, _: &[f64], _: &mut Vec<f64>, notes: &mut Notes<'_>) -> Result<Value> {
    // Times near the samples' own keep the numbers small.
    Ok(of_two_floats(w, notes, || trend::line(w.t, w.v, w.t[0]).0))
}

fn predict(w: &Window<'_>, args: &[f64], _: &mut Vec<f64>, notes: &mut Notes<'_>) -> Result<Value> {
    Ok(of_two_floats(w, notes, || {
        let (slope, now) = trend::line(w.t, w.v, w.at);
        slope * args[0] + now
    }))
}

fn smooth(w: &Window<'_>, args: &[f64], _: &mut Vec<f64>, notes: &mut Notes<'_>) -> Result<Value> {
    for (name, letters, factor) in [("smoothing", "sf", args[0]), ("trend", "tf", args[1])] {
        if factor <= 0.0 || factor >= 1.0 {
            let text = format!("invalid {name} factor. Expected: 0 < {letters} < 1, got: {factor:.6}");
            return Err(PromqlError::execution(text));
        }
    }
    Ok(of_two_floats(w, notes, || trend::smooth(w.v, args[0], args[1])))
}

fn quantile(w: &Window<'_>, args: &[f64], scratch: &mut Vec<f64>, notes: &mut Notes<'_>) -> Result<Value> {
    let q = args[0];
    if !w.v.is_empty() && !(0.0..=1.0).contains(&q) {
        notes(Note::InvalidQuantile(q));
    }
    Ok(over_time::of_floats(w, notes, |_, v| {
        scratch.clear();
        scratch.extend_from_slice(v);
        over_time::quantile(q, scratch)
    }))
}
