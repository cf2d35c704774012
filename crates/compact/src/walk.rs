//! Goes through a block from front to back: every series entry, and the chunks of each, all checksums checked.
//!
//! Memory holds the symbols (mapped where the source can), and one window of the index and one of the chunks;
//! a window grows only for an entry or a chunk that is longer than it.

use std::sync::Arc;

use bytes::Bytes;
use dolmen_block::segment::{self, Record, SEGMENT_HEADER};
use dolmen_ctx::Ctx;
use dolmen_index::wire::Dec;
use dolmen_index::{ChunkMeta, INDEX_MAGIC, SERIES_ALIGN, Series, Split, Symbols, Toc, split_entry};
use dolmen_model::{Error, Labels, Result, TimeRange};
use dolmen_source::{ByteSource, ObjectPart, Why};

use crate::Fault;

/// Bytes of a window where files are at hand.
pub const LOCAL_STEP: u64 = 512 << 10;
/// Bytes of a window where every read is a request.
pub const REMOTE_STEP: u64 = 8 << 20;

/// A walk through a block.
pub struct Walk {
    ctx: Ctx,
    source: Arc<dyn ByteSource>,
    step: u64,
    toc: Toc,
    symbols: Symbols,
    index: Window,
    chunks: Window,
    /// Behind the last entry.
    at: u64,
    place: u64,
    entry: Series,
}

/// Bytes of a file that are at hand.
struct Window {
    part: ObjectPart,
    start: u64,
    bytes: Bytes,
}

impl Walk {
    /// Reads an index' frame; `step`: bytes that are read at once.
    pub async fn open(ctx: &Ctx, source: Arc<dyn ByteSource>, step: u64) -> Result<Walk, Fault> {
        const INDEX: ObjectPart = ObjectPart::Index;
        let len = source.len(INDEX).ok_or_else(|| Fault::corrupt(INDEX, 0, "the file is missing"))?;
        let tail = len.saturating_sub(Toc::LEN);
        let start = piece(ctx, &*source, 0..len.min(5)).await.map_err(Fault::at(INDEX, 0))?;
        let mut d = Dec::new(&start);
        if d.be32() != Some(INDEX_MAGIC) || !matches!(d.u8(), Some(2 | 3)) {
            return Err(Fault::corrupt(INDEX, 0, "its magic number or version is wrong"));
        }
        let end = piece(ctx, &*source, tail..len).await.map_err(Fault::at(INDEX, tail))?;
        let toc = Toc::parse(&end, len).map_err(Fault::at(INDEX, tail))?;
        let at = Fault::at(INDEX, toc.symbols);
        let symbols = match piece(ctx, &*source, toc.symbols..toc.series).await {
            Ok(section) => Symbols::parse(section).map_err(at)?,
            Err(e) => return Err(at(e)),
        };
        let window = |part| Window { part, start: 0, bytes: Bytes::new() };
        Ok(Walk {
            ctx: ctx.clone(),
            source,
            step,
            toc,
            symbols,
            index: window(INDEX),
            chunks: window(ObjectPart::Chunks(0)),
            at: toc.series,
            place: 0,
            entry: Series::default(),
        })
    }

    /// Where the index' sections stand.
    pub fn toc(&self) -> Toc {
        self.toc
    }

    /// Label names and values.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Goes to the next series; `false` at the end. After a fault the walk is over.
    pub async fn advance(&mut self) -> Result<bool, Fault> {
        let at = self.at.next_multiple_of(SERIES_ALIGN);
        if at >= self.toc.label_indices {
            return Ok(false);
        }
        self.place = at;
        let (source, ctx) = (self.source.clone(), self.ctx.clone());
        let mut need = 16;
        loop {
            let end = self.toc.label_indices;
            let get = self.index.get(&ctx, &*source, Why::Series, at, need, self.step, end);
            let bytes = get.await.map_err(Fault::at(ObjectPart::Index, at))?;
            let fault = Fault::at(ObjectPart::Index, at);
            match split_entry(&bytes) {
                Ok(Split::Whole(body, len)) => {
                    self.at = at + len as u64;
                    return self.entry.decode(body, TimeRange::ALL).map(|()| true).map_err(fault);
                }
                Ok(Split::Need(_)) if at + bytes.len() as u64 >= end => {
                    return Err(fault(Error::corrupt("the last series entry ends early")));
                }
                Ok(Split::Need(n)) => need = n as u64,
                Err(e) => return Err(fault(e)),
            }
        }
    }

    /// Offset of the series in the index.
    pub fn offset(&self) -> u64 {
        self.place
    }

    /// Id of the series.
    pub fn id(&self) -> u64 {
        self.place / SERIES_ALIGN
    }

    /// The series: refs of its labels, and its chunks' times and places.
    pub fn entry(&self) -> &Series {
        &self.entry
    }

    /// Labels of the series; they must be sorted, each name once, none empty.
    pub fn labels(&self) -> Result<Labels, Fault> {
        let labels = || -> Result<Labels> {
            let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(self.entry.labels.len());
            for (name, value) in &self.entry.labels {
                let (name, value) = (self.symbols.get(*name)?, self.symbols.get(*value)?);
                if value.is_empty() || pairs.last().is_some_and(|(last, _)| *last >= name) {
                    return Err(Error::corrupt(format!("label {name} is empty or out of order")));
                }
                pairs.push((name, value));
            }
            Ok(Labels::from_sorted(pairs))
        };
        labels().map_err(Fault::at(ObjectPart::Index, self.place))
    }

    /// A chunk's encoding byte and data.
    pub async fn chunk(&mut self, meta: &ChunkMeta) -> Result<(u8, Bytes), Fault> {
        let (part, at) = (ObjectPart::Chunks(meta.segment()), meta.offset());
        let Some(len) = self.source.len(part) else {
            return Err(Fault::corrupt(part, at, "the file is missing"));
        };
        if self.chunks.part != part || self.chunks.bytes.is_empty() {
            let head = self.source.read(&self.ctx, Why::Chunks, &[(part, 0..len.min(SEGMENT_HEADER))]).await;
            let checked = head.and_then(|b| segment::check_header(b.first().map_or(&[], |b| b)));
            checked.map_err(Fault::at(part, 0))?;
            self.chunks = Window { part, start: 0, bytes: Bytes::new() };
        }
        if at < SEGMENT_HEADER || at >= len {
            return Err(Fault::corrupt(part, at, "there is no chunk: the file ends before it"));
        }
        let mut need = 64;
        loop {
            let get = self.chunks.get(&self.ctx, &*self.source, Why::Chunks, at, need, self.step, len);
            let bytes = get.await.map_err(Fault::at(part, at))?;
            match segment::record(&bytes) {
                Ok(Record::Whole(encoding, data, _)) => return Ok((encoding, bytes.slice_ref(data))),
                Ok(Record::Need(_)) if at + bytes.len() as u64 >= len => {
                    return Err(Fault::corrupt(part, at, "the chunk ends early"));
                }
                Ok(Record::Need(n)) => need = n as u64,
                Err(e) => return Err(Fault::at(part, at)(e)),
            }
        }
    }
}

impl Window {
    /// Bytes from `at` on: `need` of them, or those up to `end`; more where they are at hand.
    #[expect(clippy::too_many_arguments, reason = "the walk's fields, borrowed one by one")]
    async fn get(
        &mut self,
        ctx: &Ctx,
        source: &dyn ByteSource,
        why: Why,
        at: u64,
        need: u64,
        step: u64,
        end: u64,
    ) -> Result<Bytes> {
        let until = self.start + self.bytes.len() as u64;
        let enough = at.saturating_add(need).min(end);
        if at < self.start || enough > until {
            let range = at..at.saturating_add(need.max(step)).min(end);
            let mut got = source.read(ctx, why, &[(self.part, range)]).await?;
            self.bytes = got.pop().unwrap_or_default();
            self.start = at;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.slice(from.min(self.bytes.len())..))
    }
}

/// A part of the index, without I/O where it is at hand.
async fn piece(ctx: &Ctx, source: &dyn ByteSource, range: std::ops::Range<u64>) -> Result<Bytes> {
    if let Some(bytes) = source.ready(ObjectPart::Index, range.clone()) {
        return Ok(bytes);
    }
    let got = source.read(ctx, Why::Header, &[(ObjectPart::Index, range)]).await?;
    got.into_iter().next().ok_or_else(|| Error::corrupt("index: nothing was read"))
}
