//! The receiver: head, local blocks, and what brings samples from the one to the other and into the bucket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use dolmen_ctx::{Ctx, Disk};
use dolmen_head::{Cut, Head, HeadReader, How};
use dolmen_model::{Context, Error, Kind, Result};
use dolmen_service::Shutdown;
use dolmen_shipper::Shipper;
use dolmen_storage::Queryable;
use parking_lot::RwLock;
use tokio::sync::{Mutex, Notify};

use crate::held::HeldBlocks;
use crate::local::{LocalBlocks, Seen};
use crate::metrics::ReceiverMetrics;

/// Longest time between two tries to ship.
const SHIP_EVERY: Duration = Duration::from_secs(30);
/// Shortest time between two tries after a failure.
const SHIP_RETRY: Duration = Duration::from_secs(2);

/// How a receiver behaves.
#[derive(Clone, Debug)]
pub struct ReceiverSettings {
    /// How long a block stays here once it is in the bucket.
    pub hold: Duration,
    /// How often due ranges are looked for.
    pub tick: Duration,
}

/// Head, local blocks, shipping.
pub struct Receiver {
    ctx: Ctx,
    head: Arc<Head>,
    local: Arc<LocalBlocks>,
    shipper: Option<Shipper>,
    settings: ReceiverSettings,
    metrics: ReceiverMetrics,
    /// Cut, publish, forget: one after the other, never two at once. What could not be opened yet stands in it.
    cutting: Mutex<Vec<Cut>>,
    shipping: Mutex<()>,
    to_ship: Notify,
    bucket_seen: RwLock<Option<Arc<BucketSeen>>>,
}

/// Tells when the last look at the bucket began that did not fail.
pub type BucketSeen = dyn Fn() -> Option<Instant> + Send + Sync;

impl Receiver {
    /// Over a head that is open; local blocks are found in its directory of blocks. Without a shipper blocks
    /// stay here.
    pub async fn open(
        ctx: Ctx,
        disk: Arc<dyn Disk>,
        head: Arc<Head>,
        shipper: Option<Shipper>,
        settings: ReceiverSettings,
        metrics: ReceiverMetrics,
    ) -> Result<Arc<Receiver>> {
        let (local, broken) = LocalBlocks::open(&ctx, disk, &head.settings().blocks_dir).await?;
        for (path, why) in &broken {
            tracing::error!(path = %path.display(), "local block cannot be opened, move it away: {why}");
        }
        metrics.broken_blocks.set(broken.len() as i64);
        metrics.local_blocks.set(local.len() as i64);
        let local = Arc::new(local);
        head.set_held(Arc::new(HeldBlocks { local: local.clone() }));
        Ok(Arc::new(Receiver {
            ctx,
            head,
            local,
            shipper,
            settings,
            metrics,
            cutting: Mutex::default(),
            shipping: Mutex::new(()),
            to_ship: Notify::new(),
            bucket_seen: RwLock::new(None),
        }))
    }

    /// Who serves the bucket is in this process: a block stays here until it was seen there.
    pub fn set_bucket_seen(&self, seen: Arc<BucketSeen>) {
        *self.bucket_seen.write() = Some(seen);
    }

    /// The head.
    pub fn head(&self) -> &Arc<Head> {
        &self.head
    }

    /// Head and local blocks, to be asked.
    pub fn queryables(&self) -> Vec<Arc<dyn Queryable>> {
        // Blocks after the head would miss a range that is cut in between: its chunks leave the head last.
        let head: Arc<dyn Queryable> = Arc::new(HeadReader::new(self.head.clone()));
        let mut all = vec![head];
        all.extend(self.local.queryables());
        all
    }

    /// Cuts, publishes and forgets.
    async fn cut(&self, how: How) -> Result<()> {
        let mut unopened = self.cutting.lock().await;
        let head = self.head.clone();
        let (cuts, result) = tokio::task::spawn_blocking(move || head.cut(how))
            .await
            .map_err(|e| Error::wrap(Kind::Halt, "cut blocks", e))?;
        unopened.extend(cuts);
        let any = !unopened.is_empty();
        while let Some(cut) = unopened.first().cloned() {
            // Until it can be read here its samples stay in memory.
            self.local.add(&self.ctx, cut.meta, cut.dir).await.context("open a block that was just cut")?;
            unopened.remove(0);
        }
        self.metrics.local_blocks.set(self.local.len() as i64);
        if any {
            self.to_ship.notify_one();
            self.head.settle().await?;
        }
        // One stream's failure does not keep what was cut of others in memory.
        result
    }

    /// Uploads what is not in the bucket yet, and removes what has been there long enough.
    async fn ship(&self) -> Result<()> {
        let _one = self.shipping.lock().await;
        let Some(shipper) = &self.shipper else { return Ok(()) };
        if !self.local.unshipped().is_empty() {
            let done = shipper.sync(&self.ctx).await;
            // A sync gives what it uploaded itself; this, also what it did before it failed, and what was
            // uploaded before a restart.
            let in_bucket = shipper.uploaded().await?;
            self.local.shipped(|ulid| in_bucket.contains(&ulid));
            done?;
        }
        if !self.head.floors_written() {
            // Until then only the blocks here tell what a restart must not read from the log again.
            return Ok(());
        }
        let seen = self.bucket_seen.read().as_ref().map_or(Seen::Unknown, |seen| Seen::Last(seen()));
        self.local.forget(self.settings.hold, &seen)?;
        self.metrics.local_blocks.set(self.local.len() as i64);
        Ok(())
    }

    /// Cuts everything; returns once it is in the bucket.
    pub async fn flush(&self) -> Result<()> {
        self.metrics.flushes.inc();
        self.cut(How::Flush).await?;
        self.ship().await
    }

    /// Cuts and ships until the word to end.
    pub async fn run(self: Arc<Receiver>, shutdown: Shutdown) {
        let cutting = async {
            let mut ticks = tokio::time::interval(self.settings.tick);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                self.head.tell();
                let unopened = !self.cutting.lock().await.is_empty();
                if (self.head.due() || unopened)
                    && let Err(e) = self.cut(How::Due).await
                {
                    tracing::error!(
                        "cut blocks: {e}; samples stay in memory and in the log, tried again soon"
                    );
                }
            }
        };
        let shipping = async {
            loop {
                let pause = match self.ship().await {
                    Ok(()) => SHIP_EVERY.min(self.settings.hold / 3).max(SHIP_RETRY),
                    Err(e) => {
                        tracing::error!("ship blocks: {e}; they stay here, tried again in {SHIP_RETRY:?}");
                        SHIP_RETRY
                    }
                };
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.to_ship.notified() => {}
                }
            }
        };
        tokio::select! {
            () = cutting => {}
            () = shipping => {}
            () = shutdown.wait() => {}
        }
        // A cut or an upload that is under way may be left: both can be taken up again after a crash.
    }

    /// Syncs the log and ends it.
    pub async fn close(&self) -> Result<()> {
        let head = self.head.clone();
        tokio::task::spawn_blocking(move || head.close())
            .await
            .map_err(|e| Error::wrap(Kind::Halt, "close the log", e))?
    }
}

/// `POST /-/flush`.
pub fn control(receiver: Arc<Receiver>) -> Router {
    Router::new().route("/-/flush", post(flush)).with_state(receiver)
}

async fn flush(State(receiver): State<Arc<Receiver>>) -> Response {
    // Brought to its end, whether the caller waits or not.
    let done = tokio::spawn(async move { receiver.flush().await }).await;
    match done {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(e)) => (StatusCode::SERVICE_UNAVAILABLE, format!("flush: {e}\n")).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("flush: {e}\n")).into_response(),
    }
}
