//! Figures that tests print: `NAME: key=value …`, one line.

use std::process::Command;

use anyhow::{Context, Result};

use super::Figures;
use crate::place;

/// Runs one test program of a crate, and notes what its line `line: key=value …` tells, as `line_key`.
pub fn run(package: &str, test: &str, line: &str, env: &[(&str, &str)], figures: &mut Figures) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(place::root()).envs(env.iter().copied());
    cargo.args(["test", "--locked", "-q", "-p", package, "--test", test, "--", "--nocapture"]);
    let out = place::run(&mut cargo)?;
    let begin = format!("{line}: ");
    let told = out
        .lines()
        .find_map(|l| l.strip_prefix(&begin))
        .with_context(|| format!("no line `{begin}…`:\n{out}"))?;
    for (key, value) in told.split_whitespace().filter_map(|pair| pair.split_once('=')) {
        let name = format!("{}_{key}", line.replace('-', "_"));
        match value.parse::<u64>() {
            Ok(n) => figures.note(&name, n),
            Err(_) => figures.note(&name, value),
        }
    }
    Ok(())
}
