//! Plan nodes -> batches: which operator answers which node.

use std::collections::HashMap;
use std::sync::Arc;

use dolmen_model::{Labels, ResetHint};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};

use crate::aggregate::present;
use crate::annotation::Annotations;
use crate::batch::{Cell, Grid, StepBatch, ones, set_all};
use crate::binary::drop_names;
use crate::env::{Batches, Env, Need, need};
use crate::error::{PromqlError, Result};
use crate::function::{GroupCall, MapKernel, drop_name};
use crate::instant::{Take, instant};
use crate::plan::{GroupNode, Plan, Range, Root, Scalar, Vector};
use crate::{aggregate, binary, element, info, window};

/// The batches of a vector.
pub fn vector<'a>(env: &'a Env, node: &'a Vector, grid: Grid) -> BoxFuture<'a, Result<Batches<'a>>> {
    Box::pin(async move {
        if grid.steps == 0 {
            return Ok(stream::empty().boxed());
        }
        match node {
            Vector::Select(selector) => instant(env, selector, grid, Take::Value),
            Vector::TimeOf(selector) => {
                let batches = instant(env, selector, grid, Take::Time)?;
                joined(env, batches, grid, selector.has_one_name()).await
            }
            Vector::Range(call) => window::range_call(env, call, grid).await,
            Vector::Map { kernel, of, scalars } => map(env, *kernel, of, scalars, grid).await,
            Vector::Stamp(of) => {
                let one_name = differs_without_name(of);
                let batches = vector(env, of, grid).await?;
                let out = batches.map(move |batch| {
                    let batch = batch?;
                    let before = batch.samples();
                    let out = stamped(batch, grid);
                    env.release(before.saturating_sub(out.samples()));
                    Ok(drop_names(env, out))
                });
                joined(env, out.boxed(), grid, one_name).await
            }
            Vector::Group(node) => group(env, node, grid).await,
            Vector::Negate(of) => {
                let one_name = differs_without_name(of);
                let batches = vector(env, of, grid).await?;
                let out = batches.map(move |batch| Ok(drop_names(env, negated(batch?))));
                joined(env, out.boxed(), grid, one_name).await
            }
            Vector::WithScalar(node) => binary::with_scalar(env, node, grid).await,
            Vector::Binary(node) => binary::binary(env, node, grid).await,
            Vector::Set(node) => binary::set(env, node, grid).await,
            Vector::Aggregate(node) => aggregate::aggregate(env, node, grid).await,
            Vector::Scalar(node) => {
                let values = scalar(env, node, grid).await?;
                env.hold(values.len())?;
                Ok(stream::once(async move { Ok(of_scalar(&values)) }).boxed())
            }
            Vector::Once(of) => {
                let first = Grid::instant(grid.start);
                let (all, _held) = env.collect(vector(env, of, first).await?, first).await?;
                let out = all.spread(grid.steps);
                env.hold(out.samples())?;
                Ok(stream::once(async { Ok(out) }).boxed())
            }
            Vector::Info(node) => info::info(env, node, grid).await,
        }
    })
}

/// The values of a scalar, one a step.
pub fn scalar<'a>(env: &'a Env, node: &'a Scalar, grid: Grid) -> BoxFuture<'a, Result<Vec<f64>>> {
    Box::pin(async move {
        Ok(match node {
            Scalar::Number(v) => vec![*v; grid.steps],
            Scalar::Time => grid.times().map(|t| t as f64 / 1000.0).collect(),
            Scalar::Negate(of) => scalar(env, of, grid).await?.into_iter().map(|v| -v).collect(),
            Scalar::Binary(op, l, r) => {
                let (l, r) = (scalar(env, l, grid).await?, scalar(env, r, grid).await?);
                l.iter().zip(&r).map(|(l, r)| element::scalars(*op, *l, *r)).collect()
            }
            Scalar::Pair(f, l, r) => {
                let (l, r) = (scalar(env, l, grid).await?, scalar(env, r, grid).await?);
                l.iter().zip(&r).map(|(l, r)| f(*l, *r)).collect()
            }
            Scalar::Of(of) => only(vector(env, of, grid).await?, env, grid).await?,
        })
    })
}

/// The only float at each step; NaN where there is none or more than one element.
async fn only(mut batches: Batches<'_>, env: &Env, grid: Grid) -> Result<Vec<f64>> {
    let mut out = vec![f64::NAN; grid.steps];
    let mut floats = vec![0u32; grid.steps];
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        for row in 0..batch.len() {
            for step in ones(batch.valid(row)) {
                floats[step] += 1;
                out[step] = batch.floats(row)[step];
            }
        }
        env.release(batch.samples());
    }
    for (v, n) in out.iter_mut().zip(floats) {
        if n != 1 {
            *v = f64::NAN;
        }
    }
    Ok(out)
}

fn of_scalar(values: &[f64]) -> StepBatch {
    let mut out = StepBatch::new(values.len());
    let row = out.push(Labels::empty(), false);
    let (cells, valid) = out.row_mut(row);
    cells.copy_from_slice(values);
    set_all(valid, values.len());
    out
}

fn stamped(batch: StepBatch, grid: Grid) -> StepBatch {
    let mut out = StepBatch::with_capacity(grid.steps, batch.len());
    for row in 0..batch.len() {
        let to = out.push(batch.heads[row].labels.clone(), batch.heads[row].drop_name);
        for step in present(&batch, row) {
            out.set(to, step, grid.at(step) as f64 / 1000.0);
        }
    }
    out
}

fn negated(mut batch: StepBatch) -> StepBatch {
    for row in 0..batch.len() {
        let (cells, _) = batch.row_mut(row);
        cells.iter_mut().for_each(|v| *v = -*v);
        if batch.hists(row).is_empty() {
            continue;
        }
        for (_, h) in batch.hists_mut(row) {
            let mut value = (**h).clone();
            crate::histogram::mul(&mut value, -1.0);
            value.hint = ResetHint::Gauge;
            *h = value.into();
        }
    }
    batch
}

async fn map<'a>(
    env: &'a Env,
    kernel: MapKernel,
    of: &'a Vector,
    scalars: &'a [Scalar],
    grid: Grid,
) -> Result<Batches<'a>> {
    let mut columns = Vec::with_capacity(scalars.len());
    for s in scalars {
        columns.push(scalar(env, s, grid).await?);
    }
    let one_name = differs_without_name(of);
    let batches = vector(env, of, grid).await?;
    let out = batches.map(move |batch| {
        let batch = batch?;
        env.ctx.check()?;
        let before = batch.samples();
        let out = mapped(kernel, &columns, batch);
        env.release(before.saturating_sub(out.samples()));
        Ok(drop_names(env, out))
    });
    joined(env, out.boxed(), grid, one_name).await
}

fn mapped(kernel: MapKernel, columns: &[Vec<f64>], mut batch: StepBatch) -> StepBatch {
    let mut args = vec![0.0; columns.len()];
    match kernel {
        MapKernel::Float(f) => {
            for row in 0..batch.len() {
                batch.row_mut(row).0.iter_mut().for_each(|v| *v = f(*v));
            }
        }
        MapKernel::Floats(f) => {
            for row in 0..batch.len() {
                let (cells, valid) = batch.row_mut(row);
                for (step, v) in cells.iter_mut().enumerate() {
                    args.iter_mut().zip(columns).for_each(|(arg, column)| *arg = column[step]);
                    match f(*v, &args) {
                        Some(new) => *v = new,
                        None => valid[step / 64] &= !(1 << (step % 64)),
                    }
                }
            }
        }
        MapKernel::Histogram(f) => {
            let mut out = StepBatch::with_capacity(batch.steps(), batch.len());
            for row in 0..batch.len() {
                let to = out.push(batch.heads[row].labels.clone(), batch.heads[row].drop_name);
                for (step, h) in batch.hists(row) {
                    out.set(to, *step as usize, f(h.view()));
                }
            }
            out.drop_blank();
            return out;
        }
    }
    if batch.has_hists() {
        for row in 0..batch.len() {
            batch.hists_mut(row).clear();
        }
    }
    batch.drop_blank();
    batch
}

async fn group<'a>(env: &'a Env, node: &'a Arc<GroupNode>, grid: Grid) -> Result<Batches<'a>> {
    let mut scalars = Vec::with_capacity(node.scalars.len());
    for s in &node.scalars {
        scalars.push(scalar(env, s, grid).await?);
    }
    let (all, _held) = env.collect(vector(env, &node.of, grid).await?, grid).await?;
    let (node, delayed_names) = (node.clone(), env.settings.delayed_names);
    let work = move || {
        let call = GroupCall {
            name: node.function.name,
            grid,
            scalars: &scalars,
            strings: &node.strings,
            args: &node.args,
            vector: node.vector,
            pos: node.pos,
            absent_labels: &node.absent,
            delayed_names,
        };
        let mut notes = Annotations::default();
        let mut out = (node.function.kernel)(&call, all, &mut notes)?;
        out.drop_blank();
        Ok::<_, PromqlError>((merged(out)?, notes))
    };
    let (out, notes) = env.offload(work).await??;
    env.note(notes);
    env.hold(out.samples())?;
    Ok(stream::once(async { Ok(out) }).boxed())
}

/// Whether the series of a vector still differ once their names are dropped.
pub fn differs_without_name(node: &Vector) -> bool {
    match node {
        Vector::Select(s) => s.has_one_name(),
        Vector::TimeOf(_) | Vector::Map { .. } | Vector::Stamp(_) | Vector::Negate(_) | Vector::Scalar(_) => {
            true
        }
        Vector::Range(call) => match &call.range {
            _ if !matches!(call.function.name, "last_over_time" | "first_over_time") => true,
            Range::Select { selector, .. } => selector.has_one_name(),
            Range::Subquery(q) => differs_without_name(&q.inner),
        },
        Vector::WithScalar(w) => w.op.drops_name() || w.bool || differs_without_name(&w.vector),
        Vector::Binary(b) => b.op.drops_name() || b.bool,
        Vector::Once(of) => differs_without_name(of),
        Vector::Aggregate(a) => {
            use crate::plan::Aggregation as A;
            match a.op {
                A::Topk | A::Bottomk | A::Limitk | A::LimitRatio => differs_without_name(&a.of),
                A::CountValues => a.without && a.label != dolmen_model::METRIC_NAME,
                _ => {
                    a.without || !a.labels.iter().any(|l| crate::function::NAME_LABELS.contains(&l.as_str()))
                }
            }
        }
        Vector::Set(s) => s.op != crate::plan::SetOp::Or && differs_without_name(&s.lhs),
        Vector::Group(_) | Vector::Info(_) => false,
    }
}

/// Batches whose names were dropped: series that have become the same are one where they are apart in time.
pub async fn joined<'a>(
    env: &'a Env,
    batches: Batches<'a>,
    grid: Grid,
    one_name: bool,
) -> Result<Batches<'a>> {
    if one_name || env.settings.delayed_names {
        return Ok(batches);
    }
    let (all, _held) = env.collect(batches, grid).await?;
    env.hold(all.samples())?;
    let out = merged(all)?;
    Ok(stream::once(async { Ok(out) }).boxed())
}

/// Rows with the same labels become one; refused where both have a value at a step.
pub fn merged(mut batch: StepBatch) -> Result<StepBatch> {
    let mut first: HashMap<Labels, usize> = HashMap::with_capacity(batch.len());
    let mut order = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        match first.get(&batch.heads[row].labels) {
            None => {
                first.insert(batch.heads[row].labels.clone(), row);
                order.push(row);
            }
            Some(to) => {
                if !batch.merge_rows(*to, row) {
                    return Err(PromqlError::same_labels());
                }
            }
        }
    }
    if order.len() < batch.len() {
        batch.select_rows(&order);
    }
    Ok(batch)
}

/// Drops the names that were to be dropped at the end.
pub fn clean(mut batch: StepBatch) -> Result<StepBatch> {
    for head in &mut batch.heads {
        if head.drop_name {
            head.labels = drop_name(&head.labels);
            head.drop_name = false;
        }
    }
    merged(batch)
}

/// The cells of a row with their steps, for those who write answers.
pub fn cells(batch: &StepBatch, row: usize) -> impl Iterator<Item = (usize, Cell<'_>)> {
    (0..batch.steps()).filter_map(move |step| Some((step, batch.cell(row, step)?)))
}

/// What all selectors of a plan ask of the storage.
pub fn needs(plan: &Plan, grid: Grid, settings: &crate::env::Settings) -> Vec<Need> {
    let mut out = Needs { settings, found: Vec::new() };
    match &plan.root {
        Root::Vector(v) => out.vector(v, grid),
        Root::Scalar(s) => out.scalar(s, grid),
        Root::Range(r) => out.range(r, grid, dolmen_storage::FuncClass::Other),
        Root::String(_) => {}
    }
    out.found
}

struct Needs<'a> {
    settings: &'a crate::env::Settings,
    found: Vec<Need>,
}

impl Needs<'_> {
    fn vector(&mut self, node: &Vector, grid: Grid) {
        match node {
            Vector::Select(s) | Vector::TimeOf(s) => {
                self.found.extend(need(s, grid, self.settings.lookback, self.settings, Default::default()));
            }
            Vector::Range(call) => {
                self.range(&call.range, grid, window::class(call.function.name));
                call.scalars.iter().for_each(|s| self.scalar(s, grid));
            }
            Vector::Map { of, scalars, .. } => {
                self.vector(of, grid);
                scalars.iter().for_each(|s| self.scalar(s, grid));
            }
            Vector::Stamp(of) | Vector::Negate(of) => self.vector(of, grid),
            Vector::Group(g) => {
                self.vector(&g.of, grid);
                g.scalars.iter().for_each(|s| self.scalar(s, grid));
            }
            Vector::WithScalar(w) => {
                self.vector(&w.vector, grid);
                self.scalar(&w.scalar, grid);
            }
            Vector::Binary(b) => {
                self.vector(&b.lhs, grid);
                self.vector(&b.rhs, grid);
            }
            Vector::Set(s) => {
                self.vector(&s.lhs, grid);
                self.vector(&s.rhs, grid);
            }
            Vector::Aggregate(a) => {
                self.vector(&a.of, grid);
                a.param.iter().for_each(|s| self.scalar(s, grid));
            }
            Vector::Scalar(s) => self.scalar(s, grid),
            Vector::Once(of) => {
                let first = if grid.steps == 0 { grid } else { Grid::instant(grid.start) };
                self.vector(of, first);
            }
            Vector::Info(i) => self.vector(&i.of, grid),
        }
    }

    fn scalar(&mut self, node: &Scalar, grid: Grid) {
        match node {
            Scalar::Number(_) | Scalar::Time => {}
            Scalar::Negate(of) => self.scalar(of, grid),
            Scalar::Binary(_, l, r) | Scalar::Pair(_, l, r) => {
                self.scalar(l, grid);
                self.scalar(r, grid);
            }
            Scalar::Of(of) => self.vector(of, grid),
        }
    }

    fn range(&mut self, range: &Range, grid: Grid, func: dolmen_storage::FuncClass) {
        match range {
            Range::Select { selector, range } => {
                self.found.extend(need(selector, grid, *range, self.settings, func));
            }
            Range::Subquery(q) => self.vector(&q.inner, window::subquery_grid(q, grid)),
        }
    }
}
