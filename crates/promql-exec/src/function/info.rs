//! `info`: elements get the labels of the info series that have the same `instance` and `job`.

use std::collections::BTreeSet;

use dolmen_model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};
use hashbrown::HashMap;

use crate::batch::{Cell, StepBatch};
use crate::error::{PromqlError, Result};

/// The labels that an element and its info series have in common.
pub const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// Which metrics are info metrics: `target_info` where nothing is said, those that end in `_info` where it is
/// only said which are not.
pub fn metric_names(said: &[Matcher]) -> Result<Vec<Matcher>> {
    if said.is_empty() {
        return Ok(vec![Matcher::eq(METRIC_NAME, "target_info")]);
    }
    let mut names = said.to_vec();
    if !said.iter().any(|m| matches!(m.op(), MatchOp::Eq | MatchOp::Re)) {
        names.insert(0, Matcher::new(MatchOp::Re, METRIC_NAME, ".+_info")?);
    }
    Ok(names)
}

/// Whether an element is one of an info metric itself: it stays as it is.
fn is_info(labels: &Labels, names: &[Matcher]) -> bool {
    let name = labels.get(METRIC_NAME).unwrap_or_default();
    names.iter().all(|m| m.matches(name))
}

/// Matchers that all info series wanted for these elements pass; `None` where none is wanted.
pub fn wanted(base: &StepBatch, names: &[Matcher]) -> Result<Option<Vec<Matcher>>> {
    let mut matchers = Vec::new();
    for label in IDENTIFYING {
        let rows = base.heads.iter().filter(|head| !is_info(&head.labels, names));
        let values: BTreeSet<&str> = rows.filter_map(|head| head.labels.get(label)).collect();
        if !values.is_empty() {
            let pattern: Vec<String> = values.into_iter().map(quote).collect();
            matchers.push(Matcher::new(MatchOp::Re, label, pattern.join("|"))?);
        }
    }
    Ok((!matchers.is_empty()).then_some(matchers))
}

/// A pattern that matches a text as it is.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Name and identifying labels.
type Signature<'a> = (&'a str, [&'a str; 2]);

fn signature<'a>(name: &'a str, labels: &'a Labels) -> Signature<'a> {
    (name, IDENTIFYING.map(|label| labels.get(label).unwrap_or_default()))
}

/// The elements of `base` with the labels of the info series. Where an info metric has several series for an
/// element, the one with the newest sample counts.
///
/// `info` holds the times of its samples, in seconds. `names` are those of [`metric_names`]. `matchers` are on
/// other labels: where there are some, only the labels they name are added, and an element without info
/// series stays only if they all match the empty value.
pub fn join(
    base: &StepBatch,
    info: &StepBatch,
    names: &[Matcher],
    matchers: &[Matcher],
) -> Result<StepBatch> {
    let name_of = |labels: &Labels| labels.get(METRIC_NAME).unwrap_or_default().to_owned();
    let metrics: BTreeSet<String> = info.heads.iter().map(|head| name_of(&head.labels)).collect();
    // Signatures as numbers: those of the info series, and those that each element looks for.
    let mut known: HashMap<Signature<'_>, usize> = HashMap::new();
    let mut of_info = Vec::with_capacity(info.len());
    for head in &info.heads {
        let next = known.len();
        let name = head.labels.get(METRIC_NAME).unwrap_or_default();
        of_info.push(*known.entry(signature(name, &head.labels)).or_insert(next));
    }
    let of_base: Vec<Option<Vec<usize>>> = base
        .heads
        .iter()
        .map(|head| {
            let sought = metrics.iter().filter_map(|name| known.get(&signature(name, &head.labels)).copied());
            (!is_info(&head.labels, names)).then(|| sought.collect())
        })
        .collect();
    let keeps_lonely = matchers.iter().all(Matcher::matches_empty);
    let mut out = StepBatch::new(base.steps());
    // Results of a row so far: the info series it was joined with, and the row of the outcome.
    let mut results: Vec<Vec<(Vec<usize>, Option<usize>)>> = vec![Vec::new(); base.len()];
    let mut newest: Vec<Option<usize>> = vec![None; known.len()];
    for step in 0..base.steps() {
        newest_rows(info, step, &of_info, &mut newest)?;
        for (row, sought) in of_base.iter().enumerate() {
            let Some(cell) = base.cell(row, step) else { continue };
            let found: Vec<usize> = sought.iter().flatten().filter_map(|sig| newest[*sig]).collect();
            let done = results[row].iter().find(|(with, _)| *with == found).map(|(_, to)| *to);
            let to = match done {
                Some(to) => to,
                None => {
                    let head = &base.heads[row];
                    let lonely = sought.is_some() && found.is_empty() && !keeps_lonely;
                    let to = if lonely {
                        None
                    } else {
                        let labels = with_labels(&head.labels, &found, info, matchers)?;
                        Some(out.push(labels, head.drop_name))
                    };
                    results[row].push((found, to));
                    to
                }
            };
            match (to, cell) {
                (None, _) => {}
                (Some(to), Cell::Float(v)) => out.set(to, step, v),
                (Some(to), Cell::Histogram(h)) => out.set_hist(to, step, h.clone()),
            }
        }
    }
    Ok(out)
}

/// Of each signature the row with the newest sample at a step.
fn newest_rows(info: &StepBatch, step: usize, of_info: &[usize], newest: &mut [Option<usize>]) -> Result<()> {
    let time = |row: usize| match info.cell(row, step) {
        Some(Cell::Float(seconds)) => Some((seconds * 1000.0).round() as i64),
        _ => None,
    };
    newest.fill(None);
    for (row, sig) in of_info.iter().enumerate() {
        let Some(t) = time(row) else { continue };
        let slot = &mut newest[*sig];
        match slot.map(|other| (other, time(other))) {
            Some((_, Some(other_t))) if other_t > t => {}
            Some((other, Some(other_t))) if other_t == t => {
                return Err(PromqlError::execution(format!(
                    "found duplicate series for info metric: existing {} @ {t}, new {} @ {t}",
                    info.heads[other].labels, info.heads[row].labels
                )));
            }
            _ => *slot = Some(row),
        }
    }
    Ok(())
}

/// A label set with what it lacks and its info series have.
fn with_labels(base: &Labels, found: &[usize], info: &StepBatch, matchers: &[Matcher]) -> Result<Labels> {
    let mut added = LabelsBuilder::default();
    for row in found {
        for (name, value) in info.heads[*row].labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
            if !matchers.is_empty() && !matchers.iter().any(|m| m.name() == name) {
                continue;
            }
            if added.get(name).is_some_and(|other| other != value) {
                return Err(PromqlError::execution(format!("conflicting label: {name}")));
            }
            if base.get(name).is_none() {
                added.set(name, value);
            }
        }
    }
    let mut out = base.edit();
    for (name, value) in added.build().iter() {
        out.set(name, value);
    }
    Ok(out.build())
}
