//! The StoreAPI of a role, and the stores of others that it asks.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use dolmen_fanout::Fanout;
use dolmen_querier::{Querier, QuerierMetrics, QuerierSettings};
use dolmen_storage::Queryable;
use dolmen_storeapi::{Describe, ServerSettings, StoreApiMetrics, StoreServer};
use tokio::task::JoinHandle;

use super::stage::Stage;
use super::stores::Own;
use crate::exit::Exit;
use crate::flags;

/// The file in a data directory in which it is remembered what stores said of themselves.
const MEMORY: &str = "stores.json";

/// Most memory that the answer of one store to one select may take.
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// What `queryable` holds, over gRPC.
pub fn router(
    stage: &Stage,
    queryable: Arc<dyn Queryable>,
    describe: Arc<dyn Describe>,
    query: &flags::Query,
) -> Router {
    let settings = ServerSettings {
        timeout: query.timeout.std(),
        max_memory: query.max_memory.0,
        // One query asks for each of its selectors.
        max_concurrent: query.max_concurrent.saturating_mul(8),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..ServerSettings::default()
    };
    let metrics = stage.metrics.register(StoreApiMetrics::new);
    StoreServer { queryable, describe, settings, clock: stage.clock.clone(), cpu: stage.cpu.clone(), metrics }
        .routes()
}

/// What a process holds itself, over gRPC. Lacks carry no name of a store: who asks knows ours.
pub fn own_router(stage: &Stage, own: &Own, query: &flags::Query) -> Router {
    router(stage, Arc::new(Fanout::new(own.members.clone())), Arc::new(own.clone()), query)
}

/// The stores that the flags name. What they say of themselves is remembered in `dir`.
pub fn querier(
    stage: &Stage,
    stores: &flags::Stores,
    query: &flags::Query,
    dir: &Path,
) -> Result<Arc<Querier>, Exit> {
    let settings = QuerierSettings {
        site_label: query.site_label.clone(),
        response_timeout: stores.response_timeout.std(),
        memory: Some(dir.join(MEMORY)),
        instance: stage.instance.clone(),
        // One store cannot take the memory of all queries.
        max_answer_bytes: (query.max_memory.0 / 8).min(ANSWER_BYTES_MAX),
        ..QuerierSettings::new(stores.endpoints.clone())
    };
    if settings.response_timeout.is_zero() {
        return Err(Exit::config("--store.response-timeout", "0", "a time such as 3s"));
    }
    let metrics = stage.metrics.register(QuerierMetrics::new);
    Ok(Querier::open(settings, stage.clock.clone(), stage.disk.clone(), metrics)?)
}

/// Looks after the stores until the word to end. The role is not ready before each was asked once.
pub fn look(stage: &Stage, querier: &Arc<Querier>) -> JoinHandle<()> {
    let gate = stage.readiness.gate("first look at the stores");
    let first = querier.first_look();
    tokio::spawn(async move {
        first.done().await;
        gate.open();
    });
    tokio::spawn(querier.clone().run(stage.shutdown.clone()))
}
