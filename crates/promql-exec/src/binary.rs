//! Operators between vectors, and vectors and scalars.
//!
//! Both sides are held. Elements match by signature; whether a match is unique is asked per step, with bitmaps:
//! series that are never there at the same time do not stand in each other's way.

use std::collections::HashMap;
use std::sync::Arc;

use dolmen_model::{Labels, METRIC_NAME};
use futures::stream::{self, StreamExt};

use crate::aggregate::Groups;
use crate::annotation::Annotations;
use crate::batch::{Cell, Grid, StepBatch, ones};
use crate::element::{Operand, Outcome, Remark, Value, apply, arithmetic, holds};
use crate::env::{Batches, Env};
use crate::error::{PromqlError, Result};
use crate::function::{NAME_LABELS, drop_name};
use crate::plan::{Binary, Card, Matching, Op, SetNode, SetOp, WithScalar};

/// Bits of the steps at which a row has a value.
fn presence(batch: &StepBatch, row: usize) -> Vec<u64> {
    let mut bits = batch.valid(row).to_vec();
    for (step, _) in batch.hists(row) {
        bits[*step as usize / 64] |= 1 << (step % 64);
    }
    bits
}

fn union(into: &mut [u64], other: &[u64]) {
    into.iter_mut().zip(other).for_each(|(a, b)| *a |= b);
}

fn first_common(a: &[u64], b: &[u64], c: &[u64]) -> Option<usize> {
    let common: Vec<u64> = a.iter().zip(b).zip(c).map(|((a, b), c)| a & b & c).collect();
    ones(&common).next()
}

fn operand(cell: Cell<'_>) -> Operand<'_> {
    match cell {
        Cell::Float(v) => Operand::Float(v),
        Cell::Histogram(h) => Operand::Histogram(h),
    }
}

/// The elements of an operation between a vector and a scalar.
pub async fn with_scalar<'a>(env: &'a Env, node: &'a WithScalar, grid: Grid) -> Result<Batches<'a>> {
    let scalar = crate::eval::scalar(env, &node.scalar, grid).await?;
    let batches = crate::eval::vector(env, &node.vector, grid).await?;
    let drops = node.op.drops_name() || node.bool;
    let one_name = !drops || crate::eval::differs_without_name(&node.vector);
    let out = batches.map(move |batch| {
        let batch = batch?;
        env.ctx.check()?;
        let before = batch.samples();
        let batch = scalar_batch(env, node, &scalar, batch);
        env.release(before.saturating_sub(batch.samples()));
        Ok(if drops { drop_names(env, batch) } else { batch })
    });
    crate::eval::joined(env, out.boxed(), grid, one_name).await
}

/// Drops the names of a batch, now or later.
pub fn drop_names(env: &Env, mut batch: StepBatch) -> StepBatch {
    for head in &mut batch.heads {
        if env.settings.delayed_names {
            head.drop_name = true;
        } else {
            head.labels = drop_name(&head.labels);
        }
    }
    batch
}

fn scalar_batch(env: &Env, node: &WithScalar, scalar: &[f64], mut batch: StepBatch) -> StepBatch {
    let float_only = !batch.has_hists() && !matches!(node.op, Op::TrimLower | Op::TrimUpper);
    if !float_only {
        let (out, notes) = scalar_cells(node, scalar, &batch);
        env.note(notes);
        return out;
    }
    for row in 0..batch.len() {
        let (cells, valid) = batch.row_mut(row);
        if !node.op.compares() {
            let (op, swapped) = (node.op, node.swapped);
            for (v, s) in cells.iter_mut().zip(scalar) {
                *v = if swapped { arithmetic(op, *s, *v) } else { arithmetic(op, *v, *s) };
            }
            continue;
        }
        for (i, (v, s)) in cells.iter_mut().zip(scalar).enumerate() {
            let passes = if node.swapped { holds(node.op, *s, *v) } else { holds(node.op, *v, *s) };
            if node.bool {
                *v = f64::from(u8::from(passes));
            } else if !passes {
                valid[i / 64] &= !(1 << (i % 64));
            }
        }
    }
    batch.drop_blank();
    batch
}

fn scalar_cells(node: &WithScalar, scalar: &[f64], batch: &StepBatch) -> (StepBatch, Annotations) {
    let mut out = StepBatch::with_capacity(batch.steps(), batch.len());
    let mut remarks: Vec<Option<Remark>> = (0..batch.steps()).map(|_| None).collect();
    for row in 0..batch.len() {
        let to = out.push(batch.heads[row].labels.clone(), batch.heads[row].drop_name);
        for (step, s) in scalar.iter().enumerate() {
            let Some(cell) = batch.cell(row, step) else { continue };
            let (v, s) = (operand(cell), Operand::Float(*s));
            let (l, r) = if node.swapped { (s, v) } else { (v, s) };
            let mut remark = None;
            let outcome = apply(node.op, l, r, &mut remark);
            if remark.is_some() {
                remarks[step] = remark;
            }
            match outcome {
                Outcome::Unfit => {}
                Outcome::Filtered if node.bool => out.set(to, step, 0.0),
                Outcome::Filtered => {}
                Outcome::Value(_) if node.bool => out.set(to, step, 1.0),
                // A comparison gives the element, whichever side it stands on.
                Outcome::Value(_) if node.op.compares() => put_operand(&mut out, to, step, v),
                Outcome::Value(value) => put(&mut out, to, step, value),
            }
        }
    }
    out.drop_blank();
    let mut notes = Annotations::default();
    remarks.iter().flatten().for_each(|r| r.tell(node.pos, &mut notes));
    (out, notes)
}

fn put(out: &mut StepBatch, row: usize, step: usize, value: Value) {
    match value {
        Value::Float(v) => out.set(row, step, v),
        Value::Histogram(h) => out.set_hist(row, step, h),
    }
}

fn put_operand(out: &mut StepBatch, row: usize, step: usize, value: Operand<'_>) {
    match value {
        Operand::Float(v) => out.set(row, step, v),
        Operand::Histogram(h) => out.set_hist(row, step, h.clone()),
    }
}

fn signatures(matching: &Matching) -> Groups {
    Groups::by(!matching.on, matching.labels.clone())
}

/// The elements of a set operation.
pub async fn set<'a>(env: &'a Env, node: &'a Arc<SetNode>, grid: Grid) -> Result<Batches<'a>> {
    let [(lhs, _held_l), (rhs, _held_r)] = env.both(&node.lhs, &node.rhs, grid).await?;
    let node = node.clone();
    let out = env.offload(move || combined(&node, lhs, rhs)).await??;
    env.hold(out.samples())?;
    Ok(stream::once(async { Ok(out) }).boxed())
}

fn combined(node: &SetNode, lhs: StepBatch, rhs: StepBatch) -> Result<StepBatch> {
    let mut groups = signatures(&node.matching);
    let words = lhs.words().max(rhs.words());
    let of = |batch: &StepBatch, groups: &mut Groups| -> Vec<usize> {
        batch.heads.iter().map(|h| groups.of(&h.labels) as usize).collect()
    };
    let (left, right) = (of(&lhs, &mut groups), of(&rhs, &mut groups));
    let n = groups.labels.len();
    let there = |batch: &StepBatch, group: &[usize]| {
        let mut bits = vec![vec![0u64; words]; n];
        for (row, group) in group.iter().enumerate() {
            union(&mut bits[*group], &presence(batch, row));
        }
        bits
    };
    let mut out = match node.op {
        SetOp::And => masked(lhs, &left, &there(&rhs, &right), true),
        SetOp::Unless => masked(lhs, &left, &there(&rhs, &right), false),
        SetOp::Or => {
            let bits = there(&lhs, &left);
            let mut out = lhs;
            out.append(masked(rhs, &right, &bits, false));
            out
        }
    };
    out.drop_blank();
    if node.op == SetOp::Or { crate::eval::merged(out) } else { Ok(out) }
}

/// Keeps the cells whose bit in their group is as wanted.
fn masked(mut batch: StepBatch, group: &[usize], bits: &[Vec<u64>], wanted: bool) -> StepBatch {
    for row in 0..batch.len() {
        let bits = &bits[group[row]];
        let (_, valid) = batch.row_mut(row);
        for (word, mask) in valid.iter_mut().zip(bits) {
            *word &= if wanted { *mask } else { !mask };
        }
        if !batch.hists(row).is_empty() {
            batch.hists_mut(row).retain(|(step, _)| {
                let step = *step as usize;
                (bits[step / 64] >> (step % 64) & 1 == 1) == wanted
            });
        }
    }
    batch
}

/// The elements of an operation between two vectors.
pub async fn binary<'a>(env: &'a Env, node: &'a Arc<Binary>, grid: Grid) -> Result<Batches<'a>> {
    let [(lhs, _held_l), (rhs, _held_r)] = env.both(&node.lhs, &node.rhs, grid).await?;
    let (node, delayed_names) = (node.clone(), env.settings.delayed_names);
    let (out, notes) = env.offload(move || join(&node, delayed_names, lhs, rhs, grid.steps)).await??;
    env.note(notes);
    env.hold(out.samples())?;
    Ok(stream::once(async { Ok(out) }).boxed())
}

fn join(
    node: &Binary,
    delayed_names: bool,
    lhs: StepBatch,
    rhs: StepBatch,
    steps: usize,
) -> Result<(StepBatch, Annotations)> {
    let mut join = Join::new(node, delayed_names, lhs, rhs, steps);
    join.run();
    if let Some((_, error)) = join.failure.take() {
        return Err(error);
    }
    let mut notes = Annotations::default();
    join.remarks.iter().flatten().for_each(|r| r.1.tell(node.pos, &mut notes));
    let mut out = join.out;
    out.drop_blank();
    Ok((out, notes))
}

/// When an error would have come first: step, phase within the step, ordinal.
type When = (usize, u8, usize);

struct Join<'a> {
    node: &'a Binary,
    delayed_names: bool,
    steps: usize,
    many: StepBatch,
    one: StepBatch,
    many_sig: Vec<usize>,
    one_sig: Vec<usize>,
    signatures: usize,
    out: StepBatch,
    rows: HashMap<Labels, usize>,
    /// Steps at which a signature has given an output row, whether or not a comparison let it pass.
    claimed: HashMap<(usize, usize), Vec<u64>>,
    /// Steps at which a signature has matched.
    matched: Vec<Vec<u64>>,
    failure: Option<(When, PromqlError)>,
    remarks: Vec<Option<(usize, Remark)>>,
}

impl<'a> Join<'a> {
    fn new(node: &'a Binary, delayed_names: bool, lhs: StepBatch, rhs: StepBatch, steps: usize) -> Join<'a> {
        let (many, one) = if node.card == Card::OneToMany { (rhs, lhs) } else { (lhs, rhs) };
        let mut groups = signatures(&node.matching);
        let many_sig = many.heads.iter().map(|h| groups.of(&h.labels) as usize).collect();
        let one_sig = one.heads.iter().map(|h| groups.of(&h.labels) as usize).collect();
        let signatures = groups.labels.len();
        Join {
            node,
            delayed_names,
            steps,
            out: StepBatch::with_capacity(steps, many.len()),
            many,
            one,
            many_sig,
            one_sig,
            signatures,
            rows: HashMap::new(),
            claimed: HashMap::new(),
            matched: vec![vec![0; steps.div_ceil(64)]; signatures],
            failure: None,
            remarks: (0..steps).map(|_| None).collect(),
        }
    }

    fn fail(&mut self, when: When, error: impl FnOnce() -> PromqlError) {
        if self.failure.as_ref().is_none_or(|(before, _)| when < *before) {
            self.failure = Some((when, error()));
        }
    }

    /// Steps at which anything can match: both sides have elements, or fill values stand for one.
    fn live(&self) -> Vec<u64> {
        let words = self.steps.div_ceil(64);
        let any = |batch: &StepBatch| {
            let mut bits = vec![0; words];
            (0..batch.len()).for_each(|row| union(&mut bits, &presence(batch, row)));
            bits
        };
        let (a, b) = (any(&self.many), any(&self.one));
        let fills = self.node.fill_left.is_some() || self.node.fill_right.is_some();
        a.iter().zip(&b).map(|(a, b)| if fills { a | b } else { a & b }).collect()
    }

    fn run(&mut self) {
        let live = self.live();
        let one_bits: Vec<Vec<u64>> = (0..self.one.len()).map(|row| presence(&self.one, row)).collect();
        self.refuse_duplicates(&live, &one_bits);
        let mut ones_of: Vec<Vec<usize>> = vec![Vec::new(); self.signatures];
        for (row, sig) in self.one_sig.iter().enumerate() {
            ones_of[*sig].push(row);
        }
        let many_fill = self.fill_of_one();
        for row in 0..self.many.len() {
            let bits = presence(&self.many, row);
            let sig = self.many_sig[row];
            let mut left = bits.clone();
            for &one in &ones_of[sig] {
                let both: Vec<u64> = bits.iter().zip(&one_bits[one]).map(|(a, b)| a & b).collect();
                left.iter_mut().zip(&one_bits[one]).for_each(|(a, b)| *a &= !b);
                self.pair(row, Some(row), Some(one), sig, &both, 0.0);
            }
            if let Some(fill) = many_fill {
                self.pair(row, Some(row), None, sig, &left, fill);
            }
        }
        let Some(fill) = self.fill_of_many() else { return };
        for (row, bits) in one_bits.iter().enumerate() {
            let sig = self.one_sig[row];
            let alone: Vec<u64> = bits.iter().zip(&self.matched[sig]).map(|(a, b)| a & !b).collect();
            self.pair(self.many.len() + row, None, Some(row), sig, &alone, fill);
        }
    }

    fn fill_of_one(&self) -> Option<f64> {
        if self.node.card == Card::OneToMany { self.node.fill_left } else { self.node.fill_right }
    }

    fn fill_of_many(&self) -> Option<f64> {
        if self.node.card == Card::OneToMany { self.node.fill_right } else { self.node.fill_left }
    }

    /// Elements of the one side must differ in their signatures.
    fn refuse_duplicates(&mut self, live: &[u64], bits: &[Vec<u64>]) {
        let mut seen: Vec<Vec<usize>> = vec![Vec::new(); self.signatures];
        for row in 0..self.one.len() {
            let sig = self.one_sig[row];
            for before in seen[sig].clone() {
                let Some(step) = first_common(&bits[row], &bits[before], live) else { continue };
                let side = if self.node.card == Card::OneToMany { "left" } else { "right" };
                let labels = self.match_labels(&self.one.heads[row].labels);
                let mut pair =
                    [self.one.heads[row].labels.to_string(), self.one.heads[before].labels.to_string()];
                pair.sort();
                self.fail((step, 0, row), || {
                    PromqlError::execution(format!(
                        "found duplicate series for the match group {labels} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                        pair[0], pair[1]
                    ))
                });
            }
            seen[sig].push(row);
        }
    }

    fn match_labels(&self, labels: &Labels) -> Labels {
        let m = &self.node.matching;
        let listed = |name: &str| m.labels.iter().any(|l| l == name);
        Labels::from_sorted(labels.iter().filter(|(n, _)| listed(n) == m.on && (m.on || *n != METRIC_NAME)))
    }

    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let node = self.node;
        let drops = node.op.drops_name() || (node.bool && !self.delayed_names);
        let mut builder = many.edit();
        if drops {
            for name in NAME_LABELS {
                builder.remove(name);
            }
        }
        if node.card == Card::OneToOne {
            let listed = |name: &str| node.matching.labels.iter().any(|l| l == name);
            builder.retain(|name, _| listed(name) == node.matching.on);
        }
        for name in &node.include {
            builder.set(name, one.get(name).unwrap_or_default());
        }
        builder.build()
    }

    /// One element of each side, or a fill value for one of them, at the steps that are set.
    fn pair(
        &mut self,
        ordinal: usize,
        many: Option<usize>,
        one: Option<usize>,
        sig: usize,
        bits: &[u64],
        fill: f64,
    ) {
        if bits.iter().all(|w| *w == 0) {
            return;
        }
        let labels = self.labels_of(many, one);
        let row = match self.rows.get(&labels) {
            Some(row) => *row,
            None => {
                let row = self.out.push(labels.clone(), self.node.bool && self.delayed_names);
                self.rows.insert(labels, row);
                row
            }
        };
        let words = bits.len();
        let mut claims = self.claimed.remove(&(row, sig)).unwrap_or_else(|| vec![0; words]);
        let mut matched = std::mem::take(&mut self.matched[sig]);
        for step in ones(bits) {
            let (l, r) = self.operands(many, one, step, fill);
            let mut remark = None;
            // The borrow of the operands ends here.
            let outcome = apply(self.node.op, l, r, &mut remark);
            if let Some(remark) = remark
                && self.remarks[step].as_ref().is_none_or(|(before, _)| ordinal >= *before)
            {
                self.remarks[step] = Some((ordinal, remark));
            }
            if matches!(outcome, Outcome::Unfit) {
                continue;
            }
            let bit = 1u64 << (step % 64);
            if self.node.card == Card::OneToOne && matched[step / 64] & bit != 0 {
                self.fail((step, 1, ordinal), || {
                    PromqlError::execution(
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                    )
                });
            } else if self.node.card != Card::OneToOne && claims[step / 64] & bit != 0 {
                self.fail((step, 1, ordinal), || {
                    PromqlError::execution(
                        "multiple matches for labels: grouping labels must ensure unique matches",
                    )
                });
            }
            matched[step / 64] |= bit;
            claims[step / 64] |= bit;
            let value = match (outcome, self.node.bool) {
                (Outcome::Filtered, true) => Value::Float(0.0),
                (Outcome::Value(_), true) => Value::Float(1.0),
                (Outcome::Value(v), false) => v,
                _ => continue,
            };
            if self.out.cell(row, step).is_some() {
                self.fail((step, 2, ordinal), PromqlError::same_labels);
                continue;
            }
            match value {
                Value::Float(v) => self.out.set(row, step, v),
                Value::Histogram(h) => {
                    let cells = self.out.hists_mut(row);
                    let at = cells.partition_point(|(s, _)| (*s as usize) < step);
                    cells.insert(at, (step as u32, h));
                }
            }
        }
        self.claimed.insert((row, sig), claims);
        self.matched[sig] = matched;
    }

    fn labels_of(&self, many: Option<usize>, one: Option<usize>) -> Labels {
        let of = |batch: &StepBatch, row: usize| batch.heads[row].labels.clone();
        match (many, one) {
            (Some(many), Some(one)) => self.result_labels(&of(&self.many, many), &of(&self.one, one)),
            (Some(many), None) => {
                let many = of(&self.many, many);
                let one = self.match_labels(&many);
                self.result_labels(&many, &one)
            }
            (None, Some(one)) => {
                let one = of(&self.one, one);
                self.result_labels(&self.match_labels(&one), &one)
            }
            (None, None) => Labels::empty(),
        }
    }

    fn operands<'s>(
        &'s self,
        many: Option<usize>,
        one: Option<usize>,
        step: usize,
        fill: f64,
    ) -> (Operand<'s>, Operand<'s>) {
        let of = |batch: &'s StepBatch, row: Option<usize>| match row.and_then(|row| batch.cell(row, step)) {
            Some(cell) => operand(cell),
            None => Operand::Float(fill),
        };
        let (many, one) = (of(&self.many, many), of(&self.one, one));
        if self.node.card == Card::OneToMany { (one, many) } else { (many, one) }
    }
}
