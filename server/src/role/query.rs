//! `dolmen query`: answers over stores in other processes.

use super::answers::Answering;
use super::members::{Everywhere, Members};
use super::stage::Stage;
use super::stores::AllStores;
use super::{answers, stage, store_api};
use crate::cli::Given;
use crate::exit::{Exit, Outcome};
use crate::flags;

/// Runs the role.
pub fn run(flags: flags::Querying, given: Given) -> Outcome {
    let log = flags.listen.log.clone();
    stage::run(&log, || query(flags, given))
}

async fn query(flags: flags::Querying, given: Given) -> Outcome {
    if flags.stores.endpoints.is_empty() {
        return Err(Exit::config("--endpoint", "none", "the gRPC address of at least one store"));
    }
    let stage = Stage::set("query", &flags.listen).await?;
    let querier = store_api::querier(&stage, &flags.stores, &flags.query, &flags.data_dir)?;
    let _lock = stage::lock(&flags.data_dir)?;
    let work = store_api::look(&stage, &querier);
    let members = Everywhere { here: Members::default(), elsewhere: Some(querier.clone()) };
    let stores = AllStores { own: None, members, clock: stage.clock.clone() };
    let grpc = store_api::router(&stage, stores.queryable(), querier, &flags.query);
    let router = answers::router(&stage, Answering::over(stores), &flags.query, given);
    stage.play(router, grpc, &flags.data_dir.display().to_string(), None).await?;
    stage::join(work).await
}
