//! What was fetched -> which blocks are served, and which time is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dolmen_block::{Meta, Ulid};
use dolmen_fanout::Absent;
use dolmen_fetcher::Fetched;
use dolmen_model::{Error, Labels, TimeRange};
use dolmen_storage::Queryable;

use crate::block::BucketBlock;

/// The blocks as of one sync.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub blocks: BTreeMap<Ulid, Arc<BucketBlock>>,
    pub corrupt: BTreeMap<Ulid, Arc<Absent>>,
}

impl View {
    /// To be asked, oldest first.
    pub fn queryables(&self) -> Vec<Arc<dyn Queryable>> {
        let blocks = self.blocks.values().map(|b| b.clone() as Arc<dyn Queryable>);
        blocks.chain(self.corrupt.values().map(|b| b.clone() as Arc<dyn Queryable>)).collect()
    }
}

/// Blocks that take the place of others that are still there.
pub(crate) fn successors(fetched: &Fetched) -> BTreeSet<Ulid> {
    let gone = fetched.superseded();
    let mut with: BTreeMap<Ulid, Vec<&Meta>> = BTreeMap::new();
    for (ulid, block) in &fetched.blocks {
        if !gone.contains(ulid) {
            block.meta.compaction.sources.iter().for_each(|s| with.entry(*s).or_default().push(&block.meta));
        }
    }
    let of = |ulid: &Ulid| fetched.blocks.get(ulid).into_iter().flat_map(|b| &b.meta.compaction.sources);
    gone.iter().flat_map(of).filter_map(|source| with.get(source)).flatten().map(|m| m.ulid).collect()
}

/// Whether all that a block was made of is in others that are served.
pub(crate) fn is_covered(meta: &Meta, served: &Fetched) -> bool {
    let sources = &meta.compaction.sources;
    let labels = |m: &Meta| m.thanos.as_ref().map(|t| t.labels.clone());
    let same = |m: &&Meta| m.resolution() == meta.resolution() && labels(m) == labels(meta);
    let others = served.blocks.values().map(|b| &*b.meta).filter(same);
    let there: BTreeSet<Ulid> = others.flat_map(|m| m.compaction.sources.iter().copied()).collect();
    !sources.is_empty() && sources.iter().all(|s| there.contains(s))
}

/// A block that cannot be trusted: whoever asks for its time is told. Without a meta that may be any.
pub(crate) fn corrupt(ulid: Ulid, why: &str, meta: Option<&Meta>) -> Absent {
    Absent {
        range: meta.and_then(Meta::range).unwrap_or(TimeRange::ALL),
        external: meta.map_or_else(Labels::empty, Meta::external_labels),
        error: Error::corrupt(format!("block {ulid}: {why}")),
    }
}
