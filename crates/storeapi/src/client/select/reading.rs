//! What a call has told so far.

use std::sync::Arc;

use bytes::Bytes;
use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Completeness, Error, Kind, Result, SourceId};
use dolmen_storage::{Origin, RawBatch, Select, Values};

use crate::StoreFacts;
use crate::client::ClientSettings;
use crate::client::call::Message;
use crate::client::check::{Check, Place};
use crate::client::collect::{Collected, Sorted, Strip};
use crate::client::emit::Emit;
use crate::client::frame::{Item, Items, LabelText, Piece};
use crate::client::parts::{self, Gathered};
use crate::client::strings::Lacks;
use crate::client::{text, wire};

/// Frames of an answer that hold no series.
const IDLE_FRAMES_MAX: u32 = 10_000;

/// What becomes of series.
enum Way {
    /// They come in their final order.
    Through(Option<Pending>),
    /// They are kept until all are there.
    Collect(Collected),
    /// They are all there.
    Sorted(Sorted),
}

/// A series that may have further pieces.
struct Pending {
    labels: LabelText,
    gathered: Gathered,
    held: Reservation,
}

pub(super) struct Reading {
    ctx: Ctx,
    origin: Arc<Origin>,
    samples: bool,
    /// Whether the store tells whose chunks are whose.
    by_runs: bool,
    check: Check,
    piece: Piece,
    way: Way,
    emit: Emit,
    lacks: Lacks,
    idle_frames: u32,
    ended: bool,
    /// Memory that was taken for series, and what it may come to.
    cost: u64,
    cost_max: u64,
}

impl Reading {
    pub fn new(
        settings: &ClientSettings,
        ctx: &Ctx,
        select: &Select,
        facts: &StoreFacts,
        origin: &Arc<Origin>,
    ) -> Result<Reading> {
        let strip = Strip::new(&select.without);
        let way = match facts.parts || strip.is_empty() {
            true => Way::Through(None),
            false => Way::Collect(Collected::new(ctx, strip)?),
        };
        Ok(Reading {
            ctx: ctx.clone(),
            origin: origin.clone(),
            samples: select.values == Values::Samples,
            by_runs: facts.parts,
            check: Check::new(select, facts, &settings.site_label),
            piece: Piece::default(),
            way,
            emit: Emit::new(ctx, select)?,
            lacks: Lacks::new(select, facts, origin),
            idle_frames: 0,
            ended: false,
            cost: 0,
            cost_max: settings.max_answer_bytes,
        })
    }

    /// The next batch that is ready.
    pub fn batch(&mut self) -> Option<RawBatch> {
        self.emit.pop()
    }

    /// Reads a frame; whether more are wanted.
    pub fn frame(&mut self, message: Message) -> Result<bool> {
        let Message { bytes: frame, mut held } = message;
        let mut items = Items::of(&frame);
        let mut idle = true;
        if self.ended {
            return Err(Error::corrupt("a frame after the end"));
        }
        while let Some(item) = items.next_item()? {
            match item {
                Item::Series(series) => {
                    idle = false;
                    self.series(&frame, series, &mut held)?;
                }
                Item::Warning(text) => self.lacks.warning(text),
                Item::Hints => {}
                Item::End(end) if self.by_runs => {
                    self.ended = true;
                    self.lacks.fields(end, 1)?;
                }
                Item::End(_) => {}
            }
        }
        self.idle_frames += u32::from(idle);
        if self.idle_frames > IDLE_FRAMES_MAX {
            return Err(Error::corrupt(format!("more than {IDLE_FRAMES_MAX} frames without series")));
        }
        Ok(!self.emit.is_full())
    }

    fn series(&mut self, frame: &Bytes, series: &[u8], held: &mut Reservation) -> Result<()> {
        let (chunks, runs) = if self.samples { Piece::count(series)? } else { (0, 0) };
        // Only chunks keep the frame.
        let mut own = held.split(if chunks > 0 { series.len() as u64 } else { 0 });
        own.grow(parts::bytes_of(chunks, runs))?;
        self.piece.read(frame, series, self.samples)?;
        // Small series become large: a store without end must not take the memory of all queries.
        self.cost += own.bytes() + Emit::cost(&self.piece.labels);
        if self.cost > self.cost_max {
            return Err(text::too_much(self.cost_max));
        }
        let place = self.check.series(&self.piece.labels)?;
        match &mut self.way {
            Way::Collect(collected) => {
                let chunks = self.piece.chunks.drain(..).collect();
                return collected.push(&self.piece.labels, chunks, own);
            }
            Way::Through(_) if place == Place::New => {
                self.pass()?;
                let mut labels = LabelText::default();
                std::mem::swap(&mut labels, &mut self.piece.labels);
                let held = self.ctx.budget.reserve(labels.bytes())?;
                self.way = Way::Through(Some(Pending { labels, gathered: Gathered::default(), held }));
            }
            Way::Through(_) | Way::Sorted(_) => {}
        }
        let Way::Through(Some(pending)) = &mut self.way else { return Ok(()) };
        pending.held.absorb(own);
        if !self.by_runs || self.piece.runs.is_empty() {
            return pending.gathered.add(SourceId::default(), self.piece.chunks.drain(..));
        }
        let of_runs: u64 = self.piece.runs.iter().map(|(_, n)| u64::from(*n)).sum();
        if of_runs != self.piece.chunks.len() as u64 || self.piece.runs.iter().any(|(_, n)| *n == 0) {
            let chunks = self.piece.chunks.len();
            return Err(Error::corrupt(format!("series with {chunks} chunks in runs of {of_runs}")));
        }
        let mut chunks = self.piece.chunks.drain(..);
        for (source, n) in &self.piece.runs {
            let source = SourceId::new([wire::text(source, "a source")?]);
            pending.gathered.add(source, chunks.by_ref().take(*n as usize))?;
        }
        Ok(())
    }

    /// Passes the series on that can have no further pieces.
    fn pass(&mut self) -> Result<()> {
        let Way::Through(pending) = &mut self.way else { return Ok(()) };
        let Some(Pending { labels, gathered, held }) = pending.take() else { return Ok(()) };
        let parts = gathered.parts(&self.origin)?;
        match parts.is_empty() && self.samples {
            true => Ok(()),
            false => self.emit.push(labels.iter(), parts, held),
        }
    }

    /// The store says that all is told.
    pub fn end(&mut self) -> Result<()> {
        if self.by_runs && !self.ended {
            return Err(Error::new(Kind::Retry, "stream stopped without an end"));
        }
        self.pass()
    }

    /// Drops what was kept: no time is left to sort it, and to compute over it.
    pub fn forget(&mut self) {
        if let Way::Collect(_) = self.way {
            self.way = Way::Through(None);
        }
    }

    /// Whether the next step after the last frame takes long.
    pub fn sorts(&self) -> bool {
        matches!(self.way, Way::Collect(_))
    }

    /// After the last frame: makes a batch of what was kept; whether there was something.
    pub fn drain(&mut self) -> Result<bool> {
        self.way = match std::mem::replace(&mut self.way, Way::Through(None)) {
            Way::Collect(collected) => Way::Sorted(collected.sort()),
            way => way,
        };
        if let Way::Sorted(sorted) = &mut self.way {
            while !self.emit.is_ready() && !self.emit.is_full() {
                if !sorted.pass(self.samples, &self.origin, &mut self.emit)? {
                    break;
                }
            }
        }
        if !self.emit.is_ready() {
            self.emit.flush()?;
        }
        Ok(self.emit.is_ready())
    }

    /// What the answer lacks.
    pub fn completeness(&mut self) -> Completeness {
        self.lacks.take()
    }
}
