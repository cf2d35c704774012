//! Recorded exchanges of a real Thanos, replayed both ways: our client reads the answers, our server gives them.

use anyhow::Result;

use super::{Figures, told};
use crate::place;

pub fn run(figures: &mut Figures) -> Result<()> {
    anyhow::ensure!(place::shared().is_some(), "needs the shared test data, `shared` beside the workspace");
    for (test, line) in [("golden_server", "golden-server"), ("golden_client", "golden-client")] {
        told::run("dolmen-storeapi", test, line, &[], figures)?;
        let of = |key: &str| format!("{}_{key}", line.replace('-', "_"));
        let (replayed, equal) = (figures.value(&of("replayed")), figures.value(&of("equal")));
        figures.check(replayed > 0 && replayed == equal, || format!("{line}: {equal} of {replayed} equal"));
    }
    Ok(())
}
