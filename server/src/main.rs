//! The binary: parses flags, assembles a role, runs it.

mod cli;
mod exit;
mod flags;
mod page;
mod role;
mod tools;

use std::process::ExitCode;

use cli::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match cli::parse() {
        Ok(cli) => match cli.command {
            Command::Serve(flags) => role::serve::run(flags, cli.given),
            Command::Receive(flags) => role::receive::run(flags, cli.given),
            Command::Gateway(flags) => role::gateway::run(flags, cli.given),
            Command::Query(flags) => role::query::run(flags, cli.given),
            Command::Compact(flags) => role::compact::run(flags),
            Command::Open(flags) => role::open::run(flags, cli.given),
            Command::Tools(tool) => tools::run(tool),
        },
        Err(exit) => Err(exit),
    };
    exit::code(result)
}
