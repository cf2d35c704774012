//! What is the same for all queries of an engine.

use std::time::Duration;

/// How an engine evaluates.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Most samples that a query may hold at once.
    pub max_samples: usize,
    /// How long a query may take; a nearer deadline of the call counts too.
    pub timeout: Duration,
    /// How far back instant selectors look where the query does not say, in milliseconds.
    pub lookback_ms: i64,
    /// Interval of subqueries that name none, in milliseconds.
    pub subquery_step_ms: i64,
    /// What of the language is switched on.
    pub features: Features,
}

/// Parts of the language that are switched on one by one; the names are Prometheus' feature flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`
    pub experimental_functions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
    /// `promql-duration-expr`: `[5m + step()]`.
    pub duration_expressions: bool,
    /// `promql-delayed-name-removal`: names are dropped at the end of a query only.
    pub delayed_name_removal: bool,
    /// `type-and-unit-labels`: `__type__` tells what is a counter.
    pub type_and_unit_labels: bool,
}

impl Default for Features {
    /// As a server without flags has them.
    fn default() -> Features {
        Features {
            experimental_functions: false,
            extended_range_selectors: false,
            fill_modifiers: false,
            duration_expressions: true,
            delayed_name_removal: false,
            type_and_unit_labels: false,
        }
    }
}

impl Features {
    /// All of the language, evaluated as by default.
    pub fn all_syntax() -> Features {
        Features {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            ..Features::default()
        }
    }
}

impl Default for EngineSettings {
    /// Prometheus' defaults.
    fn default() -> EngineSettings {
        EngineSettings {
            max_samples: 50_000_000,
            timeout: Duration::from_secs(120),
            lookback_ms: 5 * 60 * 1000,
            subquery_step_ms: 60 * 1000,
            features: Features::default(),
        }
    }
}
