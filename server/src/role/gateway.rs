//! `dolmen gateway`: answers over the blocks in the bucket.

use std::sync::Arc;

use dolmen_bucket::BucketMetrics;
use dolmen_fanout::Fanout;
use dolmen_fetcher::FetcherMetrics;

use super::members::Members;
use super::stage::Stage;
use super::{answers, blocks, bucket, stage};
use crate::cli::Given;
use crate::exit::Outcome;
use crate::flags;

/// Runs the role.
pub fn run(flags: flags::Gateway, given: Given) -> Outcome {
    let log = flags.listen.log.clone();
    stage::run(&log, || gateway(flags, given))
}

async fn gateway(flags: flags::Gateway, given: Given) -> Outcome {
    let stage = Stage::set("gateway", &flags.listen).await?;
    let bucket = bucket::required(&flags.objstore, &stage.metrics.register(BucketMetrics::new))?;
    let _lock = stage::lock(&flags.data_dir)?;
    let fetcher = stage.metrics.register(FetcherMetrics::new);
    let blocks = blocks::open(&stage, &bucket, &flags.data_dir, &flags.sync, fetcher)?;
    let work = blocks.start(&stage);
    let members = Members { receiver: None, gateway: Some(blocks.gateway.clone()) };
    let router = answers::router(&stage, Arc::new(Fanout::new(members)), &flags.query, given);
    stage.play(router, &flags.data_dir.display().to_string(), None).await?;
    stage::join(work).await
}
