//! The cycle: a run, a pause, the next run, until the word to end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_bucket::Bucket;
use dolmen_compact::{CompactMetrics, GroupState, RunReport};
use dolmen_ctx::{CancelToken, Ctx, Disk};
use dolmen_fetcher::{Fetcher, FetcherMetrics, FetcherSettings};
use dolmen_model::{Context, Error, Kind, Result};
use dolmen_service::Shutdown;
use dolmen_shipper::{Journal, UploadSettings, Uploader};

use crate::CompactorSettings;

/// Cause of its requests in the bucket's counters.
const CAUSE: &str = "compact";
/// Shortest time between the end of a run and the next one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long a run may take to end once the process is to end.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Compacts one bucket. Only one may work on a bucket at a time.
pub struct Compactor {
    ctx: Ctx,
    engine: dolmen_compact::Compactor,
    wait_interval: Duration,
}

impl Compactor {
    /// Makes its folder and reads its journal; nothing is asked of the bucket yet.
    pub fn open(
        ctx: Ctx,
        disk: Arc<dyn Disk>,
        bucket: &Bucket,
        settings: &CompactorSettings,
        metrics: CompactMetrics,
        fetcher_metrics: FetcherMetrics,
    ) -> Result<Arc<Compactor>> {
        let engine_settings = settings.engine()?;
        let dir = &settings.dir;
        disk.create_dir_all(dir).context(format_args!("make {}", dir.display()))?;
        let journal = Arc::new(Journal::open(disk.clone(), settings.journal_dir())?);
        let store = bucket.store_for(CAUSE);
        let upload = UploadSettings { part_size: bucket.part_size(), ..UploadSettings::default() };
        let uploader = Uploader::new(store.clone(), disk.clone(), journal).with_settings(upload);
        let cache_dir = Some(settings.cache_dir().to_owned());
        let fetch = FetcherSettings { cache_dir, ..FetcherSettings::default() };
        let fetcher = Fetcher::new(store.clone(), fetch, fetcher_metrics);
        let engine = dolmen_compact::Compactor::new(store, disk, fetcher, uploader, engine_settings, metrics);
        Ok(Arc::new(Compactor { ctx, engine, wait_interval: settings.wait_interval }))
    }

    /// One run, which the word to end breaks off. An error: the bucket is away, the disk is full, or the
    /// process ends; what concerns one group alone is in the report.
    pub async fn run_once(&self, shutdown: &Shutdown) -> Result<RunReport> {
        let begin = Instant::now();
        let cancel = CancelToken::default();
        let ctx = Ctx { cancel: cancel.clone(), ..self.ctx.clone() };
        let run = self.engine.run_once(&ctx);
        tokio::pin!(run);
        let done = tokio::select! {
            done = &mut run => done,
            () = shutdown.wait() => {
                // It ends between two steps, or, where the bucket gives no answer, wherever it is: what it
                // leaves, the next run settles.
                cancel.cancel();
                let late = |_| Err(Error::new(Kind::Canceled, "broken off: the process ends"));
                tokio::time::timeout(STOP_MAX, run).await.unwrap_or_else(late)
            }
        };
        let report = done.context("compact")?;
        tell(&report, begin.elapsed());
        Ok(report)
    }

    /// Runs again and again until the word to end. A run that fails is logged; the next one tries again.
    pub async fn run(self: Arc<Compactor>, shutdown: Shutdown) {
        while !shutdown.is_triggered() {
            let begin = Instant::now();
            if let Err(e) = self.run_once(&shutdown).await
                && !shutdown.is_triggered()
            {
                let next = self.wait_interval;
                tracing::error!(error = %e, "a run of compaction failed, nothing is lost; tried again in {next:?}");
            }
            let pause = self.wait_interval.saturating_sub(begin.elapsed()).max(PAUSE_MIN);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.wait() => {}
            }
        }
    }
}

/// One line a run.
fn tell(report: &RunReport, took: Duration) {
    tracing::info!(
        groups = report.groups.len(),
        merges = report.compactions.len(),
        overlapping = report.groups_in(GroupState::Overlapping),
        failed = report.groups_in(GroupState::Failed),
        marked = report.marked.len(),
        deleted = report.deleted.len() + report.cleaned.deleted.len(),
        failures = report.failures.len(),
        seconds = took.as_secs_f64(),
        "a run of compaction is done"
    );
}
