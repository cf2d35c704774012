//! A real Ceph RGW on loopback, made by `deploy/ceph/cluster`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::place;

/// Programs that it needs.
pub const PROGRAMS: [&str; 5] = ["ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "curl"];

/// A running cluster; gone with its value.
pub struct Ceph {
    dir: PathBuf,
    facts: BTreeMap<String, String>,
}

impl Ceph {
    /// Starts one in `dir`. `store` is `memstore` or `bluestore`.
    pub fn start(dir: &Path, store: &str) -> Result<Ceph> {
        let mut ceph = Ceph { dir: dir.to_owned(), facts: BTreeMap::new() };
        ceph.up(store)?;
        Ok(ceph)
    }

    fn up(&mut self, store: &str) -> Result<()> {
        let out = place::run(Command::new(script()).arg("up").arg(&self.dir).env("CEPH_STORE", store))?;
        self.facts =
            out.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        Ok(())
    }

    /// Faults it: kill, start, stop, cont, osd-stop, osd-cont.
    pub fn act(&mut self, action: &str) -> Result<()> {
        if action == "start" {
            return self.up("memstore");
        }
        place::run(Command::new(script()).arg(action).arg(&self.dir)).map(drop)
    }

    /// A value that the script printed, such as `S3_ENDPOINT`.
    pub fn fact(&self, key: &str) -> Result<&str> {
        self.facts.get(key).map(String::as_str).with_context(|| format!("{key} from the Ceph starter"))
    }

    /// The objstore configuration, as Thanos writes it.
    pub fn objstore(&self) -> Result<String> {
        self.objstore_at(self.fact("S3_ENDPOINT")?)
    }

    /// The same through another endpoint, such as a proxy.
    pub fn objstore_at(&self, endpoint: &str) -> Result<String> {
        Ok(format!(
            "type: S3\nconfig:\n  bucket: {}\n  endpoint: {endpoint}\n  region: us-east-1\n  access_key: {}\n  \
             secret_key: {}\n  insecure: true\n",
            self.fact("S3_BUCKET")?,
            self.fact("S3_ACCESS_KEY")?,
            self.fact("S3_SECRET_KEY")?,
        ))
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        if let Err(e) = place::run(Command::new(script()).arg("down").arg(&self.dir)) {
            eprintln!("ceph in {}: {e:#}", self.dir.display());
        }
    }
}

fn script() -> PathBuf {
    place::root().join("deploy/ceph/cluster")
}
