//! Marks: small JSON objects beside a block that say what shall become of it.

use dolmen_model::{Error, Kind, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use ulid::Ulid;

/// Name of the deletion mark.
pub const DELETION_MARK: &str = "deletion-mark.json";
/// Name of the no-compact mark.
pub const NO_COMPACT_MARK: &str = "no-compact-mark.json";
/// Name of the no-downsample mark.
pub const NO_DOWNSAMPLE_MARK: &str = "no-downsample-mark.json";

/// The block will be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionMark {
    /// The block.
    pub id: Ulid,
    /// Always 1.
    pub version: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub deletion_time: i64,
}

/// The block must not be compacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoCompactMark {
    /// The block.
    pub id: Ulid,
    /// Always 1.
    pub version: u32,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// When it was marked, in seconds since the Unix epoch.
    pub no_compact_time: i64,
    /// Why, for programs: `manual`, `index-size-exceeding`, `block-index-out-of-order-chunk`.
    pub reason: String,
}

/// A mark: which object it is, and how it is written.
pub trait Mark: Serialize + DeserializeOwned {
    /// Name of the object within the block.
    const NAME: &'static str;

    /// The version in it.
    fn version(&self) -> u32;

    /// Reads a mark. Broken JSON is `Kind::Corrupt` (others pass over it), a version other than 1 `Kind::Halt`.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let doing = || format!("parse {}", Self::NAME);
        let mark: Self = serde_json::from_slice(bytes).map_err(|e| Error::wrap(Kind::Corrupt, doing(), e))?;
        match mark.version() {
            1 => Ok(mark),
            v => Err(Error::new(Kind::Halt, format!("{} has version {v}, expected 1", Self::NAME))),
        }
    }

    /// The mark as JSON.
    fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("marks hold strings and numbers only")
    }
}

impl Mark for DeletionMark {
    const NAME: &'static str = DELETION_MARK;
    fn version(&self) -> u32 {
        self.version
    }
}

impl Mark for NoCompactMark {
    const NAME: &'static str = NO_COMPACT_MARK;
    fn version(&self) -> u32 {
        self.version
    }
}
