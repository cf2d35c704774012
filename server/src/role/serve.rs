//! `dolmen serve`: everything in one process.

use std::sync::Arc;

use dolmen_bucket::BucketMetrics;
use dolmen_fanout::Fanout;
use dolmen_fetcher::FetcherMetrics;

use super::members::Members;
use super::stage::Stage;
use super::{answers, blocks, bucket, compaction, stage, writes};
use crate::cli::Given;
use crate::exit::Outcome;
use crate::flags;

/// Runs the role.
pub fn run(flags: flags::Serve, given: Given) -> Outcome {
    let log = flags.listen.log.clone();
    stage::run(&log, || serve(flags, given))
}

async fn serve(flags: flags::Serve, given: Given) -> Outcome {
    let stage = Stage::set("serve", &flags.listen).await?;
    let dir = flags.data_dir.as_path();
    let plan = writes::Plan::new(&stage, dir, &flags.write, &flags.sync, &flags.labels)?;
    let mut compaction = compaction::settings(&dir.join("compactor"), &flags.compaction)?;
    compaction.also_ours.push(plan.uploads());
    let yaml = bucket::config(&flags.objstore)?;
    let metrics = stage.metrics.register(BucketMetrics::new);
    // A configuration that makes no sense is refused before anything is made.
    let given_bucket = yaml.map(|yaml| bucket::open(&yaml, &metrics)).transpose()?;
    let _lock = stage::lock(dir)?;
    let bucket = match given_bucket {
        Some(bucket) => bucket,
        None => dolmen_bucket::Bucket::filesystem(&dir.join("bucket"), &metrics)?,
    };
    let replaying = stage.readiness.gate("replaying the write-ahead log");
    let way_in = plan.open(&stage, Some(&bucket)).await?;
    replaying.open();
    let fetcher = stage.metrics.register(FetcherMetrics::new);
    let blocks = blocks::open(&stage, &bucket, &dir.join("gateway"), &flags.sync, fetcher.clone())?;
    let gateway = blocks.gateway.clone();
    way_in.receiver.set_bucket_seen(Arc::new(move || gateway.last_seen()));
    let compactor = compaction::open(&stage, &bucket, &compaction, fetcher)?;
    let work = [
        way_in.start(&stage),
        way_in.start_self_scrape(&stage, flags.self_scrape),
        blocks.start(&stage),
        tokio::spawn(compactor.run(stage.shutdown.clone())),
    ];
    let members = Members { receiver: Some(way_in.receiver.clone()), gateway: Some(blocks.gateway.clone()) };
    let router = answers::router(&stage, Arc::new(Fanout::new(members)), &flags.query, given);
    stage.play(router.merge(way_in.router()), &dir.display().to_string(), None).await?;
    for work in work {
        stage::join(work).await?;
    }
    way_in.close().await
}
