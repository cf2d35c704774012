//! A bucket that fails on demand, blocks made for a test, and whoever asks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dolmen_block::meta::{Compaction, Thanos};
use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed, Ulid};
use dolmen_bucket::faulty::Faulty;
use dolmen_bucket::{Bucket, BucketMetrics, Patience, block_path};
use dolmen_bucketstore::{BucketStore, BucketStoreMetrics, BucketStoreSettings};
use dolmen_ctx::{Ctx, ManualClock, RealDisk};
use dolmen_fanout::Fanout;
use dolmen_fetcher::{Fetcher, FetcherMetrics, FetcherSettings};
use dolmen_model::{Completeness, Encoding, Labels, Result, TimeRange};
use dolmen_storage::{Frame, Queryable, Select};
use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;

pub struct World {
    pub dir: tempfile::TempDir,
    pub faulty: Arc<Faulty>,
    pub bucket: Arc<Bucket>,
    pub requests: BucketMetrics,
    pub clock: Arc<ManualClock>,
    pub ctx: Ctx,
}

pub fn world() -> World {
    let faulty = Faulty::new(Arc::new(InMemory::new()));
    let requests = BucketMetrics::new(&mut Registry::default());
    let patience = Patience {
        attempt: Duration::from_secs(2),
        total: Duration::from_secs(2),
        retries: 4,
        backoff: Duration::from_millis(2),
        backoff_max: Duration::from_millis(2),
    };
    let bucket = Bucket::wrap(faulty.clone(), patience, &requests);
    let clock = Arc::new(ManualClock::new(1_000_000_000));
    let ctx = Ctx { clock: clock.clone(), ..Ctx::unbounded() };
    World { dir: tempfile::tempdir().unwrap(), faulty, bucket, requests, clock, ctx }
}

impl World {
    /// A store with its index-headers in `gateway/`.
    pub fn store(&self) -> (BucketStore, BucketStoreMetrics) {
        self.store_with(|_| ())
    }

    pub fn store_with(
        &self,
        set: impl FnOnce(&mut BucketStoreSettings),
    ) -> (BucketStore, BucketStoreMetrics) {
        let metrics = BucketStoreMetrics::new(&mut Registry::default());
        let fetching = FetcherSettings { cache_dir: Some(self.headers()), ..FetcherSettings::default() };
        let fetcher = FetcherMetrics::new(&mut Registry::default());
        let fetcher = Fetcher::new(self.bucket.store_for("fetcher"), fetching, fetcher);
        let mut settings = BucketStoreSettings::new(self.headers());
        settings.retry_after = Duration::ZERO;
        set(&mut settings);
        let reading = self.bucket.store_for("gateway");
        (BucketStore::new(reading, fetcher, Arc::new(RealDisk), settings, metrics.clone()), metrics)
    }

    pub fn headers(&self) -> PathBuf {
        self.dir.path().join("gateway")
    }

    /// Writes a block with these series and uploads it; one chunk a time.
    pub async fn block(&self, n: u64, sources: &[u64], series: &[(&str, &[i64])]) -> Meta {
        let meta = write(&self.dir.path().join("blocks"), ulid(n), sources, series);
        self.upload(&self.dir.path().join("blocks").join(ulid(n).to_string()), ulid(n)).await;
        meta
    }

    pub async fn upload(&self, dir: &Path, ulid: Ulid) {
        for path in files(dir) {
            self.put(ulid, &path, std::fs::read(dir.join(&path)).unwrap()).await;
        }
    }

    pub async fn put(&self, ulid: Ulid, path: &str, body: Vec<u8>) {
        self.bucket.store().put(&block_path(ulid, path), body.into()).await.unwrap();
    }

    pub async fn read(&self, ulid: Ulid, path: &str) -> Vec<u8> {
        let got = self.bucket.store().get(&block_path(ulid, path)).await.unwrap();
        got.bytes().await.unwrap().to_vec()
    }

    pub async fn mark(&self, n: u64, at_seconds: i64) {
        let text = format!("{{\"id\":\"{}\",\"version\":1,\"deletion_time\":{at_seconds}}}", ulid(n));
        self.put(ulid(n), "deletion-mark.json", text.into_bytes()).await;
    }
}

/// Paths of a block's files, meta.json last.
pub fn files(dir: &Path) -> Vec<String> {
    let mut all = vec!["index".to_owned()];
    let chunks = std::fs::read_dir(dir.join("chunks")).unwrap();
    all.extend(chunks.map(|e| format!("chunks/{}", e.unwrap().file_name().into_string().unwrap())));
    if dir.join("tombstones").exists() {
        all.push("tombstones".into());
    }
    all.push("meta.json".into());
    all
}

pub fn ulid(n: u64) -> Ulid {
    Ulid::from_parts(n * 1000, u128::from(n))
}

pub fn write(parent: &Path, id: Ulid, sources: &[u64], series: &[(&str, &[i64])]) -> Meta {
    std::fs::create_dir_all(parent).unwrap();
    let mut symbols: BTreeSet<&str> = series.iter().map(|(v, _)| *v).collect();
    symbols.insert("a");
    let mut w = BlockWriter::create(Arc::new(RealDisk), parent, id, symbols).unwrap();
    for (value, times) in series {
        let data: Vec<Vec<u8>> = times.iter().map(|t| [&[0, 1][..], &t.to_be_bytes()].concat()).collect();
        let chunk = |(t, data): (&i64, &'_ Vec<u8>)| (*t, data.clone());
        let owned: Vec<(i64, Vec<u8>)> = times.iter().zip(&data).map(chunk).collect();
        let chunks: Vec<ChunkIn<'_>> = owned
            .iter()
            .map(|(t, data)| ChunkIn { mint: *t, maxt: *t, encoding: Encoding::Xor, data })
            .collect();
        w.add_series(Labels::from_pairs([("a", value)]).as_ref(), &chunks).unwrap();
    }
    let thanos = Thanos { labels: [("site".to_owned(), "dc".to_owned())].into(), ..Thanos::default() };
    let compaction = Compaction {
        level: if sources.len() > 1 { 2 } else { 1 },
        sources: sources.iter().map(|s| ulid(*s)).collect(),
        ..Compaction::default()
    };
    let seed = MetaSeed { min_time: 0, max_time: 1000, compaction, thanos: Some(thanos) };
    w.finish(seed).unwrap()
}

/// Times of each series by its label `a`, and what the answer lacks.
pub type Times = BTreeMap<String, Vec<i64>>;

pub async fn ask(ctx: &Ctx, members: Vec<Arc<dyn Queryable>>) -> Result<(Times, Completeness)> {
    let fanout = Fanout::new(members);
    let mut stream = fanout.select(ctx, &Select::new(TimeRange::ALL, [])).await?;
    let mut out = Times::new();
    loop {
        match stream.next().await.expect("a stream ends with End or an error")? {
            Frame::Batch(batch) => {
                for s in &batch.series {
                    let labels = batch.labels.get(s.label).to_labels();
                    let times = s.parts.iter().flat_map(|p| p.chunks.iter().map(|c| c.mint));
                    out.entry(labels.get("a").unwrap().to_owned()).or_default().extend(times);
                }
            }
            Frame::End(completeness) => return Ok((out, completeness)),
        }
    }
}

pub fn times(all: &[(&str, &[i64])]) -> Times {
    all.iter().map(|(v, t)| ((*v).to_owned(), t.to_vec())).collect()
}

pub fn shared(path: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if !dir.is_dir() {
        println!("skipped: {} is absent", dir.display());
        return None;
    }
    Some(dir)
}
