//! Which blocks exist in the bucket: one flat listing, and a meta.json for each block that is new.
//!
//! ```text
//! LIST ──▶ objects by ULID ──┬─ with meta.json ──▶ GET what is not cached ──▶ blocks, corrupt
//!                            ├─ without          ──▶ partial
//!                            └─ marks            ──▶ deletion_marks, no_compact_marks
//! ```
//!
//! A failed fetch gives an error and nothing else: the caller goes on with the view that it has.

mod cache;
mod fetched;
mod listing;
mod metrics;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use dolmen_block::mark::{DELETION_MARK, DeletionMark, Mark, NO_COMPACT_MARK, NoCompactMark};
use dolmen_block::{META, Meta, Ulid};
use dolmen_bucket::{block_path, from_store, list_block};
use dolmen_ctx::Ctx;
use dolmen_model::{Kind, Result};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

pub use dolmen_bucket::Object;
pub use fetched::{BlockEntry, Corrupt, DEFAULT_CONSISTENCY_DELAY, Fetched, Partial};
pub use metrics::FetcherMetrics;

use cache::{Cache, DiskCache, Version};
use fetched::missing;
use listing::Listed;

/// How a fetcher works.
#[derive(Clone, Debug)]
pub struct FetcherSettings {
    /// Where metas are kept between runs, in `meta-syncer/<ULID>/meta.json`; `None`: in memory only.
    pub cache_dir: Option<PathBuf>,
    /// Small objects that are fetched at once.
    pub concurrency: usize,
}

impl Default for FetcherSettings {
    fn default() -> FetcherSettings {
        FetcherSettings { cache_dir: None, concurrency: 32 }
    }
}

/// Finds out which blocks exist. One fetch runs at a time.
pub struct Fetcher {
    store: Arc<dyn ObjectStore>,
    settings: FetcherSettings,
    metrics: FetcherMetrics,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    disk: Option<DiskCache>,
    metas: Cache<Arc<Meta>>,
    deletion: Cache<DeletionMark>,
    no_compact: Cache<NoCompactMark>,
}

impl Fetcher {
    /// A fetcher over a bucket.
    pub fn new(store: Arc<dyn ObjectStore>, settings: FetcherSettings, metrics: FetcherMetrics) -> Fetcher {
        Fetcher { store, settings, metrics, state: tokio::sync::Mutex::default() }
    }

    /// Looks. Whatever cannot be read for reasons that may pass fails the whole fetch, so that a block never
    /// seems to be gone because the bucket did not answer.
    pub async fn fetch(&self, ctx: &Ctx) -> Result<Fetched> {
        let begin = Instant::now();
        let done = self.look(ctx).await;
        self.metrics.fetched(&done, begin.elapsed());
        done
    }

    async fn look(&self, ctx: &Ctx) -> Result<Fetched> {
        let mut state = self.state.lock().await;
        if state.disk.is_none()
            && let Some(dir) = &self.settings.cache_dir
        {
            state.disk = Some(DiskCache::open(dir.clone()).await?);
        }
        let all = listing::list(ctx, &*self.store).await?;
        let State { disk, metas, deletion, no_compact } = &mut *state;
        let deletion_marks = self.marks(ctx, &all, DELETION_MARK, deletion).await?;
        let no_compact_marks = self.marks(ctx, &all, NO_COMPACT_MARK, no_compact).await?;
        let read = self.metas(ctx, &all, metas, disk.as_mut()).await?;
        let mut fetched = Fetched { deletion_marks, no_compact_marks, ..Fetched::default() };
        for (ulid, objects) in all {
            match read.get(&ulid) {
                None if objects.iter().any(|o| o.path == META) => {} // Deleted since it was listed.
                None => {
                    fetched.partial.insert(ulid, Partial::new(ulid, objects));
                }
                Some(Ok(meta)) => self.sort_in(ctx, &mut fetched, ulid, meta.clone(), objects).await?,
                Some(Err(why)) => {
                    let corrupt = Corrupt { why: why.clone(), meta: None, objects };
                    fetched.corrupt.insert(ulid, corrupt);
                }
            }
        }
        Ok(fetched)
    }

    /// A block whose files are not all there, or of another length than its meta tells, is corrupt. It is
    /// listed once more first: a listing of many pages may have passed its place before it was uploaded.
    async fn sort_in(
        &self,
        ctx: &Ctx,
        to: &mut Fetched,
        ulid: Ulid,
        meta: Arc<Meta>,
        mut objects: Vec<Object>,
    ) -> Result<()> {
        if missing(&meta, &objects).is_some() {
            ctx.check()?;
            objects = list_block(&*self.store, ulid).await?;
        }
        if !objects.iter().any(|o| o.path == META) {
            return Ok(()); // Deleted since it was listed.
        }
        match missing(&meta, &objects) {
            None => drop(to.blocks.insert(ulid, BlockEntry::new(meta, objects))),
            Some(why) => drop(to.corrupt.insert(ulid, Corrupt { why, meta: Some(meta), objects })),
        }
        Ok(())
    }

    /// Metas by ULID; the text tells what is wrong with one.
    async fn metas(
        &self,
        ctx: &Ctx,
        all: &Listed,
        memory: &mut Cache<Arc<Meta>>,
        mut disk: Option<&mut DiskCache>,
    ) -> Result<BTreeMap<Ulid, Result<Arc<Meta>, String>>> {
        let mut read = BTreeMap::new();
        let mut want = Vec::new();
        for (ulid, version) in versions(all, META) {
            let known = memory.get(ulid, version).cloned();
            match known.or_else(|| disk.as_ref()?.get(ulid, version)) {
                Some(meta) => drop(read.insert(ulid, Ok(meta))),
                None => want.push((ulid, version)),
            }
        }
        let fresh = Mutex::new(Vec::new());
        self.get(ctx, META, &want, |ulid, version, bytes| {
            let meta = match Meta::parse(&bytes) {
                Ok(meta) if meta.ulid == ulid => Ok(Arc::new(meta)),
                Ok(meta) => Err(format!("meta.json is of block {}", meta.ulid)),
                Err(e) => Err(e.to_string()),
            };
            fresh.lock().push((ulid, version, bytes, meta));
            Ok(())
        })
        .await?;
        for (ulid, _, bytes, meta) in fresh.into_inner() {
            if let (Ok(_), Some(disk)) = (&meta, &mut disk) {
                disk.put(ulid, bytes);
            }
            read.insert(ulid, meta);
        }
        let listed =
            versions(all, META).filter_map(|(u, v)| Some((u, (v, read.get(&u)?.as_ref().ok()?.clone()))));
        memory.replace(listed);
        if let Some(disk) = disk {
            disk.write(|ulid| read.contains_key(&ulid)).await;
        }
        Ok(read)
    }

    /// Marks of one kind. Broken JSON is passed over with a warning, as Thanos does.
    async fn marks<M: Mark + Clone>(
        &self,
        ctx: &Ctx,
        all: &Listed,
        name: &'static str,
        cache: &mut Cache<M>,
    ) -> Result<BTreeMap<Ulid, M>> {
        let mut marks = BTreeMap::new();
        let mut want = Vec::new();
        for (ulid, version) in versions(all, name) {
            match cache.get(ulid, version) {
                Some(mark) => drop(marks.insert(ulid, (version, mark.clone()))),
                None => want.push((ulid, version)),
            }
        }
        let fresh = Mutex::new(Vec::new());
        self.get(ctx, name, &want, |ulid, version, bytes| {
            match M::parse(&bytes) {
                Ok(mark) => fresh.lock().push((ulid, (version, mark))),
                Err(e) if e.kind() == Kind::Corrupt => {
                    tracing::warn!(block = %ulid, error = %e, "passing over a mark that cannot be read");
                }
                Err(e) => return Err(e),
            }
            Ok(())
        })
        .await?;
        marks.extend(fresh.into_inner());
        cache.replace(marks.iter().map(|(ulid, (version, mark))| (*ulid, (*version, mark.clone()))));
        Ok(marks.into_iter().map(|(ulid, (_, mark))| (ulid, mark)).collect())
    }

    /// Fetches the object `name` of each block, some at once. One that is gone by now is left out.
    async fn get(
        &self,
        ctx: &Ctx,
        name: &'static str,
        want: &[(Ulid, Version)],
        take: impl Fn(Ulid, Version, Bytes) -> Result<()>,
    ) -> Result<()> {
        let take = &take;
        let one = |(ulid, version): (Ulid, Version)| async move {
            ctx.check()?;
            let path = block_path(ulid, name);
            let body = match self.store.get(&path).await {
                Ok(got) => got.bytes().await,
                Err(e) => Err(e),
            };
            match body.map_err(|e| from_store(format!("fetch {path}"), e)) {
                Ok(bytes) => take(ulid, version, bytes),
                Err(e) if e.kind() == Kind::NotFound => Ok(()),
                Err(e) => Err(e),
            }
        };
        let all = futures::stream::iter(want.iter().copied().map(one));
        all.buffer_unordered(self.settings.concurrency.max(1)).try_collect().await
    }
}

/// Which version of the object `name` each block has.
fn versions<'a>(all: &'a Listed, name: &'a str) -> impl Iterator<Item = (Ulid, Version)> + 'a {
    all.iter().filter_map(move |(ulid, objects)| {
        let o = objects.iter().find(|o| o.path == name)?;
        Some((*ulid, Version { size: o.size, mtime: o.mtime }))
    })
}
