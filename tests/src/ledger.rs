//! What was acknowledged, kept by a process of its own in files that are synced line by line.
//!
//! A writer process sends batch after batch (see [`crate::load`]); after each acknowledgement it appends
//! the batch's number to `writer-N` and syncs it. Where Dolmen listens stands in a file that the prover
//! replaces, so the writer survives restarts of Dolmen and repeats a batch until it is acknowledged.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::http::Client;
use crate::load::{Shape, send_until_acknowledged};
use crate::process::Process;

/// The writer process, seen from the prover.
pub struct Writers {
    dir: PathBuf,
    /// Shape of the load.
    pub shape: Shape,
    /// How many writers.
    pub writers: u32,
    /// The process.
    pub process: Process,
}

impl Writers {
    /// Starts the process: this very program, called with `write`.
    pub fn start(dir: &Path, shape: Shape, writers: u32, batches: u64) -> Result<Writers> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--write").arg(dir);
        for n in
            [shape.start, shape.step, shape.series.into(), shape.depth.into(), writers.into(), batches as i64]
        {
            command.arg(n.to_string());
        }
        let process = Process::start("writers", dir, &mut command)?;
        Ok(Writers { dir: dir.to_owned(), shape, writers, process })
    }

    /// Tells the writers where Dolmen listens; `None` while it is down.
    pub fn point_at(&self, address: Option<&str>) -> Result<()> {
        let tmp = self.dir.join("target.tmp");
        std::fs::write(&tmp, address.unwrap_or(""))?;
        Ok(std::fs::rename(tmp, self.dir.join("target"))?)
    }

    /// Batches of a writer that were acknowledged: all below it.
    pub fn acknowledged(&self, writer: u32) -> Result<u64> {
        match std::fs::read_to_string(file(&self.dir, writer)) {
            Ok(text) => Ok(text.lines().count() as u64),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e.into()),
        }
    }

    /// Samples that were acknowledged.
    pub fn samples(&self) -> Result<u64> {
        (0..self.writers).map(|w| Ok(self.acknowledged(w)? * self.shape.batch_samples())).sum()
    }
}

fn file(dir: &Path, writer: u32) -> PathBuf {
    dir.join(format!("writer-{writer}"))
}

/// The writer process itself: returns when every writer has sent its batches.
pub fn write(args: &[String]) -> Result<()> {
    let (dir, numbers) = args.split_first().context("DIR and six numbers")?;
    let dir = PathBuf::from(dir);
    let n: Vec<i64> = numbers.iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let [start, step, series, depth, writers, batches] = n[..] else {
        anyhow::bail!("found {} numbers, expected six", n.len());
    };
    let shape = Shape { start, step, series: u32::try_from(series)?, depth: u32::try_from(depth)? };
    let threads: Vec<_> = (0..u32::try_from(writers)?)
        .map(|writer| {
            let dir = dir.clone();
            std::thread::spawn(move || run(&dir, shape, writer, batches as u64))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
    }
    Ok(())
}

fn run(dir: &Path, shape: Shape, writer: u32, batches: u64) -> Result<()> {
    let mut ledger = File::create(file(dir, writer))?;
    let mut client: Option<Client> = None;
    let target = dir.join("target");
    for b in 0..batches {
        let body = shape.request(writer, b);
        loop {
            let address = std::fs::read_to_string(&target).unwrap_or_default();
            if client.as_ref().is_none_or(|c| !c.base().ends_with(&address)) {
                client = (!address.is_empty()).then(|| Client::new(&address));
            }
            let same = || std::fs::read_to_string(&target).is_ok_and(|now| now == address && !now.is_empty());
            if send_until_acknowledged(|| client.clone(), &body, same)? {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        writeln!(ledger, "{b}")?;
        ledger.sync_data()?;
    }
    Ok(())
}
