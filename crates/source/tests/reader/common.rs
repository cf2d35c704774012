//! Sources that count and change bytes, a naive scan to compare with, and blocks made for a test.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_block::segment::{Record, record};
use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed, Ulid};
use dolmen_ctx::{Ctx, Disk, RealDisk};
use dolmen_index::{IndexHeader, Postings, Series, Split, split_entry};
use dolmen_model::{Completeness, Encoding, Error, Labels, Result, TimeRange};
use dolmen_source::{BlockReader, ByteSource, FileSource, ObjectPart, RangeOf, Why};
use dolmen_storage::{Frame, Queryable, Select};
use futures::StreamExt;

pub fn run<T>(f: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f)
}

pub fn shared(path: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if !dir.is_dir() {
        println!("skipped: {} is absent", dir.display());
        return None;
    }
    Some(dir)
}

/// Blocks in a directory.
pub fn blocks_in(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.join("meta.json").exists());
    all.sort();
    all
}

pub fn meta_of(dir: &Path) -> Meta {
    Meta::parse(&std::fs::read(dir.join("meta.json")).unwrap()).unwrap()
}

/// Bytes in memory that are given by reads only; counts them.
pub struct FarSource {
    pub parts: BTreeMap<ObjectPart, Bytes>,
    pub waves: AtomicU64,
    pub whys: Mutex<Vec<Why>>,
}

impl FarSource {
    pub fn open(dir: &Path) -> FarSource {
        let mut parts = BTreeMap::new();
        let mut add = |part: ObjectPart| {
            if let Ok(bytes) = std::fs::read(dir.join(part.path())) {
                parts.insert(part, Bytes::from(bytes));
            }
        };
        add(ObjectPart::Index);
        add(ObjectPart::Tombstones);
        add(ObjectPart::Meta);
        (0..1000).for_each(|n| add(ObjectPart::Chunks(n)));
        FarSource { parts, waves: AtomicU64::new(0), whys: Mutex::default() }
    }

    pub fn waves(&self) -> u64 {
        self.waves.swap(0, Ordering::Relaxed)
    }
}

#[async_trait]
impl ByteSource for FarSource {
    fn len(&self, part: ObjectPart) -> Option<u64> {
        self.parts.get(&part).map(|b| b.len() as u64)
    }
    fn ready(&self, _: ObjectPart, _: Range<u64>) -> Option<Bytes> {
        None
    }
    async fn read(&self, _: &Ctx, why: Why, ranges: &[RangeOf]) -> Result<Vec<Bytes>> {
        self.waves.fetch_add(1, Ordering::Relaxed);
        self.whys.lock().unwrap().push(why);
        let one = |(part, r): &RangeOf| {
            let bytes = self.parts.get(part).filter(|b| r.start <= r.end && r.end <= b.len() as u64);
            let bytes = bytes.ok_or_else(|| Error::corrupt("past the end"))?;
            Ok(Bytes::copy_from_slice(&bytes[r.start as usize..r.end as usize]))
        };
        ranges.iter().map(one).collect()
    }
    fn cost(&self, ranges: &[RangeOf]) -> u64 {
        ranges.iter().map(|(_, r)| r.end - r.start).sum()
    }
}

pub fn far(dir: &Path, meta: Meta) -> (Arc<FarSource>, BlockReader) {
    let source = Arc::new(FarSource::open(dir));
    let reader = run(BlockReader::open(&Ctx::unbounded(), source.clone(), meta)).unwrap();
    source.waves();
    (source, reader)
}

pub fn near(dir: &Path, meta: Meta) -> BlockReader {
    let source = Arc::new(FileSource::open(&RealDisk, dir).unwrap());
    run(BlockReader::open(&Ctx::unbounded(), source, meta)).unwrap()
}

/// A chunk: first and last time, encoding, bytes.
pub type Chunk = (i64, i64, u8, Bytes);
/// A series as a select gives it: labels, and by source its chunks.
pub type Got = (Labels, Vec<(String, Vec<Chunk>)>);
/// A series as a naive scan gives it: labels, and by source the times of its chunks.
pub type Times = (Labels, Vec<(String, Vec<i64>)>);

pub async fn collect(q: &dyn Queryable, ctx: &Ctx, select: &Select) -> Result<(Vec<Got>, Completeness)> {
    let mut stream = q.select(ctx, select).await?;
    let mut out = Vec::new();
    loop {
        match stream.next().await.expect("a stream ends with End or an error")? {
            Frame::Batch(batch) => {
                assert!(!batch.series.is_empty() && batch.series.len() <= 256);
                for s in batch.series {
                    let parts = s.parts.into_iter().map(|p| {
                        let chunks = p.chunks.into_iter();
                        let chunks = chunks.map(|c| (c.mint, c.maxt, c.encoding as u8, c.data)).collect();
                        (p.source.as_str().to_owned(), chunks)
                    });
                    out.push((batch.labels.get(s.label).to_labels(), parts.collect()));
                }
            }
            Frame::End(completeness) => {
                assert!(stream.next().await.is_none());
                return Ok((out, completeness));
            }
        }
    }
}

/// All series of a block, read without any of the reader's code.
pub fn scan(dir: &Path) -> Vec<(Labels, Vec<Chunk>)> {
    let index = Bytes::from(std::fs::read(dir.join("index")).unwrap());
    let header = IndexHeader::from_index(&index).unwrap();
    let all = header.postings().all().unwrap();
    let all = Postings::parse(index.slice(all.start as usize..all.end as usize)).unwrap();
    let segment = |n| Bytes::from(std::fs::read(dir.join(ObjectPart::Chunks(n).path())).unwrap());
    let segments: Vec<Bytes> =
        (0..).take_while(|n| dir.join(ObjectPart::Chunks(*n).path()).exists()).map(segment).collect();
    let mut entry = Series::default();
    all.iter()
        .map(|id| {
            let Split::Whole(body, _) = split_entry(&index[id as usize * 16..]).unwrap() else { panic!() };
            entry.decode(body, TimeRange::ALL).unwrap();
            let text = |r: u32| header.symbols().get(r).unwrap();
            let labels = Labels::from_pairs(entry.labels.iter().map(|(n, v)| (text(*n), text(*v))));
            let chunks = entry.chunks.iter().map(|c| {
                let segment = &segments[c.segment() as usize];
                let Record::Whole(encoding, data, _) = record(&segment[c.offset() as usize..]).unwrap()
                else {
                    panic!()
                };
                (c.mint, c.maxt, encoding, segment.slice_ref(data))
            });
            (labels, chunks.collect())
        })
        .collect()
}

/// A block of float chunks of two samples each, at the given times.
pub fn write(parent: &Path, series: &[(Labels, Vec<i64>)], external: &[(&str, &str)]) -> (PathBuf, Meta) {
    let mut symbols: Vec<String> = series
        .iter()
        .flat_map(|(l, _)| l.iter().flat_map(|(n, v)| [n.to_owned(), v.to_owned()]).collect::<Vec<_>>())
        .collect();
    symbols.sort();
    symbols.dedup();
    let ulid = Ulid::generate();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut w = BlockWriter::create_with(disk, parent, ulid, &symbols, 4096).unwrap();
    for (labels, times) in series {
        let mut chunks = Vec::new();
        for t in times {
            // The reader looks at the count alone: two samples, and bytes that tell chunks apart.
            let mut data = vec![0, 2];
            data.extend_from_slice(labels.to_string().as_bytes());
            data.extend_from_slice(&t.to_be_bytes());
            chunks.push((*t, data));
        }
        let ins: Vec<ChunkIn<'_>> = chunks
            .iter()
            .map(|(t, data)| ChunkIn { mint: *t, maxt: t + 9, encoding: Encoding::Xor, data })
            .collect();
        w.add_series(labels.as_ref(), &ins).unwrap();
    }
    let thanos = dolmen_block::meta::Thanos {
        labels: external.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        ..Default::default()
    };
    let seed = MetaSeed { min_time: 0, max_time: 1000, thanos: Some(thanos), ..MetaSeed::default() };
    let meta = w.finish(seed).unwrap();
    (parent.join(ulid.to_string()), meta)
}
