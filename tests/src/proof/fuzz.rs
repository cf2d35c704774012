//! Coverage-guided fuzzing of every decoder: no target may have a finding, and where a bug is planted it must
//! be found.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Figures;
use crate::place;

mod seeds;

const TARGETS: [&str; 6] = ["chunk", "index", "wal", "write_request", "promql", "series_frame"];
/// Of each target, unless `DOLMEN_FUZZ_SECONDS` says otherwise.
const SECONDS: u64 = 305;
const SECONDS_MIN: u64 = 300;
const EXECUTIONS: u64 = 1_000_000;
/// Times that a target is run again where it is slow.
const AGAIN: u32 = 3;

pub fn run(figures: &mut Figures) -> Result<()> {
    let number = |name: &'static str, default| match std::env::var(name) {
        Ok(text) => text.parse().context(name),
        Err(_) => Ok(default),
    };
    let seconds = number("DOLMEN_FUZZ_SECONDS", SECONDS)?;
    // Each is one thread.
    let at_once = usize::try_from(number("DOLMEN_FUZZ_JOBS", 2)?)?.max(1);
    let chosen = std::env::var("DOLMEN_FUZZ_TARGETS").unwrap_or_default();
    let targets: Vec<&str> =
        TARGETS.into_iter().filter(|t| chosen.is_empty() || chosen.split(',').any(|c| c == *t)).collect();
    ensure_cargo_fuzz()?;
    let dir = place::scratch("fuzz")?;
    let fuzz = Fuzz { home: place::root().join("fuzz"), dir: dir.path().to_owned() };
    seeds::write(&fuzz.dir.join("seeds"), figures).context("write seeds")?;
    fuzz.build(&targets, &[])?;
    for pair in targets.chunks(at_once) {
        let runs: Vec<Result<Run>> = std::thread::scope(|scope| {
            let fuzz = &fuzz;
            let run = |target| scope.spawn(move || fuzz.clean_run(target, seconds).context(target));
            let threads: Vec<_> = pair.iter().copied().map(run).collect();
            threads.into_iter().map(|t| t.join().unwrap_or_else(|_| bail!("a fuzz run panicked"))).collect()
        });
        for (target, run) in pair.iter().zip(runs) {
            let run = run?;
            figures.note(&format!("{target}_executions"), run.executions);
            figures.note(&format!("{target}_seconds"), run.seconds);
            figures.note(&format!("{target}_edges"), run.edges);
            figures.check(run.executions >= EXECUTIONS && run.seconds >= SECONDS_MIN, || {
                format!("{target}: {} executions in {} s", run.executions, run.seconds)
            });
        }
    }
    fuzz.build(&targets, &["--features", "planted"])?;
    for target in targets {
        let found = fuzz.planted(target)?;
        figures.count("planted_bugs_found", u64::from(found));
        figures.check(found, || format!("{target}: the planted bug was not found"));
    }
    Ok(())
}

fn ensure_cargo_fuzz() -> Result<()> {
    if place::run(Command::new("cargo").args(["fuzz", "--version"])).is_err() {
        place::run(Command::new("cargo").args(["install", "-q", "--locked", "cargo-fuzz"]))?;
    }
    if place::run(Command::new("cargo").args(["+nightly", "--version"])).is_err() {
        place::run(Command::new("rustup").args([
            "toolchain",
            "install",
            "-q",
            "--profile=minimal",
            "nightly",
        ]))?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Run {
    executions: u64,
    seconds: u64,
    edges: u64,
}

struct Fuzz {
    home: PathBuf,
    dir: PathBuf,
}

impl Fuzz {
    /// `cargo fuzz WHAT`. Without the address sanitizer: our code is safe Rust, and executions count.
    fn cargo(&self, what: &str, features: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(["+nightly", "fuzz", what, "-s", "none", "--fuzz-dir"]).arg(&self.home);
        command.arg("--target-dir").arg(place::target().join("fuzz")).args(features).current_dir(&self.home);
        command
    }

    fn build(&self, targets: &[&str], features: &[&str]) -> Result<()> {
        for target in targets {
            place::run(self.cargo("build", features).arg(target))?;
        }
        Ok(())
    }

    /// A run over a corpus of its own, beside the seeds.
    fn command(&self, target: &str, features: &[&str], seconds: u64) -> Result<(Command, PathBuf)> {
        let corpus = self.dir.join(format!("corpus-{target}-{}", features.len()));
        let artifacts = self.dir.join(format!("artifacts-{target}-{}/", features.len()));
        std::fs::create_dir_all(&corpus)?;
        std::fs::create_dir_all(&artifacts)?;
        let mut command = self.cargo("run", features);
        command.arg(target).arg(&corpus).arg(self.dir.join("seeds").join(target)).arg("--");
        command.args(["-rss_limit_mb=2048", "-timeout=10", "-max_len=16384", "-print_final_stats=1"]);
        command.arg(format!("-artifact_prefix={}", artifacts.display()));
        command.arg(format!("-max_total_time={seconds}"));
        Ok((command, artifacts))
    }

    /// Runs until time and executions suffice; what was found by then is gone on from.
    fn clean_run(&self, target: &str, seconds: u64) -> Result<Run> {
        let mut all = Run { executions: 0, seconds: 0, edges: 0 };
        for _ in 0..=AGAIN {
            let run = self.one_run(target, seconds)?;
            all.executions += run.executions;
            all.seconds += run.seconds;
            all.edges = run.edges;
            if all.executions >= EXECUTIONS || seconds < SECONDS_MIN {
                break;
            }
        }
        Ok(all)
    }

    fn one_run(&self, target: &str, seconds: u64) -> Result<Run> {
        let (mut command, artifacts) = self.command(target, &[], seconds)?;
        let out = command.output()?;
        let log = String::from_utf8_lossy(&out.stderr).into_owned();
        if !out.status.success() {
            let kept = keep(&artifacts, target)?;
            let said: Vec<&str> = log
                .lines()
                .skip_while(|l| !l.contains("panicked at") && !l.contains("ERROR"))
                .take(8)
                .collect();
            bail!("finding, kept in {}: {said:#?}", kept.display());
        }
        // "Done 123 runs in 45 second(s)", and "cov: 678" in the progress lines before it.
        let done: Vec<u64> = log
            .lines()
            .rev()
            .find_map(|l| l.strip_prefix("Done "))
            .context("libFuzzer's last line")?
            .split(' ')
            .filter_map(|w| w.parse().ok())
            .collect();
        let [executions, seconds] = done[..] else { bail!("libFuzzer's last line: {done:?}") };
        let edges = log.lines().rev().find_map(|l| l.split_once("cov: ")?.1.split(' ').next()?.parse().ok());
        Ok(Run { executions, seconds, edges: edges.context("cov: in libFuzzer's output")? })
    }

    /// Whether the fuzzer falls over the bug that the feature `planted` puts into the target.
    fn planted(&self, target: &str) -> Result<bool> {
        let (mut command, _) = self.command(target, &["--features", "planted"], 120)?;
        let out = command.output()?;
        let log = String::from_utf8_lossy(&out.stderr);
        // A seed that shows the bug would prove nothing: the fuzzer reads seeds before this line.
        let searched = log.lines().any(|l| l.contains("INITED"));
        Ok(!out.status.success() && searched && log.contains("planted bug"))
    }
}

/// Puts inputs that brought a target down where they outlive the proof.
fn keep(artifacts: &Path, target: &str) -> Result<PathBuf> {
    let kept = place::target().join("fuzz-findings").join(target);
    std::fs::create_dir_all(&kept)?;
    for entry in std::fs::read_dir(artifacts)? {
        let entry = entry?;
        std::fs::copy(entry.path(), kept.join(entry.file_name()))?;
    }
    ensure!(kept.is_dir(), "{} is there", kept.display());
    Ok(kept)
}
