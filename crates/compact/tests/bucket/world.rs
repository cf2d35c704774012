//! A bucket with blocks, a compactor over it, and everything in it read back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dolmen_block::meta::{Compaction, Thanos};
use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed, Ulid};
use dolmen_bucket::faulty::Faulty;
use dolmen_bucket::{Bucket, BucketMetrics, Patience};
use dolmen_chunk::{decode, decode_histograms, encode_floats};
use dolmen_compact::clean::PARTIAL_AGE;
use dolmen_compact::{
    BlockInput, CompactMetrics, CompactSettings, Compactor, INDEX_SIZE_MAX, Input, Planner, RunReport,
};
use dolmen_ctx::{Ctx, Disk, ManualClock, RealDisk};
use dolmen_fetcher::{Fetcher, FetcherMetrics, FetcherSettings};
use dolmen_model::{Columns, Encoding, Labels, Result, Timestamp};
use dolmen_shipper::{Journal, Uploader, download_block};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use prometheus_client::registry::Registry;

pub const HOUR: i64 = 3_600_000;

/// Samples by series and time, each as its exact form in text.
pub type Samples = BTreeMap<String, BTreeMap<Timestamp, String>>;

pub struct World {
    pub dir: tempfile::TempDir,
    pub faulty: Arc<Faulty>,
    pub store: Arc<dyn ObjectStore>,
    pub clock: Arc<ManualClock>,
    pub ctx: Ctx,
    pub disk: Arc<dyn Disk>,
    pub ranges: Vec<i64>,
    pub delete_delay: Duration,
    pub also_ours: Vec<PathBuf>,
}

impl World {
    pub fn new(now: Timestamp) -> World {
        let dir = tempfile::tempdir().unwrap();
        let bucket = dir.path().join("bucket");
        std::fs::create_dir(&bucket).unwrap();
        let local = LocalFileSystem::new_with_prefix(&bucket).unwrap();
        let faulty = Faulty::new(Arc::new(local));
        let metrics = BucketMetrics::new(&mut Registry::default());
        let patience = Patience { retries: 0, ..Patience::default() };
        let store = Bucket::wrap(faulty.clone(), patience, &metrics).store_for("compact");
        let clock = Arc::new(ManualClock::new(now));
        let ctx = Ctx { clock: clock.clone(), ..Ctx::unbounded() };
        World {
            dir,
            faulty,
            store,
            clock,
            ctx,
            disk: Arc::new(RealDisk),
            ranges: [1, 2, 8, 48, 336].map(|h| h * HOUR).to_vec(),
            delete_delay: Duration::from_secs(48 * 3600),
            also_ours: Vec::new(),
        }
    }

    pub fn bucket_dir(&self) -> PathBuf {
        self.dir.path().join("bucket")
    }

    pub fn uploader(&self) -> Uploader {
        let journal = Journal::open(self.disk.clone(), self.dir.path().join("uploads")).unwrap();
        Uploader::new(self.store.clone(), self.disk.clone(), Arc::new(journal))
    }

    /// A compactor as after a start.
    pub fn compactor(&self) -> Compactor {
        self.compactor_with(Duration::ZERO)
    }

    /// The same with a consistency delay.
    pub fn compactor_with(&self, consistency_delay: Duration) -> Compactor {
        let mut registry = Registry::default();
        let fetcher = FetcherMetrics::new(&mut registry);
        let fetcher = Fetcher::new(self.store.clone(), FetcherSettings::default(), fetcher);
        let settings = CompactSettings {
            work_dir: self.dir.path().join("work"),
            planner: Planner { ranges: self.ranges.clone(), index_size_max: INDEX_SIZE_MAX },
            delete_delay: self.delete_delay,
            consistency_delay,
            partial_age: PARTIAL_AGE,
            also_ours: self.also_ours.clone(),
        };
        let metrics = CompactMetrics::new(&mut registry);
        Compactor::new(self.store.clone(), self.disk.clone(), fetcher, self.uploader(), settings, metrics)
    }

    pub async fn run(&self) -> Result<RunReport> {
        self.compactor().run_once(&self.ctx).await
    }

    /// Writes a block and puts it into the bucket.
    pub async fn put(&self, ulid: Ulid, range: (i64, i64), samples: &FloatSamples, site: &str) -> Meta {
        let dir = self.dir.path().join("local");
        std::fs::create_dir_all(&dir).unwrap();
        let meta = write_block(&self.disk, &dir, ulid, range, samples, site);
        self.uploader().upload(&self.ctx, &dir.join(ulid.to_string()), &meta).await.unwrap()
    }

    /// Blocks in the bucket that are whole, and of those which carry a deletion mark.
    pub async fn blocks(&self) -> Vec<(Meta, bool)> {
        let mut blocks = Vec::new();
        for entry in std::fs::read_dir(self.bucket_dir()).unwrap() {
            let dir = entry.unwrap().path();
            let Ok(json) = std::fs::read(dir.join("meta.json")) else { continue };
            blocks.push((Meta::parse(&json).unwrap(), dir.join("deletion-mark.json").exists()));
        }
        blocks.sort_by_key(|(m, _)| (m.min_time, m.ulid));
        blocks
    }

    /// Everything in the blocks without a mark.
    pub async fn live_samples(&self) -> Samples {
        let mut all = Samples::new();
        for (meta, marked) in self.blocks().await {
            if !marked {
                self.read_into(&meta, &mut all).await;
            }
        }
        all
    }

    async fn read_into(&self, meta: &Meta, all: &mut Samples) {
        let into = self.dir.path().join("read");
        std::fs::create_dir_all(&into).unwrap();
        download_block(&self.ctx, &*self.store, meta.ulid, &into, &self.disk).await.unwrap();
        let site = meta.external_labels().to_string();
        for (labels, samples) in
            read_block(&self.ctx, &self.disk, &into.join(meta.ulid.to_string()), meta).await
        {
            all.entry(format!("{site} {labels}")).or_default().extend(samples);
        }
    }
}

/// Floats by label set.
pub type FloatSamples = BTreeMap<Vec<(String, String)>, Vec<(Timestamp, f64)>>;

pub fn write_block(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    ulid: Ulid,
    range: (i64, i64),
    samples: &FloatSamples,
    site: &str,
) -> Meta {
    let series: BTreeMap<Labels, _> =
        samples.iter().map(|(l, s)| (Labels::from_pairs(l.clone()), s)).collect();
    let mut symbols: Vec<&str> =
        samples.keys().flatten().flat_map(|(n, v)| [n.as_str(), v.as_str()]).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let mut writer = BlockWriter::create(disk.clone(), dir, ulid, symbols).unwrap();
    for (labels, samples) in series {
        let (t, v): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
        let mut chunks = Vec::new();
        encode_floats(&t, &v, 7, &mut chunks);
        let view: Vec<_> = chunks
            .iter()
            .map(|c| ChunkIn { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: &c.data })
            .collect();
        writer.add_series(labels.as_ref(), &view).unwrap();
    }
    let labels = [("site".to_owned(), site.to_owned())].into();
    let thanos = Some(Thanos { labels, source: "receive".into(), ..Thanos::default() });
    let seed = MetaSeed { min_time: range.0, max_time: range.1, compaction: Compaction::default(), thanos };
    writer.finish(seed).unwrap()
}

/// All samples of a block.
pub async fn read_block(ctx: &Ctx, disk: &Arc<dyn Disk>, dir: &Path, meta: &Meta) -> Samples {
    let mut input = BlockInput::open(ctx, disk, dir, meta).await.unwrap();
    let mut all = Samples::new();
    while let Some(series) = input.next().await.unwrap() {
        let to = all.entry(series.labels.to_string()).or_default();
        for chunk in series.chunks {
            let samples: Vec<(i64, String)> = match chunk.encoding {
                Encoding::Xor => {
                    let mut c = Columns::default();
                    decode(chunk.encoding, &chunk.data, i64::MIN, i64::MAX, &mut c).unwrap();
                    c.t.into_iter().zip(c.v.into_iter().map(|v| format!("{:x}", v.to_bits()))).collect()
                }
                e => {
                    let all = decode_histograms(e, &chunk.data).unwrap();
                    all.into_iter().map(|(t, h)| (t, format!("{h:?}"))).collect()
                }
            };
            to.extend(samples);
        }
    }
    all
}

/// The folder of data that lies beside the workspace.
pub fn shared(path: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let all = std::env::var_os("DOLMEN_SHARED").map_or(beside, PathBuf::from);
    let found = all.join(path);
    if !found.exists() {
        eprintln!("skipped: {path} is not there");
        return None;
    }
    Some(found)
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}
