//! How stores are asked.

use std::path::PathBuf;
use std::time::Duration;

use smol_str::SmolStr;

/// How stores are asked.
#[derive(Clone, Debug)]
pub struct QuerierSettings {
    /// Their addresses, `HOST:PORT`: `--endpoint`.
    pub endpoints: Vec<String>,
    /// The external label whose value is the site: `--query.site-label`.
    pub site_label: String,
    /// Without a frame for so long a store is gone: `--store.response-timeout`.
    pub response_timeout: Duration,
    /// This process, as other Dolmens know it again; empty: they do not.
    pub instance: SmolStr,
    /// Most memory that the answer of one store to one select may take, in bytes.
    pub max_answer_bytes: u64,
    /// Time between two questions how a store is.
    pub look_every: Duration,
    /// Where it is remembered what stores said of themselves; `None`: nowhere.
    pub memory: Option<PathBuf>,
}

impl QuerierSettings {
    /// Over these endpoints, all else as by default.
    pub fn new(endpoints: Vec<String>) -> QuerierSettings {
        QuerierSettings {
            endpoints,
            site_label: "site".to_owned(),
            response_timeout: Duration::from_secs(3),
            instance: SmolStr::default(),
            max_answer_bytes: 256 << 20,
            look_every: Duration::from_secs(2),
            memory: None,
        }
    }
}
