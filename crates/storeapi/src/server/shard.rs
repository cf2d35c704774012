//! Every n-th series, by the hash of its labels.

use dolmen_model::LabelsRef;
use dolmen_proto::thanos::ShardInfo;
use xxhash_rust::xxh64::xxh64;

/// What stands behind each name and value that is hashed.
const SEPARATOR: u8 = 0xff;

/// Which series are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    index: u64,
    total: u64,
    by: bool,
    labels: Vec<String>,
    buffer: Vec<u8>,
}

impl Shard {
    /// `None` where all series are wanted.
    pub fn new(info: Option<ShardInfo>) -> Option<Shard> {
        let ShardInfo { shard_index, total_shards, by, labels } = info?;
        let total = u64::try_from(total_shards).ok().filter(|n| *n > 1)?;
        Some(Shard { index: shard_index as u64, total, by, labels, buffer: Vec::new() })
    }

    /// Whether a series, with the labels that it is given with, is wanted.
    pub fn wants(&mut self, labels: LabelsRef<'_>) -> bool {
        self.buffer.clear();
        for (name, value) in labels.iter() {
            if self.labels.iter().any(|l| l == name) == self.by {
                for text in [name, value] {
                    self.buffer.extend_from_slice(text.as_bytes());
                    self.buffer.push(SEPARATOR);
                }
            }
        }
        xxh64(&self.buffer, 0) % self.total == self.index
    }
}
