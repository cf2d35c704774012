//! Starts Dolmen and reads its ready line.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::http::Client;
use crate::place;
use crate::process::{Process, wait_until};

/// A running role.
pub struct Dolmen {
    /// The process.
    pub process: Process,
    /// `key=value` of the ready line.
    pub ready: BTreeMap<String, String>,
}

impl Dolmen {
    /// Starts a role with flags and waits until it is ready. `name` names its log in `dir`.
    pub fn start(name: &str, dir: &Path, args: &[&str]) -> Result<Dolmen> {
        Dolmen::start_within(name, dir, args, Duration::from_secs(60))
    }

    /// The same with another patience.
    pub fn start_within(name: &str, dir: &Path, args: &[&str], within: Duration) -> Result<Dolmen> {
        let mut dolmen = Dolmen::launch(name, dir, &mut command(args)?)?;
        dolmen.await_ready(within)?;
        Ok(dolmen)
    }

    /// Starts a command without waiting for its ready line.
    pub fn launch(name: &str, dir: &Path, command: &mut Command) -> Result<Dolmen> {
        // The log of an earlier start holds a ready line of its own.
        match std::fs::rename(dir.join(format!("{name}.log")), dir.join(format!("{name}.log.old"))) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        Ok(Dolmen { process: Process::start(name, dir, command)?, ready: BTreeMap::new() })
    }

    /// Waits for the ready line.
    pub fn await_ready(&mut self, within: Duration) -> Result<()> {
        let process = &mut self.process;
        let mut line = None;
        let waited = wait_until("ready line", within, || {
            let log = std::fs::read_to_string(&process.log)?;
            line = log.lines().rev().find(|l| l.starts_with("ready role=")).map(str::to_owned);
            if line.is_none() && !process.alive() {
                return Ok(true);
            }
            Ok(line.is_some())
        });
        if let Err(e) = waited {
            return Err(self.process.complain(&format!("{e:#}")));
        }
        let line = line.ok_or_else(|| self.process.complain("ended before it was ready"))?;
        self.ready =
            line.split(' ').filter_map(|f| f.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
        Ok(())
    }

    /// A client of its HTTP address.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(self.address("http")?))
    }

    /// An address of the ready line.
    pub fn address(&self, key: &str) -> Result<&str> {
        self.ready.get(key).map(String::as_str).with_context(|| format!("{key}= in the ready line"))
    }
}

/// The binary with arguments.
pub fn command(args: &[&str]) -> Result<Command> {
    let mut command = Command::new(place::dolmen()?);
    command.args(args);
    Ok(command)
}
