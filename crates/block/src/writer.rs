//! Writes a block: series by series into `<ULID>.tmp-for-creation`, which takes its name once it is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dolmen_ctx::Disk;
use dolmen_index::{ChunkMeta, IndexWriter};
use dolmen_model::{Context, Encoding, Error, LabelsRef, Result, Timestamp};
use ulid::Ulid;

use crate::meta::{BlockFile, Compaction, IndexStats, Meta, Stats, Thanos};
use crate::segment::{self, RECORD_EXTRA_MAX, SEGMENT_SIZE_MAX, SegmentWriter};
use crate::{CHUNKS, INDEX, META};

/// What the name of an unfinished block ends with.
pub const TMP_SUFFIX: &str = ".tmp-for-creation";

/// A chunk to be written.
#[derive(Clone, Copy, Debug)]
pub struct ChunkIn<'a> {
    /// Time of its first sample.
    pub mint: Timestamp,
    /// Time of its last sample, inclusive.
    pub maxt: Timestamp,
    /// How the bytes are laid out.
    pub encoding: Encoding,
    /// The bytes, without length, encoding byte and checksum.
    pub data: &'a [u8],
}

/// What a writer cannot know by itself.
#[derive(Clone, Debug, Default)]
pub struct MetaSeed {
    /// First millisecond that the block covers.
    pub min_time: Timestamp,
    /// First millisecond after it.
    pub max_time: Timestamp,
    /// Where it comes from. Without sources it becomes its own source, as a block cut from a head.
    pub compaction: Compaction,
    /// What a bucket must know; `files`, `segment_files` and `index_stats` are filled in.
    pub thanos: Option<Thanos>,
}

/// Writes a block. Dropped before [`BlockWriter::finish`] has succeeded, it removes what it wrote.
pub struct BlockWriter {
    disk: Arc<dyn Disk>,
    parent: PathBuf,
    ulid: Ulid,
    tmp: Tmp,
    index: IndexWriter,
    segments: SegmentWriter,
    stats: Stats,
    metas: Vec<ChunkMeta>,
}

impl BlockWriter {
    /// Starts `<parent>/<ULID>.tmp-for-creation`. `symbols`: all label names and values that will come, sorted
    /// by bytes, each once.
    pub fn create<S: AsRef<str>>(
        disk: Arc<dyn Disk>,
        parent: &Path,
        ulid: Ulid,
        symbols: impl IntoIterator<Item = S>,
    ) -> Result<BlockWriter> {
        BlockWriter::create_with(disk, parent, ulid, symbols, SEGMENT_SIZE_MAX)
    }

    /// As [`BlockWriter::create`], with smaller segments.
    pub fn create_with<S: AsRef<str>>(
        disk: Arc<dyn Disk>,
        parent: &Path,
        ulid: Ulid,
        symbols: impl IntoIterator<Item = S>,
        segment_size_max: u64,
    ) -> Result<BlockWriter> {
        let dir = parent.join(format!("{ulid}{TMP_SUFFIX}"));
        if disk.is_dir(&dir) {
            disk.remove_dir_all(&dir).context("remove an unfinished block")?;
        }
        let tmp = Tmp { disk: disk.clone(), dir: Some(dir.clone()) };
        let chunks = dir.join(CHUNKS);
        disk.create_dir_all(&chunks).context("create block")?;
        let index = IndexWriter::create(disk.clone(), &dir.join(INDEX), symbols)?;
        let segments = SegmentWriter::new(disk.clone(), &chunks, segment_size_max);
        let parent = parent.to_owned();
        Ok(BlockWriter {
            disk,
            parent,
            ulid,
            tmp,
            index,
            segments,
            stats: Stats::default(),
            metas: Vec::new(),
        })
    }

    /// Adds a series. Series come in label order, each once; its chunks by time, apart. A series without
    /// chunks is left out.
    pub fn add_series(&mut self, labels: LabelsRef<'_>, chunks: &[ChunkIn<'_>]) -> Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        self.segments.room(chunks.iter().map(|c| c.data.len() as u64 + RECORD_EXTRA_MAX).sum())?;
        self.metas.clear();
        for c in chunks {
            let samples = samples(c.encoding, c.data)?;
            self.stats.num_samples += samples;
            match c.encoding {
                Encoding::Xor | Encoding::Xor2 => self.stats.num_float_samples += samples,
                _ => self.stats.num_histogram_samples += samples,
            }
            let reference = self.segments.add(c.encoding as u8, c.data)?;
            self.metas.push(ChunkMeta { mint: c.mint, maxt: c.maxt, reference });
        }
        self.stats.num_chunks += chunks.len() as u64;
        self.stats.num_series += 1;
        self.index.add_series(labels, &self.metas)
    }

    /// What was added so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Finishes all files and gives the block its name; returns once it would survive a loss of power.
    pub fn finish(self, seed: MetaSeed) -> Result<Meta> {
        let BlockWriter { disk, parent, ulid, mut tmp, index, segments, stats, .. } = self;
        let dir = tmp.dir.clone().ok_or_else(|| Error::invalid("block is finished"))?;
        let chunk_max_size = segments.record_max();
        let sizes = segments.finish()?;
        let index = index.finish()?;
        let mut compaction = seed.compaction;
        if compaction.sources.is_empty() {
            compaction.sources.push(ulid);
        }
        compaction.level = compaction.level.max(1);
        let mut meta = Meta {
            ulid,
            min_time: seed.min_time,
            max_time: seed.max_time,
            stats,
            compaction,
            version: 1,
            thanos: seed.thanos,
        };
        if let Some(thanos) = &mut meta.thanos {
            thanos.segment_files = (0..sizes.len() as u32).map(segment::file_name).collect();
            thanos.files = files(&sizes, index.bytes);
            thanos.index_stats = IndexStats { series_max_size: index.series_max_size, chunk_max_size };
        }
        let mut file = disk.create(&dir.join(META)).context("create meta.json")?;
        file.write_all(&meta.to_json()).context("write meta.json")?;
        file.sync().context("sync meta.json")?;
        disk.sync_dir(&dir.join(CHUNKS)).context("sync chunks")?;
        disk.sync_dir(&dir).context("sync block")?;
        disk.rename(&dir, &parent.join(ulid.to_string())).context("name block")?;
        tmp.dir = None;
        disk.sync_dir(&parent).context("sync the folder of blocks")?;
        Ok(meta)
    }
}

/// The folder of an unfinished block; goes when it is dropped.
struct Tmp {
    disk: Arc<dyn Disk>,
    dir: Option<PathBuf>,
}

impl Drop for Tmp {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            // Nobody is left to tell; what stays is removed when the next block of this name is begun, and
            // by whoever opens the folder.
            let _stays = self.disk.remove_dir_all(dir);
        }
    }
}

fn files(segments: &[u64], index: u64) -> Vec<BlockFile> {
    let mut files: Vec<BlockFile> = Vec::with_capacity(segments.len() + 2);
    for (i, size) in segments.iter().enumerate() {
        let rel_path = format!("{CHUNKS}/{}", segment::file_name(i as u32));
        files.push(BlockFile { rel_path, size_bytes: *size, hash: None });
    }
    files.push(BlockFile { rel_path: INDEX.into(), size_bytes: index, hash: None });
    files.push(BlockFile { rel_path: META.into(), size_bytes: 0, hash: None });
    files
}

/// Samples in a chunk, from its header: two bytes, of which encodings 5 and 6 use 14 bits.
pub(crate) fn samples(encoding: Encoding, data: &[u8]) -> Result<u64> {
    let head = data.first_chunk::<2>().ok_or_else(|| Error::invalid("chunk is too short for its header"))?;
    let n = u64::from(u16::from_be_bytes(*head));
    Ok(match encoding {
        Encoding::HistogramSt | Encoding::FloatHistogramSt => n & 0x3fff,
        _ => n,
    })
}
