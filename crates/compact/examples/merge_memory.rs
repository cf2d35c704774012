//! How much memory a merge takes, run by hand:
//!
//! ```sh
//! cargo run --release -p dolmen-compact --example merge_memory -- make DIR 100000 3
//! cargo run --release -p dolmen-compact --example merge_memory -- merge DIR
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use dolmen_block::meta::{Compaction, Thanos};
use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed, Ulid};
use dolmen_chunk::encode_floats;
use dolmen_compact::merge_blocks;
use dolmen_ctx::{Ctx, Disk, RealDisk};
use dolmen_model::{Error, Labels, Result};

/// Two hours at 15 s.
const SAMPLES: i64 = 480;
const STEP_MS: i64 = 15_000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<i64>().map_err(|e| Error::invalid(format!("{text}: {e}")));
    match args.as_slice() {
        ["make", dir, series, blocks] => make(Path::new(dir), number(series)?, number(blocks)?),
        ["merge", dir] => run(Path::new(dir)),
        _ => Err(Error::invalid("expected: make DIR SERIES BLOCKS, or merge DIR")),
    }
}

fn labels(i: i64) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("metric_{}", i % 200)),
        ("cluster", "prod-eu".to_owned()),
        ("container", format!("app-{}", i % 37)),
        ("endpoint", "metrics".to_owned()),
        ("handler", format!("/api/v1/{}", i % 23)),
        ("instance", format!("10.{}.{}.{}:9100", i % 7, i / 250 % 250, i % 250)),
        ("job", format!("job-{}", i % 11)),
        ("namespace", format!("ns-{}", i % 53)),
        ("node", format!("node-{:04}", i % 400)),
        ("pod", format!("app-{}-{:08x}", i % 37, i)),
        ("service", format!("svc-{}", i % 61)),
        ("zone", format!("z{}", i % 3)),
    ])
}

fn make(dir: &Path, series: i64, blocks: i64) -> Result<()> {
    let mut all: Vec<Labels> = (0..series).map(labels).collect();
    all.sort();
    let mut symbols: Vec<&str> = all.iter().flat_map(|l| l.iter().flat_map(|(n, v)| [n, v])).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    disk.create_dir_all(dir)?;
    for b in 0..blocks {
        let start = b * SAMPLES * STEP_MS;
        let t: Vec<i64> = (0..SAMPLES).map(|i| start + i * STEP_MS + i * 7919 % 13).collect();
        let v: Vec<f64> = (0..SAMPLES).map(|i| (i * i % 977) as f64 * 0.25).collect();
        let mut chunks = Vec::new();
        encode_floats(&t, &v, 120, &mut chunks);
        let view = |c: &dolmen_chunk::Encoded| (c.mint, c.maxt, c.encoding, c.data.clone());
        let parts: Vec<_> = chunks.iter().map(view).collect();
        let view: Vec<ChunkIn<'_>> =
            parts.iter().map(|p| ChunkIn { mint: p.0, maxt: p.1, encoding: p.2, data: &p.3 }).collect();
        let mut w = BlockWriter::create(disk.clone(), dir, Ulid::from_parts(b as u64 + 1, 1), &symbols)?;
        for labels in &all {
            w.add_series(labels.as_ref(), &view)?;
        }
        let thanos = Some(Thanos { labels: [("a".into(), "b".into())].into(), ..Thanos::default() });
        let (min_time, max_time) = (start, start + SAMPLES * STEP_MS);
        w.finish(MetaSeed { min_time, max_time, compaction: Compaction::default(), thanos })?;
    }
    Ok(())
}

fn run(dir: &Path) -> Result<()> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut metas = Vec::new();
    for name in disk.list(dir)? {
        metas.push(Meta::parse(&disk.read(&dir.join(name).join("meta.json"))?)?);
    }
    let parents: Vec<&Meta> = metas.iter().collect();
    let ctx = Ctx::unbounded();
    let before = rss();
    let begin = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let ulid = Ulid::from_parts(1000, 1);
    let merged = runtime.block_on(merge_blocks(&ctx, &disk, dir, &parents, ulid)).map_err(|e| e.error)?;
    let seconds = begin.elapsed().as_secs_f64();
    let stats = merged.map(|m| m.stats).unwrap_or_default();
    disk.remove_dir_all(&dir.join(ulid.to_string()))?;
    println!(
        "{} series, {} samples in {seconds:.1} s ({:.0} samples/s, read back included); at first {before}, then {}",
        stats.num_series,
        stats.num_samples,
        stats.num_samples as f64 / seconds,
        rss()
    );
    Ok(())
}

/// Memory now and at its most, of own pages and of mapped files.
fn rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = status.lines().filter(|l| ["VmHWM", "RssAnon", "RssFile"].iter().any(|n| l.starts_with(n)));
    wanted.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}
