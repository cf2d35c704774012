//! The Prometheus HTTP API over the engine; JSON lives here.
//!
//! [`router`] answers `/api/v1/…` as Prometheus 3.14 does: the same parameters, numbers, errors and headers.
//! On top come `dedup`, `replicaLabels[]`, `partial_response` and `storeMatch[]`, and `stores`, as in Thanos. An
//! answer that lacks something says what: in a warning, in `completeness`, and by its headers. Answers are written as they are sent, in pieces: a large one never
//! stands in memory as text.

mod answer;
mod call;
mod error;
mod escape;
mod evaluator;
mod form;
mod gate;
mod instant;
mod json;
mod metadata;
mod metrics;
mod query;
mod router;
mod series;
mod state;
mod status;
mod stores;
mod terms;
mod value;

pub use evaluator::Evaluator;
pub use instant::{MAX_TIME, MIN_TIME};
pub use metrics::ApiMetrics;
pub use router::router;
pub use state::{ApiSettings, ApiState};
pub use stores::{StoreStatus, Stores};

#[cfg(test)]
mod tests;
