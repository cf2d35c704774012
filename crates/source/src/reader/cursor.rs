//! A select under way.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Completeness, Context, LabelBlockBuilder, Result};
use dolmen_storage::{
    Frame, FrameStream, Order, Part, RawBatch, RawChunk, RawSeries, SERIES_PER_BATCH_MAX, Select, Values,
};
use futures::{StreamExt, stream};
use smallvec::SmallVec;

use super::found::{self, ChunkAt, Found};
use super::{Block, View, places};

/// Series whose entries are read in one wave, unless all must be known before the first can go out.
const SERIES_PER_WAVE: usize = 64 << 10;
/// Bytes of chunks that are fetched in one wave.
const CHUNKS_PER_WAVE: u64 = 8 << 20;

struct Cursor {
    block: Arc<Block>,
    ctx: Ctx,
    select: Select,
    view: Option<View>,
    /// Label sets may meet: all series are sorted before the first goes out.
    sort_all: bool,
    /// Series that extend each other are sorted among themselves.
    sort_runs: bool,
    ids: Vec<u32>,
    ids_at: usize,
    found: Found,
    /// The next series to go out; those from `ready_to` on may still have others before them.
    next: usize,
    ready_to: usize,
    batches: VecDeque<RawBatch>,
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
) -> FrameStream {
    let start = async move {
        let view = View::new(&block, &select.without).context(&block.name)?;
        let (sort_all, adds) = (view.takes_out(), view.adds());
        Ok(Cursor {
            sort_all,
            sort_runs: adds && select.order == Order::Labels,
            left: select.limit.map_or(u64::MAX, |l| l.get()),
            found_held: ctx.budget.reserve(0)?,
            block,
            ctx,
            select,
            view: Some(view),
            ids,
            ids_at: 0,
            found: Found::default(),
            next: 0,
            ready_to: 0,
            batches: VecDeque::new(),
            ord: 0,
            ended: false,
            _ids_held: held,
        })
    };
    stream::once(start)
        .flat_map(|cursor| match cursor {
            Ok(cursor) => frames(cursor),
            Err(e) => stream::once(async { Err(e) }).boxed(),
        })
        .boxed()
}

fn frames(cursor: Cursor) -> FrameStream {
    let next = |mut c: Cursor| async move {
        let frame = c.next().await.with_name(&c.block)?;
        Ok(frame.map(|frame| (frame, c)))
    };
    stream::try_unfold(cursor, next).boxed()
}

trait WithName<T> {
    fn with_name(self, block: &Block) -> Result<T>;
}

impl<T> WithName<T> for Result<T> {
    fn with_name(self, block: &Block) -> Result<T> {
        self.context(&block.name)
    }
}

impl Cursor {
    async fn next(&mut self) -> Result<Option<Frame>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            self.ctx.check()?;
            if let Some(batch) = self.batches.pop_front() {
                return Ok(Some(Frame::Batch(batch)));
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
    }

    /// Reads the entries of the next ids.
    async fn more_series(&mut self) -> Result<()> {
        let mut n = self.ids.len() - self.ids_at;
        if !self.sort_all {
            // Without chunks in the range a series does not count, so a limit may take some rounds.
            let limit =
                usize::try_from(self.left).unwrap_or(usize::MAX).saturating_mul(2).max(SERIES_PER_BATCH_MAX);
            n = n.min(SERIES_PER_WAVE).min(limit);
        }
        let ids = self.ids_at..self.ids_at + n;
        let Some(view) = self.view.take() else { return Ok(()) };
        let waiting = self.found.tail(self.ready_to);
        let read = found::read(&self.block, &self.ctx, &self.select, &self.ids[ids.clone()], waiting, view);
        let (found, view) = read.await?;
        self.found = found;
        self.found_held.resize(self.found.bytes())?;
        self.ids_at = ids.end;
        self.next = 0;
        self.ready_to = self.found.series.len();
        if self.sort_all {
            self.found.sort(0..self.ready_to, &view);
        } else if self.sort_runs {
            self.ready_to = self.sort_runs(&view);
        }
        self.view = Some(view);
        Ok(())
    }

    /// Sorts each run of series that extend its first: an added label may stand between them. (Others keep
    /// their order, since they differ before the added label or in the same place.) Gives where the last run
    /// starts, as long as more of it may come.
    fn sort_runs(&mut self, view: &View) -> usize {
        let all = self.found.series.len();
        let mut order: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for at in 1..=all {
            let extends = at < all
                && view.extends(
                    self.found.pairs(&self.found.series[start]),
                    self.found.pairs(&self.found.series[at]),
                );
            if !extends {
                order.push(start..at);
                start = at;
            }
        }
        let open = self.ids_at < self.ids.len();
        let last = if open { order.pop().map_or(all, |r| r.start) } else { all };
        for run in order {
            if run.len() > 1 {
                self.found.sort(run, view);
            }
        }
        last
    }

    /// Plans as many batches as one wave of chunks may have, and reads them.
    async fn more_batches(&mut self) -> Result<()> {
        let samples = self.select.values == Values::Samples;
        let mut plans: Vec<Vec<Range<usize>>> = Vec::new();
        let mut wanted: Vec<ChunkAt> = Vec::new();
        let mut bytes = 0;
        while self.next < self.ready_to && self.left > 0 && bytes < CHUNKS_PER_WAVE {
            let mut sets = Vec::new();
            let before = wanted.len();
            while sets.len() < SERIES_PER_BATCH_MAX && self.next < self.ready_to && self.left > 0 {
                let set = self.same_set();
                for one in &self.found.series[set.clone()] {
                    if samples {
                        wanted.extend_from_slice(self.found.chunks(one));
                    }
                }
                self.next = set.end;
                self.left -= 1;
                sets.push(set);
            }
            plans.push(sets);
            bytes += places::cost(&self.block, &wanted[before..])?;
            if self.block.mapped || !samples {
                break;
            }
        }
        let (chunks, mut held) = places::read(&self.block, &self.ctx, &wanted).await?;
        let mut chunks = chunks.into_iter();
        let n = plans.len() as u64;
        for (i, sets) in plans.iter().enumerate() {
            // Bytes that were read together stay in memory together; each batch answers for its share.
            let share = held.split(held.bytes() / (n - i as u64));
            let batch = self.batch(sets, &mut chunks, share)?;
            self.batches.push_back(batch);
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

    fn batch(
        &mut self,
        sets: &[Range<usize>],
        chunks: &mut impl Iterator<Item = RawChunk>,
        mut held: Reservation,
    ) -> Result<RawBatch> {
        let Some(view) = &self.view else {
            return Err(dolmen_model::Error::corrupt("a select lost its view"));
        };
        let symbols = self.block.header.symbols();
        let mut labels = LabelBlockBuilder::default();
        let mut series = Vec::with_capacity(sets.len());
        let mut set: Vec<(&str, &str)> = Vec::new();
        let mut bytes = 0;
        for same in sets {
            set.clear();
            for (name, value) in self.found.pairs(&self.found.series[same.start]) {
                set.push((view.text(symbols, *name)?, view.text(symbols, *value)?));
            }
            let label = labels.push(set.iter().copied());
            let mut parts: SmallVec<[Part; 1]> = SmallVec::new();
            if self.select.values == Values::Samples {
                for one in &self.found.series[same.clone()] {
                    let n = self.found.chunks(one).len();
                    let masked = self.block.tombstones.get(&u64::from(one.id)).cloned();
                    let masked = masked.unwrap_or_else(|| Arc::from([]));
                    bytes += n * size_of::<RawChunk>() + size_of::<Part>();
                    add_parts(&mut parts, chunks.by_ref().take(n), |chunks| Part {
                        source: view.source(one.source),
                        masked: masked.clone(),
                        chunks,
                    });
                }
            }
            series.push(RawSeries { label, parts });
        }
        let labels = labels.build();
        held.grow((bytes + labels.bytes() + series.capacity() * size_of::<RawSeries>()) as u64)?;
        self.ord += 1;
        Ok(RawBatch { ord: self.ord - 1, labels, series, held })
    }
}

/// One part, or more where a series' own chunks overlap.
fn add_parts(
    parts: &mut SmallVec<[Part; 1]>,
    chunks: impl Iterator<Item = RawChunk>,
    part: impl Fn(Vec<RawChunk>) -> Part,
) {
    let mut rows: Vec<Vec<RawChunk>> = Vec::new();
    for c in chunks {
        let fits = |row: &&mut Vec<RawChunk>| row.last().is_none_or(|l| l.maxt < c.mint);
        match rows.iter_mut().find(fits) {
            Some(row) => row.push(c),
            None => rows.push(vec![c]),
        }
    }
    parts.extend(rows.into_iter().map(part));
}
