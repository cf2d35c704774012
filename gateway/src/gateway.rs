//! The gateway: the blocks of a bucket, looked after.

use std::sync::Arc;
use std::time::Duration;

use dolmen_bucket::Bucket;
use dolmen_bucketstore::BucketStore;
use dolmen_ctx::{Ctx, Disk};
use dolmen_fetcher::{Fetcher, FetcherMetrics, FetcherSettings};
use dolmen_model::Result;
use dolmen_service::Shutdown;
use dolmen_storage::Queryable;
use tokio::sync::watch;

use crate::{GatewayMetrics, GatewaySettings};

/// Longest time to the next look after one that failed.
const RETRY: Duration = Duration::from_secs(10);
/// Shortest time between looks, whoever asks for one.
const REST: Duration = Duration::from_secs(1);

/// Blocks of a bucket, looked after.
pub struct Gateway {
    ctx: Ctx,
    store: BucketStore,
    interval: Duration,
    metrics: GatewayMetrics,
    seen: watch::Sender<bool>,
}

/// Waits for the first look at the bucket.
#[derive(Clone, Debug)]
pub struct FirstSync(watch::Receiver<bool>);

impl FirstSync {
    /// Returns once the bucket was seen.
    pub async fn done(mut self) {
        // The gateway is gone: then there is nothing to wait for.
        let _gone = self.0.wait_for(|seen| *seen).await;
    }

    /// Whether it was seen.
    pub fn is_done(&self) -> bool {
        *self.0.borrow()
    }
}

impl Gateway {
    /// Over a bucket. Nothing is asked of it, and nothing served, before [`Gateway::run`] or [`Gateway::sync`].
    pub fn open(
        ctx: Ctx,
        disk: Arc<dyn Disk>,
        bucket: &Bucket,
        settings: GatewaySettings,
        fetcher: FetcherMetrics,
        metrics: GatewayMetrics,
    ) -> Arc<Gateway> {
        let fetching = FetcherSettings {
            cache_dir: Some(settings.store.dir.clone()),
            concurrency: settings.fetch_at_once,
        };
        let fetcher = Fetcher::new(bucket.store_for("fetcher"), fetching, fetcher);
        let reading = bucket.store_for("gateway");
        let store = BucketStore::new(reading, fetcher, disk, settings.store, metrics.store.clone());
        let (seen, _) = watch::channel(false);
        Arc::new(Gateway { ctx, store, interval: settings.interval, metrics, seen })
    }

    /// The blocks that are served, to be asked.
    pub fn queryables(&self) -> Vec<Arc<dyn Queryable>> {
        self.store.queryables()
    }

    /// The blocks of the bucket.
    pub fn store(&self) -> &BucketStore {
        &self.store
    }

    /// Waits for the first look.
    pub fn first_sync(&self) -> FirstSync {
        FirstSync(self.seen.subscribe())
    }

    /// Looks at the bucket once.
    pub async fn sync(&self) -> Result<()> {
        self.store.sync(&self.ctx).await?;
        self.metrics.first_sync.set(1);
        self.seen.send_replace(true);
        Ok(())
    }

    /// Looks at the bucket until the word to end.
    pub async fn run(self: Arc<Gateway>, shutdown: Shutdown) {
        let looking = async {
            loop {
                let pause = match self.sync().await {
                    Ok(()) => self.interval,
                    Err(e) => {
                        let pause = self.interval.min(RETRY);
                        tracing::error!(
                            "look at the bucket: {e}; blocks are served as before, tried again in {pause:?}"
                        );
                        pause
                    }
                };
                let stale = async {
                    tokio::time::sleep(REST).await;
                    self.store.stale().await;
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stale => {}
                }
            }
        };
        tokio::select! {
            () = looking => {}
            () = shutdown.wait() => {}
        }
    }
}
