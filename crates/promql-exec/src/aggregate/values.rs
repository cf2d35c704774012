//! `count_values`: how often each value comes.

use std::collections::HashMap;

use dolmen_model::{FloatBuffer, Labels};

use super::Groups;
use crate::batch::{Cell, StepBatch};
use crate::plan::Aggregate;

/// A row a group and value.
pub fn count_values(node: &Aggregate, input: &StepBatch) -> StepBatch {
    let mut names = node.labels.clone();
    if !node.without {
        names.push(node.label.as_str().into());
    }
    let mut groups = Groups::by(node.without, names);
    let mut out = StepBatch::new(input.steps());
    let mut rows: HashMap<u32, usize> = HashMap::new();
    let mut text = FloatBuffer::default();
    for row in 0..input.len() {
        // Values of a series are often the same: its label set is made once for each.
        let mut known: HashMap<String, u32> = HashMap::new();
        for step in 0..input.steps() {
            let value = match input.cell(row, step) {
                Some(Cell::Float(v)) => text.plain(v).to_owned(),
                Some(Cell::Histogram(h)) => crate::histogram::text::to_text(&**h),
                None => continue,
            };
            let group = *known.entry(value).or_insert_with_key(|value| {
                let labels: Labels = input.heads[row].labels.edit().set(&node.label, value).build();
                groups.of(&labels)
            });
            let at =
                *rows.entry(group).or_insert_with(|| out.push(groups.labels[group as usize].clone(), false));
            let before = match out.cell(at, step) {
                Some(Cell::Float(v)) => v,
                _ => 0.0,
            };
            out.set(at, step, before + 1.0);
        }
    }
    out
}
