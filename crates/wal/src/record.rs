//! What a record says.

use dolmen_model::{Histogram, Labels, Timestamp};

/// Numbers of the record types: the first byte of a record.
pub(crate) mod kind {
    pub const SERIES: u8 = 1;
    pub const SAMPLES: u8 = 2;
    pub const HISTOGRAMS: u8 = 7;
    pub const FLOAT_HISTOGRAMS: u8 = 8;
    pub const CUSTOM_HISTOGRAMS: u8 = 9;
    pub const CUSTOM_FLOAT_HISTOGRAMS: u8 = 10;
    pub const SAMPLES_ST: u8 = 11;
    pub const HISTOGRAMS_ST: u8 = 12;
    pub const FLOAT_HISTOGRAMS_ST: u8 = 13;
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Series: what their numbers mean.
    Series(Vec<SeriesRec>),
    /// Float samples.
    Samples(Vec<SampleRec>),
    /// Histogram samples, integer or float, with whatever buckets.
    Histograms(Vec<HistogramRec>),
    /// What we neither write nor read: tombstones, exemplars, metadata, and types of the future.
    Other(u8),
}

/// A series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesRec {
    /// Its number.
    pub reference: u64,
    /// Its labels.
    pub labels: Labels,
}

/// A float sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRec {
    /// Number of its series.
    pub reference: u64,
    /// Its time.
    pub t: Timestamp,
    /// Its value.
    pub v: f64,
}

/// A histogram sample.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramRec {
    /// Number of its series.
    pub reference: u64,
    /// Its time.
    pub t: Timestamp,
    /// Its value.
    pub histogram: Histogram,
}
