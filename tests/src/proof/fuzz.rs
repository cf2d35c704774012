//! Coverage-guided fuzzing of every decoder: first a planted bug must be found, then no other may be.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Figures;
use crate::place;

const TARGETS: [&str; 5] = ["chunk", "index", "wal", "write_request", "promql"];
/// Of each target, unless `DOLMEN_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 305;
const EXECUTIONS: u64 = 1_000_000;

pub fn run(figures: &mut Figures) -> Result<()> {
    if place::missing(&["cargo-fuzz"]).is_some() {
        bail!("needs cargo-fuzz: cargo install cargo-fuzz");
    }
    let seconds = match std::env::var("DOLMEN_FUZZ_SECONDS") {
        Ok(text) => text.parse().context("DOLMEN_FUZZ_SECONDS")?,
        Err(_) => SECONDS,
    };
    let dir = place::scratch("fuzz")?;
    let fuzz = place::root().join("fuzz");
    let seeds = dir.path().join("seeds");
    let mut command = Command::new("cargo");
    command.args(["run", "--release", "--bin", "seeds"]).arg(&seeds).current_dir(&fuzz);
    if let Some(shared) = place::shared() {
        command.env("DOLMEN_SHARED", shared);
    }
    place::run(&mut command)?;
    build(&fuzz, &[])?;
    // Two at a time: each is one thread.
    for pair in TARGETS.chunks(2) {
        let runs: Vec<_> = pair
            .iter()
            .map(|target| {
                let (target, seeds, fuzz, dir) =
                    (*target, seeds.clone(), fuzz.clone(), dir.path().to_owned());
                std::thread::spawn(move || (target, clean_run(&fuzz, &dir, &seeds, target, seconds)))
            })
            .collect();
        for run in runs {
            let (target, run) = run.join().map_err(|_| anyhow::anyhow!("a fuzz run panicked"))?;
            let run = run.with_context(|| target.to_owned())?;
            figures.note(&format!("{target}_executions"), run.executions);
            figures.note(&format!("{target}_seconds"), run.seconds);
            figures.note(&format!("{target}_edges"), run.edges);
            figures.check(run.executions >= EXECUTIONS && run.seconds >= 300, || {
                format!("{target}: {} executions in {} s", run.executions, run.seconds)
            });
        }
    }
    build(&fuzz, &["--features", "planted"])?;
    for target in TARGETS {
        let found = planted(&fuzz, dir.path(), &seeds, target)?;
        figures.count("planted_bugs_found", u64::from(found));
        figures.check(found, || format!("{target}: the planted bug was not found"));
    }
    Ok(())
}

struct Run {
    executions: u64,
    seconds: u64,
    edges: u64,
}

fn build(fuzz: &Path, features: &[&str]) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "build", "--fuzz-dir"]).arg(fuzz).args(features).current_dir(fuzz);
    place::run(&mut command).map(drop)
}

/// A fresh corpus folder of a target, beside its seeds.
fn command(
    fuzz: &Path,
    dir: &Path,
    seeds: &Path,
    target: &str,
    features: &[&str],
) -> Result<(Command, PathBuf)> {
    let corpus = dir.join(format!("corpus-{target}-{}", features.len()));
    let artifacts = dir.join(format!("artifacts-{target}-{}/", features.len()));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&artifacts)?;
    let mut command = Command::new("cargo");
    command.args(["+nightly", "fuzz", "run", "--fuzz-dir"]).arg(fuzz).args(features).arg(target);
    command.arg(&corpus).arg(seeds.join(target)).current_dir(fuzz).arg("--");
    command.args(["-rss_limit_mb=2048", "-timeout=10", "-max_len=65536", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={}", artifacts.display()));
    Ok((command, artifacts))
}

fn clean_run(fuzz: &Path, dir: &Path, seeds: &Path, target: &str, seconds: u64) -> Result<Run> {
    let (mut command, artifacts) = command(fuzz, dir, seeds, target, &[])?;
    command.arg(format!("-max_total_time={seconds}"));
    let out = command.output()?;
    let log = String::from_utf8_lossy(&out.stderr).into_owned();
    let tail: Vec<&str> = log.lines().rev().take(12).collect();
    ensure!(out.status.success(), "finding, kept in {}: {tail:#?}", artifacts.display());
    // "Done 123 runs in 45 second(s)", and "cov: 678" in the progress lines before it.
    let done: Vec<u64> = log
        .lines()
        .rev()
        .find_map(|l| l.strip_prefix("Done "))
        .context("libFuzzer's last line")?
        .split(' ')
        .filter_map(|w| w.parse().ok())
        .collect();
    let edges = log.lines().rev().find_map(|l| l.split_once("cov: ")?.1.split(' ').next()?.parse().ok());
    let [executions, seconds] = done[..] else { bail!("libFuzzer's last line: {done:?}") };
    Ok(Run { executions, seconds, edges: edges.context("cov: in libFuzzer's output")? })
}

/// Whether the fuzzer falls over the bug that the feature `planted` puts into the target.
fn planted(fuzz: &Path, dir: &Path, seeds: &Path, target: &str) -> Result<bool> {
    let (mut command, _) = command(fuzz, dir, seeds, target, &["--features", "planted"])?;
    command.arg("-max_total_time=120");
    let out = command.output()?;
    Ok(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("planted bug"))
}
