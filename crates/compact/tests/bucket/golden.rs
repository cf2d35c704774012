//! The same buckets as a real Thanos compacted, and its results.

use std::collections::BTreeMap;
use std::path::Path;

use dolmen_block::meta::IndexStats;
use dolmen_block::{Meta, Ulid};
use dolmen_compact::verify::verify_block;
use dolmen_compact::{GroupState, LOCAL_STEP, LocalSource};

use crate::world::{World, copy, read_block, shared};

/// Just after Thanos ran: 2026-11-22T21:13Z.
const NOW: i64 = 1_795_381_980_000;

fn metas(dir: &Path) -> BTreeMap<Ulid, Meta> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        if let Ok(json) = std::fs::read(entry.unwrap().path().join("meta.json")) {
            let meta = Meta::parse(&json).unwrap();
            all.insert(meta.ulid, meta);
        }
    }
    all
}

/// A world with this bucket.
fn world(before: &str) -> Option<World> {
    let from = shared(&format!("golden/compact/before/{before}"))?;
    let world = World::new(NOW);
    copy(&from, &world.bucket_dir());
    Some(world)
}

/// Thanos takes the longest chunk from the distance of refs within a series, so its figure may be too low.
fn index_stats(m: &Meta) -> IndexStats {
    m.thanos.as_ref().unwrap().index_stats
}

fn what(m: &Meta) -> String {
    let t = m.thanos.as_ref().unwrap();
    let c = &m.compaction;
    let parents: Vec<_> = c.parents.iter().map(|p| (p.ulid, p.min_time, p.max_time)).collect();
    let sizes: Vec<_> = t.files.iter().map(|f| (f.rel_path.clone(), f.size_bytes)).collect();
    format!(
        "{}..{} {:?} level {} sources {:?} parents {parents:?} hints {:?} labels {:?} {:?} source {} {:?} {sizes:?} longest series {} {:?}",
        m.min_time,
        m.max_time,
        m.stats,
        c.level,
        c.sources,
        c.hints,
        t.labels,
        t.downsample,
        t.source,
        t.segment_files,
        t.index_stats.series_max_size,
        t.extensions
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn results_equal_those_of_thanos() {
    let Some(world) = world("main") else { return };
    let after = shared("golden/compact/after/no-replica-label").unwrap();
    let before = metas(&world.bucket_dir());
    let report = world.run().await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let theirs = metas(&after);
    let made: Vec<&Meta> = theirs.values().filter(|m| !before.contains_key(&m.ulid)).collect();
    let mut equal = 0;
    for compaction in &report.compactions {
        let ours = compaction.result.as_ref().unwrap();
        let Some(other) = made.iter().find(|m| m.compaction.sources == ours.compaction.sources) else {
            // Thanos merged overlapping blocks in this group; here they wait.
            assert_eq!(report.groups[&compaction.group], GroupState::Overlapping);
            continue;
        };
        assert_eq!(what(ours), what(other));
        assert_eq!(index_stats(ours), index_stats(other));
        let (a, b) = (world.bucket_dir().join(ours.ulid.to_string()), after.join(other.ulid.to_string()));
        for file in ["index", "chunks/000001"] {
            assert!(std::fs::read(a.join(file)).unwrap() == std::fs::read(b.join(file)).unwrap(), "{file}");
        }
        equal += 1;
    }
    // Both replicas of cluster a.
    assert_eq!(equal, 2);
    let marked: Vec<Ulid> = world.blocks().await.iter().filter(|(_, m)| *m).map(|(m, _)| m.ulid).collect();
    let mut want: Vec<Ulid> = report.compactions.iter().flat_map(|c| c.parents.clone()).collect();
    want.push("01M82HN0X269FW64JHZRQYCF3M".parse().unwrap()); // Marked an hour before; left alone here.
    assert_eq!(marked.len(), want.len());
    assert!(want.iter().all(|u| marked.contains(u)));
    // The mark of 72 h age was due, the partial upload was not.
    assert_eq!(report.deleted, ["01M82HN0ZY0TDXJP0YPF0TK73K".parse().unwrap()]);
    assert!(world.bucket_dir().join("01M82HN132BT1D13GGHCX4X7WR/index").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_to_do_after_a_run() {
    let Some(world) = world("main") else { return };
    let before = world.live_samples().await;
    world.run().await.unwrap();
    assert!(world.live_samples().await == before);
    let again = world.run().await.unwrap();
    assert!(again.compactions.is_empty() && again.marked.is_empty(), "{again:?}");
    assert_eq!(again.groups_in(GroupState::Overlapping), 1);
    // Past the deletion delay the parents go, and no sample with them.
    world.clock.set(NOW + 49 * 3_600_000);
    let last = world.run().await.unwrap();
    assert!(last.deleted.len() >= 8, "{last:?}");
    assert!(world.live_samples().await == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_blocks_wait() {
    let Some(world) = world("overlap") else { return };
    let before = world.live_samples().await;
    let report = world.run().await.unwrap();
    assert_eq!(report.groups_in(GroupState::Overlapping), 1, "{report:?}");
    assert!(report.waiting.len() >= 2 && report.failures.is_empty());
    assert!(world.live_samples().await == before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_block_is_left_out_and_stops_no_other() {
    for case in ["corrupt-chunk", "corrupt-index", "ooo"] {
        let Some(world) = world(case) else { return };
        let report = world.run().await.unwrap();
        assert_eq!(report.quarantined.len(), 1, "{case}: {report:?}");
        let mark = world.bucket_dir().join(report.quarantined[0].to_string()).join("no-compact-mark.json");
        assert!(mark.exists());
        let again = world.run().await.unwrap();
        assert!(again.failures.is_empty() && again.quarantined.is_empty(), "{case}: {again:?}");
        assert_eq!(again.waiting.len(), 1);
        if case == "ooo" {
            // As Thanos does when it is told to skip such blocks.
            let theirs = metas(&shared("golden/compact/after/ooo-skip").unwrap());
            let ours = report.compactions[0].result.as_ref().unwrap();
            let same = theirs.values().filter(|m| m.compaction.sources == ours.compaction.sources);
            assert_eq!(same.map(what).collect::<Vec<_>>(), [what(ours)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_blames_what_is_broken_and_nothing_else() {
    let Some(all) = shared("golden/compact") else { return };
    let world = World::new(NOW);
    let (mut whole, mut broken) = (0, Vec::new());
    for case in ["before/main", "before/corrupt-chunk", "before/corrupt-index", "before/ooo", "after/penalty"]
    {
        for meta in metas(&all.join(case)).values() {
            let dir = all.join(case).join(meta.ulid.to_string());
            let source = std::sync::Arc::new(LocalSource::open(world.disk.clone(), &dir).unwrap());
            let found = verify_block(&world.ctx, source, meta, LOCAL_STEP).await.unwrap();
            match found.faults.first() {
                None => {
                    whole += 1;
                    assert_eq!(found.samples, meta.stats.num_samples);
                    let read = read_block(&world.ctx, &world.disk, &dir, meta).await;
                    assert_eq!(read.len() as u64, meta.stats.num_series);
                }
                Some(fault) => broken.push((case, fault.to_string())),
            }
        }
    }
    let cases: Vec<&str> = broken.iter().map(|(c, _)| *c).collect();
    assert_eq!(cases, ["before/corrupt-chunk", "before/corrupt-index", "before/ooo"]);
    assert!(whole > 40, "{whole}");
}
