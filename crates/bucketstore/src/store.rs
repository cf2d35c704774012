//! The blocks of a bucket: which are there, kept up to date.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use dolmen_block::Ulid;
use dolmen_ctx::{Ctx, Disk};
use dolmen_fetcher::{Fetched, Fetcher};
use dolmen_model::{Error, Kind, Result, Timestamp};
use dolmen_source::{BlockReader, ReadCounts};
use dolmen_storage::Queryable;
use futures::StreamExt;
use object_store::ObjectStore;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::{Mutex, Notify, Semaphore};

use crate::block::BucketBlock;
use crate::cache::Shared;
use crate::headers::Headers;
use crate::view::{View, corrupt, is_covered, successors};
use crate::{BucketStoreMetrics, BucketStoreSettings};

/// Memory of an opened block beside what it says itself.
const READER_EXTRA: u64 = 4 << 10;

#[derive(Clone)]
pub(crate) struct ByMemory;

impl Weighter<Ulid, BlockReader> for ByMemory {
    fn weight(&self, _: &Ulid, reader: &BlockReader) -> u64 {
        reader.memory() as u64 + READER_EXTRA
    }
}

/// What all blocks share.
pub(crate) struct Common {
    pub store: Arc<dyn ObjectStore>,
    pub settings: BucketStoreSettings,
    pub metrics: BucketStoreMetrics,
    pub headers: Headers,
    pub shared: Arc<Shared>,
    pub readers: Cache<Ulid, BlockReader, ByMemory>,
    pub opening: Semaphore,
    pub counts: Arc<ReadCounts>,
    /// Told when a block turned out to be gone.
    pub stale: Notify,
}

impl Common {
    /// A block that is gone means that the view is old.
    pub fn note(&self, e: &Error) {
        if e.kind() == Kind::NotFound {
            self.stale.notify_one();
        }
    }
}

/// The blocks of a bucket.
pub struct BucketStore {
    common: Arc<Common>,
    fetcher: Fetcher,
    view: ArcSwap<View>,
    syncing: Mutex<()>,
}

impl BucketStore {
    /// Nothing is served before the first [`BucketStore::sync`]. `store` counts for the cause of its reads.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        fetcher: Fetcher,
        disk: Arc<dyn Disk>,
        settings: BucketStoreSettings,
        metrics: BucketStoreMetrics,
    ) -> BucketStore {
        let headers = Headers::new(disk, settings.dir.clone(), metrics.clone());
        let shared = Shared::new(settings.cache_max, settings.waves_at_once, metrics.clone());
        let common = Common {
            store,
            headers,
            shared,
            // Headers of small blocks take some KiB.
            readers: Cache::with_weighter(1024, settings.readers_max, ByMemory),
            opening: Semaphore::new(settings.open_at_once.clamp(1, Semaphore::MAX_PERMITS)),
            counts: Arc::default(),
            stale: Notify::new(),
            settings,
            metrics,
        };
        BucketStore { common: Arc::new(common), fetcher, view: ArcSwap::default(), syncing: Mutex::new(()) }
    }

    /// The blocks that are served, to be asked.
    pub fn queryables(&self) -> Vec<Arc<dyn Queryable>> {
        self.view.load().queryables()
    }

    /// Their names.
    pub fn ulids(&self) -> Vec<Ulid> {
        self.view.load().blocks.keys().copied().collect()
    }

    /// The end of the time that is known to be served; `None` where there is no block.
    pub fn newest(&self) -> Option<Timestamp> {
        self.view.load().blocks.values().map(|b| b.meta().max_time).max()
    }

    /// Requests and bytes by cause.
    pub fn counts(&self) -> &Arc<ReadCounts> {
        &self.common.counts
    }

    /// Returns once a query has found a block gone: time to look again.
    pub async fn stale(&self) {
        self.common.stale.notified().await;
    }

    /// Looks at the bucket and serves what is there from now on. On failure all stays as it is.
    pub async fn sync(&self, ctx: &Ctx) -> Result<()> {
        let _one = self.syncing.lock().await;
        let done = self.look(ctx).await;
        self.common.metrics.synced(done.is_ok());
        done
    }

    async fn look(&self, ctx: &Ctx) -> Result<()> {
        let settings = &self.common.settings;
        let mut fetched = self.fetcher.fetch(ctx).await?;
        let now = ctx.clock.now();
        if !settings.consistency_delay.is_zero() {
            // Without a delay even a block of an uploader whose clock is ahead is served.
            fetched.hide_fresh(now, settings.consistency_delay);
        }
        fetched.hide_marked(now, settings.ignore_deletion_marks);
        // Only raw samples are answered from.
        fetched.blocks.retain(|_, b| b.meta.resolution() == 0);
        let old = self.view.load_full();
        let mut view = View::default();
        for (ulid, entry) in &fetched.blocks {
            let known = old.blocks.get(ulid).filter(|b| *b.meta() == entry.meta);
            let block = known.cloned().unwrap_or_else(|| {
                let (meta, objects) = (entry.meta.clone(), entry.objects.clone());
                Arc::new(BucketBlock::new(self.common.clone(), meta, objects))
            });
            view.blocks.insert(*ulid, block);
        }
        let broken = self.open_successors(ctx, &fetched, &view).await?;
        let all = fetched.blocks.clone();
        fetched.blocks.retain(|ulid, _| !broken.contains(ulid));
        fetched.hide_superseded();
        view.blocks.retain(|ulid, block| {
            fetched.blocks.contains_key(ulid) || broken.contains(ulid) && !is_covered(block.meta(), &fetched)
        });
        for (ulid, found) in &fetched.corrupt {
            let meta = found.meta.as_deref();
            if meta.is_some_and(|m| m.resolution() != 0 || is_covered(m, &fetched)) {
                continue;
            }
            if !old.corrupt.contains_key(ulid) {
                tracing::error!(block = %ulid, "block of the bucket is left out: {}", found.why);
            }
            view.corrupt.insert(*ulid, Arc::new(corrupt(*ulid, &found.why, meta)));
        }
        self.publish(&old, view, all.keys().copied().collect(), now).await;
        Ok(())
    }

    /// Opens the blocks that take others' place, and gives those that do not open: the others stay.
    async fn open_successors(&self, ctx: &Ctx, fetched: &Fetched, view: &View) -> Result<HashSet<Ulid>> {
        let wanted = successors(fetched).into_iter().filter_map(|ulid| view.blocks.get(&ulid).cloned());
        let open = |block: Arc<BucketBlock>| async move {
            match block.open(ctx).await {
                Ok(_) => Ok(None),
                Err(e) if matches!(e.kind(), Kind::Canceled | Kind::Timeout | Kind::Limit) => Err(e),
                Err(e) => {
                    tracing::error!(block = %block.ulid(), "block does not open, those it was made of are served: {e}");
                    Ok(Some(block.ulid()))
                }
            }
        };
        let mut opened = futures::stream::iter(wanted.map(open))
            .buffer_unordered(self.common.settings.open_at_once.max(1));
        let mut broken = HashSet::new();
        while let Some(one) = opened.next().await {
            broken.extend(one?);
        }
        Ok(broken)
    }

    async fn publish(&self, old: &View, view: View, there: HashSet<Ulid>, now: i64) {
        let came = view.blocks.keys().filter(|u| !old.blocks.contains_key(u)).count();
        let went: Vec<Ulid> = old.blocks.keys().filter(|u| !view.blocks.contains_key(u)).copied().collect();
        if came + went.len() > 0 {
            tracing::info!(blocks = view.blocks.len(), came, went = went.len(), "blocks of the bucket");
        }
        let m = &self.common.metrics;
        m.blocks.set(view.blocks.len() as i64);
        let broken = view.blocks.values().filter(|b| b.is_broken()).count() + view.corrupt.len();
        m.broken.set(broken as i64);
        m.last_sync.set(now / 1000);
        self.view.store(Arc::new(view));
        for ulid in went {
            self.common.readers.remove(&ulid);
        }
        let headers = self.common.headers.clone();
        let cleaned = tokio::task::spawn_blocking(move || headers.keep_only(&there)).await;
        let cleaned = cleaned.map_err(|e| Error::wrap(Kind::Halt, "clean index-headers", e)).flatten();
        if let Err(e) = cleaned {
            tracing::warn!("clean index-headers: {e}");
        }
    }
}
