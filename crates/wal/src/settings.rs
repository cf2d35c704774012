//! How a log behaves.

use std::time::Duration;

/// When what is written is synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// Before anyone is told that it is written: it survives a loss of power.
    #[default]
    Always,
    /// Every so often: a loss of power takes that much; the end of the process takes nothing.
    Every(Duration),
    /// When the system likes to.
    Never,
}

/// How a log behaves.
#[derive(Clone, Copy, Debug)]
pub struct WalSettings {
    /// Where a segment ends, in bytes; a record that is longer gets a longer segment.
    pub segment_bytes: u64,
    /// When what is written is synced.
    pub sync: SyncMode,
    /// Most bytes that wait to be written; above, the log says that it is overloaded.
    pub pending_bytes_max: usize,
    /// Pause before the next try after the disk has refused.
    pub retry: Duration,
}

impl Default for WalSettings {
    fn default() -> WalSettings {
        WalSettings {
            segment_bytes: 128 << 20,
            sync: SyncMode::Always,
            pending_bytes_max: 256 << 20,
            retry: Duration::from_secs(1),
        }
    }
}
