//! Starts Debian's Prometheus on loopback.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::http::Client;
use crate::process::{Process, free_port, wait_until};

/// A running Prometheus.
pub struct Prometheus {
    /// The process.
    pub process: Process,
    /// Its port on loopback.
    pub port: u16,
    command: Command,
    dir: PathBuf,
    name: String,
}

impl Prometheus {
    /// Starts it with a configuration; data is in `dir/NAME`. `args` are flags beyond address and storage.
    pub fn start(name: &str, dir: &Path, config: &str, args: &[&str]) -> Result<Prometheus> {
        Prometheus::start_at(free_port()?, name, dir, config, args)
    }

    /// The same on a given port, where its configuration has to know it.
    pub fn start_at(port: u16, name: &str, dir: &Path, config: &str, args: &[&str]) -> Result<Prometheus> {
        let data = dir.join(name);
        std::fs::create_dir_all(&data)?;
        let file = dir.join(format!("{name}.yml"));
        std::fs::write(&file, config)?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(args);
        let process = Process::start(name, dir, &mut command)?;
        let prometheus = Prometheus { process, port, command, dir: dir.to_owned(), name: name.to_owned() };
        prometheus.await_ready()?;
        Ok(prometheus)
    }

    /// Starts it again after it was killed.
    pub fn restart(&mut self) -> Result<()> {
        self.process = Process::start(&self.name, &self.dir, &mut self.command)?;
        self.await_ready()
    }

    fn await_ready(&self) -> Result<()> {
        let client = self.client();
        wait_until("prometheus ready", Duration::from_secs(60), || Ok(client.get("/-/ready")?.0 == 200))
            .map_err(|e| self.process.complain(&format!("{e:#}")))
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(&format!("127.0.0.1:{}", self.port))
    }

    /// Where its blocks are.
    pub fn data(&self) -> PathBuf {
        self.dir.join(&self.name)
    }
}
