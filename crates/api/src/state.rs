//! What the handlers share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dolmen_ctx::{Budget, Clock, Cpu};
use dolmen_model::Timestamp;
use dolmen_storage::Queryable;
use smol_str::SmolStr;

use crate::gate::Gate;
use crate::{ApiMetrics, Evaluator, Stores};

/// What the API answers from.
pub struct ApiState {
    /// Evaluates expressions.
    pub evaluator: Arc<dyn Evaluator>,
    /// Holds the series.
    pub queryable: Arc<dyn Queryable>,
    /// The stores among which `queryable` chooses, where these are other processes.
    pub stores: Option<Arc<dyn Stores>>,
    /// How it answers.
    pub settings: ApiSettings,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where kernels run.
    pub cpu: Arc<dyn Cpu>,
    /// What it counts.
    pub metrics: ApiMetrics,
}

/// How the API answers.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Labels that tell replicas apart, unless `replicaLabels[]` names others: `--query.replica-label`.
    /// The label `dolmen` is always one more.
    pub replica_labels: Vec<SmolStr>,
    /// Whether an answer may lack something, unless `partial_response` says: `--[no-]query.partial-response`.
    pub partial_response: bool,
    /// Longest time a query may take; the parameter `timeout` only shortens it: `--query.timeout`.
    pub timeout: Duration,
    /// Most queries at once: `--query.max-concurrent`.
    pub max_concurrent: usize,
    /// Most queries that wait for their turn; further ones are refused with 503.
    pub max_waiting: usize,
    /// Most points of a series in a range query, less one.
    pub max_points: i64,
    /// Most bytes that all queries together may take: `--query.max-memory`.
    pub max_memory: u64,
    /// Most bytes of a form.
    pub max_body_bytes: usize,
    /// How far back an instant selector looks, in milliseconds: `--query.lookback-delta`.
    pub lookback_ms: i64,
    /// Dolmen's own version.
    pub version: String,
    /// The revision it was built from.
    pub revision: String,
    /// What `status/flags` shows: flag and value.
    pub flags: BTreeMap<String, String>,
    /// When the process started.
    pub started: Timestamp,
}

impl Default for ApiSettings {
    fn default() -> ApiSettings {
        ApiSettings {
            replica_labels: Vec::new(),
            partial_response: true,
            timeout: Duration::from_secs(120),
            max_concurrent: 20,
            max_waiting: 1000,
            max_points: 11_000,
            max_memory: 2 << 30,
            max_body_bytes: 10 << 20,
            lookback_ms: 300_000,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: "unknown".to_owned(),
            flags: BTreeMap::new(),
            started: 0,
        }
    }
}

/// The state with what belongs to one router.
pub(crate) struct Api {
    pub state: Arc<ApiState>,
    pub gate: Gate,
    pub budget: Arc<Budget>,
}

impl Api {
    pub fn new(state: Arc<ApiState>) -> Api {
        let s = &state.settings;
        Api {
            gate: Gate::new(s.max_concurrent, s.max_waiting, state.metrics.clone()),
            budget: Budget::new("memory of all queries (--query.max-memory)", s.max_memory),
            state,
        }
    }
}
