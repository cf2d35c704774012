//! What may go: blocks whose mark is old enough, uploads that nobody finishes, blocks that another replaces.
//! Decisions only, no I/O.

use std::collections::BTreeSet;
use std::time::Duration;

use dolmen_block::{Meta, Ulid};
use dolmen_fetcher::Fetched;
use dolmen_model::Timestamp;

/// In the mark of a block that was merged into another; others read it too.
pub const COMPACTED: &str = "source of compacted block";
/// In the mark of a block whose sources another block holds.
pub const OUTDATED: &str = "outdated block";
/// In the mark of a block that was merged into nothing: all of it is deleted.
pub const EMPTY: &str = "no sample is left";

/// How old a folder without meta.json must be before it counts as given up: its writer may be slow.
pub const PARTIAL_AGE: Duration = Duration::from_secs(48 * 3600);

/// Blocks whose deletion mark is older than `delay`. One that was merged into another stays while no whole
/// block holds what it held.
pub fn expired(fetched: &Fetched, now: Timestamp, delay: Duration) -> Vec<Ulid> {
    let live = fetched.blocks.iter().filter(|(ulid, _)| !fetched.deletion_marks.contains_key(ulid));
    let covered: BTreeSet<(i64, Ulid)> = live.flat_map(|(_, b)| sources(&b.meta)).collect();
    let mut gone = Vec::new();
    for (ulid, mark) in &fetched.deletion_marks {
        let corrupt = fetched.corrupt.get(ulid);
        let there = fetched.blocks.contains_key(ulid) || fetched.partial.contains_key(ulid);
        let age = now.saturating_sub(mark.deletion_time.saturating_mul(1000));
        let old = u128::try_from(age).is_ok_and(|age| age > delay.as_millis());
        if !old || !(there || corrupt.is_some()) {
            continue;
        }
        let meta = fetched.blocks.get(ulid).map(|b| &b.meta).or(corrupt.and_then(|c| c.meta.as_ref()));
        let replaced = matches!(mark.details.as_str(), COMPACTED | OUTDATED);
        if replaced && meta.is_some_and(|m| !sources(m).is_subset(&covered)) {
            tracing::warn!(block = %ulid, "marked as compacted, but no whole block holds its samples: it stays");
            continue;
        }
        gone.push(*ulid);
    }
    gone
}

/// What a block holds: level-1 blocks, at its resolution.
fn sources(meta: &Meta) -> BTreeSet<(i64, Ulid)> {
    let resolution = meta.resolution();
    let mut all: BTreeSet<_> = meta.compaction.sources.iter().map(|s| (resolution, *s)).collect();
    if all.is_empty() {
        all.insert((resolution, meta.ulid));
    }
    all
}

/// Who wrote nothing since then has given up.
pub fn given_up_since(now: Timestamp, age: Duration) -> Timestamp {
    now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

/// Folders without meta.json to which nothing was written since `since`. Those with a deletion mark go their
/// own way, and `ours` are settled by their journals.
pub fn abandoned(fetched: &Fetched, since: Timestamp, ours: &[Ulid]) -> Vec<Ulid> {
    let given_up = |ulid: &Ulid, newest: Timestamp| {
        newest < since && !fetched.deletion_marks.contains_key(ulid) && !ours.contains(ulid)
    };
    fetched.partial.iter().filter(|(u, p)| given_up(u, p.newest_mtime)).map(|(u, _)| *u).collect()
}

/// Blocks without a mark whose sources are all in another block without a mark.
pub fn replaced(fetched: &Fetched) -> BTreeSet<Ulid> {
    let mut unmarked = fetched.clone();
    unmarked.blocks.retain(|ulid, _| !fetched.deletion_marks.contains_key(ulid));
    unmarked.superseded()
}

#[cfg(test)]
mod tests;
