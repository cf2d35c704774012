//! Cut blocks that are still held here: readable until gateways have them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_block::Meta;
use dolmen_ctx::{Ctx, Disk};
use dolmen_fanout::Absent;
use dolmen_model::{Context, Error, Labels, Result, TimeRange};
use dolmen_source::{BlockReader, FileSource};
use dolmen_storage::Queryable;
use parking_lot::RwLock;
use ulid::Ulid;

/// One block.
#[derive(Clone)]
pub(crate) struct LocalBlock {
    pub meta: Meta,
    pub dir: PathBuf,
    pub reader: Arc<BlockReader>,
    /// Since when it is in the bucket.
    shipped: Option<Instant>,
}

/// What is known of those who serve the bucket.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// They are other processes.
    Unknown,
    /// When the last look at the bucket began that did not fail.
    Last(Option<Instant>),
}

/// The blocks that are held here.
pub struct LocalBlocks {
    disk: Arc<dyn Disk>,
    blocks: RwLock<Vec<LocalBlock>>,
    /// Those that cannot be read: whoever asks for their time is told.
    broken: Vec<Arc<Absent>>,
}

impl LocalBlocks {
    /// The complete blocks of a directory; and those that cannot be opened, with why.
    pub async fn open(
        ctx: &Ctx,
        disk: Arc<dyn Disk>,
        dir: &Path,
    ) -> Result<(LocalBlocks, Vec<(PathBuf, String)>)> {
        let mut local = LocalBlocks { disk, blocks: RwLock::default(), broken: Vec::new() };
        let mut broken = Vec::new();
        let names = local.disk.list(dir).context("list local blocks")?;
        for name in names {
            let path = dir.join(&name);
            if name.ends_with(dolmen_block::TMP_SUFFIX) {
                // Of a cut that did not come to its end: its samples are in the log.
                local.disk.remove_dir_all(&path).context("remove an unfinished block")?;
                continue;
            }
            if Ulid::from_string(&name).is_err() || !local.disk.exists(&path.join("meta.json")) {
                continue;
            }
            let read = local.disk.read(&path.join("meta.json")).context("read meta.json");
            let meta = read.and_then(|bytes| Meta::parse(&bytes));
            let added = match meta.clone() {
                Ok(meta) => local.add(ctx, meta, path.clone()).await,
                Err(e) => Err(e),
            };
            if let Err(e) = added {
                local.broken.push(Arc::new(absent(&path, meta.as_ref().ok(), &e)));
                broken.push((path, e.to_string()));
            }
        }
        Ok((local, broken))
    }

    /// Adds a block: from now on it is read.
    pub async fn add(&self, ctx: &Ctx, meta: Meta, dir: PathBuf) -> Result<()> {
        let source = FileSource::open(&*self.disk, &dir)?;
        let reader = Arc::new(BlockReader::open(ctx, Arc::new(source), meta.clone()).await?);
        let mut blocks = self.blocks.write();
        blocks.push(LocalBlock { meta, dir, reader, shipped: None });
        blocks.sort_by_key(|b| (b.meta.min_time, b.meta.ulid));
        Ok(())
    }

    /// Notes which blocks are in the bucket.
    pub fn shipped(&self, in_bucket: impl Fn(Ulid) -> bool) {
        for block in self.blocks.write().iter_mut() {
            if block.shipped.is_none() && in_bucket(block.meta.ulid) {
                block.shipped = Some(Instant::now());
            }
        }
    }

    /// Removes blocks that have been in the bucket for longer than `hold`, and were there when the bucket was
    /// `seen`, if that is known. Queries under way read on.
    pub fn forget(&self, hold: Duration, seen: &Seen) -> Result<()> {
        let old: Vec<LocalBlock> = {
            let mut blocks = self.blocks.write();
            let is_old = |b: &LocalBlock| {
                b.shipped.is_some_and(|at| {
                    at.elapsed() >= hold
                        && match seen {
                            Seen::Unknown => true,
                            Seen::Last(last) => last.is_some_and(|last| last > at),
                        }
                })
            };
            let old = blocks.iter().filter(|b| is_old(b)).cloned().collect();
            blocks.retain(|b| !is_old(b));
            old
        };
        for block in old {
            // meta.json first: what is left of a block without it is no block.
            self.disk
                .remove_file(&block.dir.join("meta.json"))
                .and_then(|()| self.disk.remove_dir_all(&block.dir))
                .context(format!("remove local block {}", block.meta.ulid))?;
            tracing::info!(block = %block.meta.ulid, "local block removed: gateways have it");
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.blocks.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ids of blocks that are not in the bucket yet.
    pub fn unshipped(&self) -> Vec<Ulid> {
        self.blocks.read().iter().filter(|b| b.shipped.is_none()).map(|b| b.meta.ulid).collect()
    }

    /// To be asked: those that cannot be read too, which say so.
    pub fn queryables(&self) -> impl Iterator<Item = Arc<dyn Queryable>> {
        let readers: Vec<_> =
            self.blocks.read().iter().map(|b| b.reader.clone() as Arc<dyn Queryable>).collect();
        let broken: Vec<_> = self.broken.iter().map(|b| b.clone() as Arc<dyn Queryable>).collect();
        readers.into_iter().chain(broken)
    }

    /// Blocks that may hold samples of a series within a range.
    pub(crate) fn within(&self, series: &Labels, range: TimeRange) -> Vec<LocalBlock> {
        let may = |b: &&LocalBlock| {
            let labels = b.meta.external_labels();
            let same_stream = series.iter().all(|(name, value)| labels.get(name).is_none_or(|v| v == value));
            same_stream && b.meta.range().is_some_and(|r| r.overlaps(range))
        };
        self.blocks.read().iter().filter(may).cloned().collect()
    }
}

/// A block that cannot be read, as one that says so.
fn absent(path: &Path, meta: Option<&Meta>, e: &Error) -> Absent {
    Absent {
        range: meta.and_then(Meta::range).unwrap_or(TimeRange::ALL),
        external: meta.map_or_else(Labels::empty, Meta::external_labels),
        error: Error::corrupt(format!("{}: {e}", path.display())),
    }
}
