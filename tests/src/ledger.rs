//! What was acknowledged, kept by a process of its own in files that are synced line by line.
//!
//! A writer process sends batch after batch (see [`crate::load`]); after each acknowledgement it appends
//! the batch's number to `writer-N` and syncs it. Where Dolmen listens stands in a file that the prover
//! replaces, so the writer survives restarts of Dolmen and repeats a batch until it is acknowledged.
//! Writers stay a few batches apart, as the queues of one Prometheus do: a stream's newest sample decides
//! when a range is cut.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::http::Client;
use crate::load::{Shape, send_until_acknowledged};
use crate::process::Process;

/// Batches that a writer may be ahead of the slowest.
const AHEAD: u64 = 4;

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
    /// Starts the process: this very program, called with `--write`. A writer begins a batch every `pace_ms`
    /// at most.
    pub fn start(dir: &Path, shape: Shape, writers: u32, pace_ms: u32) -> Result<Writers> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--write").arg(dir);
        for n in
            [shape.start, shape.step, shape.series.into(), shape.depth.into(), writers.into(), pace_ms.into()]
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

    /// Lets the writers end once their batches under way are acknowledged.
    pub fn finish(&mut self, within: Duration) -> Result<()> {
        std::fs::write(self.dir.join("finish"), "")?;
        let status = self.process.wait(within)?;
        if !status.success() {
            return Err(self.process.complain(&format!("writers ended with {status}")));
        }
        Ok(())
    }

    /// An error where the writers have given up.
    pub fn check_alive(&mut self) -> Result<()> {
        if self.process.alive() { Ok(()) } else { Err(self.process.complain("the writers have ended")) }
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

/// The writer process itself: returns when it is told to finish, or a batch is refused.
pub fn write(args: &[String]) -> Result<()> {
    let (dir, numbers) = args.split_first().context("DIR and six numbers")?;
    let dir = PathBuf::from(dir);
    let n: Vec<i64> = numbers.iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let [start, step, series, depth, writers, pace] = n[..] else {
        anyhow::bail!("found {} numbers, expected six", n.len());
    };
    let shape = Shape { start, step, series: u32::try_from(series)?, depth: u32::try_from(depth)? };
    let done: Arc<[AtomicU64]> = (0..writers).map(|_| AtomicU64::new(0)).collect();
    let threads: Vec<_> = (0..u32::try_from(writers)?)
        .map(|number| {
            let pace = Duration::from_millis(pace.unsigned_abs());
            let writer = Writer { dir: dir.clone(), shape, number, pace, done: done.clone() };
            std::thread::spawn(move || {
                let result = writer.run();
                // One that gave up must not hold up the others for ever.
                writer.done[number as usize].store(u64::MAX, Ordering::Relaxed);
                result
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??;
    }
    Ok(())
}

struct Writer {
    dir: PathBuf,
    shape: Shape,
    number: u32,
    pace: Duration,
    /// Batches that each writer has had acknowledged.
    done: Arc<[AtomicU64]>,
}

impl Writer {
    fn run(&self) -> Result<()> {
        let mut ledger = File::create(file(&self.dir, self.number))?;
        let mut client: Option<(String, Client)> = None;
        let finish = self.dir.join("finish");
        for b in 0.. {
            let begun = Instant::now();
            while self.done.iter().any(|d| d.load(Ordering::Relaxed).saturating_add(AHEAD) < b) {
                std::thread::sleep(Duration::from_millis(1));
            }
            if finish.exists() {
                break;
            }
            self.send(&self.shape.request(self.number, b), &mut client)?;
            writeln!(ledger, "{b}")?;
            ledger.sync_data()?;
            self.done[self.number as usize].store(b + 1, Ordering::Relaxed);
            std::thread::sleep(self.pace.saturating_sub(begun.elapsed()));
        }
        Ok(())
    }

    /// Sends a batch, wherever Dolmen listens by then, until it is acknowledged.
    fn send(&self, body: &[u8], client: &mut Option<(String, Client)>) -> Result<()> {
        let target = self.dir.join("target");
        loop {
            let address = std::fs::read_to_string(&target).unwrap_or_default();
            if client.as_ref().is_none_or(|(of, _)| *of != address) {
                *client = (!address.is_empty()).then(|| (address.clone(), Client::new(&address)));
            }
            let same = || std::fs::read_to_string(&target).is_ok_and(|now| now == address && !now.is_empty());
            if send_until_acknowledged(|| client.as_ref().map(|(_, c)| c.clone()), body, same)? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
