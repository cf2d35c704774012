//! Stores in other processes, looked after: who is up, what each holds, what is missing without it.
//!
//! Every endpoint is asked every few seconds what it holds (`thanos.info.Info`). A query asks those that can hold
//! what it wants and that are up; of the others its answer says that they are missing, without waiting for them.
//! What an endpoint said last is remembered, also over restarts, so that a site that is dark is called by its name.

mod settings;
pub use settings::QuerierSettings;

mod endpoint;
mod health;
pub use endpoint::site;
mod memory;

mod metrics;
pub use metrics::QuerierMetrics;

mod querier;
pub use querier::{FirstLook, Querier};
