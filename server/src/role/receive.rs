//! `dolmen receive`: takes samples, keeps the newest, ships blocks, answers over what it holds.

use dolmen_bucket::BucketMetrics;

use super::answers::Answering;
use super::members::Members;
use super::stage::Stage;
use super::stores::{AllStores, Own};
use super::{answers, bucket, stage, store_api, writes};
use crate::cli::Given;
use crate::exit::Outcome;
use crate::flags;

/// Runs the role.
pub fn run(flags: flags::Receive, given: Given) -> Outcome {
    let log = flags.listen.log.clone();
    stage::run(&log, || receive(flags, given))
}

async fn receive(flags: flags::Receive, given: Given) -> Outcome {
    let stage = Stage::set("receive", &flags.listen).await?;
    let door = stage.door("--remote-write.address", &flags.remote_write).await?;
    let plan = writes::Plan::new(&stage, &flags.tsdb_path, &flags.write, &flags.sync, &flags.labels)?;
    let external = plan.external_labels().clone();
    let metrics = stage.metrics.register(BucketMetrics::new);
    let bucket = match bucket::config(&flags.objstore)? {
        Some(yaml) => Some(bucket::open(&yaml, &metrics)?),
        None => None,
    };
    let _lock = stage::lock(&flags.tsdb_path)?;
    if bucket.is_none() {
        tracing::warn!("no bucket is configured: blocks stay in {}", flags.tsdb_path.display());
    }
    let replaying = stage.readiness.gate("replaying the write-ahead log");
    let way_in = plan.open(&stage, bucket.as_deref()).await?;
    replaying.open();
    let work = way_in.start(&stage);
    let members = Members { receiver: Some(way_in.receiver.clone()), ..Members::default() };
    let own = Own::new(&stage, "receive", &flags.query, external, members);
    let grpc = store_api::own_router(&stage, &own, &flags.query);
    let stores = AllStores::new(&stage, own, None);
    let router = answers::router(&stage, Answering::over(stores), &flags.query, given);
    door.show(way_in.remote_write());
    let data = flags.tsdb_path.display().to_string();
    stage.play(router.merge(way_in.router()), grpc, &data, Some(door)).await?;
    stage::join(work).await?;
    way_in.close().await
}
