//! How often something happened between one sample and the next: `changes`, `resets`.

use super::extended::{Reach, from_anchor};
use super::kernel::Window;
use crate::histogram::{detect_reset, equal};
use dolmen_model::HistRef;

/// One sample of either kind.
#[derive(Clone, Copy)]
enum Sample<'a> {
    Float(f64),
    Histogram(HistRef<'a>),
}

/// How often the value changed; NaN does not differ from NaN.
pub fn changes(w: &Window<'_>) -> Option<f64> {
    let w = &counted(w)?;
    let floats = |a: f64, b: f64| a != b && !(a.is_nan() && b.is_nan());
    if w.h.is_empty() {
        return count_floats(w.v, floats);
    }
    count(w, |before, after| match (before, after) {
        (Sample::Float(a), Sample::Float(b)) => floats(a, b),
        (Sample::Histogram(a), Sample::Histogram(b)) => !equal(a, b),
        _ => true,
    })
}

/// How often a counter was reset; a change of kind is a reset too.
pub fn resets(w: &Window<'_>) -> Option<f64> {
    let w = &counted(w)?;
    if w.h.is_empty() {
        return count_floats(w.v, |a, b| b < a);
    }
    count(w, |before, after| match (before, after) {
        (Sample::Float(a), Sample::Float(b)) => b < a,
        (Sample::Histogram(a), Sample::Histogram(b)) => detect_reset(b, a),
        _ => true,
    })
}

/// The samples that count: of an anchored window those from its anchor on.
fn counted<'a>(w: &Window<'a>) -> Option<Window<'a>> {
    if w.reach == Reach::Anchored { from_anchor(w) } else { Some(*w) }
}

fn count_floats(v: &[f64], happened: impl Fn(f64, f64) -> bool) -> Option<f64> {
    (!v.is_empty()).then(|| v.windows(2).filter(|pair| happened(pair[0], pair[1])).count() as f64)
}

fn count<'a>(w: &Window<'a>, happened: impl Fn(Sample<'a>, Sample<'a>) -> bool) -> Option<f64> {
    let (mut floats, mut hists) = (w.t.iter().zip(w.v).peekable(), w.h.t().iter().zip(w.h.iter()).peekable());
    let mut previous: Option<Sample<'a>> = None;
    let mut n = 0u32;
    loop {
        let float_first = match (floats.peek(), hists.peek()) {
            (Some((a, _)), Some((b, _))) => a < b,
            (float, _) => float.is_some(),
        };
        let next = if float_first {
            floats.next().map(|(_, v)| Sample::Float(*v))
        } else {
            hists.next().map(|(_, h)| Sample::Histogram(h))
        };
        match (previous, next) {
            (Some(before), Some(after)) => n += u32::from(happened(before, after)),
            (Some(_), None) => return Some(f64::from(n)),
            (None, None) => return None,
            (None, Some(_)) => {}
        }
        previous = next;
    }
}
