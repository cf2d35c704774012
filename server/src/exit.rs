//! Exit codes, and the one line on stderr that goes with them.

use std::fmt;
use std::process::ExitCode;

use dolmen_model::{Error, Kind};

/// Why the process ends early.
#[derive(Debug)]
pub enum Exit {
    /// 0: help or version was asked for and has been printed.
    Told,
    /// 1: the work failed.
    Failed(String),
    /// 2: a bad flag or configuration, a port in use, a locked directory. Nothing was touched.
    Config(String),
    /// 3: the work is done, and found something: damage, failed cases, an incomplete answer.
    Findings,
}

/// What a role or tool gives back.
pub type Outcome = Result<(), Exit>;

impl Exit {
    /// `WHAT: FOUND, expected …`.
    pub fn config(what: impl fmt::Display, found: impl fmt::Display, expected: impl fmt::Display) -> Exit {
        Exit::Config(format!("{what}: {found}, expected {expected}"))
    }
}

impl From<Error> for Exit {
    /// What makes no sense as asked is a matter of flags; all else is failed work.
    fn from(e: Error) -> Exit {
        match e.kind() {
            Kind::Invalid => Exit::Config(e.to_string()),
            _ => Exit::Failed(e.to_string()),
        }
    }
}

/// Prints what there is to say and gives the code.
pub fn code(outcome: Outcome) -> ExitCode {
    let (code, text) = match outcome {
        Ok(()) | Err(Exit::Told) => (0, None),
        Err(Exit::Failed(text)) => (1, Some(text)),
        Err(Exit::Config(text)) => (2, Some(text)),
        Err(Exit::Findings) => (3, None),
    };
    if let Some(text) = text {
        // One line, whatever the cause had in it.
        eprintln!("error: {}", text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    code.into()
}
