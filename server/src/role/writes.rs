//! The way in: head, remote write, cut blocks, and the way of blocks into the bucket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use dolmen_bucket::Bucket;
use dolmen_ctx::Ctx;
use dolmen_head::{Head, HeadMetrics, HeadSettings};
use dolmen_model::{Labels, LabelsBuilder};
use dolmen_receiver::{Receiver, ReceiverMetrics, ReceiverSettings, ScrapeSettings, control, scrape_self};
use dolmen_remote::{RemoteMetrics, RemoteSettings, RemoteState};
use dolmen_shipper::{Journal, Shipper, ShipperMetrics, Uploader};
use dolmen_wal::WalMetrics;

use super::answers::names;
use super::stage::Stage;
use crate::exit::Exit;
use crate::flags;

/// The label that marks what Dolmen adds on its own: one more replica label, which answers never show.
pub const OWN_LABEL: &str = "dolmen";

/// What the way in is made of.
pub struct Plan {
    ctx: Ctx,
    head: HeadSettings,
    remote: RemoteSettings,
    receiver: ReceiverSettings,
}

impl Plan {
    /// Refuses flags that cannot work; touches nothing. `dir` holds `wal/` and `blocks/`.
    pub fn new(
        stage: &Stage,
        dir: &Path,
        write: &flags::Write,
        sync: &flags::Sync,
        labels: &[flags::Label],
    ) -> Result<Plan, Exit> {
        let block_ms = write.min_block.0;
        if block_ms < 10_000 {
            let found = format!("{block_ms}ms");
            return Err(Exit::config("--tsdb.min-block-duration", found, "10s or more"));
        }
        if write.max_block.0 < block_ms {
            let found = format!("{}ms", write.max_block.0);
            return Err(Exit::config("--tsdb.max-block-duration", found, "no less than the shortest block"));
        }
        let external_labels = external(labels)?;
        let mut stream_labels = names(&write.replica_labels);
        stream_labels.push(OWN_LABEL.into());
        stream_labels.sort_unstable();
        stream_labels.dedup();
        let head = HeadSettings { block_ms, external_labels, stream_labels, ..HeadSettings::new(dir) };
        head.check()?;
        let remote = RemoteSettings {
            // A sender cannot pass its samples off as Dolmen's own.
            external_labels: head.external_labels.edit().set(OWN_LABEL, "local").build(),
            max_request_bytes: write.max_request.0,
            ..RemoteSettings::default()
        };
        let receiver = ReceiverSettings {
            hold: sync.interval.std() * 3,
            tick: std::time::Duration::from_millis((block_ms / 60).clamp(200, 15_000).unsigned_abs()),
        };
        Ok(Plan { ctx: stage.ctx("receiver"), head, remote, receiver })
    }

    /// Labels of all that is taken.
    pub fn external_labels(&self) -> &Labels {
        &self.head.external_labels
    }

    /// The journal of blocks on their way into the bucket.
    pub fn uploads(&self) -> PathBuf {
        self.head.blocks_dir.with_file_name("uploads")
    }

    /// Replays the log and opens what is there. Without a bucket blocks stay on the local disk.
    pub async fn open(self, stage: &Stage, bucket: Option<&Bucket>) -> Result<WayIn, Exit> {
        let uploads = self.uploads();
        let Plan { ctx, head, remote, receiver } = self;
        let blocks = head.blocks_dir.clone();
        let opened = {
            let (clock, disk) = (stage.clock.clone(), stage.disk.clone());
            let metrics = stage.metrics.register(|r| (HeadMetrics::new(r), WalMetrics::new(r)));
            tokio::task::spawn_blocking(move || Head::open(head, clock, disk, metrics.0, metrics.1))
        };
        let head = opened.await.map_err(|e| Exit::Failed(format!("open the head: {e}")))??;
        let shipper = bucket.map(|bucket| shipper(stage, bucket, blocks, uploads)).transpose()?;
        let metrics = stage.metrics.register(ReceiverMetrics::new);
        let receiver =
            Receiver::open(ctx.clone(), stage.disk.clone(), head, shipper, receiver, metrics).await?;
        let metrics = stage.metrics.register(RemoteMetrics::new);
        let remote = RemoteState::new(receiver.head().clone(), ctx.clone(), remote, metrics);
        Ok(WayIn { ctx, receiver, remote })
    }
}

fn shipper(stage: &Stage, bucket: &Bucket, blocks: PathBuf, uploads: PathBuf) -> Result<Shipper, Exit> {
    let journal = Arc::new(Journal::open(stage.disk.clone(), uploads)?);
    let uploader = Uploader::new(bucket.store_for("ship"), stage.disk.clone(), journal)
        .with_settings(upload_settings(bucket));
    Ok(Shipper::new(uploader, blocks, stage.metrics.register(ShipperMetrics::new)))
}

/// How a bucket wants its uploads.
pub fn upload_settings(bucket: &Bucket) -> dolmen_shipper::UploadSettings {
    dolmen_shipper::UploadSettings { part_size: bucket.part_size(), ..Default::default() }
}

fn external(labels: &[flags::Label]) -> Result<Labels, Exit> {
    if labels.is_empty() {
        return Ok(Labels::from_pairs([(OWN_LABEL, "local")]));
    }
    let mut all = LabelsBuilder::default();
    for (i, label) in labels.iter().enumerate() {
        if labels[..i].iter().any(|other| other.name == label.name) {
            return Err(Exit::config("--label", format!("{} twice", label.name), "each name once"));
        }
        all.set(&label.name, &label.value);
    }
    Ok(all.build())
}

/// The way in, open.
pub struct WayIn {
    ctx: Ctx,
    /// Head and local blocks.
    pub receiver: Arc<Receiver>,
    remote: RemoteState,
}

impl WayIn {
    /// Remote write alone.
    pub fn remote_write(&self) -> Router {
        dolmen_remote::router(self.remote.clone())
    }

    /// Remote write, and `/-/flush`.
    pub fn router(&self) -> Router {
        self.remote_write().merge(control(self.receiver.clone()))
    }

    /// Cuts and ships until the word to end.
    pub fn start(&self, stage: &Stage) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.receiver.clone().run(stage.shutdown.clone()))
    }

    /// Scrapes Dolmen itself until the word to end.
    pub fn start_self_scrape(&self, stage: &Stage, interval: flags::Millis) -> tokio::task::JoinHandle<()> {
        let head = self.receiver.head().clone();
        let settings = ScrapeSettings {
            interval: interval.std(),
            instance: stage.http_address().map_or_else(String::new, |address| address.to_string()),
            external_labels: head.settings().external_labels.edit().remove(OWN_LABEL).build(),
        };
        tokio::spawn(scrape_self(
            self.ctx.clone(),
            head,
            stage.metrics.clone(),
            settings,
            stage.shutdown.clone(),
        ))
    }

    /// Everything taken is on disk; nothing is taken any more.
    pub async fn close(self) -> Result<(), Exit> {
        Ok(self.receiver.close().await?)
    }
}
