//! How a gateway behaves.

use std::path::PathBuf;
use std::time::Duration;

use dolmen_bucketstore::BucketStoreSettings;
use dolmen_model::Labels;

/// How a gateway behaves.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// How often the bucket is looked at for new blocks.
    pub interval: Duration,
    /// How blocks are served.
    pub store: BucketStoreSettings,
    /// Labels of all blocks that may be in the bucket without our knowing; empty where these may be anybody's.
    pub external: Labels,
    /// Small objects that are fetched at once.
    pub fetch_at_once: usize,
}

impl GatewaySettings {
    /// With index-headers and metas cached in `dir`.
    pub fn new(dir: PathBuf, interval: Duration) -> GatewaySettings {
        GatewaySettings {
            interval,
            store: BucketStoreSettings::new(dir),
            external: Labels::empty(),
            fetch_at_once: 32,
        }
    }
}
