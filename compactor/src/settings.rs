//! How a compactor behaves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dolmen_compact::clean::PARTIAL_AGE;
use dolmen_compact::{CompactSettings, INDEX_SIZE_MAX, Planner};
use dolmen_model::{Error, Result};

/// How a compactor behaves. The defaults are Thanos'.
#[derive(Clone, Debug)]
pub struct CompactorSettings {
    /// Folder of this compactor alone: blocks that are being merged, the journal of uploads, metas.
    pub dir: PathBuf,
    /// Lengths of blocks in milliseconds, ascending; the first is that of the blocks that arrive.
    pub block_ranges: Vec<i64>,
    /// How long a block stays once it is marked for deletion.
    pub delete_delay: Duration,
    /// How old a block must be before it is compacted.
    pub consistency_delay: Duration,
    /// Time between the starts of two runs.
    pub wait_interval: Duration,
    /// Upload journals of others on this disk, such as a receiver's: what they name is never deleted as given up.
    pub also_ours: Vec<PathBuf>,
}

const HOUR_MS: i64 = 3_600_000;

impl CompactorSettings {
    /// The defaults, in this folder.
    pub fn new(dir: impl Into<PathBuf>) -> CompactorSettings {
        CompactorSettings {
            dir: dir.into(),
            block_ranges: vec![HOUR_MS, 2 * HOUR_MS, 8 * HOUR_MS, 48 * HOUR_MS, 14 * 24 * HOUR_MS],
            delete_delay: Duration::from_secs(48 * 3600),
            consistency_delay: Duration::from_secs(30 * 60),
            wait_interval: Duration::from_secs(5 * 60),
            also_ours: Vec::new(),
        }
    }

    /// Where blocks are merged; emptied by every run.
    pub(crate) fn work_dir(&self) -> PathBuf {
        self.dir.join("compact")
    }

    /// Where uploads are named; outlives runs.
    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.dir.join("compact-uploads")
    }

    /// Where metas are kept between runs.
    pub(crate) fn cache_dir(&self) -> &Path {
        &self.dir
    }

    /// What the engine needs of it; `Kind::Invalid` where the lengths are no ladder.
    pub(crate) fn engine(&self) -> Result<CompactSettings> {
        let rises = self.block_ranges.windows(2).all(|w| w[0] < w[1]);
        if self.block_ranges.first().is_none_or(|first| *first <= 0) || !rises {
            let text = format!("block ranges: {:?} ms, expected lengths that rise", self.block_ranges);
            return Err(Error::invalid(text));
        }
        Ok(CompactSettings {
            work_dir: self.work_dir(),
            planner: Planner { ranges: self.block_ranges.clone(), index_size_max: INDEX_SIZE_MAX },
            delete_delay: self.delete_delay,
            consistency_delay: self.consistency_delay,
            partial_age: PARTIAL_AGE,
            also_ours: self.also_ours.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_rise() {
        let mut settings = CompactorSettings::new("x");
        assert_eq!(settings.engine().unwrap().planner.ranges.len(), 5);
        for bad in [vec![], vec![0, 1], vec![2, 2], vec![3, 1]] {
            settings.block_ranges = bad;
            assert_eq!(settings.engine().unwrap_err().kind(), dolmen_model::Kind::Invalid);
        }
    }
}
