//! The head as a whole.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use dolmen_ctx::{Clock, Disk};
use dolmen_model::{Context, Error, Kind, Labels, Result, TimeRange, Timestamp};
use dolmen_storage::KeyHasher;
use dolmen_wal::{Wal, WalMetrics, WalSettings};
use parking_lot::{Mutex, RwLock};

use crate::append::Held;
use crate::floors;
use crate::index::Index;
use crate::metrics::HeadMetrics;
use crate::readers::Readers;
use crate::replay;
use crate::series::Hot;
use crate::settings::HeadSettings;
use crate::stream::{Stream, Streams};
use crate::stripe::Stripe;

/// The newest samples.
pub struct Head {
    pub(crate) settings: HeadSettings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) metrics: HeadMetrics,
    pub(crate) hasher: KeyHasher,
    pub(crate) stripes: Box<[Mutex<Stripe>]>,
    pub(crate) index: RwLock<Index>,
    pub(crate) streams: Streams,
    pub(crate) series: AtomicUsize,
    pub(crate) next_ref: AtomicU64,
    pub(crate) wal: Wal,
    pub(crate) readers: Readers,
    /// Held while chunks are cut or forgotten. Symbols of series that were removed.
    pub(crate) cutting: Mutex<Vec<u32>>,
    /// Floors were raised and are not on disk yet.
    pub(crate) floors_changed: AtomicBool,
    /// Other numbers under which a log of Prometheus holds samples of a series.
    pub(crate) aliases: Mutex<HashMap<u64, u64>>,
    pub(crate) held: RwLock<Option<Arc<dyn Held>>>,
}

impl Head {
    /// Opens a head: replays its log. Blocking; errors name what to do.
    pub fn open(
        settings: HeadSettings,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        metrics: HeadMetrics,
        wal_metrics: WalMetrics,
    ) -> Result<Arc<Head>> {
        settings.check()?;
        create_dir(&*disk, &settings.wal_dir).context("create the log's directory")?;
        create_dir(&*disk, &settings.blocks_dir).context("create the blocks' directory")?;
        let (floors, floors_written) = floors::read(&*disk, &settings)?;
        let began = std::time::Instant::now();
        let wal_settings = WalSettings {
            segment_bytes: settings.segment_bytes,
            sync: settings.sync,
            ..WalSettings::default()
        };
        let (wal, replay) = Wal::open(&settings.wal_dir, disk.clone(), wal_settings, wal_metrics)?;
        let mut secret = [0u8; 192];
        getrandom::fill(&mut secret)
            .map_err(|e| Error::new(Kind::Halt, format!("draw a random secret: {e}")))?;
        let stripes = settings.stripes.clamp(1, 1024).next_power_of_two();
        let head = Head {
            clock,
            disk,
            metrics,
            hasher: KeyHasher::new(secret),
            stripes: (0..stripes).map(|_| Mutex::default()).collect(),
            index: RwLock::default(),
            streams: Streams::default(),
            series: AtomicUsize::new(0),
            next_ref: AtomicU64::new(1),
            wal,
            readers: Readers::default(),
            cutting: Mutex::default(),
            floors_changed: AtomicBool::new(!floors_written),
            aliases: Mutex::default(),
            held: RwLock::new(None),
            settings,
        };
        for (labels, floor) in floors {
            match head.streams.of(&labels) {
                Some(stream) => stream.raise_floor(floor),
                None => return Err(Error::invalid("floors.json names more streams than a head may have")),
            }
        }
        replay::run(&head, replay)?;
        head.metrics.replay_seconds.set(began.elapsed().as_secs_f64());
        head.tell();
        Ok(Arc::new(head))
    }

    /// Who knows what cut blocks hold: asked where a sample is older than what memory holds.
    pub fn set_held(&self, held: Arc<dyn Held>) {
        *self.held.write() = Some(held);
    }

    /// Writes what is enqueued and ends the log's writer. Nothing can be appended afterwards.
    pub fn close(&self) -> Result<()> {
        self.wal.close()
    }

    /// How the head behaves.
    pub fn settings(&self) -> &HeadSettings {
        &self.settings
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.series.load(Ordering::Relaxed)
    }

    /// Whether the log cannot be written: then nothing is taken.
    pub fn read_only(&self) -> bool {
        self.wal.check().is_err()
    }

    /// Whether a restart knows from `floors.json` alone up to where each stream is cut. While it does not, the
    /// blocks in the blocks' directory must stay: they tell it.
    pub fn floors_written(&self) -> bool {
        !self.floors_changed.load(Ordering::Acquire)
    }

    /// The times that memory holds; `None` where it holds nothing.
    pub fn range(&self) -> Option<TimeRange> {
        let streams = self.streams.all();
        let first = streams.iter().map(|s| s.oldest()).min()?;
        let last = streams.iter().map(|s| s.newest()).max()?;
        TimeRange::inclusive(first, last)
    }

    /// Brings the gauges up to date.
    pub fn tell(&self) {
        let (mut open, mut closed) = (0, 0);
        for stripe in &self.stripes {
            let bytes = stripe.lock().chunk_bytes();
            (open, closed) = (open + bytes.0, closed + bytes.1);
        }
        let m = &self.metrics;
        m.chunk_bytes.set((open + closed) as i64);
        m.series.set(self.series() as i64);
        m.symbols.set(self.index.read().symbols.len() as i64);
        m.read_only.set(i64::from(self.read_only()));
        let streams = self.streams.all();
        m.streams.set(streams.len() as i64);
        m.max_time.set(streams.iter().map(|s| s.newest()).max().unwrap_or(0).max(0));
    }

    /// The stripe of a key.
    pub(crate) fn stripe_of(&self, key: u128) -> usize {
        (key >> 64) as usize & (self.stripes.len() - 1)
    }

    /// The block range that a time (not negative) lies in.
    pub(crate) fn range_of(&self, t: Timestamp) -> u32 {
        (t / self.settings.block_ms) as u32
    }

    /// The series id of a place in a stripe.
    pub(crate) fn id(&self, stripe: usize, local: u32) -> u32 {
        local * self.stripes.len() as u32 + stripe as u32
    }

    /// Stripe and place of a series id.
    pub(crate) fn place(&self, id: u32) -> (usize, u32) {
        let stripes = self.stripes.len() as u32;
        ((id % stripes) as usize, id / stripes)
    }

    /// The stream of a label set.
    pub(crate) fn stream_of<'a>(
        &self,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Arc<Stream>> {
        let names = &self.settings.stream_labels;
        self.streams.of(&Labels::from_sorted(pairs.filter(|(name, _)| names.iter().any(|n| n == name))))
    }

    /// Adds a series to its stripe, which is locked, and to the index.
    pub(crate) fn create<'a>(
        &self,
        stripe: &mut Stripe,
        hot: Hot,
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> u32 {
        let at = self.stripe_of(hot.key);
        let mut index = self.index.write();
        let (shape, pairs) = index.intern(pairs);
        let local = stripe.create(hot, shape, pairs.iter().map(|(_, value)| *value));
        index.postings.insert(self.id(at, local), &pairs);
        drop(index);
        self.series.fetch_add(1, Ordering::Relaxed);
        self.metrics.created.inc();
        local
    }
}

/// Makes a directory that survives a loss of power.
fn create_dir(disk: &dyn Disk, dir: &Path) -> std::io::Result<()> {
    let parents: Vec<&Path> =
        dir.ancestors().take_while(|d| !disk.is_dir(d)).filter_map(Path::parent).collect();
    disk.create_dir_all(dir)?;
    parents.into_iter().try_for_each(|parent| disk.sync_dir(parent))
}
