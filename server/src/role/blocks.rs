//! The blocks in the bucket, ready to be asked.

use std::path::Path;
use std::sync::Arc;

use dolmen_bucket::Bucket;
use dolmen_fetcher::FetcherMetrics;
use dolmen_gateway::{Gateway, GatewayMetrics, GatewaySettings};
use dolmen_model::{Context, Labels};
use tokio::task::JoinHandle;

use super::stage::Stage;
use crate::exit::Exit;
use crate::flags;

/// Blocks in the bucket.
pub struct Blocks {
    /// To be asked.
    pub gateway: Arc<Gateway>,
}

/// The blocks of a bucket; index-headers are cached in `dir`. All blocks are taken to have the labels `external`. `fetcher` counts what it finds there.
pub fn open(
    stage: &Stage,
    bucket: &Bucket,
    dir: &Path,
    sync: &flags::Sync,
    external: Labels,
    fetcher: FetcherMetrics,
) -> Result<Blocks, Exit> {
    stage.disk.create_dir_all(dir).context(format_args!("make {}", dir.display()))?;
    let settings = GatewaySettings { external, ..GatewaySettings::new(dir.to_owned(), sync.interval.std()) };
    let metrics = stage.metrics.register(GatewayMetrics::new);
    let ctx = stage.ctx("gateway");
    Ok(Blocks { gateway: Gateway::open(ctx, stage.disk.clone(), bucket, settings, fetcher, metrics) })
}

impl Blocks {
    /// Looks at the bucket until the word to end. The role is not ready before the first look.
    pub fn start(&self, stage: &Stage) -> JoinHandle<()> {
        let gate = stage.readiness.gate("first look at the bucket");
        let first = self.gateway.first_sync();
        tokio::spawn(async move {
            first.done().await;
            gate.open();
        });
        tokio::spawn(self.gateway.clone().run(stage.shutdown.clone()))
    }
}
