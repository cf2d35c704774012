//! `dolmen serve`: everything in one process.

use std::sync::Arc;

use dolmen_bucket::BucketMetrics;
use dolmen_fetcher::FetcherMetrics;

use super::answers::Answering;
use super::members::Members;
use super::stage::Stage;
use super::stores::{AllStores, Own};
use super::{answers, blocks, bucket, compaction, stage, store_api, writes};
use crate::cli::Given;
use crate::exit::{Exit, Outcome};
use crate::flags;

/// Runs the role.
pub fn run(flags: flags::Serve, given: Given) -> Outcome {
    let log = flags.listen.log.clone();
    stage::run(&log, || serve(flags, given))
}

async fn serve(flags: flags::Serve, given: Given) -> Outcome {
    if !flags.stores.endpoints.is_empty() && flags.labels.is_empty() {
        let expected =
            "--label too, such as --label 'site=\"dc-a\"': two sites must differ in their external labels";
        return Err(Exit::config("--endpoint", "no --label beside it", expected));
    }
    let stage = Stage::set("serve", &flags.listen).await?;
    let dir = flags.data_dir.as_path();
    let plan = writes::Plan::new(&stage, dir, &flags.write, &flags.sync, &flags.labels)?;
    let external = plan.external_labels().clone();
    let mut compaction = compaction::settings(&dir.join("compactor"), &flags.compaction)?;
    compaction.also_ours.push(plan.uploads());
    let yaml = bucket::config(&flags.objstore)?;
    let metrics = stage.metrics.register(BucketMetrics::new);
    // A configuration that makes no sense is refused before anything is made.
    let querier = store_api::querier(&stage, &flags.stores, &flags.query, dir)?;
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
    // The bucket is this site's.
    let site = external.edit().retain(|name, _| *name == flags.query.site_label).build();
    let blocks = blocks::open(&stage, &bucket, &dir.join("gateway"), &flags.sync, site, fetcher.clone())?;
    let gateway = blocks.gateway.clone();
    way_in.receiver.set_bucket_seen(Arc::new(move || gateway.last_seen()));
    let compactor = compaction::open(&stage, &bucket, &compaction, fetcher)?;
    let work = [
        way_in.start(&stage),
        way_in.start_self_scrape(&stage, flags.self_scrape),
        blocks.start(&stage),
        tokio::spawn(compactor.run(stage.shutdown.clone())),
        store_api::look(&stage, &querier),
    ];
    let members = Members {
        receiver: Some(way_in.receiver.clone()),
        gateway: Some(blocks.gateway.clone()),
        ..Members::default()
    };
    let own = Own::new(&stage, "receive", &flags.query, external, members);
    // Others are told what is here alone: two sites that ask each other never ask in circles.
    let grpc = store_api::own_router(&stage, &own, &flags.query);
    let stores = AllStores::new(&stage, own, Some(querier));
    let router = answers::router(&stage, Answering::over(stores), &flags.query, given);
    stage.play(router.merge(way_in.router()), grpc, &dir.display().to_string(), None).await?;
    for work in work {
        stage::join(work).await?;
    }
    way_in.close().await
}
