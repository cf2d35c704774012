//! `dolmen open DIR…`: answers over directories of Prometheus blocks.

use dolmen_bucketstore::open_directories;
use dolmen_model::Labels;

use super::answers::Answering;
use super::members::Members;
use super::stage::Stage;
use super::stores::{AllStores, Own};
use super::{answers, stage, store_api};
use crate::cli::Given;
use crate::exit::{Exit, Outcome};
use crate::flags;

/// Runs the role.
pub fn run(flags: flags::Open, given: Given) -> Outcome {
    let log = flags.listen.log.clone();
    stage::run(&log, || open(flags, given))
}

async fn open(flags: flags::Open, given: Given) -> Outcome {
    if let Some(bad) = flags.dirs.iter().find(|d| !d.is_dir()) {
        return Err(Exit::config("DIR", bad.display(), "a directory that holds blocks"));
    }
    let stage = Stage::set("open", &flags.listen).await?;
    let opened = open_directories(&stage.ctx("open"), &*stage.disk, &flags.dirs).await?;
    for (path, why) in &opened.broken {
        tracing::error!(block = %path.display(), error = %why, "block cannot be read; answers of its time say so");
    }
    tracing::info!(blocks = opened.blocks.len() - opened.broken.len(), "opened");
    let members = Members { blocks: opened.blocks, ..Members::default() };
    let own = Own::new(&stage, "store", &flags.query, Labels::empty(), members);
    let grpc = store_api::own_router(&stage, &own, &flags.query);
    let stores = AllStores::new(&stage, own, None);
    let router = answers::router(&stage, Answering::over(stores), &flags.query, given);
    let data = flags.dirs.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(",");
    stage.play(router, grpc, &data, None).await
}
