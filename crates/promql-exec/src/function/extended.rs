//! Windows that reach beyond their range: `anchored` and `smoothed` selectors.
//!
//! An anchored window begins with the last sample at or before the start of the range, so that the change over
//! the range is known without extrapolation. A smoothed one has samples beyond both edges; the value at an
//! edge lies on the line between the two samples around it.

use dolmen_model::{FloatHistogram, ResetHint, Timestamp};

use super::kernel::{Hists, Note, Notes, Operation, Value, Window};
use super::rate::{Change, told};
use crate::histogram::{add, compact, detect_reset, div, mul, sub};

/// How a window reaches beyond its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It does not.
    Plain,
    /// One sample before it.
    Anchored,
    /// Samples on both sides.
    Smoothed,
}

/// `rate`, `increase` or `delta` of an anchored or smoothed window.
pub fn change(what: Change, w: &Window<'_>, notes: &mut Notes<'_>) -> Value {
    let smoothed = w.reach == Reach::Smoothed;
    match (w.t.is_empty(), w.h.is_empty()) {
        (false, false) => {
            notes(Note::MixedKinds);
            Value::None
        }
        (false, true) => change_of_floats(what, smoothed, w).map_or(Value::None, Value::Float),
        (true, false) => change_of_histograms(what, smoothed, w, notes).map_or(Value::None, Value::from),
        (true, true) => Value::None,
    }
}

/// The value of a smoothed instant selector at `at`: on the line between the samples around it, or that of the
/// last one before. Nothing where there is none before.
pub fn smooth_instant(w: &Window<'_>, at: Timestamp, notes: &mut Notes<'_>) -> Value {
    if !w.t.is_empty() && !w.h.is_empty() {
        notes(Note::MixedKinds);
        return Value::None;
    }
    if w.h.is_empty() {
        let next = w.t.partition_point(|t| *t < at);
        if w.t.get(next) == Some(&at) {
            return Value::Float(w.v[next]);
        }
        let Some(before) = next.checked_sub(1) else { return Value::None };
        if next == w.t.len() {
            return Value::Float(w.v[before]);
        }
        return Value::Float(between((w.t[before], w.v[before]), (w.t[next], w.v[next]), at, false));
    }
    let t = w.h.t();
    let next = t.partition_point(|t| *t < at);
    if t.get(next) == Some(&at) {
        return w.h.at(next).to_owned().into();
    }
    let Some(before) = next.checked_sub(1) else { return Value::None };
    if next == t.len() {
        return w.h.at(before).to_owned().into();
    }
    let counter = w.h.at(before).hint != ResetHint::Gauge;
    if w.h.at(before).layout.is_custom() != w.h.at(next).layout.is_custom() {
        notes(Note::MixedLayouts);
        return Value::None;
    }
    hist_between(w.h, before, at, counter, notes).map_or(Value::None, Value::from)
}

/// The floats of a window with a sample at either edge: what a smoothed or anchored range is by itself.
pub fn with_edges(
    t: &[Timestamp],
    v: &[f64],
    (start, end): (Timestamp, Timestamp),
    smoothed: bool,
) -> (Vec<Timestamp>, Vec<f64>) {
    let Some(newest) = t.len().checked_sub(1) else { return Default::default() };
    let first = t[..newest].partition_point(|t| *t <= start).saturating_sub(1);
    let last = if smoothed { t[..newest].partition_point(|t| *t < end) } else { newest };
    if t[last] <= start {
        return Default::default();
    }
    let line = |i: usize, at: Timestamp| between((t[i], v[i]), (t[i + 1], v[i + 1]), at, false);
    let left = if smoothed && t[first] < start { line(first, start) } else { v[first] };
    let right = if smoothed && last > 0 && t[last] > end { line(last - 1, end) } else { v[last] };
    let inner = first + usize::from(t[first] <= start)..last + 1 - usize::from(t[last] >= end);
    let (mut times, mut values) = (vec![start], vec![left]);
    times.extend_from_slice(t.get(inner.clone()).unwrap_or_default());
    values.extend_from_slice(v.get(inner).unwrap_or_default());
    times.push(end);
    values.push(right);
    (times, values)
}

/// The samples of an anchored window that count: the newest of either kind at or before the start, and what
/// follows. `None` where nothing lies within the range.
pub fn from_anchor<'a>(w: &Window<'a>) -> Option<Window<'a>> {
    let (floats, hists) =
        (w.t.partition_point(|t| *t <= w.start), w.h.t().partition_point(|t| *t <= w.start));
    if floats == w.t.len() && hists == w.h.len() {
        return None;
    }
    let before = |t: &[Timestamp], n: usize| n.checked_sub(1).map(|i| t[i]);
    let (float, hist) = (before(w.t, floats), before(w.h.t(), hists));
    let (f, h) = match (float, hist) {
        (None, None) => (0, 0),
        (float, hist) if float >= hist => (floats - 1, hists),
        _ => (floats, hists - 1),
    };
    Some(Window { t: &w.t[f..], v: &w.v[f..], h: w.h.slice(h, w.h.len()), ..*w })
}

/// First and last sample that count.
fn ends(t: &[Timestamp], w: &Window<'_>, smoothed: bool) -> Option<(usize, usize)> {
    let newest = t.len() - 1;
    let first = t[..newest].partition_point(|t| *t <= w.start).saturating_sub(1);
    let last = if smoothed { t[..newest].partition_point(|t| *t < w.end) } else { newest };
    (t[last] > w.start && !(smoothed && t[first] > w.end)).then_some((first, last))
}

fn change_of_floats(what: Change, smoothed: bool, w: &Window<'_>) -> Option<f64> {
    let (t, v) = (w.t, w.v);
    let (first, last) = ends(t, w, smoothed)?;
    let line = |i: usize, at: Timestamp| between((t[i], v[i]), (t[i + 1], v[i + 1]), at, what.of_counter());
    let left = if smoothed && t[first] < w.start { line(first, w.start) } else { v[first] };
    let right = if smoothed && last > 0 && t[last] > w.end { line(last - 1, w.end) } else { v[last] };
    let mut change = right - left;
    if what.of_counter() {
        let from = first + usize::from(t[first] <= w.start);
        let to = last + 1 - usize::from(t[last] >= w.end);
        let mut previous = left;
        let mut before_resets = 0.0;
        for x in v.get(from..to).unwrap_or_default().iter().chain([&right]) {
            if *x < previous {
                before_resets += previous;
            }
            previous = *x;
        }
        change += before_resets;
    }
    Some(if what == Change::Rate { change / w.seconds } else { change })
}

/// The value at `at` on the line between two samples; a counter that was reset between them started from 0.
pub fn between(a: (Timestamp, f64), b: (Timestamp, f64), at: Timestamp, counter: bool) -> f64 {
    let start = if counter && b.1 < a.1 { 0.0 } else { a.1 };
    start + (b.1 - start) * (at - a.0) as f64 / (b.0 - a.0) as f64
}

fn change_of_histograms(
    what: Change,
    smoothed: bool,
    w: &Window<'_>,
    notes: &mut Notes<'_>,
) -> Option<FloatHistogram> {
    let (h, t, counter) = (w.h, w.h.t(), what.of_counter());
    let (first, last) = ends(t, w, smoothed)?;
    let custom = h.at(first).layout.is_custom();
    for one in h.slice(first, last + 1).iter() {
        if one.layout.is_custom() != custom {
            notes(Note::MixedLayouts);
            return None;
        }
        if counter && one.hint == ResetHint::Gauge {
            notes(Note::NotCounter);
        }
    }
    let left = if smoothed && t[first] < w.start {
        hist_between(h, first, w.start, counter, notes)?
    } else {
        h.at(first).to_owned()
    };
    let right = if smoothed && last > 0 && t[last] > w.end {
        hist_between(h, last - 1, w.end, counter, notes)?
    } else {
        h.at(last).to_owned()
    };
    if !counter && (left.hint != ResetHint::Gauge || right.hint != ResetHint::Gauge) {
        notes(Note::NotGauge);
    }
    let mut change = right.clone();
    told(sub(&mut change, &left), Operation::Subtraction, notes)?;
    if counter {
        let skipped = smoothed && t[first] < w.start && detect_reset(h.at(first + 1), h.at(first));
        if let Some(more) = before_resets(h, (first, last), skipped, (&left, &right), notes)? {
            told(add(&mut change, &more), Operation::Addition, notes)?;
        }
    }
    if what == Change::Rate {
        div(&mut change, w.seconds);
    }
    change.hint = ResetHint::Gauge;
    compact(&mut change);
    Some(change)
}

/// What was there before every reset between the edges: `None` inside where there was none.
///
/// `skipped`: the value at the left edge already accounts for a reset right behind the first sample. The last
/// sample stands for itself only through `right`, whose hint is its own.
fn before_resets(
    h: Hists<'_>,
    (first, last): (usize, usize),
    skipped: bool,
    (left, right): (&FloatHistogram, &FloatHistogram),
    notes: &mut Notes<'_>,
) -> Option<Option<FloatHistogram>> {
    let from = first + 1 + usize::from(skipped);
    if from > last {
        return Some(None);
    }
    let mut previous = if skipped { h.at(first + 1) } else { left.view() };
    let mut sum: Option<FloatHistogram> = None;
    for one in h.slice(from, last).iter().chain([right.view()]) {
        if detect_reset(one, previous) {
            match &mut sum {
                Some(sum) => told(add(sum, previous), Operation::Addition, notes)?,
                None => sum = Some(previous.to_owned()),
            }
        }
        previous = one;
    }
    Some(sum)
}

/// The histogram at `at` between sample `i` and the next; a counter reset between them started from nothing.
fn hist_between(
    h: Hists<'_>,
    i: usize,
    at: Timestamp,
    counter: bool,
    notes: &mut Notes<'_>,
) -> Option<FloatHistogram> {
    let (a, b, t) = (h.at(i), h.at(i + 1), h.t());
    if at == t[i] {
        return Some(a.to_owned());
    }
    let mut between = b.to_owned();
    if at == t[i + 1] {
        return Some(between);
    }
    let share = (at - t[i]) as f64 / (t[i + 1] - t[i]) as f64;
    if counter && detect_reset(b, a) {
        mul(&mut between, share);
        return Some(between);
    }
    told(sub(&mut between, a), Operation::Subtraction, notes)?;
    mul(&mut between, share);
    told(add(&mut between, a), Operation::Addition, notes)?;
    Some(between)
}
