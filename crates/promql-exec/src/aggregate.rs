//! Aggregations: many series become one a group, or a few of a group's series stay.
//!
//! Batches are taken in order and dropped once they are in the table: what is held is groups × steps, not
//! series × steps. `topk` and its kin hold their input.

use std::sync::Arc;

use dolmen_model::{Labels, METRIC_NAME};
use dolmen_promql_parser::{has_stray_bytes, quote};
use futures::stream::{self, StreamExt};
use hashbrown::HashTable;
use smol_str::SmolStr;

use crate::annotation::{Annotations, Pos};
use crate::batch::{Grid, StepBatch};
use crate::env::{Batches, Env};
use crate::error::{PromqlError, Result};
use crate::plan::{Aggregate, Aggregation};

mod pick;
mod table;
mod values;

use table::Table;
pub use table::present;

/// The elements that an aggregation gives.
pub async fn aggregate<'a>(env: &'a Env, node: &'a Arc<Aggregate>, grid: Grid) -> Result<Batches<'a>> {
    let param = match &node.param {
        Some(scalar) => crate::eval::scalar(env, scalar, grid).await?,
        None => Vec::new(),
    };
    let out = match node.op {
        Aggregation::Topk | Aggregation::Bottomk | Aggregation::Limitk | Aggregation::LimitRatio => {
            if pick::nothing(node, &param, env)? {
                return Ok(stream::empty().boxed());
            }
            let (all, _held) = env.collect(crate::eval::vector(env, &node.of, grid).await?, grid).await?;
            let node = node.clone();
            let (out, notes) = env.offload(move || pick::pick(&node, &param, all)).await?;
            env.note(notes);
            out
        }
        Aggregation::CountValues => {
            if node.label.is_empty() || has_stray_bytes(&node.label) {
                return Err(PromqlError::execution(format!("invalid label name {}", quote(&node.label))));
            }
            let (all, _held) = env.collect(crate::eval::vector(env, &node.of, grid).await?, grid).await?;
            let node = node.clone();
            env.offload(move || values::count_values(&node, &all)).await?
        }
        Aggregation::Quantile => {
            check_quantile(env, &param, node.param_pos);
            grouped(env, node, grid, param).await?
        }
        _ => grouped(env, node, grid, param).await?,
    };
    env.hold(out.samples())?;
    Ok(stream::once(async { Ok(out) }).boxed())
}

/// Warns of quantiles that are none.
pub fn check_quantile(env: &Env, q: &[f64], pos: Pos) {
    let mut notes = Annotations::default();
    let mut told = |q: f64| {
        let q = dolmen_model::format_float_general(q);
        notes.warn(format!("quantile value should be between 0 and 1, got {q}"), pos);
    };
    if q.iter().any(|q| q.is_nan()) {
        told(f64::NAN);
    }
    let (mut least, mut most) = (0.0, 1.0);
    for q in q {
        if *q < least {
            least = *q;
        }
        if *q > most {
            most = *q;
        }
    }
    if most > 1.0 {
        told(most);
    }
    if least < 0.0 {
        told(least);
    }
    env.note(notes);
}

async fn grouped(env: &Env, node: &Aggregate, grid: Grid, param: Vec<f64>) -> Result<StepBatch> {
    let mut batches = crate::eval::vector(env, &node.of, grid).await?;
    let mut groups = Groups::new(node);
    let mut table = Table::new(node.op, grid.steps, node.of_pos);
    let mut held = env.ctx.budget.reserve(0)?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        env.release(batch.samples());
        let work = env.offload(move || {
            let mut notes = Annotations::default();
            for row in 0..batch.len() {
                let group = groups.of(&batch.heads[row].labels);
                table.add(group, &batch, row, &mut notes);
            }
            (groups, table, notes)
        });
        let notes;
        (groups, table, notes) = work.await?;
        env.note(notes);
        held.resize(table.bytes() as u64)?;
    }
    let mut notes = Annotations::default();
    let out = table.finish(groups.labels, &param, &mut notes);
    env.note(notes);
    Ok(out)
}

/// Which group a label set belongs to.
pub struct Groups {
    without: bool,
    names: Vec<SmolStr>,
    known: HashTable<u32>,
    hasher: foldhash::quality::RandomState,
    keys: Vec<Box<[u8]>>,
    key: Vec<u8>,
    /// The label sets of the groups.
    pub labels: Vec<Labels>,
}

impl Groups {
    /// Groups as an aggregation makes them.
    pub fn new(node: &Aggregate) -> Groups {
        Groups::by(node.without, node.labels.clone())
    }

    /// Groups by labels, or by all but these and the metric's name.
    pub fn by(without: bool, names: Vec<SmolStr>) -> Groups {
        Groups {
            without,
            names,
            known: HashTable::new(),
            hasher: foldhash::quality::RandomState::default(),
            keys: Vec::new(),
            key: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// The group of a label set, a new one where there is none.
    pub fn of(&mut self, labels: &Labels) -> u32 {
        use std::hash::BuildHasher;
        self.key.clear();
        let (without, names) = (self.without, &self.names);
        let kept =
            |name: &str| names.iter().any(|n| n == name) != without && !(without && name == METRIC_NAME);
        for (name, value) in labels.iter().filter(|(name, _)| kept(name)) {
            for text in [name, value] {
                self.key.extend_from_slice(&(text.len() as u32).to_le_bytes());
                self.key.extend_from_slice(text.as_bytes());
            }
        }
        let hash = self.hasher.hash_one(&self.key[..]);
        if let Some(group) = self.known.find(hash, |g| *self.keys[*g as usize] == self.key[..]) {
            return *group;
        }
        let group = self.labels.len() as u32;
        self.labels.push(Labels::from_sorted(labels.iter().filter(|(name, _)| kept(name))));
        self.keys.push(self.key.clone().into_boxed_slice());
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.known.insert_unique(hash, group, |g| hasher.hash_one(&keys[*g as usize][..]));
        group
    }
}
