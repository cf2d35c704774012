//! The two sites of `./demo`, from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::http::Client;
use crate::place;

/// Two sites that run; gone with their value.
pub struct Demo {
    dir: PathBuf,
    facts: BTreeMap<String, String>,
}

impl Demo {
    /// Starts them in `dir`, with further flags for both Dolmens.
    pub fn up(dir: &Path, bucket: &str, flags: &str) -> Result<Demo> {
        let mut demo = Demo { dir: dir.to_owned(), facts: BTreeMap::new() };
        let mut up = script(&["up"], dir);
        up.args(["--bucket", bucket]).env("DEMO_DOLMEN_FLAGS", flags).env("DOLMEN_BIN", place::dolmen()?);
        demo.read(&place::run(&mut up)?);
        Ok(demo)
    }

    fn read(&mut self, out: &str) {
        self.facts =
            out.lines().filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
    }

    /// Does something to a site: kill, stop, back.
    pub fn dark(&self, site: &str, action: &str) -> Result<()> {
        let mut dark = script(&["dark"], &self.dir);
        dark.args([site, action]).env("DOLMEN_BIN", place::dolmen()?);
        place::run(&mut dark).map(drop)
    }

    /// A value that the script printed: `fact("dc-b", "STORE")`.
    pub fn fact(&self, site: &str, key: &str) -> Result<&str> {
        let key = format!("{}_{key}", site.to_uppercase().replace('-', "_"));
        self.facts.get(&key).map(String::as_str).with_context(|| format!("{key} from ./demo"))
    }

    /// A client of one of its servers.
    pub fn client(&self, site: &str, key: &str) -> Result<Client> {
        Ok(Client::new(self.fact(site, key)?))
    }

    /// Where a site's files are.
    pub fn dir(&self, site: &str) -> PathBuf {
        self.dir.join(site)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Err(e) = place::run(&mut script(&["down"], &self.dir)) {
            eprintln!("demo in {}: {e:#}", self.dir.display());
        }
    }
}

fn script(args: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(place::root().join("demo"));
    command.args(args).arg(dir);
    command
}
