//! A replica's floats and histograms as one run of samples.

use dolmen_model::{Columns, HistColumns, Timestamp, is_stale};

/// Which of the two columns a sample stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Float,
    Histogram,
}

/// A sample of a replica.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub t: Timestamp,
    pub kind: Kind,
    /// Its place in its column.
    pub i: usize,
    /// Whether it is a stale marker.
    pub stale: bool,
}

/// A place between the samples of a replica: what comes next in each column.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    pub float: usize,
    pub histogram: usize,
}

impl Place {
    /// Steps over a sample, which is the next one.
    pub fn pass(&mut self, s: Sample) {
        match s.kind {
            Kind::Float => self.float = s.i + 1,
            Kind::Histogram => self.histogram = s.i + 1,
        }
    }

    /// Steps over the next sample, whichever it is.
    pub fn pass_one(&mut self, c: &Columns) {
        if let Some(s) = next(c, *self) {
            self.pass(s);
        }
    }

    /// Some samples back, in both columns.
    pub fn back(self, n: usize) -> Place {
        Place { float: self.float.saturating_sub(n), histogram: self.histogram.saturating_sub(n) }
    }
}

fn float(c: &Columns, i: usize) -> Option<Sample> {
    Some(Sample { t: *c.t.get(i)?, kind: Kind::Float, i, stale: is_stale(c.v[i]) })
}

fn histogram(c: &Columns, i: usize) -> Option<Sample> {
    Some(Sample { t: *c.h.t.get(i)?, kind: Kind::Histogram, i, stale: is_stale(c.h.sum[i]) })
}

/// The sample after a place; of equal times the float.
pub fn next(c: &Columns, at: Place) -> Option<Sample> {
    match (float(c, at.float), histogram(c, at.histogram)) {
        (Some(f), Some(h)) => Some(if f.t <= h.t { f } else { h }),
        (f, h) => f.or(h),
    }
}

/// The sample before a place that is no stale marker.
pub fn previous(c: &Columns, mut at: Place) -> Option<Sample> {
    loop {
        let f = at.float.checked_sub(1).and_then(|i| float(c, i));
        let h = at.histogram.checked_sub(1).and_then(|i| histogram(c, i));
        let s = match (f, h) {
            (Some(f), Some(h)) => Some(if f.t > h.t { f } else { h }),
            (f, h) => f.or(h),
        }?;
        if !s.stale {
            return Some(s);
        }
        match s.kind {
            Kind::Float => at.float -= 1,
            Kind::Histogram => at.histogram -= 1,
        }
    }
}

/// The next sample of the same kind that is no stale marker.
pub fn following(c: &Columns, s: Sample) -> Option<Sample> {
    let of_kind = |i| match s.kind {
        Kind::Float => float(c, i),
        Kind::Histogram => histogram(c, i),
    };
    (s.i + 1..).map_while(of_kind).find(|s| !s.stale)
}

/// Whether a counter has fallen from one sample to another.
pub fn lower(from: &Columns, a: Sample, to: &Columns, b: Sample) -> bool {
    match (a.kind, b.kind) {
        (Kind::Float, Kind::Float) => to.v[b.i] < from.v[a.i],
        (Kind::Histogram, Kind::Histogram) => histogram_lower(&from.h, a.i, &to.h, b.i),
        _ => false,
    }
}

/// Buckets are compared where they are the same; where they are not, the counts tell.
fn histogram_lower(from: &HistColumns, a: usize, to: &HistColumns, b: usize) -> bool {
    let (a, b) = (from.view(a), to.view(b));
    if b.count < a.count {
        return true;
    }
    let buckets = |x: &[f64], y: &[f64]| x.iter().zip(y).any(|(x, y)| y < x);
    a.layout == b.layout
        && (b.zero_count < a.zero_count || buckets(a.positive, b.positive) || buckets(a.negative, b.negative))
}
