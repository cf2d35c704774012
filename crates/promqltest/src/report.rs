//! What became of a script's cases.

use std::collections::BTreeSet;

/// One `eval` of a script, or a command that could not be carried out.
#[derive(Clone, Debug)]
pub struct Case {
    /// The line it stands on, from 1.
    pub line: usize,
    /// The line's text.
    pub text: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as the script says.
    Passed,
    /// What is not.
    Failed(String),
}

/// The cases of a script in its order.
#[derive(Clone, Debug)]
pub struct Report {
    /// The script's name.
    pub script: String,
    /// Its cases.
    pub cases: Vec<Case>,
}

impl Report {
    /// How many cases passed.
    pub fn passed(&self) -> usize {
        self.cases.iter().filter(|c| c.outcome == Outcome::Passed).count()
    }

    /// How many did not.
    pub fn failed(&self) -> usize {
        self.cases.len() - self.passed()
    }

    /// Those that did not.
    pub fn failures(&self) -> impl Iterator<Item = (&Case, &str)> {
        self.cases.iter().filter_map(|c| match &c.outcome {
            Outcome::Failed(why) => Some((c, why.as_str())),
            Outcome::Passed => None,
        })
    }

    /// The name of a case in lists of expected failures.
    pub fn key(&self, case: &Case) -> String {
        format!("{}:{}", self.script, case.line)
    }
}

/// Cases that are known to fail, so that a change is seen in both directions.
///
/// A line each, `SCRIPT:LINE`, then anything; empty lines and those that begin with `#` say nothing.
#[derive(Clone, Debug, Default)]
pub struct ExpectFail(BTreeSet<String>);

/// Cases judged by a list of expected failures.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Passed, and not in the list.
    pub passed: usize,
    /// Failed as the list says.
    pub known: usize,
    /// Failed though not in the list: script and line, and why.
    pub failed: Vec<String>,
    /// In the list, but passed.
    pub mended: Vec<String>,
}

impl ExpectFail {
    /// Reads a list.
    pub fn parse(text: &str) -> ExpectFail {
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        ExpectFail(lines.filter_map(|l| l.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// Judges a script's cases.
    pub fn judge(&self, report: &Report) -> Verdict {
        let mut out = Verdict::default();
        for case in &report.cases {
            let key = report.key(case);
            match (&case.outcome, self.0.contains(&key)) {
                (Outcome::Passed, false) => out.passed += 1,
                (Outcome::Passed, true) => out.mended.push(key),
                (Outcome::Failed(_), true) => out.known += 1,
                (Outcome::Failed(why), false) => out.failed.push(format!("{key}: {}: {why}", case.text)),
            }
        }
        out
    }
}
