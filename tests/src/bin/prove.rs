//! `./prove [NAME…]`: runs proofs and prints one JSON line each; without names lists them.

use dolmen_tests::{ledger, proof};

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|a| a == "--write") {
        return match ledger::write(&args[1..]) {
            Ok(()) => 0.into(),
            Err(e) => {
                eprintln!("error: {e:#}");
                1.into()
            }
        };
    }
    proof::main(&args)
}
