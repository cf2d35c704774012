//! How blocks of a bucket are served.

use std::path::PathBuf;
use std::time::Duration;

use dolmen_source::ReadLimits;

/// How blocks of a bucket are served.
#[derive(Clone, Debug)]
pub struct BucketStoreSettings {
    /// Where index-headers are kept, as `<ULID>/index-header`.
    pub dir: PathBuf,
    /// A block that is marked for deletion is served so long: readers have its successor by then.
    pub ignore_deletion_marks: Duration,
    /// Blocks younger than it are left alone.
    pub consistency_delay: Duration,
    /// Blocks that are opened at once.
    pub open_at_once: usize,
    /// Waves of all queries that run at once.
    pub waves_at_once: usize,
    /// Memory of opened blocks, in bytes.
    pub readers_max: u64,
    /// Memory of the cache of postings, series entries and chunks, in bytes; 0: none.
    pub cache_max: u64,
    /// How long a block that could not be opened is left alone.
    pub retry_after: Duration,
    /// Limits of one block's reads.
    pub limits: ReadLimits,
}

impl BucketStoreSettings {
    /// As a gateway without flags has them.
    pub fn new(dir: PathBuf) -> BucketStoreSettings {
        BucketStoreSettings {
            dir,
            ignore_deletion_marks: Duration::from_secs(24 * 3600),
            consistency_delay: Duration::ZERO,
            open_at_once: 20,
            waves_at_once: 64,
            readers_max: 256 << 20,
            cache_max: 256 << 20,
            retry_after: Duration::from_secs(5),
            limits: ReadLimits::default(),
        }
    }
}
