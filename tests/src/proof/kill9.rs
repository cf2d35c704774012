//! `kill -9` under load, again and again; after each restart what was acknowledged is read back.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Figures, readback};
use crate::dolmen::Dolmen;
use crate::exporter::now;
use crate::ledger::Writers;
use crate::load::Shape;
use crate::place;

/// Rounds, unless `DOLMEN_KILL9_ROUNDS` says otherwise.
const ROUNDS: u64 = 100;
const AIMED_MIN: u64 = 25;
const SAMPLES_MIN: u64 = 10_000_000;
/// Rounds whose kill waits for a cut or an upload under way.
const AIMED: u64 = 40;
const WRITERS: u32 = 4;
/// Time between two batches of a writer: all rounds together write some twenty million samples.
const PACE_MS: u32 = 12;

pub fn run(figures: &mut Figures) -> Result<()> {
    let dir = place::scratch("kill9")?;
    let data = dir.path().join("data");
    let data_dir = data.display().to_string();
    // Blocks of two minutes of data time, written far faster than time passes.
    let shape = Shape { start: now() - 12 * 3_600_000, step: 1000, series: 500, depth: 1 };
    let mut writers = Writers::start(dir.path(), shape, WRITERS, PACE_MS)?;
    let rounds = match std::env::var("DOLMEN_KILL9_ROUNDS") {
        Ok(text) => text.parse().context("DOLMEN_KILL9_ROUNDS")?,
        Err(_) => ROUNDS,
    };
    let whole = rounds >= ROUNDS;
    let mut since = vec![0; WRITERS as usize];
    let (mut aimed, mut compared, mut slowest) = (0u64, 0u64, Duration::ZERO);
    let mut round = 0;
    while round < rounds || whole && (aimed < AIMED_MIN || writers.samples()? < SAMPLES_MIN) {
        round += 1;
        anyhow::ensure!(
            round < 4 * ROUNDS,
            "{aimed} aimed kills, {} samples after {round} rounds",
            writers.samples()?
        );
        writers.check_alive()?;
        let started = Instant::now();
        let mut dolmen = start(dir.path(), &data_dir)?;
        slowest = slowest.max(started.elapsed());
        let client = dolmen.client()?;
        if round % 25 == 0 {
            since.fill(0);
        }
        compared += readback::check(&client, &writers, &mut since)?;
        writers.point_at(Some(dolmen.address("http")?))?;
        let patience = Duration::from_millis(300 + (round * 7919) % 1200);
        if (round * AIMED) % ROUNDS < AIMED && under_way(&data, Duration::from_secs(5)) {
            aimed += 1;
        } else {
            std::thread::sleep(patience);
        }
        dolmen.process.kill9()?;
        writers.point_at(None)?;
    }
    let dolmen = start(dir.path(), &data_dir)?;
    since.fill(0);
    let all = readback::check(&dolmen.client()?, &writers, &mut since)?;
    figures.note("rounds", round);
    figures.note("aimed_at_cut_or_upload", aimed);
    figures.note("acknowledged_samples", writers.samples()?);
    figures.note("compared_samples", compared + all);
    figures.note("compared_at_the_end", all);
    figures.note("slowest_start_seconds", slowest.as_secs_f64());
    figures.check(whole && all >= SAMPLES_MIN, || {
        format!("{round} rounds and {all} samples at the end, expected {ROUNDS} and {SAMPLES_MIN}")
    });
    Ok(())
}

fn start(dir: &Path, data_dir: &str) -> Result<Dolmen> {
    let args = [
        "serve",
        "--data-dir",
        data_dir,
        "--http-address",
        "127.0.0.1:0",
        "--grpc-address",
        "127.0.0.1:0",
        "--tsdb.min-block-duration",
        "2m",
        "--tsdb.max-block-duration",
        "2m",
        "--sync-block-duration",
        "2s",
        "--self-scrape-interval",
        "0s",
    ];
    Dolmen::start("dolmen", dir, &args)
}

/// Waits until a block is being written or uploaded: a temporary folder, or a bucket folder without meta.json.
fn under_way(data: &Path, within: Duration) -> bool {
    let end = Instant::now() + within;
    while Instant::now() < end {
        let cut = |dir: &Path| unfinished(dir, &|name| name.ends_with(".tmp-for-creation"));
        if cut(data)
            || cut(&data.join("blocks"))
            || std::fs::read_dir(data.join("bucket")).is_ok_and(|mut d| {
                d.any(|e| e.is_ok_and(|e| e.path().is_dir() && !e.path().join("meta.json").exists()))
            })
        {
            return true;
        }
        std::thread::sleep(Duration::from_micros(300));
    }
    false
}

fn unfinished(dir: &Path, is: &dyn Fn(&str) -> bool) -> bool {
    std::fs::read_dir(dir)
        .is_ok_and(|mut d| d.any(|e| e.is_ok_and(|e| e.file_name().to_str().is_some_and(is))))
}
