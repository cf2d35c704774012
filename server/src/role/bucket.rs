//! The bucket that the flags name.

use std::sync::Arc;

use dolmen_bucket::{Bucket, BucketMetrics};

use crate::exit::Exit;
use crate::flags::Objstore;

/// The configuration as YAML, if one is given. Reads its file and nothing else.
pub fn config(objstore: &Objstore) -> Result<Option<String>, Exit> {
    match (&objstore.config, &objstore.config_file) {
        (Some(yaml), _) => Ok(Some(yaml.clone())),
        (None, Some(path)) => std::fs::read_to_string(path).map(Some).map_err(|e| {
            let what = format!("--objstore.config-file: {}", path.display());
            Exit::config(what, e, "a readable file with the bucket's configuration")
        }),
        (None, None) => Ok(None),
    }
}

/// The bucket of a role that cannot do without.
pub fn required(objstore: &Objstore, metrics: &BucketMetrics) -> Result<Arc<Bucket>, Exit> {
    match config(objstore)? {
        Some(yaml) => open(&yaml, metrics),
        None => {
            let expected = "--objstore.config-file or --objstore.config";
            Err(Exit::config("bucket", "none is configured", expected))
        }
    }
}

/// The bucket of a configuration.
pub fn open(yaml: &str, metrics: &BucketMetrics) -> Result<Arc<Bucket>, Exit> {
    let bucket = dolmen_bucket::open(yaml, metrics)?;
    bucket.warnings().iter().for_each(|text| tracing::warn!("{text}"));
    Ok(bucket)
}
