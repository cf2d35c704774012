//! The gateway: the blocks of a bucket, looked after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_bucket::Bucket;
use dolmen_bucketstore::BucketStore;
use dolmen_ctx::{Ctx, Disk};
use dolmen_fanout::Absent;
use dolmen_fetcher::{Fetcher, FetcherMetrics, FetcherSettings};
use dolmen_model::{Error, Kind, Labels, Result, TimeRange, Timestamp};
use dolmen_service::Shutdown;
use dolmen_storage::Queryable;
use tokio::sync::watch;

use crate::{GatewayMetrics, GatewaySettings};

/// Longest time to the next look after one that failed.
const RETRY: Duration = Duration::from_secs(10);
/// Shortest time between looks, whoever asks for one.
const REST: Duration = Duration::from_secs(1);

/// Receivers keep a block for so many of our intervals once it is in the bucket.
const LOOKS_MISSED_MAX: u32 = 3;

/// Blocks of a bucket, looked after.
pub struct Gateway {
    ctx: Ctx,
    store: BucketStore,
    interval: Duration,
    external: Labels,
    metrics: GatewayMetrics,
    /// When the last look at the bucket began that did not fail.
    seen: watch::Sender<Option<Instant>>,
}

/// Waits for the first look at the bucket.
#[derive(Clone, Debug)]
pub struct FirstSync(watch::Receiver<Option<Instant>>);

impl FirstSync {
    /// Returns once the bucket was seen.
    pub async fn done(mut self) {
        // The gateway is gone: then there is nothing to wait for.
        let _gone = self.0.wait_for(|seen| seen.is_some()).await;
    }

    /// Whether it was seen.
    pub fn is_done(&self) -> bool {
        self.0.borrow().is_some()
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
        let store = BucketStore::new(reading, fetcher, disk, settings.store.clone(), metrics.store.clone());
        let (seen, _) = watch::channel(None);
        let GatewaySettings { interval, external, .. } = settings;
        Arc::new(Gateway { ctx, store, interval, external, metrics, seen })
    }

    /// The blocks that are served, to be asked; and what may be in the bucket without our knowing.
    pub fn queryables(&self) -> Vec<Arc<dyn Queryable>> {
        // Looked at first: what is seen in between is served all the same.
        let unseen = self.unseen();
        let mut all = self.store.queryables();
        all.extend(unseen.map(|absent| Arc::new(absent) as Arc<dyn Queryable>));
        all
    }

    /// How often the bucket is looked at.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// When the last look at the bucket began that did not fail.
    pub fn last_seen(&self) -> Option<Instant> {
        *self.seen.borrow()
    }

    /// Time of which blocks may be in the bucket that are not known here: all, before the first look; what is
    /// newer than the newest block, where looks have failed for so long that receivers may have let go of theirs.
    fn unseen(&self) -> Option<Absent> {
        let (mint, why) = match self.last_seen() {
            None => (Timestamp::MIN, "not seen since the start".to_owned()),
            Some(at) if at.elapsed() > LOOKS_MISSED_MAX * self.interval => {
                let seconds = at.elapsed().as_secs();
                (
                    self.store.newest().unwrap_or(Timestamp::MIN),
                    format!("seen {seconds}s ago for the last time"),
                )
            }
            Some(_) => return None,
        };
        Some(Absent {
            range: TimeRange::new(mint, Timestamp::MAX)?,
            external: self.external.clone(),
            error: Error::new(
                Kind::Retry,
                format!("the bucket was {why}: it may hold blocks that are not known here"),
            ),
        })
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
        let began = Instant::now();
        self.store.sync(&self.ctx).await?;
        self.metrics.first_sync.set(1);
        self.seen.send_replace(Some(began));
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
