//! A select under way.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use dolmen_ctx::{Ctx, Reservation, offload};
use dolmen_model::{Completeness, Context, Result};
use dolmen_storage::{Frame, FrameStream, Order, RawBatch, SERIES_PER_BATCH_MAX, Select, Values};
use futures::{StreamExt, stream};

use super::batch::{Planned, build};
use super::found::{self, ChunkAt, Found, Sorting};
use super::{Block, View, places};

/// Series whose entries are read in one wave, unless all must be known before the first can go out.
const SERIES_PER_WAVE: usize = 64 << 10;
/// Memory that a series takes in [`Found`], as far as one can know.
const SERIES_BYTES: u64 = 128;
/// Bytes of chunks that are fetched in one wave.
const CHUNKS_PER_WAVE: u64 = 8 << 20;

struct Cursor {
    block: Arc<Block>,
    ctx: Ctx,
    select: Select,
    view: Arc<View>,
    ids: Vec<u32>,
    ids_at: usize,
    found: Arc<Found>,
    /// The next series to go out; those from `ready_to` on may still have others before them.
    next: usize,
    ready_to: usize,
    /// Batches whose chunks were fetched, and their memory.
    planned: VecDeque<(Planned, Reservation)>,
    ord: u64,
    left: u64,
    ended: bool,
    _ids_held: Reservation,
    found_held: Reservation,
}

/// The frames of a select over the series `ids`.
pub(crate) fn stream(
    block: Arc<Block>,
    ctx: Ctx,
    select: Select,
    ids: Vec<u32>,
    held: Reservation,
) -> Result<FrameStream> {
    let cursor = Cursor {
        view: Arc::new(View::new(&block, &select.without).context(&block.name)?),
        left: select.limit.map_or(u64::MAX, |l| l.get()),
        found_held: ctx.budget.reserve(0)?,
        block,
        ctx,
        select,
        ids,
        ids_at: 0,
        found: Arc::default(),
        next: 0,
        ready_to: 0,
        planned: VecDeque::new(),
        ord: 0,
        ended: false,
        _ids_held: held,
    };
    let next = |mut c: Cursor| async move {
        let frame = c.next().await.context(&c.block.name)?;
        Ok(frame.map(|frame| (frame, c)))
    };
    Ok(stream::try_unfold(cursor, next).boxed())
}

impl Cursor {
    async fn next(&mut self) -> Result<Option<Frame>> {
        while !self.ended {
            self.ctx.check()?;
            if let Some((planned, held)) = self.planned.pop_front() {
                return Ok(Some(Frame::Batch(self.batch(planned, held).await?)));
            }
            if self.left == 0 || (self.next == self.ready_to && self.ids_at == self.ids.len()) {
                self.ended = true;
                return Ok(Some(Frame::End(Completeness::complete())));
            }
            if self.next == self.ready_to {
                self.more_series().await?;
            } else {
                self.more_batches().await?;
            }
        }
        Ok(None)
    }

    /// Reads the entries of the next ids.
    async fn more_series(&mut self) -> Result<()> {
        let mut n = self.ids.len() - self.ids_at;
        let mut sorting = Sorting::All;
        if !self.view.takes_out() {
            // Without chunks in the range a series does not count, so a limit may take some rounds.
            let limit = usize::try_from(self.left).unwrap_or(usize::MAX);
            n = n.min(SERIES_PER_WAVE).min(limit.saturating_mul(2).max(SERIES_PER_BATCH_MAX));
            let open = self.ids_at + n < self.ids.len();
            let runs = self.view.adds() && self.select.order == Order::Labels;
            sorting = if runs { Sorting::Runs { open } } else { Sorting::None };
        }
        let ids = &self.ids[self.ids_at..self.ids_at + n];
        let waiting = self.found.tail(self.ready_to);
        self.found = Arc::default();
        // Known exactly only when they are decoded.
        self.found_held.resize(waiting.bytes() + n as u64 * SERIES_BYTES)?;
        let range = self.select.range;
        let read = found::read(&self.block, &self.ctx, &self.view, ids, range, sorting, waiting);
        let (found, ready_to) = read.await?;
        self.found_held.resize(found.bytes())?;
        self.found = Arc::new(found);
        (self.next, self.ready_to) = (0, ready_to);
        self.ids_at += n;
        Ok(())
    }

    /// Plans as many batches as one wave of chunks may have, and fetches them.
    async fn more_batches(&mut self) -> Result<()> {
        let samples = self.select.values == Values::Samples;
        let mut plans: Vec<(Vec<Range<usize>>, usize)> = Vec::new();
        let mut wanted: Vec<ChunkAt> = Vec::new();
        let mut bytes = 0;
        while self.next < self.ready_to && self.left > 0 && bytes < CHUNKS_PER_WAVE {
            let before = wanted.len();
            let mut sets = Vec::new();
            while sets.len() < SERIES_PER_BATCH_MAX && self.next < self.ready_to && self.left > 0 {
                let set = self.same_set();
                for one in self.found.series[set.clone()].iter().filter(|_| samples) {
                    wanted.extend_from_slice(self.found.chunks(one));
                }
                self.next = set.end;
                self.left -= 1;
                sets.push(set);
            }
            bytes += places::cost(&self.block, &wanted[before..])?;
            plans.push((sets, wanted.len() - before));
            if self.block.mapped || !samples {
                break;
            }
        }
        let (records, mut held) = places::read(&self.block, &self.ctx, &wanted).await?;
        let mut records = records.into_iter();
        let n = plans.len() as u64;
        for (i, (sets, chunks)) in plans.into_iter().enumerate() {
            // Bytes that were fetched together stay in memory together; each batch answers for its share.
            let share = held.split(held.bytes() / (n - i as u64));
            let records = records.by_ref().take(chunks).collect();
            self.planned.push_back((Planned { sets, records }, share));
        }
        Ok(())
    }

    /// The series from `next` on that have the same label set.
    fn same_set(&self) -> Range<usize> {
        let all = &self.found.series[..self.ready_to];
        let set = self.found.pairs(&all[self.next]);
        let end = (self.next + 1..all.len()).find(|i| self.found.pairs(&all[*i]) != set);
        self.next..end.unwrap_or(all.len())
    }

    async fn batch(&mut self, planned: Planned, mut held: Reservation) -> Result<RawBatch> {
        let samples = self.select.values == Values::Samples;
        let (block, view, found) = (self.block.clone(), self.view.clone(), self.found.clone());
        let built = offload(&self.ctx.cpu, move || build(&block, &view, &found, planned, samples)).await??;
        held.grow(built.bytes)?;
        self.ord += 1;
        Ok(RawBatch { ord: self.ord - 1, labels: built.labels, series: built.series, held })
    }
}
