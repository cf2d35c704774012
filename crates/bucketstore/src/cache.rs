//! Ranges of blocks that were read before, bounded by bytes; and a bound on the reads of all queries.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_block::Ulid;
use dolmen_ctx::Ctx;
use dolmen_model::{Error, Kind, Result};
use dolmen_source::{ByteSource, ObjectPart, RangeOf, Why};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use crate::BucketStoreMetrics;

/// Memory of an entry beside its bytes.
const ENTRY_EXTRA: u64 = 96;
/// Ranges longer than this share of the cache are not kept.
const LONGEST_SHARE: u64 = 16;
/// Ranges that are expected to fit.
const TYPICAL: u64 = 1 << 10;

type Key = (Ulid, ObjectPart, u64, u64);

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Bytes> for ByBytes {
    fn weight(&self, _: &Key, bytes: &Bytes) -> u64 {
        bytes.len() as u64 + ENTRY_EXTRA
    }
}

/// What the sources of all blocks share.
pub(crate) struct Shared {
    cache: Option<Cache<Key, Bytes, ByBytes>>,
    longest: u64,
    waves: Semaphore,
    metrics: BucketStoreMetrics,
}

impl Shared {
    /// A cache of `bytes_max` bytes, and at most so many waves at once.
    pub fn new(bytes_max: u64, waves_at_once: usize, metrics: BucketStoreMetrics) -> Arc<Shared> {
        let items = usize::try_from(bytes_max / TYPICAL).unwrap_or(usize::MAX).clamp(64, 1 << 20);
        let cache = (bytes_max > 0).then(|| Cache::with_weighter(items, bytes_max, ByBytes));
        let waves = Semaphore::new(waves_at_once.clamp(1, Semaphore::MAX_PERMITS));
        Arc::new(Shared { cache, longest: bytes_max / LONGEST_SHARE, waves, metrics })
    }

    fn get(&self, key: &Key) -> Option<Bytes> {
        self.cache.as_ref()?.get(key)
    }

    fn put(&self, key: Key, bytes: &Bytes) {
        if let Some(cache) = &self.cache
            && bytes.len() as u64 <= self.longest
        {
            // A copy: the bytes may be a slice of a request many times as long.
            cache.insert(key, Bytes::copy_from_slice(bytes));
        }
    }
}

/// A block's bytes behind the cache.
pub(crate) struct CachedSource {
    pub ulid: Ulid,
    pub inner: Arc<dyn ByteSource>,
    pub shared: Arc<Shared>,
}

fn kept(why: Why) -> bool {
    // Headers are kept on disk.
    matches!(why, Why::Postings | Why::Series | Why::Chunks)
}

#[async_trait]
impl ByteSource for CachedSource {
    fn len(&self, part: ObjectPart) -> Option<u64> {
        self.inner.len(part)
    }

    fn ready(&self, part: ObjectPart, range: Range<u64>) -> Option<Bytes> {
        self.inner.ready(part, range)
    }

    async fn read(&self, ctx: &Ctx, why: Why, ranges: &[RangeOf]) -> Result<Vec<Bytes>> {
        let key = |(part, r): &RangeOf| (self.ulid, *part, r.start, r.end);
        let mut found: Vec<Option<Bytes>> = match kept(why) {
            true => ranges.iter().map(|r| self.shared.get(&key(r))).collect(),
            false => vec![None; ranges.len()],
        };
        let missing: Vec<RangeOf> =
            ranges.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(r, _)| r.clone()).collect();
        if kept(why) {
            let (all, misses) = (ranges.len() as u64, missing.len() as u64);
            self.shared.metrics.looked_up(why, all - misses, misses);
        }
        if !missing.is_empty() {
            let turn = self.shared.waves.acquire().await;
            let _turn = turn.map_err(|e| Error::wrap(Kind::Halt, "wait for a turn to read", e))?;
            let read = self.inner.read(ctx, why, &missing).await?;
            self.shared.metrics.wave(why, missing.iter().map(|(_, r)| r.end - r.start).sum());
            let mut read = missing.iter().zip(read);
            for slot in found.iter_mut().filter(|f| f.is_none()) {
                if let Some((range, bytes)) = read.next() {
                    if kept(why) {
                        self.shared.put(key(range), &bytes);
                    }
                    *slot = Some(bytes);
                }
            }
            if let Some(cache) = &self.shared.cache {
                self.shared.metrics.cached.set(i64::try_from(cache.weight()).unwrap_or(i64::MAX));
            }
        }
        let whole: Option<Vec<Bytes>> = found.into_iter().collect();
        whole.ok_or_else(|| Error::corrupt("a source gave fewer ranges than asked"))
    }

    fn cost(&self, ranges: &[RangeOf]) -> u64 {
        self.inner.cost(ranges)
    }
}
