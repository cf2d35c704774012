//! Addition and subtraction of histograms; exact sums and averages of many.
//!
//! Two histograms are brought to one layout first: to a zero threshold that cuts no filled bucket of either,
//! to the lower of two schemas, and, where bounds are custom, to the bounds that both have.
//!
//! Sums of many carry a compensation beside every number (Neumaier's variant of Kahan's summation). The code
//! is the same for both: it is written over a [`Cell`], which is a plain float or a float with compensation.

use std::sync::Arc;

use dolmen_model::{FloatHistogram, HistLayout, HistRef, ResetHint, Span};

use super::buckets::{exponential_bound, indices};
use super::layout::{SideBuilder, coarse, free_threshold, within};

/// One has exponential buckets, the other custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incompatible;

/// What is worth an annotation about an addition that was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One side says there was a counter reset, the other that there was none.
    pub hint_conflict: bool,
    /// Custom bounds differed; the result has those that both had.
    pub bounds_reconciled: bool,
}

/// Adds `other` to `h`.
pub fn add<'a>(h: &mut FloatHistogram, other: impl Into<HistRef<'a>>) -> Result<Combined, Incompatible> {
    plain(h, other.into(), 1.0)
}

/// Subtracts `other` from `h`. The caller makes the result a gauge where it is one.
pub fn sub<'a>(h: &mut FloatHistogram, other: impl Into<HistRef<'a>>) -> Result<Combined, Incompatible> {
    plain(h, other.into(), -1.0)
}

fn plain(h: &mut FloatHistogram, other: HistRef<'_>, sign: f64) -> Result<Combined, Incompatible> {
    let mut cells = Cells {
        layout: h.layout.clone(),
        hint: h.hint,
        count: h.count,
        sum: h.sum,
        zero: h.zero_count,
        positive: std::mem::take(&mut h.positive),
        negative: std::mem::take(&mut h.negative),
    };
    let done = cells.combine(other, sign);
    (h.layout, h.hint) = (cells.layout, cells.hint);
    (h.count, h.sum, h.zero_count) = (cells.count, cells.sum, cells.zero);
    (h.positive, h.negative) = (cells.positive, cells.negative);
    done
}

/// Exact sum of many histograms.
#[derive(Clone, Debug)]
pub struct HistogramSum(Cells<Exact>);

impl HistogramSum {
    /// A sum that starts with one histogram.
    pub fn new<'a>(first: impl Into<HistRef<'a>>) -> HistogramSum {
        HistogramSum(Cells::from(first.into()))
    }

    /// Adds one more. Where it is incompatible the sum stays as it was.
    pub fn add<'a>(&mut self, h: impl Into<HistRef<'a>>) -> Result<Combined, Incompatible> {
        self.0.combine(h.into(), 1.0)
    }

    /// The sum; buckets without observations are still in it.
    pub fn finish(self) -> FloatHistogram {
        self.0.finish()
    }
}

/// Exact average of many histograms: sum and count, or a running mean once the sum would overflow.
#[derive(Clone, Debug)]
pub struct HistogramMean {
    sum: Cells<Exact>,
    /// The sum before the latest addition, kept for the memory as well.
    before: Cells<Exact>,
    n: f64,
    incremental: bool,
}

impl HistogramMean {
    /// An average that starts with one histogram.
    pub fn new<'a>(first: impl Into<HistRef<'a>>) -> HistogramMean {
        let sum = Cells::from(first.into());
        HistogramMean { before: sum.clone(), sum, n: 1.0, incremental: false }
    }

    /// Takes one more in. Where it is incompatible the average is of no use any more.
    pub fn add<'a>(&mut self, h: impl Into<HistRef<'a>>) -> Result<Combined, Incompatible> {
        let h = h.into();
        self.n += 1.0;
        if !self.incremental {
            self.before.clone_from(&self.sum);
            let done = self.sum.combine(h, 1.0)?;
            if !self.sum.has_overflow() {
                return Ok(done);
            }
            self.incremental = true;
            std::mem::swap(&mut self.sum, &mut self.before);
            let n = self.n - 1.0;
            self.sum.scale(|x| x / n);
        }
        let (n, q) = (self.n, (self.n - 1.0) / self.n);
        self.sum.scale(|x| x * q);
        let mut part = h.to_owned();
        super::div(&mut part, n);
        self.sum.combine(part.view(), 1.0)
    }

    /// The average; buckets without observations are still in it.
    pub fn finish(mut self) -> FloatHistogram {
        if !self.incremental {
            let n = self.n;
            self.sum.scale(|x| x / n);
        }
        self.sum.finish()
    }
}

/// A number that others are added to.
trait Cell: Copy {
    fn new(v: f64) -> Self;
    fn add(&mut self, v: f64);
    fn join(&mut self, other: Self);
    fn is_zero(self) -> bool;
}

impl Cell for f64 {
    fn new(v: f64) -> f64 {
        v
    }
    fn add(&mut self, v: f64) {
        *self += v;
    }
    fn join(&mut self, other: f64) {
        *self += other;
    }
    fn is_zero(self) -> bool {
        self == 0.0
    }
}

/// A running sum and what rounding has lost of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exact {
    /// The sum as it is.
    pub sum: f64,
    /// What has to be added to it in the end.
    pub lost: f64,
}

impl Exact {
    /// Adds a number (Neumaier). An infinite sum has lost nothing.
    #[inline]
    pub fn add(&mut self, v: f64) {
        let t = self.sum + v;
        if t.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= v.abs() {
            self.lost += (self.sum - t) + v;
        } else {
            self.lost += (v - t) + self.sum;
        }
        self.sum = t;
    }

    /// The sum with what was lost.
    #[inline]
    pub fn value(self) -> f64 {
        self.sum + self.lost
    }
}

impl Cell for Exact {
    fn new(v: f64) -> Exact {
        Exact { sum: v, lost: 0.0 }
    }
    fn add(&mut self, v: f64) {
        Exact::add(self, v);
    }
    fn join(&mut self, other: Exact) {
        Exact::add(self, other.sum);
        Exact::add(self, other.lost);
    }
    fn is_zero(self) -> bool {
        self.sum == 0.0 && self.lost == 0.0
    }
}

/// A histogram whose numbers are cells.
#[derive(Debug)]
struct Cells<C> {
    layout: Arc<HistLayout>,
    hint: ResetHint,
    count: C,
    sum: C,
    zero: C,
    positive: Vec<C>,
    negative: Vec<C>,
}

impl<C: Copy> Clone for Cells<C> {
    fn clone(&self) -> Self {
        let (layout, positive, negative) =
            (self.layout.clone(), self.positive.clone(), self.negative.clone());
        Cells { layout, positive, negative, ..*self }
    }

    /// Keeps the memory.
    fn clone_from(&mut self, other: &Self) {
        self.layout.clone_from(&other.layout);
        (self.hint, self.count, self.sum, self.zero) = (other.hint, other.count, other.sum, other.zero);
        self.positive.clone_from(&other.positive);
        self.negative.clone_from(&other.negative);
    }
}

impl From<HistRef<'_>> for Cells<Exact> {
    fn from(h: HistRef<'_>) -> Cells<Exact> {
        Cells {
            layout: h.layout.clone(),
            hint: h.hint,
            count: Exact::new(h.count),
            sum: Exact::new(h.sum),
            zero: Exact::new(h.zero_count),
            positive: h.positive.iter().map(|v| Exact::new(*v)).collect(),
            negative: h.negative.iter().map(|v| Exact::new(*v)).collect(),
        }
    }
}

impl Cells<Exact> {
    fn numbers(&mut self) -> impl Iterator<Item = &mut Exact> {
        [&mut self.count, &mut self.sum, &mut self.zero]
            .into_iter()
            .chain(&mut self.positive)
            .chain(&mut self.negative)
    }

    fn scale(&mut self, f: impl Fn(f64) -> f64) {
        for cell in self.numbers() {
            *cell = Exact { sum: f(cell.sum), lost: f(cell.lost) };
        }
    }

    fn has_overflow(&mut self) -> bool {
        self.numbers().any(|cell| cell.sum.is_infinite())
    }

    fn finish(self) -> FloatHistogram {
        FloatHistogram {
            layout: self.layout,
            count: self.count.value(),
            zero_count: self.zero.value(),
            sum: self.sum.value(),
            hint: self.hint,
            positive: self.positive.into_iter().map(Exact::value).collect(),
            negative: self.negative.into_iter().map(Exact::value).collect(),
        }
    }
}

/// The hint of a sum, and whether the two contradict each other.
fn join_hints(a: ResetHint, b: ResetHint) -> (ResetHint, bool) {
    use ResetHint::{Gauge, Unknown};
    match (a, b) {
        (a, b) if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}

impl<C: Cell> Cells<C> {
    fn combine(&mut self, other: HistRef<'_>, sign: f64) -> Result<Combined, Incompatible> {
        if self.layout.is_custom() != other.layout.is_custom() {
            return Err(Incompatible);
        }
        let (hint, hint_conflict) = join_hints(self.hint, other.hint);
        self.hint = hint;
        self.count.add(sign * other.count);
        self.sum.add(sign * other.sum);
        let bounds_reconciled = if self.same_layout(other) {
            self.zero.add(sign * other.zero_count);
            for (cell, v) in self.positive.iter_mut().zip(other.positive) {
                cell.add(sign * v);
            }
            for (cell, v) in self.negative.iter_mut().zip(other.negative) {
                cell.add(sign * v);
            }
            false
        } else if self.layout.is_custom() {
            self.combine_custom(other, sign)
        } else {
            self.combine_exponential(other, sign);
            false
        };
        Ok(Combined { hint_conflict, bounds_reconciled })
    }

    /// Whether counts can be added place by place.
    fn same_layout(&self, other: HistRef<'_>) -> bool {
        let l = &self.layout;
        // Of a bucket inside the zero bucket nothing is added; see `combine_exponential`.
        let outside = |spans: &[Span]| {
            l.is_custom()
                || spans.first().is_none_or(|s| exponential_bound(s.offset, l.schema) > l.zero_threshold)
        };
        (Arc::ptr_eq(l, other.layout) || *l == *other.layout)
            && self.positive.len() == other.positive.len()
            && self.negative.len() == other.negative.len()
            && outside(&l.positive_spans)
            && outside(&l.negative_spans)
    }

    fn combine_exponential(&mut self, other: HistRef<'_>, sign: f64) {
        let (ours, theirs) = (self.layout.clone(), other.layout.clone());
        let threshold = self.common_threshold(other);
        let schema = ours.schema.min(theirs.schema);
        let mut zero = C::new(sign * other.zero_count);
        if threshold > theirs.zero_threshold {
            let inner = other.positive.iter().take(within(&theirs.positive_spans, theirs.schema, threshold));
            let more = other.negative.iter().take(within(&theirs.negative_spans, theirs.schema, threshold));
            inner.chain(more).for_each(|v| zero.add(sign * v));
        }
        let mut side = |spans: &[Span], cells: &[C], their_spans: &[Span], counts: &[f64]| {
            let inner =
                if threshold > ours.zero_threshold { within(spans, ours.schema, threshold) } else { 0 };
            cells.iter().take(inner).for_each(|c| self.zero.join(*c));
            let a = indices(spans).zip(cells.iter().copied()).skip(inner);
            let a = coarse(a, ours.schema, schema, |a, b| a.join(b));
            // What lies inside the zero bucket has no place any more.
            let b = indices(their_spans).zip(counts.iter().map(|v| C::new(sign * v)));
            let b = b.skip_while(|(i, _)| exponential_bound(*i, theirs.schema) <= threshold);
            let b = coarse(b, theirs.schema, schema, |a, b| a.join(b));
            merge(a, b, cells.len().max(counts.len()))
        };
        let positive = side(&ours.positive_spans, &self.positive, &theirs.positive_spans, other.positive);
        let negative = side(&ours.negative_spans, &self.negative, &theirs.negative_spans, other.negative);
        self.zero.join(zero);
        self.layout = Arc::new(HistLayout {
            schema,
            zero_threshold: threshold,
            positive_spans: positive.spans,
            negative_spans: negative.spans,
            custom_values: Vec::new(),
        });
        (self.positive, self.negative) = (positive.counts, negative.counts);
    }

    /// The smallest zero threshold that both can have without cutting a filled bucket.
    fn common_threshold(&self, other: HistRef<'_>) -> f64 {
        let mut threshold = self.layout.zero_threshold.max(other.layout.zero_threshold);
        if self.layout.zero_threshold == other.layout.zero_threshold {
            return threshold;
        }
        let filled = |cells: &[C], at: usize| cells.get(at).is_some_and(|c| !c.is_zero());
        loop {
            let wider = free_threshold(
                &self.layout,
                |at| filled(&self.positive, at),
                |at| filled(&self.negative, at),
                threshold,
            );
            let wider = free_threshold(
                other.layout,
                |at| other.positive.get(at).is_some_and(|v| *v != 0.0),
                |at| other.negative.get(at).is_some_and(|v| *v != 0.0),
                wider,
            );
            if wider == threshold {
                return threshold;
            }
            threshold = wider;
        }
    }

    /// Whether bounds had to be reconciled.
    fn combine_custom(&mut self, other: HistRef<'_>, sign: f64) -> bool {
        let (ours, theirs) = (self.layout.clone(), other.layout.clone());
        let reconcile = ours.custom_values != theirs.custom_values;
        let a = indices(&ours.positive_spans).zip(self.positive.iter().copied());
        let b = indices(&theirs.positive_spans).zip(other.positive.iter().map(|v| C::new(sign * v)));
        let (bounds, side) = if reconcile {
            let bounds = common_bounds(&ours.custom_values, &theirs.custom_values);
            let mut cells = vec![C::new(0.0); bounds.len() + 1];
            let place = |own: &[f64], i: i32| {
                let bound = usize::try_from(i).ok().and_then(|i| own.get(i));
                bound.map_or(bounds.len(), |bound| bounds.partition_point(|b| b < bound))
            };
            a.for_each(|(i, c)| cells[place(&ours.custom_values, i)].join(c));
            b.for_each(|(i, c)| cells[place(&theirs.custom_values, i)].join(c));
            let filled = (0..).zip(cells).filter(|(_, c)| !c.is_zero());
            let side = SideBuilder::with_capacity(bounds.len() + 1).extend(filled);
            (bounds, side)
        } else {
            (ours.custom_values.clone(), merge(a, b, self.positive.len().max(other.positive.len())))
        };
        self.positive = side.counts;
        self.layout = Arc::new(HistLayout {
            schema: ours.schema,
            zero_threshold: ours.zero_threshold,
            positive_spans: side.spans,
            negative_spans: Vec::new(),
            custom_values: bounds,
        });
        reconcile
    }
}

/// The buckets of both, by ascending index.
fn merge<C: Cell>(
    a: impl Iterator<Item = (i32, C)>,
    b: impl Iterator<Item = (i32, C)>,
    capacity: usize,
) -> SideBuilder<C> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    let mut out = SideBuilder::with_capacity(capacity);
    loop {
        let (i, cell) = match (a.peek().copied(), b.peek().copied()) {
            (Some((i, mut x)), Some((j, y))) if i == j => {
                x.join(y);
                a.next();
                b.next();
                (i, x)
            }
            (Some(first), y) if y.is_none_or(|(j, _)| first.0 < j) => {
                a.next();
                first
            }
            (_, Some(first)) => {
                b.next();
                first
            }
            _ => return out,
        };
        out.push(i, cell);
    }
}

/// Bounds that both have.
pub(super) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut b = b.iter().peekable();
    let common = a.iter().filter(|x| {
        while b.next_if(|y| y < x).is_some() {}
        b.peek() == Some(x)
    });
    common.copied().collect()
}
