//! Functions of windows: for each series the windows of all steps, one behind the other.

use std::sync::Arc;

use dolmen_model::{Columns, HistColumns, Labels, METRIC_NAME, ResetHint};
use dolmen_storage::FuncClass;
use futures::stream::{self, StreamExt};

use crate::annotation::Pos;
use crate::batch::{Cell, Grid, StepBatch, ones};
use crate::env::{Batches, Env, Unique, need};
use crate::error::Result;
use crate::function::extended::Reach;
use crate::function::kernel::{Hists, Value, Window};
use crate::function::{RangeFn, annotate, drop_name};
use crate::plan::{Range, RangeCall, Subquery};
use crate::scan::{Job, Work, drop_stale, run_series, scan};

mod slide;
#[cfg(test)]
mod tests;

/// Where the window of a step ends.
#[derive(Clone, Copy, Debug)]
struct Reference {
    at: Option<i64>,
    offset: i64,
}

impl Reference {
    fn time(self, step: i64) -> i64 {
        self.at.unwrap_or(step) - self.offset
    }
}

struct WindowJob {
    function: RangeFn,
    grid: Grid,
    reference: Reference,
    range: i64,
    reach: Reach,
    stats: bool,
    lookback: i64,
    /// A list a scalar argument, a value a step.
    args: Vec<Vec<f64>>,
    pos: Pos,
    keeps_name: bool,
    delayed_names: bool,
    /// Whether a name that does not look like a counter's is told.
    wants_counter: bool,
    type_labels: bool,
}

impl WindowJob {
    fn new(env: &Env, call: &RangeCall, grid: Grid, args: Vec<Vec<f64>>) -> WindowJob {
        let (reference, range, reach) = match &call.range {
            Range::Select { selector, range } => {
                (Reference { at: selector.at, offset: selector.offset }, *range, selector.reach)
            }
            Range::Subquery(q) => (Reference { at: q.at, offset: q.offset }, q.range, Reach::Plain),
        };
        let name = call.function.name;
        let stats = matches!(&call.range, Range::Select { selector, .. } if selector.stats);
        WindowJob {
            function: call.function,
            grid,
            reference,
            range,
            reach,
            stats,
            lookback: env.settings.lookback,
            args,
            pos: call.pos,
            keeps_name: matches!(name, "last_over_time" | "first_over_time"),
            delayed_names: env.settings.delayed_names,
            wants_counter: matches!(name, "rate" | "increase"),
            type_labels: env.settings.type_labels,
        }
    }
}

/// The class that a function belongs to for deduplication.
pub fn class(function: &str) -> FuncClass {
    match function {
        "rate" | "increase" | "irate" | "resets" => FuncClass::Counter,
        _ => FuncClass::Other,
    }
}

/// The elements that a function of windows gives.
pub async fn range_call<'a>(env: &'a Env, call: &'a RangeCall, grid: Grid) -> Result<Batches<'a>> {
    let mut args = Vec::with_capacity(call.scalars.len());
    for scalar in &call.scalars {
        args.push(crate::eval::scalar(env, scalar, grid).await?);
    }
    let job = WindowJob::new(env, call, grid, args);
    let (batches, named) = match &call.range {
        Range::Select { selector, range } => {
            let class = class(call.function.name);
            let Some(need) = need(selector, grid, *range, &env.settings, class) else {
                return Ok(stream::empty().boxed());
            };
            let one_name = selector.has_one_name();
            (scan(env, selector.slot, class, need.select.range, Arc::new(job))?, one_name)
        }
        Range::Subquery(q) => (over_subquery(env, q, grid, job).await?, false),
    };
    if let Some(labels) = &call.absent {
        return absent(env, batches, labels.clone(), grid).await;
    }
    if env.settings.delayed_names || named {
        return Ok(batches);
    }
    // Series that differ in their names only: refused whole, even where they are apart in time.
    let mut unique = Unique::default();
    Ok(batches
        .map(move |batch| {
            let batch = batch?;
            unique.check(&batch)?;
            Ok(batch)
        })
        .boxed())
}

/// The grid of a subquery below a grid.
pub fn subquery_grid(q: &Subquery, grid: Grid) -> Grid {
    if grid.steps == 0 {
        return Grid::range(0, -1, q.step);
    }
    let (first, last) = (q.time(grid.start), q.time(grid.last()));
    let before = first - q.range;
    let mut start = q.step * (before / q.step);
    if start <= before {
        start += q.step;
    }
    Grid::range(start, last, q.step)
}

/// The samples that a subquery gives of one row of its inner evaluation.
pub fn row_samples(batch: &StepBatch, row: usize, grid: Grid, out: &mut Columns) {
    out.clear();
    let floats = batch.floats(row);
    for step in ones(batch.valid(row)) {
        out.t.push(grid.at(step));
        out.v.push(floats[step]);
    }
    for (step, h) in batch.hists(row) {
        out.h.push(grid.at(*step as usize), h);
        // Samples between these were not seen.
        if let Some(hint) = out.h.hint.last_mut().filter(|h| **h != ResetHint::Gauge) {
            *hint = ResetHint::Unknown;
        }
    }
}

async fn over_subquery<'a>(env: &'a Env, q: &'a Subquery, grid: Grid, job: WindowJob) -> Result<Batches<'a>> {
    let inner_grid = subquery_grid(q, grid);
    let inner = crate::eval::vector(env, &q.inner, inner_grid).await?;
    let job = Arc::new(job);
    let batches = inner.then(move |batch| {
        let job = job.clone();
        async move {
            let batch = batch?;
            env.release(batch.samples());
            let work = env.offload(move || {
                let mut out = StepBatch::with_capacity(job.grid.steps, batch.len());
                let (mut samples, mut work) = (Columns::default(), Work::default());
                for row in 0..batch.len() {
                    row_samples(&batch, row, inner_grid, &mut samples);
                    if samples.is_empty() {
                        continue;
                    }
                    let head = &batch.heads[row];
                    let rows = out.len();
                    run_series(&*job, head.labels.clone(), &mut samples, &mut out, &mut work)?;
                    if out.len() > rows {
                        out.heads[rows].drop_name |= head.drop_name;
                    }
                }
                Ok::<_, crate::error::PromqlError>((out, work.notes))
            });
            let (out, notes) = work.await??;
            env.note(notes);
            env.hold(out.samples())?;
            Ok(out)
        }
    });
    Ok(batches.boxed())
}

/// 1 at the steps where no series has a window.
async fn absent<'a>(
    env: &'a Env,
    mut batches: Batches<'a>,
    labels: Labels,
    grid: Grid,
) -> Result<Batches<'a>> {
    let mut found = vec![false; grid.steps];
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        for row in 0..batch.len() {
            for step in ones(batch.valid(row)) {
                found[step] = true;
            }
        }
        env.release(batch.samples());
    }
    let mut out = StepBatch::new(grid.steps);
    let row = out.push(labels, env.settings.delayed_names);
    for (step, _) in found.iter().enumerate().filter(|(_, found)| !**found) {
        out.set(row, step, 1.0);
    }
    out.drop_blank();
    env.hold(out.samples())?;
    Ok(stream::once(async { Ok(out) }).boxed())
}

impl Job for WindowJob {
    fn steps(&self) -> usize {
        self.grid.steps
    }

    fn stats(&self) -> bool {
        self.stats
    }

    fn labels(&self, labels: Labels) -> (Labels, bool) {
        match (self.keeps_name, self.delayed_names) {
            (true, _) => (labels, false),
            (false, true) => (labels, true),
            (false, false) => (drop_name(&labels), false),
        }
    }

    fn run(
        &self,
        labels: &Labels,
        samples: &mut Columns,
        out: &mut StepBatch,
        work: &mut Work,
    ) -> Result<()> {
        drop_stale(samples);
        if samples.is_empty() {
            return Ok(());
        }
        let row = out.len() - 1;
        match self.function.slide {
            Some(how) if samples.h.is_empty() && self.reach == Reach::Plain => {
                let (cells, valid) = out.row_mut(row);
                slide::slide(how, self, samples, cells, valid, work);
            }
            _ => self.each(labels, samples, out, work)?,
        }
        if self.wants_counter && out.valid(row).iter().any(|w| *w != 0) {
            self.doubt(labels, work);
        }
        Ok(())
    }
}

impl WindowJob {
    /// Window by window, by the plain kernel.
    fn each(&self, labels: &Labels, samples: &Columns, out: &mut StepBatch, work: &mut Work) -> Result<()> {
        let row = out.len() - 1;
        let name = labels.get(METRIC_NAME).unwrap_or_default();
        let (mut floats, mut hists) = (Edges::default(), Edges::default());
        let mut args = vec![0.0; self.args.len()];
        let (before, after) = match self.reach {
            Reach::Plain => (0, 0),
            Reach::Anchored => (self.lookback, 0),
            Reach::Smoothed => (self.lookback, self.lookback),
        };
        for (i, step) in self.grid.times().enumerate() {
            let end = self.reference.time(step);
            let start = end - self.range;
            let (a, b) = floats.slide(&samples.t, start - before, end + after);
            let (c, d) = hists.slide(&samples.h.t, start - before, end + after);
            if a == b && c == d {
                continue;
            }
            for (arg, column) in args.iter_mut().zip(&self.args) {
                *arg = column[i];
            }
            let window = Window {
                t: &samples.t[a..b],
                v: &samples.v[a..b],
                h: Hists::new(&samples.h, c, d),
                start,
                end,
                at: step,
                seconds: self.range as f64 / 1000.0,
                reach: self.reach,
            };
            let (notes, pos) = (&mut work.notes, self.pos);
            let mut tell = |note| annotate(note, name, pos, notes);
            match (self.function.kernel)(&window, &args, &mut work.scratch, &mut tell)? {
                Value::None => {}
                Value::Float(v) => out.set(row, i, v),
                Value::Histogram(h) => out.set_hist(row, i, Arc::from(h)),
            }
        }
        Ok(())
    }

    /// Tells of a metric that may be no counter.
    fn doubt(&self, labels: &Labels, work: &mut Work) {
        let Some(name) = labels.get(METRIC_NAME) else { return };
        if self.type_labels {
            let kind = labels.get("__type__").unwrap_or_default();
            if kind != "counter" && kind != "histogram" {
                work.notes.info(
                    format!(
                        "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {kind:?}: {name:?}"
                    ),
                    self.pos,
                );
            }
        } else if !crate::scan::counts(name) {
            work.notes.info(
                format!(
                    "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
                ),
                self.pos,
            );
        }
    }
}

/// The places where a window begins and ends; both only move on.
#[derive(Default)]
pub struct Edges {
    from: usize,
    to: usize,
}

impl Edges {
    /// Moves to the samples in `(from, to]`.
    pub fn slide(&mut self, times: &[i64], from: i64, to: i64) -> (usize, usize) {
        while self.from < times.len() && times[self.from] <= from {
            self.from += 1;
        }
        self.to = self.to.max(self.from);
        while self.to < times.len() && times[self.to] <= to {
            self.to += 1;
        }
        (self.from, self.to)
    }
}

/// The samples of one window, for queries that ask for nothing else.
pub struct Samples {
    /// The series.
    pub labels: Labels,
    /// Its samples.
    pub samples: Columns,
}

/// Collects the samples of the windows of one step.
pub async fn samples(env: &Env, range: &Range, t: i64) -> Result<Vec<Samples>> {
    let grid = Grid::instant(t);
    let mut out = Vec::new();
    match range {
        Range::Select { selector, range } => {
            let Some(need) = need(selector, grid, *range, &env.settings, FuncClass::Other) else {
                return Ok(out);
            };
            let found = Arc::new(parking_lot::Mutex::new(Vec::new()));
            let (start, end) = (selector.time(t) - range, selector.time(t));
            let job = RawJob {
                found: found.clone(),
                start,
                end,
                reach: selector.reach,
                lookback: env.settings.lookback,
            };
            let mut batches = scan(env, selector.slot, FuncClass::Other, need.select.range, Arc::new(job))?;
            while let Some(batch) = batches.next().await {
                batch?;
            }
            drop(batches);
            out.append(&mut found.lock());
        }
        Range::Subquery(q) => {
            let inner_grid = subquery_grid(q, grid);
            let (batch, _held) =
                env.collect(crate::eval::vector(env, &q.inner, inner_grid).await?, inner_grid).await?;
            for row in 0..batch.len() {
                let mut samples = Columns::default();
                for step in ones(batch.valid(row)) {
                    samples.t.push(inner_grid.at(step));
                    samples.v.push(batch.floats(row)[step]);
                }
                for (step, h) in batch.hists(row) {
                    samples.h.push(inner_grid.at(*step as usize), h);
                }
                let head = &batch.heads[row];
                let labels = if head.drop_name { drop_name(&head.labels) } else { head.labels.clone() };
                out.push(Samples { labels, samples });
            }
        }
    }
    Ok(out)
}

/// Keeps the samples themselves.
struct RawJob {
    found: Arc<parking_lot::Mutex<Vec<Samples>>>,
    start: i64,
    end: i64,
    reach: Reach,
    lookback: i64,
}

impl Job for RawJob {
    fn steps(&self) -> usize {
        1
    }
    fn labels(&self, labels: Labels) -> (Labels, bool) {
        (labels, false)
    }
    fn run(&self, labels: &Labels, samples: &mut Columns, _: &mut StepBatch, _: &mut Work) -> Result<()> {
        drop_stale(samples);
        let mut kept = Columns::default();
        let (before, after) = match self.reach {
            Reach::Plain => (0, 0),
            Reach::Anchored => (self.lookback, 0),
            Reach::Smoothed => (self.lookback, self.lookback),
        };
        let (a, b) = crate::instant::bounds(&samples.t, self.start - before, self.end + after);
        kept.t.extend_from_slice(&samples.t[a..b]);
        kept.v.extend_from_slice(&samples.v[a..b]);
        let (c, d) = crate::instant::bounds(&samples.h.t, self.start - before, self.end + after);
        for i in c..d {
            kept.h.push_from(&samples.h, i, samples.h.hint[i]);
        }
        if self.reach != Reach::Plain {
            self.cut_to_edges(&mut kept)?;
        }
        if !kept.is_empty() {
            self.found.lock().push(Samples { labels: labels.clone(), samples: kept });
        }
        Ok(())
    }
}

impl RawJob {
    fn cut_to_edges(&self, kept: &mut Columns) -> Result<()> {
        let smoothed = self.reach == Reach::Smoothed;
        let word = if smoothed { "smoothed" } else { "anchored" };
        if !kept.h.is_empty() {
            return Err(crate::error::PromqlError::execution(format!(
                "{word} modifier is not supported with histograms"
            )));
        }
        let (t, v) =
            crate::function::extended::with_edges(&kept.t, &kept.v, (self.start, self.end), smoothed);
        (kept.t, kept.v, kept.h) = (t, v, HistColumns::default());
        Ok(())
    }
}

/// A cell's value as a sample.
pub fn is_float(cell: &Cell<'_>) -> bool {
    matches!(cell, Cell::Float(_))
}
