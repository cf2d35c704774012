//! How the newest samples are read.
//!
//! ```text
//! matchers -> postings -> label sets without replica labels -> sorted -> 256 at a time: chunks copied
//! ```

use std::sync::Arc;

use async_trait::async_trait;
use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Answer, Completeness, Cover, LabelBlockBuilder, Result, TimeRange};
use dolmen_storage::{
    Frame, FrameStream, LabelAsk, Part, Queryable, RawBatch, RawSeries, SERIES_PER_BATCH_MAX, Select, Values,
};
use futures::stream;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::found::{Found, FoundSeries};
use crate::head::Head;
use crate::readers::Reading;

/// A select under way.
struct Cursor {
    head: Arc<Head>,
    ctx: Ctx,
    range: TimeRange,
    values: Values,
    left: u64,
    found: Found,
    at: usize,
    ord: u64,
    ended: bool,
    _held: Reservation,
    _reading: Reading,
}

impl Cursor {
    /// The next batch, or the end.
    fn next(&mut self) -> Result<Option<Frame>> {
        if self.ended {
            return Ok(None);
        }
        self.ctx.check()?;
        let mut labels = LabelBlockBuilder::default();
        let mut series = Vec::new();
        let mut bytes = 0;
        while series.len() < SERIES_PER_BATCH_MAX && self.at < self.found.series.len() && self.left > 0 {
            let from = self.at;
            let all = &self.found.series;
            let set = self.found.pairs(&all[from]);
            self.at = (from + 1..all.len()).find(|i| self.found.pairs(&all[*i]) != set).unwrap_or(all.len());
            let parts = self.parts(&all[from..self.at], &mut bytes);
            if parts.is_empty() && self.values == Values::Samples {
                continue;
            }
            let text = |r: u32| self.found.strings[r as usize].as_str();
            let label = labels.push(set.iter().map(|(n, v)| (text(*n), text(*v))));
            series.push(RawSeries { label, parts });
            self.left -= 1;
        }
        if series.is_empty() {
            self.ended = true;
            return Ok(Some(Frame::End(Completeness::default())));
        }
        let labels = labels.build();
        let held = self.ctx.budget.reserve((bytes + labels.bytes()) as u64)?;
        self.ord += 1;
        Ok(Some(Frame::Batch(RawBatch { ord: self.ord - 1, labels, series, held })))
    }

    fn parts(&self, same: &[FoundSeries], bytes: &mut usize) -> SmallVec<[Part; 1]> {
        let mut parts: SmallVec<[Part; 1]> = SmallVec::new();
        if self.values == Values::None {
            return parts;
        }
        for s in same {
            let (stripe, local) = self.head.place(s.id);
            let mut chunks = Vec::new();
            self.head.stripes[stripe].lock().chunks(local, self.range, &mut chunks);
            if chunks.is_empty() {
                continue;
            }
            *bytes += chunks.iter().map(|c| c.data.len() + size_of_val(c)).sum::<usize>() + size_of::<Part>();
            parts.push(Part { source: s.source.clone(), origin: None, masked: Arc::from([]), chunks });
        }
        parts
    }
}

/// A head, as something to ask: once for each query. While it lives, nothing that was cut after its making is
/// forgotten; so who makes it first and looks for blocks then misses nothing.
pub struct HeadReader {
    head: Arc<Head>,
    reading: Reading,
}

impl HeadReader {
    /// A query begins.
    pub fn new(head: Arc<Head>) -> HeadReader {
        HeadReader { reading: head.readers.begin(), head }
    }
}

#[async_trait]
impl Queryable for HeadReader {
    fn cover(&self, select: &Select) -> Cover {
        Cover {
            labels: vec![self.head.settings.external_labels.clone()],
            range: self.head.range().and_then(|range| range.intersect(select.range)),
            ..Cover::default()
        }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        ctx.check()?;
        let found = self.head.find(select);
        let cursor = Cursor {
            head: self.head.clone(),
            ctx: ctx.clone(),
            range: select.range,
            values: select.values,
            left: select.limit.map_or(u64::MAX, |l| l.get()),
            at: 0,
            ord: 0,
            ended: false,
            _held: ctx.budget.reserve(found.bytes() as u64)?,
            // As of when the query began: it may know of no block that was cut since, and outlive this reader.
            _reading: self.reading.clone(),
            found,
        };
        Ok(Box::pin(stream::unfold(cursor, |mut cursor| async {
            let frame = cursor.next().transpose()?;
            cursor.ended |= frame.is_err();
            Some((frame, cursor))
        })))
    }

    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        ctx.check()?;
        let found = self.head.find(select);
        let _held = ctx.budget.reserve(found.bytes() as u64)?;
        let mut seen = vec![false; found.strings.len()];
        let asked = match &ask {
            LabelAsk::Names => None,
            LabelAsk::Values(name) => match found.strings.binary_search(name) {
                Ok(rank) => Some(rank as u32),
                Err(_) => return Ok(Answer::whole(Vec::new())),
            },
        };
        for (name, value) in found.series.iter().flat_map(|s| found.pairs(s)) {
            match asked {
                None => seen[*name as usize] = true,
                Some(asked) if asked == *name => seen[*value as usize] = true,
                Some(_) => {}
            }
        }
        let out = found.strings.iter().zip(seen).filter(|(_, seen)| *seen).map(|(text, _)| text.clone());
        Ok(Answer::whole(out.take(select.limit.map_or(usize::MAX, |l| l.get() as usize)).collect()))
    }
}
