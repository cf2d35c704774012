//! A head with blocks beside it, and what both hold together.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test program uses a part")]

#[path = "../../../wal/tests/disk/mod.rs"]
pub mod disk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dolmen_block::Meta;
use dolmen_chunk::decode;
use dolmen_ctx::{Ctx, Disk, ManualClock};
use dolmen_head::{Ask, Head, HeadMetrics, HeadReader, HeadSettings, Held, How, Outcome, holds};
use dolmen_model::{Columns, HistRef, Histogram, Labels, Matcher, Result, TimeRange, is_stale};
use dolmen_source::{BlockReader, FileSource};
use dolmen_storage::{
    AppendReport, Appender, Frame, HistogramSample, LabelBytes, Queryable, Select, WriteBatch, WriteSeries,
};
use dolmen_wal::WalMetrics;
use futures::StreamExt;
use parking_lot::Mutex;

/// A sample's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Val {
    F(f64),
    H(Histogram),
}

impl Val {
    /// As text that is equal for equal values, whatever their layout.
    pub fn text(&self) -> String {
        match self {
            Val::F(v) => format!("{:016x}", v.to_bits()),
            Val::H(h) => histogram_text(h.to_float().view()),
        }
    }
}

pub fn histogram_text(h: HistRef<'_>) -> String {
    if is_stale(h.sum) {
        return "stale".to_owned();
    }
    let l = h.layout;
    let buckets = |spans: &[dolmen_model::Span], counts: &[f64]| {
        let (mut at, mut index, mut out) = (0, 0i64, Vec::new());
        for span in spans {
            index += i64::from(span.offset);
            for _ in 0..span.length {
                if counts[at] != 0.0 {
                    out.push((index, counts[at]));
                }
                (at, index) = (at + 1, index + 1);
            }
        }
        out
    };
    let (positive, negative) =
        (buckets(&l.positive_spans, h.positive), buckets(&l.negative_spans, h.negative));
    let head = (l.schema, l.zero_threshold, h.count, h.zero_count, h.sum, &l.custom_values);
    format!("{head:?} {positive:?} {negative:?}")
}

/// A series of a batch.
pub type Series = (Labels, Vec<(i64, Val)>);

/// Samples by series and time.
pub type Samples = BTreeMap<Labels, BTreeMap<i64, String>>;

pub fn batch(head: &Head, all: &[Series]) -> WriteBatch {
    let hasher = head.key_hasher();
    let mut out = WriteBatch::default();
    let mut body = Vec::new();
    for (labels, samples) in all {
        let from = body.len() as u32;
        for (name, value) in labels.iter() {
            let mut message = vec![0x0a, name.len() as u8];
            message.extend_from_slice(name.as_bytes());
            message.extend([0x12, value.len() as u8]);
            message.extend_from_slice(value.as_bytes());
            body.extend([0x0a, message.len() as u8]);
            body.extend(message);
        }
        let key = hasher.key(&body[from as usize..]);
        let (floats, histograms) = (out.t.len() as u32, out.histograms.len() as u32);
        for (t, value) in samples {
            match value {
                Val::F(v) => {
                    out.t.push(*t);
                    out.v.push(*v);
                }
                Val::H(h) => out.histograms.push(HistogramSample { t: *t, h: h.clone() }),
            }
        }
        out.series.push(WriteSeries {
            key,
            labels: LabelBytes::Body(from..body.len() as u32),
            samples: floats..out.t.len() as u32,
            histograms: histograms..out.histograms.len() as u32,
        });
    }
    out.body = body.into();
    out
}

/// Blocks that were cut.
#[derive(Default)]
pub struct Blocks(Mutex<Vec<Arc<BlockReader>>>);

impl Blocks {
    pub async fn add(&self, disk: &dyn Disk, meta: Meta, dir: &Path) {
        let source = FileSource::open(disk, dir).unwrap();
        let reader = BlockReader::open(&Ctx::unbounded(), Arc::new(source), meta).await.unwrap();
        self.0.lock().push(Arc::new(reader));
    }

    pub fn all(&self) -> Vec<Arc<BlockReader>> {
        self.0.lock().clone()
    }
}

#[async_trait]
impl Held for Blocks {
    async fn look(&self, ctx: &Ctx, asks: &[Ask]) -> Result<Vec<Outcome>> {
        let mut out = Vec::new();
        for ask in asks {
            let matchers: Vec<_> = ask.labels.iter().map(|(n, v)| Matcher::eq(n, v)).collect();
            let select = Select::new(TimeRange::inclusive(ask.t, ask.t).unwrap(), matchers);
            let mut found = Outcome::Older;
            for block in self.all() {
                let mut frames = block.select(ctx, &select).await?;
                while let Some(frame) = frames.next().await {
                    let Frame::Batch(batch) = frame? else { break };
                    let own = |label| batch.labels.get(label).iter().count() == ask.labels.len() + 1;
                    let chunks = batch
                        .series
                        .iter()
                        .filter(|s| own(s.label))
                        .flat_map(|s| &s.parts)
                        .flat_map(|p| &p.chunks);
                    for chunk in chunks {
                        match holds(chunk, ask.t, ask.value.value()) {
                            Outcome::Older => {}
                            outcome => found = outcome,
                        }
                    }
                }
            }
            out.push(found);
        }
        Ok(out)
    }
}

/// A head, its blocks, its disk.
pub struct World {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub clock: Arc<ManualClock>,
    pub head: Arc<Head>,
    pub blocks: Arc<Blocks>,
    pub settings: HeadSettings,
}

pub const BLOCK_MS: i64 = 60_000;

pub fn settings(dir: &Path) -> HeadSettings {
    HeadSettings {
        block_ms: BLOCK_MS,
        external_labels: Labels::from_pairs([("site", "x")]),
        stream_labels: vec!["dolmen".into(), "replica".into()],
        stripes: 4,
        segment_bytes: 64 << 10,
        ..HeadSettings::new(dir)
    }
}

impl World {
    pub async fn open(disk: Arc<dyn Disk>, settings: HeadSettings, clock: Arc<ManualClock>) -> World {
        let dir = settings.blocks_dir.clone();
        let (metrics, wal_metrics) = (HeadMetrics::default(), WalMetrics::default());
        let head = Head::open(settings.clone(), clock.clone(), disk.clone(), metrics, wal_metrics).unwrap();
        let blocks = Arc::new(Blocks::default());
        for name in disk.list(&dir).unwrap() {
            if name.ends_with(dolmen_block::TMP_SUFFIX) {
                continue;
            }
            let meta = Meta::parse(&disk.read(&dir.join(&name).join("meta.json")).unwrap()).unwrap();
            blocks.add(&*disk, meta, &dir.join(&name)).await;
        }
        head.set_held(blocks.clone());
        World { disk, dir, clock, head, blocks, settings }
    }

    pub async fn append(&self, all: &[Series]) -> Result<AppendReport> {
        self.head.append(&Ctx::unbounded(), batch(&self.head, all)).await
    }

    /// Cuts and makes the blocks known; `settle` forgets what they hold.
    pub async fn cut(&self, how: How) -> usize {
        let (cuts, result) = self.head.cut(how);
        for cut in &cuts {
            self.blocks.add(&*self.disk, cut.meta.clone(), &cut.dir).await;
        }
        result.unwrap();
        cuts.len()
    }

    pub async fn settle(&self) {
        self.head.settle().await.unwrap();
    }

    /// All that memory holds; no sample twice.
    pub async fn in_memory(&self) -> Samples {
        let mut out = Samples::new();
        read(&HeadReader::new(self.head.clone()), TimeRange::ALL, &mut out).await;
        out
    }

    /// All that memory and blocks hold; no sample twice.
    pub async fn everything(&self) -> Samples {
        let mut out = self.in_memory().await;
        for block in self.blocks.all() {
            read(&*block, block.range(), &mut out).await;
        }
        out
    }
}

/// Adds what a reader holds, all of which must lie in `range`.
pub async fn read(from: &dyn Queryable, range: TimeRange, out: &mut Samples) {
    let mut frames = from.select(&Ctx::unbounded(), &Select::new(TimeRange::ALL, [])).await.unwrap();
    let mut last: Option<Labels> = None;
    while let Some(frame) = frames.next().await {
        let batch = match frame.unwrap() {
            Frame::Batch(batch) => batch,
            Frame::End(_) => return,
        };
        for series in &batch.series {
            let labels = batch.labels.get(series.label).to_labels();
            assert!(last.as_ref().is_none_or(|last| *last < labels), "series are in label order");
            last = Some(labels.clone());
            let samples = out.entry(labels).or_default();
            for chunk in series.parts.iter().flat_map(|p| &p.chunks) {
                let mut columns = Columns::default();
                decode(chunk.encoding, &chunk.data, i64::MIN, i64::MAX, &mut columns).unwrap();
                let floats = columns.t.iter().zip(&columns.v).map(|(t, v)| (*t, Val::F(*v).text()));
                let histograms =
                    (0..columns.h.len()).map(|i| (columns.h.t[i], histogram_text(columns.h.view(i))));
                let all: Vec<_> = floats.chain(histograms).collect();
                assert!(all.len() <= 120, "{} samples in a chunk", all.len());
                assert_eq!(all.iter().map(|s| s.0).min(), Some(chunk.mint));
                assert_eq!(all.iter().map(|s| s.0).max(), Some(chunk.maxt));
                for (t, value) in all {
                    assert!(range.contains(t), "{t} in {range:?}");
                    assert!(samples.insert(t, value).is_none(), "{t} is there twice");
                }
            }
        }
    }
    panic!("the stream has no end frame");
}

/// A label set as it is answered.
pub fn answered(labels: &Labels) -> Labels {
    let mut edit = labels.edit();
    edit.set("site", "x");
    edit.build()
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
