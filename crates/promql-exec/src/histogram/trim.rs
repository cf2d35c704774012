//! A histogram with only the observations up to, or from, a value: the operators `</` and `>/`.
//!
//! Whole buckets stay or go; the one around the value is split as quantiles split it. Where anything went,
//! the count becomes that of what is left and the sum is estimated from the middles of what is left.

use dolmen_model::FloatHistogram;

use super::buckets::{Bucket, negative, positive, zero};
use super::estimate::share_below;
use super::layout::compact;

/// Which observations stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Those up to the value: `</`.
    UpTo,
    /// Those from the value on: `>/`.
    From,
}

/// Takes away the observations on the other side of `at`.
pub fn trim(h: &mut FloatHistogram, at: f64, keep: Keep) {
    let custom = h.layout.is_custom();
    let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
    let mut side = |buckets: Vec<Bucket>, counts: &mut [f64], sign: f64| {
        let mut filled = false;
        for (b, slot) in buckets.iter().zip(counts).filter(|(b, _)| b.count != 0.0) {
            filled = true;
            let (left, middle) = part(b, at, keep, sign, custom);
            count += left;
            sum += middle * left;
            changed |= *slot != left;
            *slot = left;
        }
        filled
    };
    let has_positive = side(positive(&*h).collect(), &mut h.positive, 1.0);
    let has_negative = side(negative(&*h).collect(), &mut h.negative, -1.0);
    if h.zero_count > 0.0 {
        let mut b = zero(&*h);
        match (has_negative, has_positive) {
            (true, false) => b.upper = 0.0,
            (false, true) => b.lower = 0.0,
            _ => {}
        }
        let (left, middle) = zero_part(&b, at, keep);
        count += left;
        sum += middle * left;
        changed |= h.zero_count != left;
        h.zero_count = left;
    }
    if changed {
        (h.count, h.sum) = (count, sum);
        compact(h);
    }
}

/// What stays of a bucket, and the middle of that.
fn part(b: &Bucket, at: f64, keep: Keep, sign: f64, custom: bool) -> (f64, f64) {
    let (inside, cut) = match keep {
        Keep::UpTo => (b.upper <= at, b.lower < at),
        Keep::From => (b.lower >= at, b.upper > at),
    };
    if inside {
        return (b.count, middle(b.lower, b.upper, sign, custom));
    }
    if !cut {
        return (0.0, 0.0);
    }
    if b.lower == f64::NEG_INFINITY || b.upper == f64::INFINITY {
        return endless_part(b, at, keep);
    }
    let under = b.count * share_below(b, at, custom);
    match keep {
        Keep::UpTo => (under, middle(b.lower, at, sign, custom)),
        Keep::From => (b.count - under, middle(at, b.upper, sign, custom)),
    }
}

/// What stays of a bucket that reaches to infinity and holds the value. Only custom bounds have a lower end
/// at −Inf; a positive upper bound then means that the bucket starts at 0.
fn endless_part(b: &Bucket, at: f64, keep: Keep) -> (f64, f64) {
    let finite = |v: f64| if v.is_infinite() { 0.0 } else { v };
    if b.lower == f64::NEG_INFINITY {
        return match keep {
            Keep::UpTo if at > 0.0 && b.upper > 0.0 && b.upper.is_finite() => {
                (b.count * at / b.upper, at / 2.0)
            }
            Keep::UpTo if b.upper <= 0.0 => (b.count, at),
            Keep::From if at >= 0.0 && b.upper > at && b.upper.is_finite() => {
                (b.count * (1.0 - at / b.upper), (at + b.upper) / 2.0)
            }
            _ => (0.0, finite(b.upper)),
        };
    }
    match keep {
        Keep::From if at >= b.lower => (b.count, at),
        _ => (0.0, finite(b.lower)),
    }
}

fn zero_part(b: &Bucket, at: f64, keep: Keep) -> (f64, f64) {
    let whole = (b.count, (b.lower + b.upper) / 2.0);
    match keep {
        Keep::UpTo if at <= b.lower => (0.0, 0.0),
        Keep::UpTo if at >= b.upper => whole,
        Keep::UpTo => (b.count * ((at - b.lower) / (b.upper - b.lower)), (b.lower + at) / 2.0),
        Keep::From if at <= b.lower => whole,
        Keep::From if at >= b.upper => (0.0, 0.0),
        Keep::From => (b.count * ((b.upper - at) / (b.upper - b.lower)), (at + b.upper) / 2.0),
    }
}

/// Where the observations between two values are taken to lie.
fn middle(lower: f64, upper: f64, sign: f64, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => sign * (lower * upper).abs().sqrt(),
    }
}
