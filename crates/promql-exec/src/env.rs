//! What all operators of one query share.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dolmen_ctx::{Ctx, Reservation, offload};
use dolmen_model::{Completeness, Labels, TimeRange};
use dolmen_storage::{FrameStream, FuncClass, Order, Queryable, Select};
use futures::stream::{BoxStream, StreamExt};
use parking_lot::Mutex;
use smol_str::SmolStr;

use crate::annotation::Annotations;
use crate::batch::{Grid, StepBatch};
use crate::error::{PromqlError, Result};
use crate::plan::{Selector, Vector};
use crate::scan::Broken;

/// Batches of an operator's answer.
pub type Batches<'a> = BoxStream<'a, Result<StepBatch>>;

/// How a query is evaluated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How far an instant selector looks back, in milliseconds.
    pub lookback: i64,
    /// Most samples held at once.
    pub max_samples: usize,
    /// Whether names are dropped at the end of the query only.
    pub delayed_names: bool,
    /// Whether `__type__` tells counters from other metrics.
    pub type_labels: bool,
    /// Replica labels that are left out.
    pub without: Arc<[SmolStr]>,
}

/// What all operators of one query share.
pub struct Env {
    /// What the call carries.
    pub ctx: Ctx,
    /// How the query is evaluated.
    pub settings: Settings,
    /// Where series come from.
    pub source: Arc<dyn Queryable>,
    streams: Arc<[Mutex<Option<FrameStream>>]>,
    samples: Arc<AtomicUsize>,
    notes: Mutex<Annotations>,
    completeness: Arc<Mutex<Completeness>>,
    broken: Arc<Mutex<Broken>>,
}

/// What one selector asks of the storage.
#[derive(Clone, Debug)]
pub struct Need {
    /// Its place among the query's selectors.
    pub slot: usize,
    /// What it asks.
    pub select: Select,
}

impl Env {
    /// Asks for the data of all selectors at once.
    pub async fn open(
        ctx: Ctx,
        source: Arc<dyn Queryable>,
        settings: Settings,
        slots: usize,
        needs: Vec<Need>,
    ) -> Result<Env> {
        let asked = needs.iter().map(|need| source.select(&ctx, &need.select));
        let got = futures::future::try_join_all(asked).await?;
        let mut streams: Vec<_> = (0..slots).map(|_| Mutex::new(None)).collect();
        for (need, stream) in needs.iter().zip(got) {
            streams[need.slot] = Mutex::new(Some(stream));
        }
        Ok(Env {
            ctx,
            settings,
            source,
            streams: streams.into(),
            samples: Arc::default(),
            notes: Mutex::default(),
            completeness: Arc::default(),
            broken: Arc::default(),
        })
    }

    /// The same query, with annotations of its own: for a part that is evaluated beside others, whose
    /// annotations come before.
    fn branch(&self) -> Env {
        Env {
            ctx: self.ctx.clone(),
            settings: self.settings.clone(),
            source: self.source.clone(),
            streams: self.streams.clone(),
            samples: self.samples.clone(),
            notes: Mutex::default(),
            completeness: self.completeness.clone(),
            broken: self.broken.clone(),
        }
    }

    /// All elements of two vectors, evaluated beside each other, and their memory in the budget.
    pub async fn both(
        &self,
        lhs: &Vector,
        rhs: &Vector,
        grid: Grid,
    ) -> Result<[(StepBatch, Reservation); 2]> {
        async fn all(env: &Env, node: &Vector, grid: Grid) -> Result<(StepBatch, Reservation)> {
            env.collect(crate::eval::vector(env, node, grid).await?, grid).await
        }
        let branch = self.branch();
        let (lhs, rhs) = futures::join!(all(self, lhs, grid), all(&branch, rhs, grid));
        let out = [lhs?, rhs?];
        self.note(branch.take_notes());
        Ok(out)
    }

    /// The stream of a selector; it can be taken once.
    pub fn stream(&self, slot: usize) -> Option<FrameStream> {
        self.streams.get(slot)?.lock().take()
    }

    /// Adds annotations.
    pub fn note(&self, notes: Annotations) {
        if !notes.is_empty() {
            self.notes.lock().merge(notes);
        }
    }

    /// Takes the annotations out.
    pub fn take_notes(&self) -> Annotations {
        std::mem::take(&mut self.notes.lock())
    }

    /// Tells what is missing.
    pub fn missing(&self, completeness: Completeness) {
        self.completeness.lock().merge(completeness);
    }

    /// Tells which chunks are broken. The log names the first of the query.
    pub fn broken(&self, found: Broken) {
        if found.is_empty() {
            return;
        }
        let mut all = self.broken.lock();
        if all.is_empty() {
            found.log();
        }
        all.merge(found);
    }

    /// What is missing so far.
    pub fn completeness(&self) -> Completeness {
        let mut all = self.completeness.lock().clone();
        all.merge(self.broken.lock().lacks().clone());
        all
    }

    /// Counts samples that are held from now on.
    pub fn hold(&self, samples: usize) -> Result<()> {
        let held = self.samples.fetch_add(samples, Ordering::Relaxed) + samples;
        if held > self.settings.max_samples { Err(PromqlError::too_many_samples()) } else { Ok(()) }
    }

    /// Counts samples that are held no longer.
    pub fn release(&self, samples: usize) {
        let mut held = self.samples.load(Ordering::Relaxed);
        while let Err(now) = self.samples.compare_exchange_weak(
            held,
            held.saturating_sub(samples),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            held = now;
        }
    }

    /// Runs a piece of work on the CPU threads, unless the caller has left.
    pub async fn offload<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.ctx.check()?;
        Ok(offload(&self.ctx.cpu, job).await?)
    }

    /// All batches as one, and their memory in the budget.
    pub async fn collect(&self, mut batches: Batches<'_>, grid: Grid) -> Result<(StepBatch, Reservation)> {
        let mut all = StepBatch::new(grid.steps);
        let mut held = self.ctx.budget.reserve(0)?;
        let mut samples = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            self.ctx.check()?;
            held.grow(batch.bytes() as u64)?;
            samples += batch.samples();
            all.append(batch);
        }
        self.release(samples);
        Ok((all, held))
    }
}

/// What a selector asks: samples of `window` milliseconds before each of its times.
pub fn need(
    selector: &Selector,
    grid: Grid,
    window: i64,
    settings: &Settings,
    func: FuncClass,
) -> Option<Need> {
    if grid.steps == 0 {
        return None;
    }
    let (first, last) = (selector.time(grid.start), selector.time(grid.last()));
    let (mut before, mut after) = (window, 0);
    match selector.reach {
        crate::function::extended::Reach::Plain => {}
        crate::function::extended::Reach::Anchored => before += settings.lookback,
        crate::function::extended::Reach::Smoothed => {
            before += settings.lookback;
            after = settings.lookback;
        }
    }
    let range =
        TimeRange::inclusive(first.saturating_sub(before).saturating_add(1), last.saturating_add(after))?;
    let mut select = Select::new(range, selector.matchers.clone());
    select.order = Order::Labels;
    select.without = settings.without.clone();
    select.hints.step_ms = if grid.steps > 1 { grid.step } else { 0 };
    select.hints.window_ms = window;
    select.hints.func = func;
    Some(Need { slot: selector.slot, select })
}

/// Refuses a label set that came before.
#[derive(Default)]
pub struct Unique(HashSet<Labels>);

impl Unique {
    /// Checks the series of a batch.
    pub fn check(&mut self, batch: &StepBatch) -> Result<()> {
        for head in &batch.heads {
            if !self.0.insert(head.labels.clone()) {
                return Err(PromqlError::same_labels());
            }
        }
        Ok(())
    }
}
