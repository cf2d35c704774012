//! Roles and tools on the command line, and errors of theirs in one line.

use std::collections::BTreeMap;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::exit::Exit;
use crate::flags;
use crate::tools::Tool;

/// Version as `--version` prints it after the name.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (prometheus 3.14.0, thanos 0.43)");

/// Dolmen keeps Prometheus metrics for years and shows two datacenters as one.
#[derive(Parser, Debug)]
#[command(name = "dolmen", version = VERSION, disable_help_subcommand = true)]
pub struct Cli {
    /// The role or tool.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of the role and their values, as `status/flags` shows them.
    #[arg(skip)]
    pub given: Given,
}

/// Flags and their values.
pub type Given = BTreeMap<String, String>;

/// Roles, and the tools.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Everything in one process: takes remote write, keeps, compacts and answers. Needs no flags.
    Serve(flags::Serve),
    /// Takes remote write, keeps the newest samples, cuts blocks and ships them to the bucket.
    Receive(flags::Receive),
    /// Answers queries over the blocks in the bucket.
    #[command(alias = "store")]
    Gateway(flags::Gateway),
    /// Answers queries over stores in other processes, of both datacenters.
    Query(flags::Querying),
    /// Compacts the blocks in the bucket: one run, or again and again with --wait.
    Compact(flags::Compact),
    /// Answers queries over directories of Prometheus blocks, and writes nothing into them.
    Open(flags::Open),
    /// Looks into buckets and blocks, asks queries, runs PromQL test scripts.
    #[command(subcommand)]
    Tools(Tool),
}

/// The command line, or what to end with.
pub fn parse() -> Result<Cli, Exit> {
    let mut command = Cli::command();
    let parsed = command.try_get_matches_from_mut(std::env::args_os()).and_then(|matches| {
        let mut cli = Cli::from_arg_matches(&matches)?;
        if let Some((role, matches)) = matches.subcommand()
            && let Some(role) = command.find_subcommand(role)
        {
            cli.given = given(role, matches);
        }
        Ok(cli)
    });
    parsed.map_err(|e| match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{e}");
            Exit::Told
        }
        _ => explain(&e),
    })
}

/// Values of flags, defaults among them; of those that may hold a secret only that they are given.
fn given(role: &clap::Command, matches: &ArgMatches) -> Given {
    let mut given = Given::new();
    for arg in role.get_arguments() {
        let (Some(name), Ok(Some(values))) = (arg.get_long(), matches.try_get_raw(arg.get_id().as_str()))
        else {
            continue;
        };
        let values: Vec<_> = values.map(|v| v.to_string_lossy()).collect();
        let text = if name == "objstore.config" { "<secret>".to_owned() } else { values.join(",") };
        given.insert(name.to_owned(), text);
    }
    given
}

/// One line in the form `WHAT: FOUND, expected …`.
fn explain(e: &clap::Error) -> Exit {
    let text = |kind| match e.get(kind) {
        Some(ContextValue::String(s)) => Some(s.clone()),
        Some(ContextValue::Strings(s)) => Some(s.join(", ")),
        Some(ContextValue::StyledStr(s)) => Some(s.to_string()),
        _ => None,
    };
    let arg = text(ContextKind::InvalidArg).unwrap_or_default();
    // `--flag <VALUE>` as clap writes it.
    let flag = arg.split_whitespace().next().unwrap_or("").to_owned();
    match e.kind() {
        ErrorKind::UnknownArgument => match nearest(&flag) {
            Some(known) => Exit::config("flag", format!("{flag} is not known"), format!("perhaps {known}")),
            None => Exit::config("argument", flag, "none here; see --help"),
        },
        ErrorKind::InvalidSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let found = text(ContextKind::InvalidSubcommand).unwrap_or_else(|| "nothing".to_owned());
            let known: Vec<String> =
                Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
            Exit::config(
                "role",
                found,
                format!("one of {}, or a tool of theirs; see --help", known.join(", ")),
            )
        }
        ErrorKind::MissingRequiredArgument => Exit::config(arg, "missing", "a value; see --help"),
        ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_some_and(|v| v.is_empty()) => {
            Exit::config(flag, "no value", "one; see --help")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let found = text(ContextKind::InvalidValue).unwrap_or_default();
            let expected = match (text(ContextKind::ValidValue), std::error::Error::source(e)) {
                (Some(values), _) => format!("one of {values}"),
                (None, Some(source)) => source.to_string(),
                (None, None) => "another value; see --help".to_owned(),
            };
            Exit::config(flag, found, expected)
        }
        ErrorKind::ArgumentConflict => {
            let other = text(ContextKind::PriorArg).unwrap_or_else(|| "the same flag".to_owned());
            Exit::config(flag, format!("given beside {other}"), "only one of the two")
        }
        _ => Exit::Config(e.to_string().trim_start_matches("error: ").to_owned()),
    }
}

/// The flag of the role asked for that is written most like this one.
fn nearest(flag: &str) -> Option<String> {
    let mut command = Cli::command();
    command.build();
    for word in std::env::args().skip(1).take_while(|a| !a.starts_with('-')) {
        command = command.find_subcommand(&word)?.clone();
    }
    let flag = flag.trim_start_matches('-').split('=').next()?;
    command
        .get_arguments()
        .filter_map(|a| a.get_long())
        .map(|known| (strsim::jaro_winkler(flag, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| format!("--{known}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
