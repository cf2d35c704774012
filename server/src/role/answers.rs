//! The query API of every role that holds data, with the start page beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use dolmen_api::{ApiMetrics, ApiSettings, ApiState, Stores};
use dolmen_promql::{Engine, EngineSettings, Features};
use dolmen_storage::Queryable;
use smol_str::SmolStr;

use super::stage::{REVISION, Stage};
use super::stores::AllStores;
use crate::flags;
use crate::page;

/// What is asked.
pub struct Answering {
    queryable: Arc<dyn Queryable>,
    stores: Arc<dyn Stores>,
}

impl Answering {
    /// All of these stores, or those that a request names.
    pub fn over(stores: AllStores) -> Answering {
        Answering { queryable: stores.queryable(), stores: Arc::new(stores) }
    }
}

/// Routes that answer over what is asked. `given` is the command line, as `status/flags` shows it.
pub fn router(
    stage: &Stage,
    answering: Answering,
    query: &flags::Query,
    given: BTreeMap<String, String>,
) -> Router {
    let engine = Engine::new(EngineSettings {
        max_samples: query.max_samples,
        timeout: query.timeout.std(),
        lookback_ms: query.lookback.0,
        features: features(&query.features),
        ..EngineSettings::default()
    });
    let settings = ApiSettings {
        replica_labels: names(&query.replica_labels),
        timeout: query.timeout.std(),
        max_concurrent: query.max_concurrent,
        max_memory: query.max_memory.0,
        lookback_ms: query.lookback.0,
        partial_response: !query.no_partial_response,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: REVISION.to_owned(),
        flags: given,
        started: stage.clock.now(),
        ..ApiSettings::default()
    };
    let state = ApiState {
        evaluator: Arc::new(engine),
        queryable: answering.queryable,
        stores: Some(answering.stores),
        settings,
        clock: stage.clock.clone(),
        cpu: stage.cpu.clone(),
        metrics: stage.metrics.register(ApiMetrics::new),
    };
    dolmen_api::router(Arc::new(state)).merge(page::router())
}

/// Label names; the empty one stands for none.
pub fn names(given: &[String]) -> Vec<SmolStr> {
    let mut names: Vec<SmolStr> = given.iter().filter(|n| !n.is_empty()).map(SmolStr::from).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What `--enable-feature` switches on. A feature of Prometheus' that is not there is no error: command lines
/// are taken over from it.
fn features(given: &[String]) -> Features {
    let mut features = Features::default();
    for name in given {
        match name.as_str() {
            "promql-experimental-functions" => features.experimental_functions = true,
            "promql-extended-range-selectors" => features.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => features.fill_modifiers = true,
            "promql-duration-expr" => features.duration_expressions = true,
            "promql-delayed-name-removal" => features.delayed_name_removal = true,
            "type-and-unit-labels" => features.type_and_unit_labels = true,
            other => tracing::warn!(feature = other, "--enable-feature: not there, ignored"),
        }
    }
    features
}
