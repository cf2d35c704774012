//! Merges label-ordered streams: a loser tree over the label sets at which the streams stand.

use std::cmp::Ordering;
use std::num::NonZeroU64;

use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Completeness, Error, Kind, LabelBlockBuilder, LabelsRef, Result};
use dolmen_storage::{Frame, FrameStream, RawBatch, RawSeries, SERIES_PER_BATCH_MAX};
use futures::future::try_join_all;
use futures::{StreamExt, stream};

use crate::tree::LoserTree;

/// One stream, and the series it stands at.
struct Cursor {
    stream: FrameStream,
    /// `None` once the stream has ended.
    batch: Option<RawBatch>,
    at: usize,
}

impl Cursor {
    /// Steps into the next batch that has series; the stream's completeness where it has ended.
    async fn refill(&mut self) -> Result<Option<Completeness>> {
        self.batch = None;
        self.at = 0;
        loop {
            match self.stream.next().await {
                Some(Ok(Frame::Batch(batch))) if batch.series.is_empty() => {}
                Some(Ok(Frame::Batch(batch))) => {
                    self.batch = Some(batch);
                    return Ok(None);
                }
                Some(Ok(Frame::End(completeness))) => return Ok(Some(completeness)),
                Some(Err(e)) => return Err(e),
                None => return Err(Error::new(Kind::Retry, "a store's stream stopped without an end")),
            }
        }
    }

    /// Reads on to the end, which tells what the stream lacks.
    async fn end(&mut self) -> Result<Completeness> {
        while self.batch.is_some() {
            if let Some(completeness) = self.refill().await? {
                return Ok(completeness);
            }
        }
        Ok(Completeness::complete())
    }

    /// The label set it stands at.
    fn labels(&self) -> Option<LabelsRef<'_>> {
        let batch = self.batch.as_ref()?;
        Some(batch.labels.get(batch.series[self.at].label))
    }

    /// Takes the series it stands at, with its share of the batch's memory; whether the batch is used up.
    fn take(&mut self) -> (RawSeries, Reservation, bool) {
        let batch = self.batch.as_mut().expect("a series is taken only from a cursor that stands at one");
        let left = (batch.series.len() - self.at) as u64;
        let share = batch.held.split(batch.held.bytes() / left);
        let empty = RawSeries { label: 0, parts: Default::default() };
        let series = std::mem::replace(&mut batch.series[self.at], empty);
        self.at += 1;
        (series, share, left == 1)
    }
}

/// Whether cursor `a` stands before cursor `b`. Of equal label sets the earlier member's comes first, so that
/// answers do not depend on timing; who has ended stands behind all others.
fn before(cursors: &[Cursor], a: usize, b: usize) -> bool {
    match (cursors[a].labels(), cursors[b].labels()) {
        (Some(x), Some(y)) => x.iter().cmp(y.iter()).then(a.cmp(&b)) == Ordering::Less,
        (x, y) => (x.is_none(), a) < (y.is_none(), b),
    }
}

struct Merge {
    ctx: Ctx,
    /// In the order of the members.
    cursors: Vec<Cursor>,
    /// Made once every cursor has asked for its first batch.
    tree: Option<LoserTree>,
    completeness: Completeness,
    ord: u64,
    left: u64,
    ended: bool,
}

/// Merges streams that come in label order; equal label sets become one series.
pub(crate) fn merge(ctx: &Ctx, streams: Vec<FrameStream>, limit: Option<NonZeroU64>) -> FrameStream {
    let cursors = streams.into_iter().map(|stream| Cursor { stream, batch: None, at: 0 }).collect();
    let merge = Merge {
        ctx: ctx.clone(),
        cursors,
        tree: None,
        completeness: Completeness::complete(),
        ord: 0,
        left: limit.map_or(u64::MAX, NonZeroU64::get),
        ended: false,
    };
    stream::try_unfold(merge, |mut m| async move { Ok(m.next().await?.map(|frame| (frame, m))) }).boxed()
}

impl Merge {
    async fn next(&mut self) -> Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        self.ctx.check()?;
        let mut tree = match self.tree.take() {
            Some(tree) => tree,
            None => self.start().await?,
        };
        let mut labels = LabelBlockBuilder::default();
        let mut series: Vec<RawSeries> = Vec::new();
        let mut held = self.ctx.budget.reserve(0)?;
        while self.left > 0
            && series.len() < SERIES_PER_BATCH_MAX
            && let Some(least) = self.winner(&tree)
        {
            let label = labels.push(least.iter());
            let (mut merged, share) = self.pop(&mut tree).await?;
            held.absorb(share);
            merged.label = label;
            while let Some(same) = self.winner(&tree)
                && labels.last_is(same)
            {
                let (more, share) = self.pop(&mut tree).await?;
                held.absorb(share);
                merged.parts.extend(more.parts);
            }
            series.push(merged);
            self.left -= 1;
        }
        self.tree = Some(tree);
        if series.is_empty() {
            // Only where the limit stopped it there are streams that have not ended: members stop there too.
            for lacks in try_join_all(self.cursors.iter_mut().map(Cursor::end)).await? {
                self.completeness.merge(lacks);
            }
            self.ended = true;
            return Ok(Some(Frame::End(std::mem::take(&mut self.completeness))));
        }
        let labels = labels.build();
        held.grow(labels.bytes() as u64)?;
        let batch = RawBatch { ord: self.ord, labels, series, held };
        self.ord += 1;
        Ok(Some(Frame::Batch(batch)))
    }

    /// Asks all streams for their first batch, at once.
    async fn start(&mut self) -> Result<LoserTree> {
        let ends = try_join_all(self.cursors.iter_mut().map(Cursor::refill)).await?;
        ends.into_iter().flatten().for_each(|lacks| self.completeness.merge(lacks));
        let cursors = &self.cursors;
        Ok(LoserTree::new(cursors.len(), |a, b| before(cursors, a, b)))
    }

    /// The least label set at which a stream stands; `None` where all have ended.
    fn winner(&self, tree: &LoserTree) -> Option<LabelsRef<'_>> {
        if self.cursors.is_empty() {
            return None;
        }
        self.cursors[tree.winner()].labels()
    }

    /// Takes the least series.
    async fn pop(&mut self, tree: &mut LoserTree) -> Result<(RawSeries, Reservation)> {
        let cursor = &mut self.cursors[tree.winner()];
        let (series, share, used_up) = cursor.take();
        if used_up && let Some(lacks) = cursor.refill().await? {
            self.completeness.merge(lacks);
        }
        let cursors = &self.cursors;
        tree.replay(|a, b| before(cursors, a, b));
        Ok((series, share))
    }
}
