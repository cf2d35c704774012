//! Finished series -> batches.

use std::collections::VecDeque;

use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{LabelBlockBuilder, Result};
use dolmen_storage::{Part, RawBatch, RawSeries, SERIES_PER_BATCH_MAX, Select};
use smallvec::SmallVec;

use super::frame::LabelText;

/// Bytes that a batch may hold: more is a batch of its own.
const BATCH_BYTES: u64 = 4 << 20;

/// Builds batches.
pub(super) struct Emit {
    ctx: Ctx,
    labels: LabelBlockBuilder,
    series: Vec<RawSeries>,
    held: Reservation,
    /// Of `held`, what stands for labels until their size is known.
    for_labels: u64,
    ord: u64,
    left: u64,
    ready: VecDeque<RawBatch>,
}

impl Emit {
    pub fn new(ctx: &Ctx, select: &Select) -> Result<Emit> {
        Ok(Emit {
            ctx: ctx.clone(),
            labels: LabelBlockBuilder::default(),
            series: Vec::new(),
            held: ctx.budget.reserve(0)?,
            for_labels: 0,
            ord: 0,
            left: select.limit.map_or(u64::MAX, |l| l.get()),
            ready: VecDeque::new(),
        })
    }

    /// Memory that a series takes beside its chunks.
    pub fn cost(labels: &LabelText) -> u64 {
        for_labels(labels.iter()) + size_of::<RawSeries>() as u64
    }

    /// Whether no more series are wanted.
    pub fn is_full(&self) -> bool {
        self.left == 0
    }

    /// Adds a series, whose memory is `held`, that of its labels apart.
    pub fn push<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        parts: SmallVec<[Part; 1]>,
        held: Reservation,
    ) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        let for_labels = for_labels(labels.clone());
        self.held.absorb(held);
        self.held.grow(for_labels + size_of::<RawSeries>() as u64)?;
        self.for_labels += for_labels;
        let label = self.labels.push(labels);
        self.series.push(RawSeries { label, parts });
        self.left -= 1;
        if self.series.len() == SERIES_PER_BATCH_MAX || self.held.bytes() >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Makes a batch of what there is.
    pub fn flush(&mut self) -> Result<()> {
        if self.series.is_empty() {
            return Ok(());
        }
        let labels = std::mem::take(&mut self.labels).build();
        let mut held = std::mem::replace(&mut self.held, self.ctx.budget.reserve(0)?);
        let for_labels = std::mem::take(&mut self.for_labels);
        held.resize(held.bytes() - for_labels + labels.bytes() as u64)?;
        let series = std::mem::take(&mut self.series);
        self.ready.push_back(RawBatch { ord: self.ord, labels, series, held });
        self.ord += 1;
        Ok(())
    }

    /// Whether a batch is ready.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next batch that is ready.
    pub fn pop(&mut self) -> Option<RawBatch> {
        self.ready.pop_front()
    }
}

/// What a label set takes, at most: its strings, where they are new, and what keeps them.
fn for_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    labels.map(|(name, value)| (name.len() + value.len() + 32) as u64).sum()
}
