//! Plans compactions: the blocks of one group in, the next merge out. Pure: no clock, no bucket.
//!
//! The rules are those of Thanos' planners, so that both can work on one bucket in turn: overlapping blocks
//! first; then runs of blocks that fill an aligned range, shortest range first, never the freshest block;
//! then single blocks of which much is deleted. Blocks whose indexes would grow too large together, and
//! downsampled blocks that overlap, are left out for good by a no-compact mark.

use std::collections::BTreeMap;

use dolmen_model::Timestamp;
use ulid::Ulid;

/// Largest index that a merge may produce: 64 GiB is the most that the format can address.
pub const INDEX_SIZE_MAX: u64 = 64 << 30;

/// What planning needs to know of a block.
#[derive(Clone, Debug)]
pub struct PlanBlock {
    /// Its id.
    pub ulid: Ulid,
    /// First millisecond.
    pub min_time: Timestamp,
    /// First millisecond after it.
    pub max_time: Timestamp,
    /// An earlier compaction of it failed.
    pub failed: bool,
    /// Series in it.
    pub series: u64,
    /// Tombstones in it.
    pub tombstones: u64,
    /// Downsampled to this many milliseconds; 0 is raw.
    pub resolution: i64,
    /// Bytes of its index.
    pub index_size: u64,
    /// It carries a no-compact mark.
    pub no_compact: bool,
}

/// Why a block is left out from now on. The names are those in the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveOut {
    /// The indexes together would pass the limit; this one is the largest.
    IndexSize,
    /// Downsampled blocks that overlap cannot be merged.
    DownsampleOverlap,
}

impl LeaveOut {
    /// The reason in the mark.
    pub fn reason(self) -> &'static str {
        match self {
            LeaveOut::IndexSize => "index-size-exceeding",
            LeaveOut::DownsampleOverlap => "downsample-vertical-compaction",
        }
    }
}

/// What to do next in a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Blocks to merge, by time; empty where nothing is to be done.
    pub merge: Vec<Ulid>,
    /// Whether they overlap in time.
    pub overlap: bool,
    /// Blocks that need a no-compact mark.
    pub leave_out: Vec<(Ulid, LeaveOut)>,
}

/// Plans for a list of block lengths.
#[derive(Clone, Debug)]
pub struct Planner {
    /// Lengths in milliseconds, ascending; the first is that of the blocks that arrive.
    pub ranges: Vec<i64>,
    /// Most bytes of index in one block.
    pub index_size_max: u64,
}

impl Planner {
    /// The next merge among the blocks of a group, which come sorted by their first millisecond.
    pub fn plan(&self, blocks: &[PlanBlock]) -> Plan {
        let mut blocks = blocks.to_vec();
        let mut leave_out = Vec::new();
        // Every round but the last leaves out at least one block more.
        loop {
            let merge = self.pick(&blocks);
            let out = self.unfit(&merge);
            if out.is_empty() {
                let overlap = !overlapping(&merge).is_empty();
                return Plan { merge: merge.iter().map(|b| b.ulid).collect(), overlap, leave_out };
            }
            let out: BTreeMap<Ulid, LeaveOut> = out.into_iter().collect();
            for block in &mut blocks {
                block.no_compact |= out.contains_key(&block.ulid);
            }
            leave_out.extend(out);
        }
    }

    /// The next merge, whatever its size.
    fn pick(&self, blocks: &[PlanBlock]) -> Vec<PlanBlock> {
        let free: Vec<PlanBlock> = blocks.iter().filter(|b| !b.no_compact).cloned().collect();
        let overlap = overlapping(&free);
        if !overlap.is_empty() {
            return overlap;
        }
        // The freshest block stays: one that was uploaded out of turn may still come to lie before it.
        let settled = &blocks[..blocks.len().saturating_sub(1)];
        let run = self.full_run(settled);
        if !run.is_empty() {
            return run;
        }
        self.mostly_deleted(settled).into_iter().collect()
    }

    /// A run of neighbours that fills a range, or lies before the newest of `blocks`.
    fn full_run(&self, blocks: &[PlanBlock]) -> Vec<PlanBlock> {
        let Some(newest) = blocks.last().map(|b| b.min_time) else { return Vec::new() };
        for range in self.ranges.iter().skip(1) {
            for run in aligned_runs(blocks, *range) {
                let span = run[run.len() - 1].max_time - run[0].min_time;
                let settled = span == *range || run[run.len() - 1].max_time <= newest;
                if run.len() < 2 || !settled || run.iter().any(|b| b.failed) {
                    continue;
                }
                // A block that is left out parts its neighbours: merging around it would overlap it.
                if let Some(part) = run.split(|b| b.no_compact).find(|part| part.len() > 1) {
                    return part.to_vec();
                }
            }
        }
        Vec::new()
    }

    /// The newest long block of which more than one in twenty series is deleted.
    fn mostly_deleted(&self, blocks: &[PlanBlock]) -> Option<PlanBlock> {
        let long = *self.ranges.get(self.ranges.len() / 2)?;
        let newest_first = blocks.iter().rev().filter(|b| !b.no_compact);
        let mut newest_first = newest_first.take_while(|b| b.max_time - b.min_time >= long);
        newest_first.find(|b| b.tombstones as f64 / (b.series + 1) as f64 > 0.05).cloned()
    }

    /// Blocks of a merge that must be left out of it.
    fn unfit(&self, merge: &[PlanBlock]) -> Vec<(Ulid, LeaveOut)> {
        // Fifteen parts of a hundred are kept free: a merged index may be larger than the sum.
        let limit = (self.index_size_max as f64 * 0.85) as u64;
        let mut total = 0u64;
        for (i, block) in merge.iter().enumerate() {
            total = total.saturating_add(block.index_size);
            if total >= limit {
                let seen = merge[..=i].iter().rev().max_by_key(|b| b.index_size);
                return seen.map(|b| (b.ulid, LeaveOut::IndexSize)).into_iter().collect();
            }
        }
        if overlapping(merge).is_empty() {
            return Vec::new();
        }
        let coarse = merge.iter().filter(|b| b.resolution > 0);
        coarse.map(|b| (b.ulid, LeaveOut::DownsampleOverlap)).collect()
    }
}

/// The first run of blocks each of which begins before all earlier ones have ended.
fn overlapping(blocks: &[PlanBlock]) -> Vec<PlanBlock> {
    let mut end = i64::MIN;
    let mut run = Vec::new();
    for (i, block) in blocks.iter().enumerate() {
        if block.min_time < end {
            if run.is_empty() {
                run.push(blocks[i - 1].clone());
            }
            run.push(block.clone());
        } else if !run.is_empty() {
            break;
        }
        end = end.max(block.max_time);
    }
    run
}

/// Runs of neighbours that lie in one aligned range of that length; blocks that fit into none are skipped.
fn aligned_runs(blocks: &[PlanBlock], range: i64) -> Vec<&[PlanBlock]> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < blocks.len() {
        let start = blocks[at].min_time.div_euclid(range) * range;
        let inside = |b: &PlanBlock| b.min_time >= start && b.max_time <= start + range;
        let n = blocks[at..].iter().take_while(|b| inside(b)).count();
        if n > 0 {
            runs.push(&blocks[at..at + n]);
        }
        at += n.max(1);
    }
    runs
}

#[cfg(test)]
mod tests;
