//! What a function over a range sees of one series at one step, and what it gives back.
//!
//! These are the plain computations: no labels, no positions, no steps. Whoever calls them knows the series'
//! name and where the argument stands in the query, and turns [`Note`]s into annotations.

use dolmen_model::{FloatHistogram, HistColumns, HistRef, Timestamp};

use super::extended::Reach;

/// Histogram samples of a window: a run of a series' columns.
#[derive(Clone, Copy, Debug)]
pub struct Hists<'a> {
    columns: &'a HistColumns,
    start: usize,
    end: usize,
}

impl<'a> Hists<'a> {
    /// The samples from `start` to before `end`.
    pub fn new(columns: &'a HistColumns, start: usize, end: usize) -> Hists<'a> {
        Hists { columns, start, end }
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Their times.
    pub fn t(self) -> &'a [Timestamp] {
        &self.columns.t[self.start..self.end]
    }

    /// Sample `i` of the window.
    pub fn at(self, i: usize) -> HistRef<'a> {
        self.columns.view(self.start + i)
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = HistRef<'a>> + Clone {
        (self.start..self.end).map(move |i| self.columns.view(i))
    }

    /// The samples from `start` to before `end` of these.
    pub fn slice(self, start: usize, end: usize) -> Hists<'a> {
        Hists { columns: self.columns, start: self.start + start, end: self.start + end }
    }
}

/// Samples of one series within one window, without stale markers.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Times of float samples.
    pub t: &'a [Timestamp],
    /// Values of float samples.
    pub v: &'a [f64],
    /// Histogram samples.
    pub h: Hists<'a>,
    /// Where the window begins; not in it itself. Anchored and smoothed windows hold samples before it.
    pub start: Timestamp,
    /// Where it ends; in it. Smoothed windows hold samples behind it.
    pub end: Timestamp,
    /// The step it belongs to: differs from the end where there is an offset.
    pub at: Timestamp,
    /// How long the range is that the query names, in seconds.
    pub seconds: f64,
    /// How it reaches beyond its range.
    pub reach: Reach,
}

/// What a function gives for a window.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No sample.
    None,
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Box<FloatHistogram>),
}

impl From<f64> for Value {
    fn from(v: f64) -> Value {
        Value::Float(v)
    }
}

impl From<FloatHistogram> for Value {
    fn from(h: FloatHistogram) -> Value {
        Value::Histogram(Box::new(h))
    }
}

/// What happened while histograms were put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An addition.
    Addition,
    /// A subtraction.
    Subtraction,
    /// A sum or average of many.
    Aggregation,
}

impl Operation {
    /// The word that annotations use.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Addition => "addition",
            Operation::Subtraction => "subtraction",
            Operation::Aggregation => "aggregation",
        }
    }
}

/// What is worth an annotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note {
    /// Floats and histograms in one window: no result.
    MixedKinds,
    /// Exponential and custom buckets in one window: no result.
    MixedLayouts,
    /// A histogram gauge where a counter is wanted.
    NotCounter,
    /// A histogram counter where a gauge is wanted.
    NotGauge,
    /// Histograms beside floats were left out.
    HistogramsIgnored,
    /// Custom bounds differed and were reconciled.
    BoundsReconciled(Operation),
    /// One histogram says there was a reset, another that there was none.
    HintConflict,
    /// A quantile outside 0 to 1.
    InvalidQuantile(f64),
}

/// Takes notes; the same may come many times.
pub type Notes<'a> = dyn FnMut(Note) + 'a;
