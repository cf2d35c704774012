//! Series leave the fan-out sorted, each once: a property test over heads, blocks and stores behind gRPC.

use anyhow::Result;

use super::{Figures, told};

const LABEL_SETS: u64 = 110_000;

pub fn run(figures: &mut Figures) -> Result<()> {
    let sets = LABEL_SETS.to_string();
    let env = [("DOLMEN_MERGE_ORDER_SETS", sets.as_str())];
    told::run("dolmen-querier", "merge_order", "merge-order", &env, figures)?;
    let tried = figures.value("merge_order_label_sets");
    figures.check(tried >= LABEL_SETS, || format!("{tried} label sets, expected {LABEL_SETS}"));
    Ok(())
}
