//! Native histograms: exponential buckets (schemas -4 to 8) and custom buckets (schema -53).
//!
//! Data and checks only; arithmetic on them belongs to the PromQL engine.

use std::sync::Arc;

/// Schema of histograms with custom bounds.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Gap to the previous span; the first span's is a bucket index.
    pub offset: i32,
    /// How many buckets follow.
    pub length: u32,
}

/// What is known about a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum ResetHint {
    /// Nothing.
    #[default]
    Unknown = 0,
    /// There was one.
    Reset = 1,
    /// There was none.
    NotReset = 2,
    /// The histogram is a gauge.
    Gauge = 3,
}

impl ResetHint {
    /// From its wire value; what is not known becomes `Unknown`.
    pub fn from_u8(b: u8) -> ResetHint {
        match b {
            1 => ResetHint::Reset,
            2 => ResetHint::NotReset,
            3 => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        }
    }
}

/// Which buckets a histogram has. Shared by the samples of a run.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct HistLayout {
    /// Resolution: -4 to 8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Buckets of positive observations; all buckets where bounds are custom.
    pub positive_spans: Vec<Span>,
    /// Buckets of negative observations.
    pub negative_spans: Vec<Span>,
    /// Upper bounds, only with custom buckets; the last, +Inf, is not listed.
    pub custom_values: Vec<f64>,
}

impl HistLayout {
    /// How many positive and negative buckets the spans hold.
    pub fn buckets(&self) -> (usize, usize) {
        let n = |spans: &[Span]| spans.iter().map(|s| s.length as usize).sum();
        (n(&self.positive_spans), n(&self.negative_spans))
    }

    /// Whether bounds are custom.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }
}

/// A histogram with integer counts, as scraped and stored. Buckets are deltas to the bucket before.
#[derive(Clone, Debug, PartialEq)]
pub struct IntHistogram {
    /// Buckets that it has.
    pub layout: Arc<HistLayout>,
    /// Number of observations.
    pub count: u64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Sum of observations; the stale marker's bits make the whole a stale marker.
    pub sum: f64,
    /// Counter reset.
    pub hint: ResetHint,
    /// Positive buckets, each as the difference to the one before.
    pub positive_deltas: Vec<i64>,
    /// Negative buckets, alike.
    pub negative_deltas: Vec<i64>,
}

/// A histogram with float counts. Buckets are absolute counts.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatHistogram {
    /// Buckets that it has.
    pub layout: Arc<HistLayout>,
    /// Number of observations.
    pub count: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Sum of observations; the stale marker's bits make the whole a stale marker.
    pub sum: f64,
    /// Counter reset.
    pub hint: ResetHint,
    /// Positive buckets.
    pub positive: Vec<f64>,
    /// Negative buckets.
    pub negative: Vec<f64>,
}

/// A float histogram that is read where it lies: of a value or of columns.
#[derive(Clone, Copy, Debug)]
pub struct HistRef<'a> {
    /// Buckets that it has.
    pub layout: &'a Arc<HistLayout>,
    /// Number of observations.
    pub count: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Sum of observations.
    pub sum: f64,
    /// Counter reset.
    pub hint: ResetHint,
    /// Positive buckets.
    pub positive: &'a [f64],
    /// Negative buckets.
    pub negative: &'a [f64],
}

impl HistRef<'_> {
    /// A value of its own.
    pub fn to_owned(self) -> FloatHistogram {
        FloatHistogram {
            layout: self.layout.clone(),
            count: self.count,
            zero_count: self.zero_count,
            sum: self.sum,
            hint: self.hint,
            positive: self.positive.to_vec(),
            negative: self.negative.to_vec(),
        }
    }
}

impl FloatHistogram {
    /// Read where it lies.
    pub fn view(&self) -> HistRef<'_> {
        HistRef {
            layout: &self.layout,
            count: self.count,
            zero_count: self.zero_count,
            sum: self.sum,
            hint: self.hint,
            positive: &self.positive,
            negative: &self.negative,
        }
    }
}

impl<'a> From<&'a FloatHistogram> for HistRef<'a> {
    fn from(h: &'a FloatHistogram) -> HistRef<'a> {
        h.view()
    }
}

impl IntHistogram {
    /// With float counts, absolute.
    pub fn to_float(&self) -> FloatHistogram {
        let absolute = |deltas: &[i64]| {
            let mut sum = 0i64;
            deltas
                .iter()
                .map(|d| {
                    sum = sum.wrapping_add(*d);
                    sum as f64
                })
                .collect()
        };
        FloatHistogram {
            layout: self.layout.clone(),
            count: self.count as f64,
            zero_count: self.zero_count as f64,
            sum: self.sum,
            hint: self.hint,
            positive: absolute(&self.positive_deltas),
            negative: absolute(&self.negative_deltas),
        }
    }
}

/// Either kind, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Histogram {
    /// Integer counts.
    Int(IntHistogram),
    /// Float counts.
    Float(FloatHistogram),
}

impl Histogram {
    /// Buckets that it has.
    pub fn layout(&self) -> &Arc<HistLayout> {
        match self {
            Histogram::Int(h) => &h.layout,
            Histogram::Float(h) => &h.layout,
        }
    }

    /// Sum of observations.
    pub fn sum(&self) -> f64 {
        match self {
            Histogram::Int(h) => h.sum,
            Histogram::Float(h) => h.sum,
        }
    }

    /// With float counts.
    pub fn to_float(&self) -> FloatHistogram {
        match self {
            Histogram::Int(h) => h.to_float(),
            Histogram::Float(h) => h.clone(),
        }
    }
}
