//! `tools promqltest`: runs Prometheus' PromQL test scripts.

use std::path::{Path, PathBuf};

use clap::Args;
use dolmen_promqltest::ExpectFail;

use crate::exit::{Exit, Outcome};

/// Flags of `tools promqltest`.
#[derive(Args, Debug)]
pub struct Promqltest {
    /// Scripts.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Cases that are to fail, one a line: SCRIPT:LINE. One that passes counts as failed.
    #[arg(long, value_name = "LIST")]
    expect_fail: Option<PathBuf>,
}

/// Runs the scripts; exit 3 where a case failed.
pub fn run(flags: Promqltest) -> Outcome {
    let expected = match &flags.expect_fail {
        Some(list) => ExpectFail::parse(&read(list, "a list that can be read")?),
        None => ExpectFail::default(),
    };
    let (mut passed, mut failed) = (0, 0);
    for path in &flags.files {
        let text = read(path, "a script that can be read")?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let verdict = expected.judge(&dolmen_promqltest::run(&name, &text));
        for wrong in &verdict.failed {
            println!("{}", wrong.replace('\n', "\n    "));
        }
        for mended in &verdict.mended {
            println!("{mended}: passes, though it is to fail");
        }
        let (good, bad) = (verdict.passed + verdict.known, verdict.failed.len() + verdict.mended.len());
        println!("{}: {good} passed, {bad} failed", path.display());
        passed += good;
        failed += bad;
    }
    // Nothing is ever left out: what a script cannot say here fails.
    println!("{passed} passed, {failed} failed, 0 skipped");
    if failed == 0 { Ok(()) } else { Err(Exit::Findings) }
}

fn read(path: &Path, expected: &str) -> Result<String, Exit> {
    std::fs::read_to_string(path).map_err(|e| Exit::config(path.display(), e, expected))
}
