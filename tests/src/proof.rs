//! The proofs: each shows, from outside the process, that one promise holds.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Map, Value, json};

mod bench;
mod blocks_both_ways;
mod ceph_stops;
mod completeness;
mod durable;
mod fuzz;
mod hostile_store;
mod kill9;
mod merge_order;
mod one_site;
mod pair;
mod readback;
mod readme;
mod store_golden;
mod told;
mod two_sites;

/// Failures that are told; others are counted.
const FAILURES_MAX: usize = 40;

/// What a proof measured. A check that fails is a figure too, and fails the proof.
#[derive(Default)]
pub struct Figures {
    values: Map<String, Value>,
    failures: Vec<String>,
    more_failures: u64,
}

impl Figures {
    /// Notes a figure.
    pub fn note(&mut self, name: &str, value: impl Into<Value>) {
        self.values.insert(name.to_owned(), value.into());
    }

    /// Adds to a count.
    pub fn count(&mut self, name: &str, n: u64) {
        self.note(name, self.value(name) + n);
    }

    /// A count so far.
    pub fn value(&self, name: &str) -> u64 {
        self.values.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    /// A condition that must hold; what does not is listed.
    pub fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        match holds {
            true => {}
            false if self.failures.len() < FAILURES_MAX => self.failures.push(what()),
            false => self.more_failures += 1,
        }
    }
}

struct Proof {
    name: &'static str,
    shows: &'static str,
    run: fn(&mut Figures) -> Result<()>,
}

const PROOFS: &[Proof] = &[
    Proof { name: "readme", shows: "the first five minutes of the README work as written", run: readme::run },
    Proof { name: "one-site", shows: "an HA pair writes, Dolmen answers what they hold", run: one_site::run },
    Proof {
        name: "two-sites",
        shows: "two sites answer as one, and the answer says what is missing when one is gone",
        run: two_sites::run,
    },
    Proof {
        name: "completeness",
        shows: "an answer is the full one, or says exactly what is missing, or is an error",
        run: completeness::run,
    },
    Proof {
        name: "hostile-store",
        shows: "a store that breaks the rules is named, and harms nobody",
        run: hostile_store::run,
    },
    Proof { name: "merge-order", shows: "series leave the fan-out sorted, each once", run: merge_order::run },
    Proof {
        name: "store-golden",
        shows: "what a real Thanos sent and was sent is read and answered alike",
        run: store_golden::run,
    },
    Proof {
        name: "blocks-both-ways",
        shows: "blocks pass between Prometheus and Dolmen",
        run: blocks_both_ways::run,
    },
    Proof { name: "kill9", shows: "no acknowledged sample is lost by kill -9", run: kill9::run },
    Proof { name: "durable", shows: "every 2xx follows a sync of its samples", run: durable::run },
    Proof {
        name: "ceph-stops",
        shows: "nothing is lost when Ceph dies, hangs or is slow",
        run: ceph_stops::run,
    },
    Proof {
        name: "fuzz",
        shows: "decoders stand arbitrary bytes, and the fuzzers find bugs",
        run: fuzz::run,
    },
    Proof {
        name: "bench",
        shows: "what the work costs, beside two peers on the same machine",
        run: bench::run,
    },
];

/// Runs the named proofs; lists them where none is named.
pub fn main(names: &[String]) -> ExitCode {
    if names.is_empty() {
        for proof in PROOFS {
            println!("{:<18}{}", proof.name, proof.shows);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = names.iter().find(|n| PROOFS.iter().all(|p| p.name != n.as_str())) {
        let known: Vec<&str> = PROOFS.iter().map(|p| p.name).collect();
        eprintln!("error: proof: {unknown}, expected one of {}", known.join(", "));
        return ExitCode::from(2);
    }
    let mut all = true;
    for proof in PROOFS.iter().filter(|p| names.iter().any(|n| n == p.name)) {
        let started = Instant::now();
        let mut figures = Figures::default();
        if let Err(e) = (proof.run)(&mut figures) {
            figures.failures.push(format!("{e:#}"));
        }
        let pass = figures.failures.is_empty();
        all &= pass;
        if !pass {
            figures.note("failures", figures.failures.clone());
            figures.note("more_failures", figures.more_failures);
        }
        let seconds = (started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
        println!(
            "{}",
            json!({"name": proof.name, "pass": pass, "seconds": seconds, "figures": figures.values})
        );
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
