//! Blocks in directories, as Prometheus leaves them, as one database that is only read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dolmen_block::{META, Meta, Ulid};
use dolmen_ctx::{Ctx, Disk};
use dolmen_fanout::Absent;
use dolmen_model::{Answer, Context, Cover, Error, Labels, Result, TimeRange};
use dolmen_source::{BlockReader, FileSource};
use dolmen_storage::{FrameStream, LabelAsk, Queryable, Select};
use smol_str::SmolStr;

/// Blocks in directories.
pub struct Directories {
    /// All blocks, those that cannot be read among them: they say so when their time is asked for.
    pub blocks: Vec<Arc<dyn Queryable>>,
    /// Those that cannot be read, and why.
    pub broken: Vec<(PathBuf, Error)>,
    /// Time that the others cover.
    pub range: Option<TimeRange>,
}

/// Opens the blocks of these directories, each a block itself or a folder of blocks. What is no block (a WAL,
/// a head, a lock, unfinished blocks) is passed over. Nothing is written. A directory that cannot be listed is
/// an error.
///
/// All samples count as one replica's: where blocks overlap they merge by time. Labels are as stored.
pub async fn open_directories(ctx: &Ctx, disk: &dyn Disk, dirs: &[PathBuf]) -> Result<Directories> {
    let mut found = BTreeSet::new();
    for dir in dirs {
        find(disk, dir, &mut found)?;
    }
    let mut all = Directories { blocks: Vec::new(), broken: Vec::new(), range: None };
    let mut opened = Vec::with_capacity(found.len());
    for dir in found {
        let meta = read_meta(disk, &dir);
        let reader = match &meta {
            Ok(meta) => open(ctx, disk, &dir, meta.clone()).await,
            Err(e) => Err(e.clone()),
        };
        opened.push((dir, meta.ok(), reader));
    }
    // By time; of what cannot be read nothing is known.
    opened.sort_by_key(|(_, meta, _)| meta.as_ref().map(|m| (m.min_time, m.ulid)));
    // A block that Prometheus merged into another is still there until it looks again.
    let whole = opened.iter().filter_map(|(_, _, reader)| reader.as_ref().ok());
    let replaced: BTreeSet<Ulid> =
        whole.flat_map(|r| r.meta().compaction.parents.iter().map(|p| p.ulid)).collect();
    for (dir, meta, reader) in opened {
        if meta.as_ref().is_some_and(|m| replaced.contains(&m.ulid)) {
            tracing::info!(block = %dir.display(), "passed over: it was merged into another block");
            continue;
        }
        match reader {
            Ok(reader) => all.add(reader),
            Err(e) => all.add_broken(dir, meta.and_then(|m| m.range()), &e),
        }
    }
    Ok(all)
}

impl Directories {
    fn add(&mut self, reader: BlockReader) {
        let range = reader.range();
        self.range = match self.range {
            Some(r) => TimeRange::new(r.mint().min(range.mint()), r.maxt().max(range.maxt())),
            None => Some(range),
        };
        self.blocks.push(Arc::new(OneReplica(reader)));
    }

    fn add_broken(&mut self, dir: PathBuf, range: Option<TimeRange>, e: &Error) {
        // Whatever hinders it, the others are answered from.
        let error = Error::corrupt(format!("{}: {e}", dir.display()));
        let range = range.unwrap_or(TimeRange::ALL);
        self.blocks.push(Arc::new(Absent { error: error.clone(), range, external: Labels::empty() }));
        self.broken.push((dir, error));
    }
}

fn find(disk: &dyn Disk, dir: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    if disk.exists(&dir.join(META)) {
        found.insert(dir.to_owned());
        return Ok(());
    }
    let names = disk.list(dir).context(format_args!("list {}", dir.display()))?;
    for name in names {
        let path = dir.join(&name);
        if Ulid::from_string(&name).is_ok() && disk.is_dir(&path) {
            found.insert(path);
        }
    }
    Ok(())
}

fn read_meta(disk: &dyn Disk, dir: &Path) -> Result<Meta> {
    let bytes = disk.read(&dir.join(META)).context("read meta.json")?;
    let mut meta = Meta::parse(&bytes)?;
    // External labels stand in the bucket's answers; here labels are as stored.
    if let Some(thanos) = &mut meta.thanos {
        thanos.labels.clear();
    }
    Ok(meta)
}

async fn open(ctx: &Ctx, disk: &dyn Disk, dir: &Path, meta: Meta) -> Result<BlockReader> {
    let source = FileSource::open(disk, dir)?;
    BlockReader::open(ctx, Arc::new(source), meta).await
}

/// A block whose samples count as one replica's, whatever labels tell replicas apart elsewhere.
struct OneReplica(BlockReader);

impl OneReplica {
    fn plain(select: &Select) -> Select {
        Select { without: Arc::from([]), ..select.clone() }
    }
}

#[async_trait]
impl Queryable for OneReplica {
    fn cover(&self, select: &Select) -> Cover {
        self.0.cover(select)
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        self.0.select(ctx, &OneReplica::plain(select)).await
    }

    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        self.0.labels(ctx, &OneReplica::plain(select), ask).await
    }
}
