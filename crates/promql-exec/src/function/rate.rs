//! Change of a series within a window: `rate`, `increase`, `delta`, `irate`, `idelta`.
//!
//! A window seldom begins and ends with a sample. The change between its first and last sample is extrapolated
//! to its edges, by at most half the usual distance of samples where the series seems to begin or end inside.

use dolmen_model::{FloatHistogram, HistRef, ResetHint, Timestamp};

use super::extended::{self, Reach};
use super::kernel::{Hists, Note, Notes, Operation, Value, Window};
use crate::histogram::{Combined, Incompatible, add, compact, detect_reset, div, layout, mul, sub};

/// Which change is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Of a counter, per second.
    Rate,
    /// Of a counter.
    Increase,
    /// Of a gauge.
    Delta,
}

impl Change {
    /// Whether a decrease is a reset to zero.
    pub fn of_counter(self) -> bool {
        self != Change::Delta
    }
}

/// `rate`, `increase` or `delta` of a window.
pub fn change(what: Change, w: &Window<'_>, notes: &mut Notes<'_>) -> Value {
    if w.reach != Reach::Plain {
        return extended::change(what, w, notes);
    }
    match (w.t.is_empty(), w.h.is_empty()) {
        (false, false) => {
            notes(Note::MixedKinds);
            Value::None
        }
        (false, true) => change_of_floats(what, w, decreases(w.v)).map_or(Value::None, Value::Float),
        (true, false) => change_of_histograms(what, w, notes).map_or(Value::None, Value::from),
        (true, true) => Value::None,
    }
}

/// Places of the samples that are lower than the one before.
pub fn decreases(v: &[f64]) -> impl Iterator<Item = usize> + '_ {
    v.windows(2).zip(1..).filter(|(pair, _)| pair[1] < pair[0]).map(|(_, i)| i)
}

/// The change of a window of floats; `resets` are its places that [`decreases`] finds, ascending. They can be
/// found once for a whole series, for all its windows.
#[inline]
pub fn change_of_floats(what: Change, w: &Window<'_>, resets: impl Iterator<Item = usize>) -> Option<f64> {
    let (t, v) = (w.t, w.v);
    if v.len() < 2 {
        return None;
    }
    let mut change = v[v.len() - 1] - v[0];
    if what.of_counter() {
        for i in resets {
            change += v[i - 1];
        }
    }
    let zero = (what.of_counter() && change > 0.0 && v[0] >= 0.0).then(|| v[0] / change);
    Some(change * factor(what, w, t, zero))
}

/// By what the change between first and last sample has to be multiplied.
///
/// `zero`: how far before the first sample the counter stood at zero, in units of the sampled interval.
fn factor(what: Change, w: &Window<'_>, t: &[Timestamp], zero: Option<f64>) -> f64 {
    let (first, last) = (t[0], t[t.len() - 1]);
    let sampled = (last - first) as f64 / 1000.0;
    let average = sampled / (t.len() - 1) as f64;
    let near = average * 1.1;
    let edge = |distance: f64| if distance >= near { average / 2.0 } else { distance };
    let mut to_start = edge((first - w.start) as f64 / 1000.0);
    if let Some(zero) = zero {
        let to_zero = sampled * zero;
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    let to_end = edge((w.end - last) as f64 / 1000.0);
    let factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    if what == Change::Rate { factor / w.seconds } else { factor }
}

/// Tells what is worth telling of a combination; `None` where it was impossible.
pub(super) fn told(
    done: Result<Combined, Incompatible>,
    operation: Operation,
    notes: &mut Notes<'_>,
) -> Option<()> {
    match done {
        Ok(done) => {
            if done.bounds_reconciled {
                notes(Note::BoundsReconciled(operation));
            }
            Some(())
        }
        Err(Incompatible) => {
            notes(Note::MixedLayouts);
            None
        }
    }
}

fn change_of_histograms(what: Change, w: &Window<'_>, notes: &mut Notes<'_>) -> Option<FloatHistogram> {
    let h = w.h;
    if h.len() < 2 {
        return None;
    }
    let mut change = raw_change(what.of_counter(), h, notes)?;
    let first = h.at(0).count;
    let zero = (what.of_counter() && change.count > 0.0 && first >= 0.0).then(|| first / change.count);
    mul(&mut change, factor(what, w, h.t(), zero));
    Some(change)
}

/// Last minus first, plus what was there before every reset.
fn raw_change(counter: bool, h: Hists<'_>, notes: &mut Notes<'_>) -> Option<FloatHistogram> {
    let (first, last) = (h.at(0), h.at(h.len() - 1));
    let gauge = |h: HistRef<'_>| h.hint == ResetHint::Gauge;
    if counter && (gauge(first) || gauge(last)) {
        notes(Note::NotCounter);
    }
    // Right after a reset nothing of the first sample matters, its layout neither.
    let fresh = counter && detect_reset(h.at(1), first);
    let empty = layout::empty_like(h.at(1));
    let first = if fresh { empty.view() } else { first };
    let custom = first.layout.is_custom();
    if last.layout.is_custom() != custom {
        notes(Note::MixedLayouts);
        return None;
    }
    let mut schema = last.layout.schema.min(first.layout.schema);
    if counter {
        let mut gauges = false;
        for inner in h.slice(1, h.len() - 1).iter() {
            gauges |= gauge(inner);
            schema = schema.min(inner.layout.schema);
            if inner.layout.is_custom() != custom {
                notes(Note::MixedLayouts);
                return None;
            }
        }
        if gauges {
            notes(Note::NotCounter);
        }
    }
    let mut change = last.to_owned();
    layout::reduce_to(&mut change, schema);
    told(sub(&mut change, first), Operation::Subtraction, notes)?;
    if counter {
        let mut previous = first;
        for current in h.iter().skip(1) {
            if detect_reset(current, previous) {
                told(add(&mut change, previous), Operation::Addition, notes)?;
            }
            previous = current;
        }
    } else if !gauge(h.at(0)) || !gauge(last) {
        notes(Note::NotGauge);
    }
    change.hint = ResetHint::Gauge;
    compact(&mut change);
    Some(change)
}

/// `irate` (`counter`) or `idelta`: change between the last two samples.
pub fn instant_change(counter: bool, w: &Window<'_>, notes: &mut Notes<'_>) -> Value {
    let (floats, hists) = (w.t.len(), w.h.len());
    if floats + hists < 2 {
        return Value::None;
    }
    let (ht, last_t) = (w.h.t(), |t: &[Timestamp], back: usize| t.len().checked_sub(back).map(|i| t[i]));
    // The last two of both kinds together.
    let newest_float = last_t(w.t, 1) > last_t(ht, 1);
    let (taken, other) =
        if newest_float { (last_t(w.t, 2), last_t(ht, 1)) } else { (last_t(ht, 2), last_t(w.t, 1)) };
    if taken < other {
        notes(Note::MixedKinds);
        return Value::None;
    }
    let t = if newest_float { w.t } else { ht };
    let millis = t[t.len() - 1] - t[t.len() - 2];
    if millis == 0 {
        return Value::None;
    }
    let seconds = millis as f64 / 1000.0;
    if newest_float {
        let (before, last) = (w.v[floats - 2], w.v[floats - 1]);
        let change = if counter && last < before { last } else { last - before };
        return Value::Float(if counter { change / seconds } else { change });
    }
    let (before, last) = (w.h.at(hists - 2), w.h.at(hists - 1));
    let gauges = [before, last].map(|h| h.hint == ResetHint::Gauge);
    if counter && gauges.contains(&true) {
        notes(Note::NotCounter);
    }
    if !counter && gauges.contains(&false) {
        notes(Note::NotGauge);
    }
    let mut change = last.to_owned();
    if (!counter || !detect_reset(last, before))
        && told(sub(&mut change, before), Operation::Subtraction, notes).is_none()
    {
        return Value::None;
    }
    change.hint = ResetHint::Gauge;
    compact(&mut change);
    if counter {
        div(&mut change, seconds);
    }
    change.into()
}
