//! How a head behaves.

use std::path::PathBuf;

use dolmen_model::{Error, Labels, Result};
use dolmen_wal::SyncMode;
use smol_str::SmolStr;

/// How a head behaves.
#[derive(Clone, Debug)]
pub struct HeadSettings {
    /// Where the log and the state are.
    pub wal_dir: PathBuf,
    /// Where cut blocks go.
    pub blocks_dir: PathBuf,
    /// Length of a block, in milliseconds; blocks are aligned to it.
    pub block_ms: i64,
    /// Labels that every series gets in answers, and every block in its meta.json.
    pub external_labels: Labels,
    /// Labels whose values make a stream; sorted.
    pub stream_labels: Vec<SmolStr>,
    /// Most series; 0: no limit.
    pub series_limit: usize,
    /// How far ahead of the clock a sample may be, in milliseconds.
    pub future_ms: i64,
    /// Where the log is cut into segments, in bytes.
    pub segment_bytes: u64,
    /// When the log is synced.
    pub sync: SyncMode,
    /// How many stripes; rounded up to a power of two.
    pub stripes: usize,
}

impl HeadSettings {
    /// The defaults, in a directory.
    pub fn new(dir: impl Into<PathBuf>) -> HeadSettings {
        let dir = dir.into();
        let cores = std::thread::available_parallelism().map_or(4, usize::from);
        HeadSettings {
            wal_dir: dir.join("wal"),
            blocks_dir: dir.join("blocks"),
            block_ms: 7_200_000,
            external_labels: Labels::empty(),
            stream_labels: vec![SmolStr::new_static("dolmen")],
            series_limit: 0,
            future_ms: 600_000,
            segment_bytes: 128 << 20,
            sync: SyncMode::Always,
            stripes: (4 * cores).max(16),
        }
    }

    /// Refuses what cannot work.
    pub fn check(&self) -> Result<()> {
        // A chunk's times are told in 32 bits of milliseconds, its range in 32 bits of ranges.
        if !(1000..=u32::MAX as i64 / 2).contains(&self.block_ms) {
            return Err(Error::invalid(format!("block of {} ms, expected 1s to 24d", self.block_ms)));
        }
        Ok(())
    }
}
