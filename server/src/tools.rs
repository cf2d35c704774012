//! Tools: look into buckets and blocks, ask queries, run PromQL test scripts.

mod bucket;
mod plot;
mod promqltest;
mod query;

use clap::Subcommand;

use crate::exit::Outcome;

/// Tools on the command line.
#[derive(Subcommand, Debug)]
pub enum Tool {
    /// Lists and verifies the blocks of a bucket.
    #[command(subcommand)]
    Bucket(bucket::Bucket),
    /// Asks a server a query and prints the answer. Exit 1 on an error answer, 3 on an incomplete one.
    Query(query::Query),
    /// Runs Prometheus' PromQL test scripts.
    Promqltest(promqltest::Promqltest),
}

/// Runs a tool.
pub fn run(tool: Tool) -> Outcome {
    match tool {
        Tool::Bucket(bucket) => bucket::run(bucket),
        Tool::Query(query) => query::run(query),
        Tool::Promqltest(scripts) => promqltest::run(scripts),
    }
}
