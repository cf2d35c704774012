//! The words: what a series, a sample, a histogram and a time range are.
//!
//! Everything here is plain data. No I/O, no clock, no async.

mod time;
pub use time::{TimeRange, Timestamp};

mod date;
pub use date::{civil, rfc3339};

mod duration;
pub use duration::{format_duration, parse_duration};

mod error;
pub use error::{Context, Error, Kind, Result};

mod quote;
pub use quote::quote;

mod labels;
pub use labels::{LabelBlock, LabelBlockBuilder, Labels, LabelsBuilder, LabelsRef, METRIC_NAME};

mod pattern;
pub use pattern::whole_regex;

mod matcher;
pub use matcher::{MatchOp, Matcher};

mod histogram;
pub use histogram::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistLayout, HistRef, Histogram, IntHistogram, ResetHint, Span,
};

mod columns;
pub use columns::{Columns, HistColumns};

mod number;
pub use number::{FloatBuffer, format_float, format_float_general};

mod sample;
pub use sample::{Encoding, STALE_NAN_BITS, is_stale, stale_nan};

mod completeness;
pub use completeness::{Answer, Completeness, Cover, Missing};

mod source;
pub use source::SourceId;
