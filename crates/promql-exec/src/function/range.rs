//! The functions over a range, by name.

use super::kernel::{Notes, Value, Window};
use super::rate::Change;
use super::{RangeFn, RangeKernel, Slide, over_time, rate, transitions, trend};
use crate::error::{PromqlError, Result};

/// The function of a name.
pub fn find(name: &str) -> Option<RangeFn> {
    let at = TABLE.iter().find(|f| f.name == name)?;
    Some(*at)
}

const fn plain(name: &'static str, kernel: RangeKernel) -> RangeFn {
    RangeFn { name, kernel, slide: None }
}

const fn sliding(name: &'static str, slide: Slide, kernel: RangeKernel) -> RangeFn {
    RangeFn { name, kernel, slide: Some(slide) }
}

const TABLE: &[RangeFn] = &[
    sliding("rate", Slide::Change(Change::Rate), |w, _, _, n| Ok(rate::change(Change::Rate, w, n))),
    sliding("increase", Slide::Change(Change::Increase), |w, _, _, n| Ok(rate::change(Change::Increase, w, n))),
    sliding("delta", Slide::Change(Change::Delta), |w, _, _, n| Ok(rate::change(Change::Delta, w, n))),
    plain("irate", |w, _, _, n| Ok(rate::instant_change(true, w, n))),
    plain("idelta", |w, _, _, n| Ok(rate::instant_change(false, w, n))),
    sliding("sum_over_time", Slide::Sum, |w, _, _, n| Ok(over_time::total(false, w, n))),
    sliding("avg_over_time", Slide::Avg, |w, _, _, n| Ok(over_time::total(true, w, n))),
    sliding("min_over_time", Slide::Min, |w, _, _, n| Ok(over_time::of_floats(w, n, |_, v| over_time::min(v)))),
    sliding("max_over_time", Slide::Max, |w, _, _, n| Ok(over_time::of_floats(w, n, |_, v| over_time::max(v)))),
    sliding("count_over_time", Slide::Count, |w, _, _, _| Ok(count(w))),
    sliding("last_over_time", Slide::Last, |w, _, _, _| Ok(over_time::last(w))),
    plain("first_over_time", |w, _, _, _| Ok(over_time::first(w))),
    plain("present_over_time", |w, _, _, _| Ok(present(w))),
    // Its values are turned round by the engine.
    plain("absent_over_time", |w, _, _, _| Ok(present(w))),
    plain("stdvar_over_time", |w, _, _, n| Ok(over_time::of_floats(w, n, |_, v| over_time::variance(v)))),
    plain("stddev_over_time", |w, _, _, n| Ok(over_time::of_floats(w, n, |_, v| over_time::variance(v).sqrt()))),
    plain("quantile_over_time", quantile_over_time),
    plain("mad_over_time", |w, _, s, n| Ok(over_time::of_floats(w, n, |_, v| over_time::median_deviation(v, s)))),
    plain("ts_of_min_over_time", |w, _, _, n| Ok(over_time::of_floats(w, n, over_time::ts_of_min))),
    plain("ts_of_max_over_time", |w, _, _, n| Ok(over_time::of_floats(w, n, over_time::ts_of_max))),
    plain("ts_of_first_over_time", |w, _, _, _| Ok(edge_time(w, false))),
    plain("ts_of_last_over_time", |w, _, _, _| Ok(edge_time(w, true))),
    plain("changes", |w, _, _, _| Ok(transitions::changes(w).map_or(Value::None, Value::Float))),
    plain("resets", |w, _, _, _| Ok(transitions::resets(w).map_or(Value::None, Value::Float))),
    plain("deriv", deriv),
    plain("predict_linear", predict_linear),
    plain("double_exponential_smoothing", double_exponential_smoothing),
];

fn count(w: &Window<'_>) -> Value {
    Value::Float((w.v.len() + w.h.len()) as f64)
}

fn present(_: &Window<'_>) -> Value {
    Value::Float(1.0)
}

fn edge_time(w: &Window<'_>, last: bool) -> Value {
    let edge = |t: &[i64]| if last { t.last().copied() } else { t.first().copied() };
    let t = match (edge(w.t), edge(w.h.t())) {
        (Some(a), Some(b)) => Some(if last { a.max(b) } else { a.min(b) }),
        (a, b) => a.or(b),
    };
    t.map_or(Value::None, |t| Value::Float(t as f64 / 1000.0))
}

fn quantile_over_time(w: &Window<'_>, args: &[f64], scratch: &mut Vec<f64>, n: &mut Notes<'_>) -> Result<Value> {
    Ok(over_time::of_floats(w, n, |_, v| {
        scratch.clear();
        scratch.extend_from_slice(v);
        over_time::quantile(args[0], scratch)
    }))
}

/// A line needs two floats; histograms beside them are left out.
fn line(w: &Window<'_>, at: i64, n: &mut Notes<'_>, f: impl FnOnce((f64, f64)) -> f64) -> Result<Value> {
    if w.v.len() < 2 {
        if w.v.len() == 1 && !w.h.is_empty() {
            n(super::kernel::Note::HistogramsIgnored);
        }
        return Ok(Value::None);
    }
    Ok(over_time::of_floats(w, n, |t, v| f(trend::line(t, v, at))))
}

fn deriv(w: &Window<'_>, _: &[f64], _: &mut Vec<f64>, n: &mut Notes<'_>) -> Result<Value> {
    line(w, w.t.first().copied().unwrap_or_default(), n, |(slope, _)| slope)
}

/// The last argument is the time of the evaluation in seconds.
fn predict_linear(w: &Window<'_>, args: &[f64], _: &mut Vec<f64>, n: &mut Notes<'_>) -> Result<Value> {
    let now = (args[1] * 1000.0).round() as i64;
    line(w, now, n, |(slope, level)| slope * args[0] + level)
}

fn double_exponential_smoothing(
    w: &Window<'_>,
    args: &[f64],
    _: &mut Vec<f64>,
    n: &mut Notes<'_>,
) -> Result<Value> {
    for (v, name) in [(args[0], "smoothing"), (args[1], "trend")] {
        if v.is_nan() || v <= 0.0 || v >= 1.0 {
            return Err(PromqlError::execution(format!(
                "invalid {name} factor. Expected: 0 < {} < 1, got: {v:.6}",
                if name == "smoothing" { "sf" } else { "tf" }
            )));
        }
    }
    if w.v.len() < 2 {
        if w.v.len() == 1 && !w.h.is_empty() {
            n(super::kernel::Note::HistogramsIgnored);
        }
        return Ok(Value::None);
    }
    Ok(over_time::of_floats(w, n, |_, v| trend::smooth(v, args[0], args[1])))
}
