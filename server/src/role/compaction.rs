//! The upkeep of a bucket, as flags want it.

use std::path::Path;
use std::sync::Arc;

use dolmen_bucket::Bucket;
use dolmen_compactor::{CompactMetrics, Compactor, CompactorSettings};
use dolmen_fetcher::FetcherMetrics;

use super::stage::Stage;
use crate::exit::Exit;
use crate::flags;

/// Refuses flags that cannot work; touches nothing.
pub fn settings(dir: &Path, flags: &flags::Compaction) -> Result<CompactorSettings, Exit> {
    let ranges: Vec<i64> = flags.ranges.iter().map(|r| r.0).collect();
    if ranges.first().is_none_or(|first| *first <= 0) || ranges.windows(2).any(|w| w[0] >= w[1]) {
        let found = ranges.iter().map(|ms| format!("{ms}ms")).collect::<Vec<_>>().join(",");
        return Err(Exit::config("--compact.block-ranges", found, "lengths that rise"));
    }
    Ok(CompactorSettings {
        block_ranges: ranges,
        delete_delay: flags.delete_delay.std(),
        consistency_delay: flags.consistency_delay.std(),
        wait_interval: flags.wait_interval.std(),
        ..CompactorSettings::new(dir)
    })
}

/// A compactor that has not begun. `fetcher` counts what it finds in the bucket.
pub fn open(
    stage: &Stage,
    bucket: &Bucket,
    settings: &CompactorSettings,
    fetcher: FetcherMetrics,
) -> Result<Arc<Compactor>, Exit> {
    let metrics = stage.metrics.register(CompactMetrics::new);
    let ctx = stage.ctx("compaction");
    Ok(Compactor::open(ctx, stage.disk.clone(), bucket, settings, metrics, fetcher)?)
}
