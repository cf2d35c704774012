//! The functions of PromQL, by how the engine calls them.
//!
//! | form | sees | examples |
//! |---|---|---|
//! | [`RangeFn`] | one series, one window | `rate`, `avg_over_time` |
//! | [`MapFn`] | one element | `abs`, `clamp`, `histogram_count` |
//! | [`GroupFn`] | all elements of all steps | `histogram_quantile`, `sort`, `absent`, `label_replace` |
//!
//! `time`, `vector`, `scalar`, `timestamp`, `absent_over_time` and `info` are the engine's own.

use dolmen_model::{HistRef, Labels, format_float_general};

use crate::annotation::{Annotations, Pos};
use crate::batch::{Grid, StepBatch};
use crate::error::Result;

pub mod calendar;
pub mod classic;
pub mod extended;
pub mod group;
pub mod info;
pub mod kernel;
pub mod map;
pub mod math;
pub mod order;
pub mod over_time;
pub mod range;
pub mod rate;
pub mod relabel;
pub mod transitions;
pub mod trend;

#[cfg(test)]
mod tests;

use kernel::{Note, Notes, Value, Window};

/// A function of a window. `args` are the scalar arguments at the step; `scratch` is memory to be used again.
pub type RangeKernel =
    fn(w: &Window<'_>, args: &[f64], scratch: &mut Vec<f64>, notes: &mut Notes<'_>) -> Result<Value>;

/// A function over a range.
#[derive(Clone, Copy)]
pub struct RangeFn {
    /// Its name.
    pub name: &'static str,
    /// What it computes.
    pub kernel: RangeKernel,
    /// Whether all windows of a series can be computed faster together; floats only.
    pub slide: Option<Slide>,
}

/// What can be computed while a window slides over a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slide {
    /// Change between first and last sample: a list of resets is made once.
    Change(rate::Change),
    /// Sum.
    Sum,
    /// Average.
    Avg,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Number of samples.
    Count,
    /// Newest sample.
    Last,
}

/// A function of each element by itself.
#[derive(Clone, Copy)]
pub struct MapFn {
    /// What it computes.
    pub kernel: MapKernel,
}

/// What a [`MapFn`] computes. Elements of the kind it does not take are left out.
#[derive(Clone, Copy)]
pub enum MapKernel {
    /// Of a float.
    Float(fn(f64) -> f64),
    /// Of a float and the scalar arguments at the step; `None` leaves the element out.
    Floats(fn(f64, &[f64]) -> Option<f64>),
    /// Of a histogram.
    Histogram(fn(HistRef<'_>) -> f64),
}

/// A function of all elements of all steps. It gives rows in any order, blank ones too, but each with its own
/// label set unless it is disjoint in time from its double: the engine merges or refuses them.
pub type GroupKernel =
    fn(call: &GroupCall<'_>, input: StepBatch, notes: &mut Annotations) -> Result<StepBatch>;

/// A function of all elements of all steps.
#[derive(Clone, Copy)]
pub struct GroupFn {
    /// Its name.
    pub name: &'static str,
    /// What it computes.
    pub kernel: GroupKernel,
}

/// What a [`GroupFn`] is told of the call.
pub struct GroupCall<'a> {
    /// The function's name.
    pub name: &'a str,
    /// The steps.
    pub grid: Grid,
    /// Scalar arguments in the order they were written, strings and the vector left out: a value a step.
    pub scalars: &'a [Vec<f64>],
    /// String arguments in the order they were written.
    pub strings: &'a [String],
    /// Positions of all arguments.
    pub args: &'a [Pos],
    /// Position of the vector argument.
    pub vector: Pos,
    /// Position of the call.
    pub pos: Pos,
    /// Labels that equality matchers of the argument give (`absent`).
    pub absent_labels: &'a Labels,
    /// Whether names are dropped at the end of the query: labels are left whole and `drop_name` is set.
    pub delayed_names: bool,
}

/// The labels that a dropped name takes with it.
pub const NAME_LABELS: [&str; 3] = ["__name__", "__type__", "__unit__"];

/// A label set without the metric's name.
pub fn drop_name(labels: &Labels) -> Labels {
    if labels.iter().any(|(n, _)| NAME_LABELS.contains(&n)) {
        Labels::from_sorted(labels.iter().filter(|(n, _)| !NAME_LABELS.contains(n)))
    } else {
        labels.clone()
    }
}

/// Tells a note of a kernel: `metric` is the series' name, `pos` the position of the function's first argument.
pub fn annotate(note: Note, metric: &str, pos: Pos, out: &mut Annotations) {
    match note {
        Note::MixedKinds => {
            out.warn(format!("encountered a mix of histograms and floats for metric name {metric:?}"), pos);
        }
        Note::MixedLayouts => out.warn(
            format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {metric:?}"
            ),
            pos,
        ),
        Note::NotCounter => {
            out.warn(format!("this native histogram metric is not a counter: {metric:?}"), pos);
        }
        Note::NotGauge => out.warn(format!("this native histogram metric is not a gauge: {metric:?}"), pos),
        Note::HistogramsIgnored => out.info(
            format!(
                "ignored histograms in a range containing both floats and histograms for metric name {metric:?}"
            ),
            pos,
        ),
        Note::BoundsReconciled(operation) => out.info(
            format!("mismatched custom buckets were reconciled during {}", operation.as_str()),
            pos,
        ),
        Note::HintConflict => {
            out.warn("conflicting counter resets during histogram aggregation", pos);
        }
        Note::InvalidQuantile(q) => {
            let q = format_float_general(q);
            out.warn(format!("quantile value should be between 0 and 1, got {q}"), pos);
        }
    }
}
