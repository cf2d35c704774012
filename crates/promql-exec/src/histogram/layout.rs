//! Changes of a histogram's layout: lower resolution, a wider zero bucket, no empty buckets.

use std::sync::Arc;

use dolmen_model::{FloatHistogram, HistLayout, HistRef, ResetHint, Span};

use super::buckets::{exponential_bound, indices};

/// Buckets of one side while they are put together, by ascending index.
#[derive(Debug)]
pub(super) struct SideBuilder<C> {
    pub spans: Vec<Span>,
    pub counts: Vec<C>,
    /// Index behind the last bucket.
    next: i64,
}

impl<C> SideBuilder<C> {
    pub fn with_capacity(buckets: usize) -> SideBuilder<C> {
        SideBuilder { spans: Vec::new(), counts: Vec::with_capacity(buckets), next: 0 }
    }

    /// Adds a bucket behind the others.
    pub fn push(&mut self, index: i32, count: C) {
        let gap = i64::from(index) - self.next;
        match self.spans.last_mut() {
            Some(span) if gap == 0 => span.length += 1,
            _ => self.spans.push(Span { offset: gap as i32, length: 1 }),
        }
        self.counts.push(count);
        self.next = i64::from(index) + 1;
    }

    /// Adds buckets behind the others.
    pub fn extend(mut self, buckets: impl Iterator<Item = (i32, C)>) -> SideBuilder<C> {
        for (i, c) in buckets {
            self.push(i, c);
        }
        self
    }
}

/// Joins the buckets that fall into one bucket of a lower schema.
pub(super) fn coarse<C: Copy>(
    buckets: impl Iterator<Item = (i32, C)>,
    from: i32,
    to: i32,
    mut join: impl FnMut(&mut C, C),
) -> impl Iterator<Item = (i32, C)> {
    let shift = from.saturating_sub(to).clamp(0, 31);
    let coarser = move |i: i32| (i.wrapping_sub(1) >> shift).wrapping_add(1);
    let mut buckets = buckets.map(move |(i, c)| (coarser(i), c)).peekable();
    std::iter::from_fn(move || {
        let (i, mut c) = buckets.next()?;
        while let Some((_, more)) = buckets.next_if(|(other, _)| shift > 0 && *other == i) {
            join(&mut c, more);
        }
        Some((i, c))
    })
}

/// Whether spans leave something to close: an empty span, or two without a gap.
fn loose(spans: &[Span]) -> bool {
    spans.iter().any(|s| s.length == 0) || spans.iter().skip(1).any(|s| s.offset == 0)
}

/// Takes away buckets without observations.
pub fn compact(h: &mut FloatHistogram) {
    let side = |spans: &[Span], counts: &mut Vec<f64>| -> Option<Vec<Span>> {
        if !counts.contains(&0.0) && !loose(spans) {
            return None;
        }
        let filled = indices(spans).zip(counts.iter().copied()).filter(|(_, c)| *c != 0.0);
        let out = SideBuilder::with_capacity(counts.len()).extend(filled);
        *counts = out.counts;
        Some(out.spans)
    };
    let positive = side(&h.layout.positive_spans, &mut h.positive);
    let negative = side(&h.layout.negative_spans, &mut h.negative);
    if positive.is_none() && negative.is_none() {
        return;
    }
    let layout = Arc::make_mut(&mut h.layout);
    if let Some(spans) = positive {
        layout.positive_spans = spans;
    }
    if let Some(spans) = negative {
        layout.negative_spans = spans;
    }
}

/// No observations; buckets of the same kind as those of another histogram.
pub fn empty_like(h: HistRef<'_>) -> FloatHistogram {
    let schema = h.layout.schema;
    let custom_values = h.layout.custom_values.clone();
    FloatHistogram {
        layout: Arc::new(HistLayout { schema, custom_values, ..HistLayout::default() }),
        count: 0.0,
        zero_count: 0.0,
        sum: 0.0,
        hint: ResetHint::Unknown,
        positive: Vec::new(),
        negative: Vec::new(),
    }
}

/// Takes away all positive and negative buckets.
pub(super) fn clear_buckets(h: &mut FloatHistogram) {
    h.positive.clear();
    h.negative.clear();
    let layout = Arc::make_mut(&mut h.layout);
    layout.positive_spans.clear();
    layout.negative_spans.clear();
}

/// Joins buckets so that the schema becomes `schema`. Custom buckets, and a schema that is not lower, stay.
pub fn reduce_to(h: &mut FloatHistogram, schema: i32) {
    let from = h.layout.schema;
    if h.layout.is_custom() || schema >= from {
        return;
    }
    let side = |spans: &[Span], counts: &[f64]| {
        let buckets = indices(spans).zip(counts.iter().copied());
        SideBuilder::with_capacity(counts.len()).extend(coarse(buckets, from, schema, |a, b| *a += b))
    };
    let positive = side(&h.layout.positive_spans, &h.positive);
    let negative = side(&h.layout.negative_spans, &h.negative);
    (h.positive, h.negative) = (positive.counts, negative.counts);
    h.layout = Arc::new(HistLayout {
        schema,
        zero_threshold: h.layout.zero_threshold,
        positive_spans: positive.spans,
        negative_spans: negative.spans,
        custom_values: Vec::new(),
    });
}

/// The smallest threshold from `least` on that cuts no bucket with observations.
///
/// `counts` are those of the layout; what is not 0 counts as filled.
pub(super) fn free_threshold(
    layout: &HistLayout,
    positive: impl Fn(usize) -> bool,
    negative: impl Fn(usize) -> bool,
    least: f64,
) -> f64 {
    let mut threshold = least;
    if least <= layout.zero_threshold {
        return least;
    }
    let cut = |spans: &[Span], filled: &dyn Fn(usize) -> bool, threshold: f64| {
        let bounds = indices(spans).enumerate().map(|(at, i)| {
            (at, exponential_bound(i.wrapping_sub(1), layout.schema), exponential_bound(i, layout.schema))
        });
        let mut bounds = bounds.take_while(|(_, inner, _)| *inner < threshold);
        bounds.find(|(at, _, outer)| *outer > threshold && filled(*at)).map(|(_, _, outer)| outer)
    };
    while let Some(wider) = cut(&layout.positive_spans, &positive, threshold)
        .or_else(|| cut(&layout.negative_spans, &negative, threshold))
    {
        threshold = wider;
    }
    threshold
}

/// How many leading buckets of spans lie, wholly or in part, within a threshold.
pub(super) fn within(spans: &[Span], schema: i32, threshold: f64) -> usize {
    indices(spans).take_while(|i| exponential_bound(i.wrapping_sub(1), schema) < threshold).count()
}
