//! One block of the bucket: opened by the first who asks.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use dolmen_block::{Meta, Ulid};
use dolmen_bucket::Object;
use dolmen_ctx::Ctx;
use dolmen_model::{Answer, Context, Cover, Error, Kind, Labels, Result, TimeRange};
use dolmen_source::{BlockReader, BucketSource, ByteSource};
use dolmen_storage::{FrameStream, LabelAsk, Queryable, Select};
use futures::{StreamExt, stream};
use object_store::path::Path;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::cache::CachedSource;
use crate::store::Common;

/// A block of the bucket.
pub struct BucketBlock {
    common: Arc<Common>,
    ulid: Ulid,
    meta: Arc<Meta>,
    range: TimeRange,
    external: Labels,
    objects: Vec<Object>,
    /// The last failure to open it, and when.
    failed: Mutex<Option<(Instant, Error)>>,
}

impl BucketBlock {
    pub(crate) fn new(common: Arc<Common>, meta: Arc<Meta>, objects: Vec<Object>) -> BucketBlock {
        let (ulid, external) = (meta.ulid, meta.external_labels());
        // A block without time in it says so when it is opened.
        let range = meta.range().or_else(|| TimeRange::inclusive(meta.min_time, meta.min_time));
        let range = range.unwrap_or(TimeRange::ALL);
        BucketBlock { common, ulid, meta, range, external, objects, failed: Mutex::new(None) }
    }

    /// Its name.
    pub fn ulid(&self) -> Ulid {
        self.ulid
    }

    /// Its meta.json.
    pub fn meta(&self) -> &Arc<Meta> {
        &self.meta
    }

    /// The reader: opened once, whoever asks at the same time waits for the same opening.
    pub(crate) async fn open(&self, ctx: &Ctx) -> Result<BlockReader> {
        let readers = &self.common.readers;
        if let Some(reader) = readers.get(&self.ulid) {
            return Ok(reader);
        }
        if let Some((at, e)) = &*self.failed.lock()
            && at.elapsed() < self.common.settings.retry_after
        {
            return Err(e.clone());
        }
        let opened = readers.get_or_insert_async(&self.ulid, self.open_now(ctx)).await;
        match &opened {
            Ok(_) => *self.failed.lock() = None,
            // Of no consequence for others: they have time and memory of their own.
            Err(e) if matches!(e.kind(), Kind::Canceled | Kind::Timeout | Kind::Limit) => {}
            Err(e) => {
                self.common.metrics.open_failures.inc();
                *self.failed.lock() = Some((Instant::now(), e.clone()));
            }
        }
        opened
    }

    /// Whether the last try to open it failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.failed.lock().is_some()
    }

    async fn open_now(&self, ctx: &Ctx) -> Result<BlockReader> {
        let common = &self.common;
        let turn = common.opening.acquire().await;
        let _turn = turn.map_err(|e| Error::wrap(Kind::Halt, "wait for a turn to open a block", e))?;
        let objects = self.objects.iter().map(|o| (o.path.as_str(), o.size));
        let (store, prefix) = (common.store.clone(), Path::from(self.ulid.to_string()));
        let inner =
            BucketSource::listed(store, prefix, objects, common.settings.limits, common.counts.clone());
        let source: Arc<dyn ByteSource> =
            Arc::new(CachedSource { ulid: self.ulid, inner: Arc::new(inner), shared: common.shared.clone() });
        let header = common.headers.get(ctx, self.ulid, &*source).await;
        let header = header.context(format_args!("open block {}", self.ulid))?;
        BlockReader::with_header(ctx, source, (*self.meta).clone(), header).await
    }
}

/// Reads ahead: the next batches are fetched while the reader works on this one, so that the blocks of a query
/// fetch side by side, whichever of them the merge waits for.
fn ahead(mut frames: FrameStream, common: Arc<Common>) -> FrameStream {
    let (to, from) = mpsc::channel(1);
    let work = Ahead(tokio::spawn(async move {
        while let Some(frame) = frames.next().await {
            if let Err(e) = &frame {
                common.note(e);
            }
            if to.send(frame).await.is_err() {
                return;
            }
        }
    }));
    stream::unfold((from, work), |(mut from, work)| async { Some((from.recv().await?, (from, work))) })
        .boxed()
}

/// Ends with its reader.
struct Ahead(JoinHandle<()>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait]
impl Queryable for BucketBlock {
    fn cover(&self, select: &Select) -> Cover {
        let pass = select.matchers.iter().all(|m| self.external.get(m.name()).is_none_or(|v| m.matches(v)));
        Cover {
            labels: vec![self.external.clone()],
            range: self.range.intersect(select.range).filter(|_| pass),
            ..Cover::default()
        }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        let asked = async { self.open(ctx).await?.select(ctx, select).await };
        let common = self.common.clone();
        asked.await.map(|frames| ahead(frames, common)).inspect_err(|e| self.common.note(e))
    }

    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        let asked = async { self.open(ctx).await?.labels(ctx, select, ask).await };
        asked.await.inspect_err(|e| self.common.note(e))
    }
}
