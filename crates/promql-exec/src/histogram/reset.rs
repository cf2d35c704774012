//! Whether a counter was reset between two histograms.

use dolmen_model::{HistRef, ResetHint, Span};

use super::buckets::{bound, exponential_bound, indices};
use super::combine::common_bounds;
use super::layout::{coarse, free_threshold, within};

/// Whether the counter was reset between `previous` and `h`.
///
/// What the hint of `h` says goes first. Else there was a reset where anything has decreased: the count, the
/// zero bucket or another bucket; and where resolution or zero threshold changed in a way that a running
/// counter never does: a higher schema, a lower threshold, one that cuts a filled bucket of `previous`.
pub fn detect_reset<'a>(h: impl Into<HistRef<'a>>, previous: impl Into<HistRef<'a>>) -> bool {
    let (h, previous) = (h.into(), previous.into());
    match h.hint {
        ResetHint::Reset => return true,
        ResetHint::NotReset => return false,
        ResetHint::Unknown | ResetHint::Gauge => {}
    }
    if h.count < previous.count {
        return true;
    }
    let (now, then) = (h.layout, previous.layout);
    if now.is_custom() && then.is_custom() && now.custom_values != then.custom_values {
        return custom_decrease(h, previous);
    }
    if now.is_custom() != then.is_custom()
        || now.schema > then.schema
        || now.zero_threshold < then.zero_threshold
    {
        return true;
    }
    if now == then
        && h.positive.len() == previous.positive.len()
        && h.negative.len() == previous.negative.len()
    {
        let decreased = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| a < b);
        return h.zero_count < previous.zero_count
            || decreased(h.positive, previous.positive)
            || decreased(h.negative, previous.negative);
    }
    match zero_count_within(previous, now.zero_threshold) {
        None => return true,
        Some(zero_count) if h.zero_count < zero_count => return true,
        Some(_) => {}
    }
    let custom = now.is_custom();
    let decrease = |spans: &[Span], counts: &[f64], then_spans: &[Span], then_counts: &[f64]| {
        let outside = |(i, _): &(i32, f64)| custom || exponential_bound(*i, now.schema) > now.zero_threshold;
        let before = indices(then_spans).zip(then_counts.iter().copied());
        let before = coarse(before, then.schema, now.schema, |a, b| *a += b).filter(outside);
        let mut after = indices(spans).zip(counts.iter().copied()).peekable();
        for (i, count) in before {
            while after.next_if(|(j, _)| *j < i).is_some() {}
            let decreased = match after.peek() {
                Some((j, now)) if *j == i => *now < count,
                _ => count != 0.0,
            };
            if decreased {
                return true;
            }
        }
        false
    };
    decrease(&now.positive_spans, h.positive, &then.positive_spans, previous.positive)
        || decrease(&now.negative_spans, h.negative, &then.negative_spans, previous.negative)
}

/// Observations within a wider zero bucket; `None` where its threshold would cut a filled bucket.
fn zero_count_within(h: HistRef<'_>, threshold: f64) -> Option<f64> {
    let l = h.layout;
    if threshold <= l.zero_threshold {
        return Some(h.zero_count);
    }
    let filled = |counts: &[f64], at: usize| counts.get(at).is_some_and(|v| *v != 0.0);
    let free = free_threshold(l, |at| filled(h.positive, at), |at| filled(h.negative, at), threshold);
    if free != threshold {
        return None;
    }
    let inner = h.positive.iter().take(within(&l.positive_spans, l.schema, threshold));
    let inner = inner.chain(h.negative.iter().take(within(&l.negative_spans, l.schema, threshold)));
    Some(inner.fold(h.zero_count, |sum, v| sum + v))
}

/// Whether less lies between any two bounds that both have.
fn custom_decrease(h: HistRef<'_>, previous: HistRef<'_>) -> bool {
    let bounds = common_bounds(&h.layout.custom_values, &previous.layout.custom_values);
    let between = |h: HistRef<'_>| {
        let mut sums = vec![0.0; bounds.len() + 1];
        for (i, count) in indices(&h.layout.positive_spans).zip(h.positive) {
            let upper = bound(h.layout, i);
            sums[bounds.partition_point(|b| *b < upper)] += count;
        }
        sums
    };
    between(h).iter().zip(between(previous)).any(|(now, then)| *now < then)
}
