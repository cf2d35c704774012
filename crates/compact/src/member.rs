//! The blocks of a bucket as the planner sees them, by group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dolmen_block::{INDEX, Meta, Ulid};
use dolmen_fetcher::{BlockEntry, Corrupt, Fetched, Object};

use crate::{PlanBlock, group_key};

/// A block of a group, and what the planner has to know of it.
pub(crate) struct Member {
    pub meta: Arc<Meta>,
    pub plan: PlanBlock,
}

impl Member {
    /// `left_out`: it is not merged, and parts its neighbours.
    pub fn new(meta: Arc<Meta>, objects: &[Object], left_out: bool) -> Member {
        let index_size = || objects.iter().find(|o| o.path == INDEX).map_or(0, |o| o.size);
        let plan = PlanBlock {
            ulid: meta.ulid,
            min_time: meta.min_time,
            max_time: meta.max_time,
            failed: meta.compaction.failed,
            series: meta.stats.num_series,
            tombstones: meta.stats.num_tombstones,
            resolution: meta.resolution(),
            index_size: meta.file_len(INDEX).unwrap_or_else(index_size),
            no_compact: left_out,
        };
        Member { meta, plan }
    }
}

/// The blocks that may be planned with, by group, `fresh` ones aside.
///
/// Blocks that are left out part their neighbours as those with a no-compact mark do, else the merged block
/// would overlap them: blocks with a deletion mark (it may be taken back), blocks that cannot be trusted (they
/// may be repaired), and fresh blocks that have settled ones behind them.
pub(crate) fn groups(view: &Fetched, fresh: &BTreeMap<Ulid, BlockEntry>) -> BTreeMap<String, Vec<Member>> {
    let mut groups: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    let mut add = |meta: &Arc<Meta>, objects: &[Object], left_out: bool| {
        let Some(thanos) = &meta.thanos else {
            tracing::debug!(block = %meta.ulid, "meta.json has no thanos section, passing over the block");
            return;
        };
        let labels = thanos.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let key = group_key(thanos.downsample.resolution, labels);
        groups.entry(key).or_default().push(Member::new(meta.clone(), objects, left_out));
    };
    for (ulid, BlockEntry { meta, objects, .. }) in &view.blocks {
        let marked = view.no_compact_marks.contains_key(ulid) || view.deletion_marks.contains_key(ulid);
        add(meta, objects, marked);
    }
    for Corrupt { meta, objects, .. } in view.corrupt.values() {
        if let Some(meta) = meta {
            add(meta, objects, true);
        }
    }
    for BlockEntry { meta, objects, .. } in fresh.values() {
        add(meta, objects, true);
    }
    for members in groups.values_mut() {
        let settled = members.iter().filter(|m| !fresh.contains_key(&m.plan.ulid));
        let newest = settled.map(|m| m.plan.min_time).max().unwrap_or(i64::MIN);
        members.retain(|m| !fresh.contains_key(&m.plan.ulid) || m.plan.min_time < newest);
        members.sort_by_key(|m| (m.plan.min_time, m.plan.ulid));
    }
    groups.retain(|_, members| !members.is_empty());
    groups
}

/// Blocks that hide from compaction because they are young.
pub(crate) fn fresh(before: &BTreeMap<Ulid, BlockEntry>, after: &Fetched) -> BTreeMap<Ulid, BlockEntry> {
    let left: BTreeSet<&Ulid> = after.blocks.keys().collect();
    before.iter().filter(|(u, _)| !left.contains(u)).map(|(u, b)| (*u, b.clone())).collect()
}
