//! A block in a bucket: ranged reads, near ones joined, a bounded number at a time, each counted by its cause.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_block::{Meta, segment};
use dolmen_bucket::{Cause, from_store};
use dolmen_ctx::Ctx;
use dolmen_model::{Error, Kind, Result};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore};

use crate::file::past_end;
use crate::pack::{Pack, pack};
use crate::{ByteSource, ObjectPart, RangeOf, Why};

/// Limits of reading.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Requests of one wave that run at once.
    pub at_once: usize,
    /// Gaps between chunks that are fetched along, in bytes.
    pub chunk_gap: u64,
    /// Gaps between parts of the index that are fetched along, in bytes.
    pub index_gap: u64,
    /// A request does not grow beyond it by joining others, in bytes.
    pub request_max: u64,
}

impl Default for ReadLimits {
    fn default() -> ReadLimits {
        ReadLimits { at_once: 16, chunk_gap: 512 << 10, index_gap: 64 << 10, request_max: 16 << 20 }
    }
}

/// Requests and bytes by cause, of one block or of all.
#[derive(Debug, Default)]
pub struct ReadCounts {
    requests: [AtomicU64; Why::ALL.len()],
    bytes: [AtomicU64; Why::ALL.len()],
    waves: AtomicU64,
}

impl ReadCounts {
    /// Requests for a cause.
    pub fn requests(&self, why: Why) -> u64 {
        self.requests[why as usize].load(Ordering::Relaxed)
    }

    /// Bytes fetched for a cause.
    pub fn bytes(&self, why: Why) -> u64 {
        self.bytes[why as usize].load(Ordering::Relaxed)
    }

    /// Waves of all causes.
    pub fn waves(&self) -> u64 {
        self.waves.load(Ordering::Relaxed)
    }
}

/// A block's objects under a prefix.
pub struct BucketSource {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    lens: HashMap<ObjectPart, u64>,
    limits: ReadLimits,
    counts: Arc<ReadCounts>,
}

impl BucketSource {
    /// The block under `prefix` (its ULID). Lengths come from meta.json; where it does not tell them, the
    /// objects are listed.
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        meta: &Meta,
        limits: ReadLimits,
        counts: Arc<ReadCounts>,
    ) -> Result<BucketSource> {
        let mut lens = lens_of(meta);
        if !lens.contains_key(&ObjectPart::Index) {
            lens = list(&*store, &prefix).await?;
        }
        Ok(BucketSource { store, prefix, lens, limits, counts })
    }

    /// The block under `prefix`, whose objects were listed: path within the block, and length.
    pub fn listed<'a>(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        objects: impl IntoIterator<Item = (&'a str, u64)>,
        limits: ReadLimits,
        counts: Arc<ReadCounts>,
    ) -> BucketSource {
        let lens = objects.into_iter().filter_map(|(path, len)| Some((part(path)?, len))).collect();
        BucketSource { store, prefix, lens, limits, counts }
    }

    /// What was read so far.
    pub fn counts(&self) -> &Arc<ReadCounts> {
        &self.counts
    }

    fn packs(&self, why: Why, ranges: &[RangeOf]) -> (Vec<Pack>, Vec<usize>) {
        let gap = if why == Why::Chunks { self.limits.chunk_gap } else { self.limits.index_gap };
        pack(ranges, gap, self.limits.request_max)
    }

    async fn get(&self, why: Why, pack: Pack) -> Result<Bytes> {
        let path = pack.part.path().split('/').fold(self.prefix.clone(), |path, part| path.join(part));
        let doing = format!("read {path} for {}", why.as_str());
        let mut options =
            GetOptions { range: Some(GetRange::Bounded(pack.range.clone())), ..GetOptions::default() };
        options.extensions.insert(Cause(why.as_str()));
        let asked = pack.range.end - pack.range.start;
        self.counts.requests[why as usize].fetch_add(1, Ordering::Relaxed);
        let got = self.store.get_opts(&path, options).await.map_err(|e| from_store(&doing, e))?;
        let bytes = got.bytes().await.map_err(|e| from_store(&doing, e))?;
        self.counts.bytes[why as usize].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if bytes.len() as u64 != asked {
            // Meta.json gave the length, so a short body is a broken transfer, or a foreign object.
            let text = format!("{doing}: got {} bytes, asked for {asked}", bytes.len());
            return Err(Error::new(Kind::Retry, text));
        }
        Ok(bytes)
    }
}

#[async_trait]
impl ByteSource for BucketSource {
    fn len(&self, part: ObjectPart) -> Option<u64> {
        self.lens.get(&part).copied()
    }

    fn ready(&self, _: ObjectPart, _: Range<u64>) -> Option<Bytes> {
        None
    }

    async fn read(&self, ctx: &Ctx, why: Why, ranges: &[RangeOf]) -> Result<Vec<Bytes>> {
        ctx.check()?;
        for (part, range) in ranges {
            if range.start > range.end || self.len(*part).is_none_or(|len| range.end > len) {
                return Err(past_end(*part, range));
            }
        }
        if ranges.is_empty() {
            return Ok(Vec::new());
        }
        self.counts.waves.fetch_add(1, Ordering::Relaxed);
        let (packs, place) = self.packs(why, ranges);
        let starts: Vec<u64> = packs.iter().map(|p| p.range.start).collect();
        let gets = futures::stream::iter(packs.into_iter().map(|p| self.get(why, p)));
        let bodies: Vec<Bytes> = gets.buffered(self.limits.at_once.max(1)).try_collect().await?;
        let cut = |((_, range), place): (&RangeOf, &usize)| {
            let at = (range.start - starts[*place]) as usize;
            bodies[*place].slice(at..at + (range.end - range.start) as usize)
        };
        Ok(ranges.iter().zip(&place).map(cut).collect())
    }

    fn cost(&self, ranges: &[RangeOf]) -> u64 {
        let (packs, _) = self.packs(Why::Chunks, ranges);
        packs.iter().map(|p| p.range.end - p.range.start).sum()
    }
}

fn lens_of(meta: &Meta) -> HashMap<ObjectPart, u64> {
    let files = meta.thanos.iter().flat_map(|t| &t.files);
    files.filter(|f| f.size_bytes > 0).filter_map(|f| Some((part(&f.rel_path)?, f.size_bytes))).collect()
}

async fn list(store: &dyn ObjectStore, prefix: &Path) -> Result<HashMap<ObjectPart, u64>> {
    let doing = format!("list {prefix}");
    let objects: Vec<_> = store.list(Some(prefix)).try_collect().await.map_err(|e| from_store(&doing, e))?;
    let whole = |o: &object_store::ObjectMeta| {
        let rel: Vec<_> = o.location.prefix_match(prefix)?.map(|p| p.as_ref().to_owned()).collect();
        Some((part(&rel.join("/"))?, o.size))
    };
    Ok(objects.iter().filter_map(whole).collect())
}

fn part(rel_path: &str) -> Option<ObjectPart> {
    Some(match rel_path {
        dolmen_block::INDEX => ObjectPart::Index,
        dolmen_block::TOMBSTONES => ObjectPart::Tombstones,
        dolmen_block::META => ObjectPart::Meta,
        _ => ObjectPart::Chunks(segment::number(
            rel_path.strip_prefix(dolmen_block::CHUNKS)?.strip_prefix('/')?,
        )?),
    })
}
