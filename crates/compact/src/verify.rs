//! Checks a block down to its last byte: checksums, order, every chunk decoded, postings against series,
//! counts against meta.json.

use std::sync::Arc;

use dolmen_block::{Meta, tombstones};
use dolmen_ctx::Ctx;
use dolmen_index::ChunkMeta;
use dolmen_model::{Error, Kind, Labels, Result};
use dolmen_source::{ByteSource, ObjectPart, Why};

use crate::Fault;
use crate::verify::chunk::ChunkCheck;
use crate::verify::lists::Lists;
use crate::walk::Walk;

mod bucket;
mod chunk;
mod lists;

pub use bucket::{Finding, Survey, verify_bucket};

/// Faults of one block that are told; further ones are counted.
pub const FAULTS_MAX: usize = 100;

/// What a check of a block found.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Series that were read.
    pub series: u64,
    /// Chunks that were read.
    pub chunks: u64,
    /// Samples in them.
    pub samples: u64,
    /// What is wrong, in the order of the block.
    pub faults: Vec<Fault>,
    /// Faults beyond [`FAULTS_MAX`].
    pub more: u64,
}

impl Checked {
    /// Notes a fault; an error that says nothing of the bytes ends the check.
    fn note(&mut self, fault: Fault) -> Result<()> {
        if !matches!(fault.error.kind(), Kind::Corrupt | Kind::NotFound) {
            return Err(fault.into());
        }
        match self.faults.len() < FAULTS_MAX {
            true => self.faults.push(fault),
            false => self.more += 1,
        }
        Ok(())
    }

    /// Notes what failed, and gives what did not.
    fn take<T>(&mut self, done: Result<T, Fault>) -> Result<Option<T>> {
        match done {
            Ok(value) => Ok(Some(value)),
            Err(fault) => self.note(fault).map(|()| None),
        }
    }
}

/// Reads and checks a whole block; `step`: bytes that are read at once. An error means that it could not be
/// read, not that it is broken.
pub async fn verify_block(ctx: &Ctx, source: Arc<dyn ByteSource>, meta: &Meta, step: u64) -> Result<Checked> {
    let mut found = Checked::default();
    if meta.range().is_none() {
        found.note(Fault::corrupt(ObjectPart::Meta, 0, "minTime is not before maxTime"))?;
    }
    stones(ctx, &*source, &mut found).await?;
    let opened = Walk::open(ctx, source.clone(), step).await;
    let Some(mut walk) = found.take(opened)? else { return Ok(found) };
    let symbols = symbols(&walk);
    found.take(symbols)?;
    let mut lists = Lists::default();
    let whole = series(ctx, &mut walk, meta, &mut lists, &mut found).await?;
    lists.check(ctx, &*source, &walk, step, whole, &mut found).await?;
    if whole {
        counts(meta, &mut found)?;
    }
    Ok(found)
}

async fn stones(ctx: &Ctx, source: &dyn ByteSource, found: &mut Checked) -> Result<()> {
    const STONES: ObjectPart = ObjectPart::Tombstones;
    let Some(len) = source.len(STONES) else { return Ok(()) };
    let bytes = source.read(ctx, Why::Other, &[(STONES, 0..len)]).await;
    let read = bytes.and_then(|b| tombstones::read(b.first().map_or(&[], |b| b)));
    found.take(read.map_err(Fault::at(STONES, 0)))?;
    Ok(())
}

/// Symbols are sorted by their bytes, each once.
fn symbols(walk: &Walk) -> Result<(), Fault> {
    let fault = Fault::at(ObjectPart::Index, walk.toc().symbols);
    let mut last: Option<&str> = None;
    for symbol in walk.symbols().iter() {
        let symbol = match symbol {
            Ok(symbol) => symbol,
            Err(e) => return Err(fault(e)),
        };
        if last.is_some_and(|last| last >= symbol) {
            return Err(fault(Error::corrupt(format!("symbol {symbol:?} is out of order"))));
        }
        last = Some(symbol);
    }
    Ok(())
}

/// All series with their chunks. Whether the walk came to its end.
async fn series(
    ctx: &Ctx,
    walk: &mut Walk,
    meta: &Meta,
    lists: &mut Lists,
    found: &mut Checked,
) -> Result<bool> {
    let mut last: Option<Labels> = None;
    let mut check = ChunkCheck::new(meta.resolution() > 0);
    loop {
        ctx.check()?;
        let next = walk.advance().await;
        match found.take(next)? {
            None => return Ok(false),
            Some(false) => return Ok(true),
            Some(true) => {}
        }
        found.series += 1;
        lists.add(walk.id(), &walk.entry().labels);
        let labels = walk.labels();
        if let Some(labels) = found.take(labels)? {
            if last.as_ref().is_some_and(|last| *last >= labels) {
                let text = format!("series {labels} is out of order");
                found.note(Fault::corrupt(ObjectPart::Index, walk.offset(), text))?;
            }
            last = Some(labels);
        }
        let mut before: Option<ChunkMeta> = None;
        for i in 0..walk.entry().chunks.len() {
            let chunk = walk.entry().chunks[i];
            let timely = times(walk, meta, &chunk, before.as_ref());
            found.take(timely)?;
            before = Some(chunk);
            let read = walk.chunk(&chunk).await;
            let Some((encoding, data)) = found.take(read)? else { continue };
            found.chunks += 1;
            let place = Fault::at(ObjectPart::Chunks(chunk.segment()), chunk.offset());
            let checked = check.run(encoding, &data, &chunk).map_err(place);
            found.samples += found.take(checked)?.unwrap_or(0);
        }
    }
}

/// A chunk lies in its block, behind the chunk before it.
fn times(walk: &Walk, meta: &Meta, chunk: &ChunkMeta, before: Option<&ChunkMeta>) -> Result<(), Fault> {
    let ChunkMeta { mint, maxt, .. } = *chunk;
    let fault = |text: String| Err(Fault::corrupt(ObjectPart::Index, walk.offset(), text));
    // Who asks for a time outside the block is not given this sample.
    if mint < meta.min_time || maxt >= meta.max_time {
        let (from, to) = (meta.min_time, meta.max_time);
        return fault(format!(
            "chunk {mint}..{maxt} reaches out of the block, whose meta.json says {from}..{to}"
        ));
    }
    match before.filter(|b| b.maxt >= mint) {
        Some(b) => fault(format!("chunk {mint}..{maxt} stands behind chunk {}..{}", b.mint, b.maxt)),
        None => Ok(()),
    }
}

/// What was found is what meta.json tells. Zeros are counts that its writer left out.
fn counts(meta: &Meta, found: &mut Checked) -> Result<()> {
    let (told, broken) = (meta.stats, !found.faults.is_empty());
    let samples = if meta.resolution() > 0 || broken { None } else { Some(found.samples) };
    let chunks = if broken { None } else { Some(found.chunks) };
    let all = [
        ("numSeries", told.num_series, Some(found.series)),
        ("numChunks", told.num_chunks, chunks),
        ("numSamples", told.num_samples, samples),
    ];
    for (name, told, found_here) in all {
        if let Some(n) = found_here.filter(|n| told != 0 && *n != told) {
            let text = format!("{name} is {told}, the block holds {n}");
            found.note(Fault::corrupt(ObjectPart::Meta, 0, text))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
