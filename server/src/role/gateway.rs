//! `dolmen gateway`: answers over the blocks in the bucket.

use dolmen_bucket::BucketMetrics;
use dolmen_fetcher::FetcherMetrics;
use dolmen_model::Labels;

use super::answers::Answering;
use super::members::Members;
use super::stage::Stage;
use super::stores::{AllStores, Own};
use super::{answers, blocks, bucket, stage, store_api};
use crate::cli::Given;
use crate::exit::Outcome;
use crate::flags;

/// Runs the role.
pub fn run(flags: flags::Gateway, given: Given) -> Outcome {
    let log = flags.listen.log.clone();
    stage::run(&log, || gateway(flags, given))
}

async fn gateway(flags: flags::Gateway, given: Given) -> Outcome {
    let mut stage = Stage::set("gateway", &flags.listen).await?;
    stage.grpc_when_ready = true;
    let bucket = bucket::required(&flags.objstore, &stage.metrics.register(BucketMetrics::new))?;
    let _lock = stage::lock(&flags.data_dir)?;
    let fetcher = stage.metrics.register(FetcherMetrics::new);
    let blocks = blocks::open(&stage, &bucket, &flags.data_dir, &flags.sync, Labels::empty(), fetcher)?;
    let work = blocks.start(&stage);
    let members = Members { gateway: Some(blocks.gateway.clone()), ..Members::default() };
    let own = Own::new(&stage, "store", &flags.query, Labels::empty(), members);
    let grpc = store_api::own_router(&stage, &own, &flags.query);
    let stores = AllStores::new(&stage, own, None);
    let router = answers::router(&stage, Answering::over(stores), &flags.query, given);
    stage.play(router, grpc, &flags.data_dir.display().to_string(), None).await?;
    stage::join(work).await
}
