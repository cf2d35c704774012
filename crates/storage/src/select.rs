//! What is asked for. Data only: it may travel to other processes.

use std::num::NonZeroU64;
use std::sync::Arc;

use dolmen_model::{Matcher, TimeRange};
use smol_str::SmolStr;

/// Series and samples that are asked for.
#[derive(Clone, Debug)]
pub struct Select {
    /// Chunks that overlap it are wanted; they may reach outside, the reader trims.
    pub range: TimeRange,
    /// All must pass.
    pub matchers: Arc<[Matcher]>,
    /// Whether samples are wanted, or labels alone.
    pub values: Values,
    /// Order of the series.
    pub order: Order,
    /// Replica labels: left out of the label sets, their values become the parts' [`dolmen_model::SourceId`].
    pub without: Arc<[SmolStr]>,
    /// At most so many series.
    pub limit: Option<NonZeroU64>,
    /// May be ignored.
    pub hints: Hints,
}

impl Select {
    /// All samples in a range of the series that match, in label order.
    pub fn new(range: TimeRange, matchers: impl Into<Arc<[Matcher]>>) -> Select {
        Select {
            range,
            matchers: matchers.into(),
            values: Values::Samples,
            order: Order::Labels,
            without: Arc::from([]),
            limit: None,
            hints: Hints::default(),
        }
    }
}

/// Whether samples are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Labels alone.
    None,
    /// Samples.
    Samples,
}

/// Order of the series, by their final label sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By label set.
    Labels,
    /// As it comes cheapest.
    Any,
}

/// What the engine will do with the samples.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Step of the query in milliseconds; 0 for an instant.
    pub step_ms: i64,
    /// Window in milliseconds; 0 for an instant selector.
    pub window_ms: i64,
    /// What will be computed over it.
    pub func: FuncClass,
}

/// Deduplication treats counters apart: a switch between replicas must not look like a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FuncClass {
    /// Anything else.
    #[default]
    Other,
    /// rate, increase, irate, resets: functions over counters.
    Counter,
}

/// Which strings of the label sets are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelAsk {
    /// Label names.
    Names,
    /// Values of a label.
    Values(SmolStr),
}
