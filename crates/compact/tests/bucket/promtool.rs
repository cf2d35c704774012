//! Prometheus' own tool reads what was merged, and finds the same in it.

use std::path::Path;
use std::process::Command;

use dolmen_block::Meta;

use crate::faults;
use crate::world::{World, copy};

fn promtool(args: &[&str]) -> Option<String> {
    let Ok(out) = Command::new("promtool").args(args).output() else {
        eprintln!("skipped: promtool is not installed");
        return None;
    };
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    Some(text)
}

/// All samples of some blocks, sorted.
fn dump(world: &World, name: &str, blocks: &[&Meta]) -> Option<Vec<String>> {
    let dir = world.dir.path().join(name);
    std::fs::create_dir_all(dir.join("wal")).unwrap();
    for meta in blocks {
        let ulid = meta.ulid.to_string();
        copy(&world.bucket_dir().join(&ulid), &dir.join(&ulid));
    }
    let text = promtool(&["tsdb", "dump", dir.to_str().unwrap()])?;
    analyze(&dir);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    Some(lines)
}

fn analyze(dir: &Path) {
    let text = promtool(&["tsdb", "analyze", dir.to_str().unwrap()]).unwrap_or_default();
    assert!(text.contains("Highest cardinality labels"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_reads_the_same_samples() {
    let (world, _) = faults::world().await;
    world.run().await.unwrap();
    let blocks = world.blocks().await;
    let old: Vec<&Meta> = blocks.iter().map(|(m, _)| m).filter(|m| m.compaction.level == 1).collect();
    let new: Vec<&Meta> = blocks.iter().filter(|(_, marked)| !marked).map(|(m, _)| m).collect();
    let (Some(old), Some(new)) = (dump(&world, "old", &old), dump(&world, "new", &new)) else { return };
    assert!(old.len() > 700, "{}", old.len());
    assert!(old == new);
}
