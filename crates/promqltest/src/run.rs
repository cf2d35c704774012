//! Carries out a script.

use std::sync::Arc;
use std::time::Duration;

use dolmen_promql::{Engine, EngineSettings, Features};
use dolmen_storage::Queryable;

use crate::case::{Bench, check};
use crate::report::{Case, Outcome, Report};
use crate::script::{What, parse};
use crate::store::Store;

/// Runs a script: Prometheus' settings for its own scripts, all of the language switched on.
pub fn run(script: &str, text: &str) -> Report {
    let engine = Engine::new(EngineSettings {
        max_samples: 10_000,
        timeout: Duration::from_secs(100),
        features: Features {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            duration_expressions: true,
            delayed_name_removal: true,
            type_and_unit_labels: false,
        },
        ..EngineSettings::default()
    });
    let mut cases = Vec::new();
    let mut store = Arc::new(Store::default());
    for command in parse(text) {
        let outcome = match command.what {
            Err(e) => Outcome::Failed(e),
            Ok(What::Clear) => {
                store = Arc::default();
                continue;
            }
            Ok(What::Load(load)) => match Arc::make_mut(&mut store).load(&load) {
                Ok(()) => continue,
                Err(e) => Outcome::Failed(e),
            },
            Ok(What::Eval(eval)) => {
                let source: Arc<dyn Queryable> = store.clone();
                match check(&Bench { engine: &engine, source: &source }, &eval) {
                    Ok(()) => Outcome::Passed,
                    Err(e) => Outcome::Failed(e),
                }
            }
        };
        cases.push(Case { line: command.line, text: command.text, outcome });
    }
    Report { script: script.to_owned(), cases }
}
