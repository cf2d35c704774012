//! `tools promqltest`: runs Prometheus' PromQL test scripts.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{Exit, Outcome};

/// Flags of `tools promqltest`.
#[derive(Args, Debug)]
pub struct Promqltest {
    /// Scripts.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Runs the scripts; exit 3 where a case failed.
pub fn run(flags: Promqltest) -> Outcome {
    let (mut passed, mut failed) = (0, 0);
    for path in &flags.files {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Exit::config(path.display(), e, "a script that can be read"))?;
        let report = dolmen_promqltest::run(&path.display().to_string(), &text);
        for (case, why) in report.failures() {
            println!("{}:{}: {}\n    {}", path.display(), case.line, case.text, why.replace('\n', "\n    "));
        }
        passed += report.passed();
        failed += report.failed();
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err(Exit::Findings) }
}
