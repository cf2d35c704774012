//! Merges label-ordered streams: a binary heap of streams, ordered by the label set each stands at.

use std::cmp::Ordering;
use std::num::NonZeroU64;

use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Completeness, Error, Kind, LabelBlockBuilder, LabelsRef, Result};
use dolmen_storage::{Frame, FrameStream, RawBatch, RawSeries, SERIES_PER_BATCH_MAX};
use futures::future::try_join_all;
use futures::{StreamExt, stream};

/// One stream, and the series it stands at.
struct Cursor {
    stream: FrameStream,
    batch: Option<RawBatch>,
    at: usize,
    /// Place among the members: parts of equal series follow it, so answers do not depend on timing.
    place: usize,
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

    fn labels(&self) -> LabelsRef<'_> {
        let batch = self.batch.as_ref().expect("cursors in the heap stand at a series");
        batch.labels.get(batch.series[self.at].label)
    }

    fn order(&self, other: &Cursor) -> Ordering {
        self.labels().iter().cmp(other.labels().iter()).then(self.place.cmp(&other.place))
    }

    /// Takes the series it stands at, with its share of the batch's memory; whether the batch is used up.
    fn take(&mut self) -> (RawSeries, Reservation, bool) {
        let batch = self.batch.as_mut().expect("cursors in the heap stand at a series");
        let left = (batch.series.len() - self.at) as u64;
        let share = batch.held.split(batch.held.bytes() / left);
        let empty = RawSeries { label: 0, parts: Default::default() };
        let series = std::mem::replace(&mut batch.series[self.at], empty);
        self.at += 1;
        (series, share, left == 1)
    }
}

struct Merge {
    ctx: Ctx,
    /// Not yet asked for their first batch.
    fresh: Vec<Cursor>,
    /// A binary heap: the least label set at the root.
    heap: Vec<Cursor>,
    completeness: Completeness,
    ord: u64,
    left: u64,
    ended: bool,
}

/// Merges streams that come in label order; equal label sets become one series.
pub(crate) fn merge(ctx: &Ctx, streams: Vec<FrameStream>, limit: Option<NonZeroU64>) -> Result<FrameStream> {
    let fresh = streams
        .into_iter()
        .enumerate()
        .map(|(place, stream)| Cursor { stream, batch: None, at: 0, place })
        .collect();
    let merge = Merge {
        ctx: ctx.clone(),
        fresh,
        heap: Vec::new(),
        completeness: Completeness::complete(),
        ord: 0,
        left: limit.map_or(u64::MAX, NonZeroU64::get),
        ended: false,
    };
    Ok(stream::try_unfold(merge, |mut m| async move { Ok(m.next().await?.map(|frame| (frame, m))) }).boxed())
}

impl Merge {
    async fn next(&mut self) -> Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        self.ctx.check()?;
        self.start().await?;
        let mut labels = LabelBlockBuilder::default();
        let mut series: Vec<RawSeries> = Vec::new();
        let mut held = self.ctx.budget.reserve(0)?;
        while !self.heap.is_empty() && self.left > 0 && series.len() < SERIES_PER_BATCH_MAX {
            let label = labels.push(self.heap[0].labels().iter());
            let (mut merged, share) = self.pop().await?;
            held.absorb(share);
            merged.label = label;
            while let Some(root) = self.heap.first() {
                if !labels.last_is(root.labels()) {
                    break;
                }
                let (more, share) = self.pop().await?;
                held.absorb(share);
                merged.parts.extend(more.parts);
            }
            series.push(merged);
            self.left -= 1;
        }
        if series.is_empty() {
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
    async fn start(&mut self) -> Result<()> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut cursors = std::mem::take(&mut self.fresh);
        let ends = try_join_all(cursors.iter_mut().map(Cursor::refill)).await?;
        for (cursor, end) in cursors.into_iter().zip(ends) {
            match end {
                Some(completeness) => self.completeness.merge(completeness),
                None => self.push(cursor),
            }
        }
        Ok(())
    }

    /// Takes the least series and restores the heap.
    async fn pop(&mut self) -> Result<(RawSeries, Reservation)> {
        let (series, share, used_up) = self.heap[0].take();
        let mut gone = false;
        if used_up && let Some(completeness) = self.heap[0].refill().await? {
            self.completeness.merge(completeness);
            gone = true;
        }
        if gone {
            self.heap.swap_remove(0);
        }
        self.sift_down();
        Ok((series, share))
    }

    fn push(&mut self, cursor: Cursor) {
        self.heap.push(cursor);
        let mut i = self.heap.len() - 1;
        while i > 0 {
            let parent = (i - 1) / 2;
            if self.heap[i].order(&self.heap[parent]) != Ordering::Less {
                break;
            }
            self.heap.swap(i, parent);
            i = parent;
        }
    }

    fn sift_down(&mut self) {
        let (mut i, n) = (0, self.heap.len());
        loop {
            let mut least = i;
            for child in [2 * i + 1, 2 * i + 2] {
                if child < n && self.heap[child].order(&self.heap[least]) == Ordering::Less {
                    least = child;
                }
            }
            if least == i {
                return;
            }
            self.heap.swap(i, least);
            i = least;
        }
    }
}
