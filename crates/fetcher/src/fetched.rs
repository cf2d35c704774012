//! What a fetch found, and Thanos' filters over it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dolmen_block::mark::{DeletionMark, NoCompactMark};
use dolmen_block::{INDEX, Meta, Ulid, meta};
use dolmen_bucket::Object;
use dolmen_model::Timestamp;

/// How long a fresh block is left alone by compaction, so that slow listings show all of it.
pub const DEFAULT_CONSISTENCY_DELAY: Duration = Duration::from_secs(30 * 60);

/// Sources whose blocks are never too fresh: whoever made them saw what they replace.
const NEVER_FRESH: [&str; 3] = ["compactor", "compactor.repair", "bucket.repair"];

/// A whole block.
#[derive(Clone, Debug)]
pub struct BlockEntry {
    /// What it is.
    pub meta: Arc<Meta>,
    /// When it was uploaded, in milliseconds since the Unix epoch; where that is not told, when it was made.
    pub uploaded: Timestamp,
    /// Its objects, by path.
    pub objects: Vec<Object>,
}

/// A folder without meta.json: an upload that is under way, or was never finished, or a deletion.
#[derive(Clone, Debug)]
pub struct Partial {
    /// When the youngest of its objects was written, in milliseconds since the Unix epoch; without objects,
    /// when the ULID was made.
    pub newest_mtime: Timestamp,
    /// Its objects, by path.
    pub objects: Vec<Object>,
}

/// A block with a meta.json that cannot be trusted. Never deleted by itself: a person has to look.
#[derive(Clone, Debug)]
pub struct Corrupt {
    /// What is wrong.
    pub why: String,
    /// Its meta, where that could be read.
    pub meta: Option<Arc<Meta>>,
    /// Its objects, by path.
    pub objects: Vec<Object>,
}

/// What a fetch found.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// Whole blocks.
    pub blocks: BTreeMap<Ulid, BlockEntry>,
    /// Folders without meta.json.
    pub partial: BTreeMap<Ulid, Partial>,
    /// Blocks that cannot be trusted.
    pub corrupt: BTreeMap<Ulid, Corrupt>,
    /// Deletion marks, of partial folders too.
    pub deletion_marks: BTreeMap<Ulid, DeletionMark>,
    /// No-compact marks.
    pub no_compact_marks: BTreeMap<Ulid, NoCompactMark>,
}

impl BlockEntry {
    pub(crate) fn new(meta: Arc<Meta>, objects: Vec<Object>) -> BlockEntry {
        let told = meta.thanos.as_ref().map(|t| t.upload_time).filter(|t| *t != meta::never());
        let uploaded = told.map_or_else(|| made(meta.ulid), |t| t.timestamp_millis());
        BlockEntry { meta, uploaded, objects }
    }

    /// Length of all its objects in bytes.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|o| o.size).sum()
    }
}

impl Partial {
    pub(crate) fn new(ulid: Ulid, objects: Vec<Object>) -> Partial {
        let newest_mtime = objects.iter().map(|o| o.mtime).max().unwrap_or_else(|| made(ulid));
        Partial { newest_mtime, objects }
    }
}

/// When a ULID was made, in milliseconds since the Unix epoch.
fn made(ulid: Ulid) -> Timestamp {
    // 48 bits.
    ulid.timestamp_ms() as i64
}

/// What a block lacks, as its meta tells it. Without a list of files an index is all that is asked for.
pub(crate) fn missing(meta: &Meta, objects: &[Object]) -> Option<String> {
    let size = |path: &str| objects.iter().find(|o| o.path == path).map(|o| o.size);
    if size(INDEX).is_none() {
        return Some("index is missing".to_owned());
    }
    let files = meta.thanos.iter().flat_map(|t| &t.files).filter(|f| f.size_bytes > 0);
    files.into_iter().find_map(|f| match size(&f.rel_path) {
        None => Some(format!("{} is missing", f.rel_path)),
        Some(n) if n != f.size_bytes => {
            Some(format!("{} has {n} bytes, meta.json says {}", f.rel_path, f.size_bytes))
        }
        Some(_) => None,
    })
}

impl Fetched {
    /// Hides blocks that are younger than `delay`, unless a compactor made them. Returns how many.
    pub fn hide_fresh(&mut self, now: Timestamp, delay: Duration) -> usize {
        let since = now.saturating_sub(delay.as_millis() as i64);
        self.hide(|_, block| {
            let source = block.meta.thanos.as_ref().map_or("", |t| t.source.as_str());
            block.uploaded > since && !NEVER_FRESH.contains(&source)
        })
    }

    /// Hides blocks whose deletion mark is older than `delay`: readers give it to have the blocks that took
    /// their place, compactors half the deletion delay. Returns how many.
    pub fn hide_marked(&mut self, now: Timestamp, delay: Duration) -> usize {
        let marks = std::mem::take(&mut self.deletion_marks);
        let hidden = self.hide(|ulid, _| marks.get(&ulid).is_some_and(|m| marked_for(m, now) > delay));
        self.deletion_marks = marks;
        hidden
    }

    /// Hides blocks whose sources are all in another block of the same labels and resolution: they were
    /// compacted into it. Returns how many.
    pub fn hide_superseded(&mut self) -> usize {
        let gone = self.superseded();
        self.hide(|ulid, _| gone.contains(&ulid))
    }

    /// Those blocks.
    pub fn superseded(&self) -> BTreeSet<Ulid> {
        let mut groups: BTreeMap<_, Vec<&Meta>> = BTreeMap::new();
        for block in self.blocks.values() {
            let labels = block.meta.thanos.as_ref().map(|t| &t.labels);
            groups.entry((block.meta.resolution(), labels)).or_default().push(&block.meta);
        }
        let mut gone = BTreeSet::new();
        for mut group in groups.into_values() {
            // Most sources first, then the older block; sorting is stable and the blocks came by ULID.
            group.sort_by_key(|m| std::cmp::Reverse(m.compaction.sources.len()));
            let mut kept: Vec<BTreeSet<Ulid>> = Vec::new();
            // Only blocks that hold a block's first source can hold all of them.
            let mut with: BTreeMap<Ulid, Vec<usize>> = BTreeMap::new();
            for meta in group {
                let sources: BTreeSet<Ulid> = meta.compaction.sources.iter().copied().collect();
                let Some(first) = sources.first() else { continue };
                if with.get(first).is_some_and(|of| of.iter().any(|k| sources.is_subset(&kept[*k]))) {
                    gone.insert(meta.ulid);
                    continue;
                }
                for source in &sources {
                    with.entry(*source).or_default().push(kept.len());
                }
                kept.push(sources);
            }
        }
        gone
    }

    fn hide(&mut self, mut which: impl FnMut(Ulid, &BlockEntry) -> bool) -> usize {
        let before = self.blocks.len();
        self.blocks.retain(|ulid, block| !which(*ulid, block));
        before - self.blocks.len()
    }
}

/// How long ago a block was marked.
fn marked_for(mark: &DeletionMark, now: Timestamp) -> Duration {
    let ms = now.saturating_sub(mark.deletion_time.saturating_mul(1000));
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
