//! Object storage: a Thanos objstore configuration becomes an `ObjectStore` in a coat that counts requests,
//! bounds their time and repeats those that may be repeated.
//!
//! ```text
//! YAML ── config ──▶ S3 or FILESYSTEM ── prefix ──▶ coat (deadlines, retries, counts) ──▶ Arc<dyn ObjectStore>
//! ```
//!
//! A timeout means "unknown", not "failed": a gateway that was stopped carries out the write when it goes on.
//! Who deletes after a failed write must reckon with that.

mod coat;
mod config;
mod error;
pub mod faulty;
mod filesystem;
mod layout;
mod metrics;
mod multipart;
mod s3;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use dolmen_model::{Error, Result};
use object_store::ObjectStore;
use object_store::prefix::PrefixStore;

pub use coat::{Cause, Patience};
pub use error::{code, from_store};
pub use layout::{Object, block_path, list_block, of_block};
pub use metrics::BucketMetrics;

use coat::Coat;
use config::Objstore;

/// Bytes of a part, and of a file that goes up in one request, where the configuration says nothing.
pub const PART_SIZE: u64 = 16 << 20;
/// Smallest part that is used.
pub const PART_SIZE_MIN: u64 = 8 << 20;
/// Largest part that is used: several are in memory at once.
pub const PART_SIZE_MAX: u64 = 64 << 20;

/// A bucket in its coat.
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    inner: Arc<dyn ObjectStore>,
    parts: Arc<dyn ObjectStore>,
    patience: Patience,
    metrics: BucketMetrics,
    warnings: Vec<String>,
    part_size: u64,
}

/// Opens the bucket of a Thanos objstore configuration: types `S3` and `FILESYSTEM`. Nothing is asked of the
/// bucket yet. A key that is not known, or whose meaning cannot be had, is `Kind::Invalid`.
pub fn open(config_yaml: &str, metrics: &BucketMetrics) -> Result<Arc<Bucket>> {
    assemble(config::parse(config_yaml)?, metrics)
}

/// The same for those who only look: a directory that is not there is `Kind::Invalid`, and not made.
pub fn open_existing(config_yaml: &str, metrics: &BucketMetrics) -> Result<Arc<Bucket>> {
    let parsed = config::parse(config_yaml)?;
    if let Objstore::Filesystem { directory, .. } = &parsed
        && !Path::new(directory).is_dir()
    {
        let text = format!("objstore config: directory: {directory} is not there, expected that of a bucket");
        return Err(Error::invalid(text));
    }
    assemble(parsed, metrics)
}

fn assemble(parsed: Objstore, metrics: &BucketMetrics) -> Result<Arc<Bucket>> {
    let (opened, prefix) = match parsed {
        Objstore::S3 { config, prefix, warnings } => (s3::open(&config, warnings)?, prefix),
        Objstore::Filesystem { directory, prefix, warnings } => {
            (Opened { warnings, ..filesystem::open(Path::new(&directory))? }, prefix)
        }
    };
    let prefix = object_store::path::Path::parse(&prefix)
        .map_err(|e| Error::invalid(format!("objstore config: prefix: {e}, expected names joined by /")))?;
    let under = |store: Arc<dyn ObjectStore>| -> Arc<dyn ObjectStore> {
        if prefix.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix.clone())) }
    };
    let opened = Opened { store: under(opened.store), parts: under(opened.parts), ..opened };
    Ok(Arc::new(Bucket::new(opened, metrics)))
}

/// A store without its coat.
struct Opened {
    store: Arc<dyn ObjectStore>,
    /// The same store, with a client that repeats requests itself: parts of an upload cannot be repeated from
    /// outside, since each call takes the next part number.
    parts: Arc<dyn ObjectStore>,
    patience: Patience,
    warnings: Vec<String>,
    part_size: u64,
}

impl Bucket {
    /// A bucket in a directory, which is made.
    pub fn filesystem(directory: &Path, metrics: &BucketMetrics) -> Result<Arc<Bucket>> {
        Ok(Arc::new(Bucket::new(filesystem::open(directory)?, metrics)))
    }

    /// Puts the coat on any store.
    pub fn wrap(store: Arc<dyn ObjectStore>, patience: Patience, metrics: &BucketMetrics) -> Arc<Bucket> {
        let opened =
            Opened { parts: store.clone(), store, patience, warnings: Vec::new(), part_size: PART_SIZE };
        Arc::new(Bucket::new(opened, metrics))
    }

    fn new(opened: Opened, metrics: &BucketMetrics) -> Bucket {
        let Opened { store: inner, parts, patience, warnings, part_size } = opened;
        let store = Coat::put_on(inner.clone(), parts.clone(), patience, "other", metrics);
        Bucket { store, inner, parts, patience, metrics: metrics.clone(), warnings, part_size }
    }

    /// The bucket as an object store, coat included; requests count for the cause `other` unless they bring
    /// a [`Cause`].
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// The same, for a user whose requests count for `cause`.
    pub fn store_for(&self, cause: &'static str) -> Arc<dyn ObjectStore> {
        Coat::put_on(self.inner.clone(), self.parts.clone(), self.patience, cause, &self.metrics)
    }

    /// Keys of the configuration that change nothing here, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Bytes of a part of a multipart upload.
    pub fn part_size(&self) -> u64 {
        self.part_size
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.inner)
    }
}
