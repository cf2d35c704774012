//! Nothing goes before its time, and nothing whose samples no other block holds.

use std::sync::Arc;

use dolmen_block::mark::DeletionMark;
use dolmen_block::meta::{Compaction, Thanos};
use dolmen_fetcher::{BlockEntry, Partial};

use super::*;

const NOW: i64 = 1_000_000_000;
const DELAY: Duration = Duration::from_secs(100);

fn entry(n: u128, sources: &[u128]) -> BlockEntry {
    let compaction =
        Compaction { level: 1, sources: sources.iter().map(|s| Ulid(*s)).collect(), ..Compaction::default() };
    let meta = Meta {
        ulid: Ulid(n),
        min_time: 0,
        max_time: 10,
        stats: Default::default(),
        compaction,
        version: 1,
        thanos: Some(Thanos::default()),
    };
    BlockEntry { meta: Arc::new(meta), uploaded: 0, objects: Vec::new() }
}

fn view(blocks: &[(u128, &[u128])], marks: &[(u128, i64, &str)]) -> Fetched {
    let mut f = Fetched::default();
    for (n, sources) in blocks {
        f.blocks.insert(Ulid(*n), entry(*n, sources));
    }
    for (n, age_s, details) in marks {
        let deletion_time = NOW / 1000 - age_s;
        let mark = DeletionMark { id: Ulid(*n), version: 1, details: (*details).to_owned(), deletion_time };
        f.deletion_marks.insert(Ulid(*n), mark);
    }
    f
}

fn gone(f: &Fetched) -> Vec<u128> {
    expired(f, NOW, DELAY).into_iter().map(|u| u.0).collect()
}

#[test]
fn marked_blocks_go_after_the_delay() {
    let f = view(&[(1, &[1]), (2, &[2])], &[(1, 101, "by hand"), (2, 100, "by hand"), (3, 500, "by hand")]);
    assert_eq!(gone(&f), [1]);
    // A clock that was ahead when the mark was put.
    assert!(gone(&view(&[(1, &[1])], &[(1, -500, "by hand")])).is_empty());
}

#[test]
fn a_parent_stays_while_nothing_replaces_it() {
    let marks = [(1, 500, COMPACTED), (2, 500, OUTDATED)];
    let alone = view(&[(1, &[1]), (2, &[2])], &marks);
    assert!(gone(&alone).is_empty());
    let replaced = view(&[(1, &[1]), (2, &[2]), (9, &[1, 2])], &marks);
    assert_eq!(gone(&replaced), [1, 2]);
    // What is about to go itself is no replacement.
    let chain = view(&[(1, &[1]), (9, &[1, 2])], &[(1, 500, COMPACTED), (9, 5, "by hand")]);
    assert!(gone(&chain).is_empty());
}

#[test]
fn folders_are_given_up_by_their_youngest_object() {
    let mut f = Fetched::default();
    for (n, newest_mtime) in [(1u128, 0), (2, NOW - 1), (3, 0), (4, 0)] {
        f.partial.insert(Ulid(n), Partial { newest_mtime, objects: Vec::new() });
    }
    let mark = DeletionMark { id: Ulid(3), version: 1, details: String::new(), deletion_time: 0 };
    f.deletion_marks.insert(Ulid(3), mark);
    let all = abandoned(&f, given_up_since(NOW, DELAY), &[Ulid(4)]);
    assert_eq!(all, [Ulid(1)]);
}

#[test]
fn blocks_that_another_holds_are_replaced() {
    let blocks: &[(u128, &[u128])] = &[(1, &[1]), (2, &[2]), (9, &[1, 3])];
    assert_eq!(replaced(&view(blocks, &[])), [Ulid(1)].into());
    // One with a mark replaces nothing.
    assert!(replaced(&view(blocks, &[(9, 1, "by hand")])).is_empty());
}
