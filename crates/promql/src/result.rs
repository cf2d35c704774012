//! What a query gives.

use std::sync::Arc;

use dolmen_model::{Completeness, FloatHistogram, Labels, Timestamp};
use smol_str::SmolStr;

/// How a query is answered.
#[derive(Clone, Debug, Default)]
pub struct QueryOpts {
    /// How far back an instant selector looks, in milliseconds; 0 is the default of 5 minutes.
    pub lookback_ms: i64,
    /// Labels that tell replicas apart: they are left out, and the parts that remain equal are deduplicated.
    pub without: Arc<[SmolStr]>,
}

/// The answer of a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// What may make it wrong.
    pub warnings: Vec<String>,
    /// What may be worth knowing.
    pub infos: Vec<String>,
    /// What it lacks.
    pub completeness: Completeness,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number at a time.
    Scalar(Timestamp, f64),
    /// A string at a time.
    String(Timestamp, String),
    /// One sample a series, in the engine's order.
    Vector(Vec<VectorSample>),
    /// Many samples a series, sorted by labels.
    Matrix(Vec<Series>),
}

/// A sample of a vector.
#[derive(Clone, Debug)]
pub struct VectorSample {
    /// Its series.
    pub labels: Labels,
    /// Its time.
    pub t: Timestamp,
    /// Its value.
    pub value: Sample,
}

/// A float or a histogram.
#[derive(Clone, Debug)]
pub enum Sample {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Box<FloatHistogram>),
}

/// A series of a matrix.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Its floats, by time.
    pub floats: Vec<(Timestamp, f64)>,
    /// Its histograms, by time.
    pub histograms: Vec<(Timestamp, FloatHistogram)>,
}
