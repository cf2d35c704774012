//! One merge on the local disk: blocks in directories in, one verified block in a directory out.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::Path;
use std::sync::Arc;

use dolmen_block::meta::Stats;
use dolmen_block::{BlockWriter, Meta, Ulid};
use dolmen_ctx::{Ctx, Disk};
use dolmen_index::Symbols;
use dolmen_model::{Context, Error, Kind, Labels, Result};

use crate::input::BlockInput;
use crate::merge::{Input, Merged, merge};
use crate::seed::seed;

/// Merges the blocks `parents`, which stand in `dir` under their names and do not overlap in time, into
/// `<dir>/<ulid>`. The result is read back and counted before its meta is given. `None`: no sample is left,
/// and nothing was written. Works on the caller's thread.
pub async fn merge_blocks(
    ctx: &Ctx,
    disk: &Arc<dyn Disk>,
    dir: &Path,
    parents: &[&Meta],
    ulid: Ulid,
) -> Result<Option<Meta>> {
    let open = |meta: &&Meta| {
        let path = dir.join(meta.ulid.to_string());
        BlockInput::open(&**disk, &path, meta).context(format_args!("open block {}", meta.ulid))
    };
    let inputs = parents.iter().map(open).collect::<Result<Vec<_>>>()?;
    let broken = RefCell::new(None);
    let symbols = union(inputs.iter().map(BlockInput::symbols), &broken);
    let mut writer = BlockWriter::create(disk.clone(), dir, ulid, symbols)?;
    if let Some(e) = broken.take() {
        return Err(e);
    }
    let inputs = inputs.into_iter().map(|i| Box::new(i) as Box<dyn Input>).collect();
    let merged = merge(ctx, inputs, &mut writer).await?;
    check(parents, merged, writer.stats())?;
    if merged.written() == 0 {
        return Ok(None);
    }
    let meta = writer.finish(seed(parents)?)?;
    verify(ctx, &**disk, dir, &meta).await.context(format_args!("read back block {ulid}"))?;
    Ok(Some(meta))
}

/// Symbols of several blocks in order, each once. An error ends them and goes into `broken`.
fn union<'a>(
    blocks: impl Iterator<Item = &'a Symbols>,
    broken: &RefCell<Option<Error>>,
) -> impl Iterator<Item = &'a str> {
    let mut iters: Vec<_> = blocks.map(Symbols::iter).collect();
    let next = move |iters: &mut Vec<_>, i: usize| -> Option<&'a str> {
        let iter: &mut dyn Iterator<Item = Result<&'a str>> = &mut iters[i];
        iter.next()?.map_err(|e| broken.borrow_mut().get_or_insert(e).clone()).ok()
    };
    let firsts: Vec<Option<&str>> = (0..iters.len()).map(|i| next(&mut iters, i)).collect();
    let mut heap: BinaryHeap<_> =
        firsts.into_iter().enumerate().filter_map(|(i, s)| Some(Reverse((s?, i)))).collect();
    let mut last = None;
    std::iter::from_fn(move || {
        while let Some(Reverse((symbol, i))) = heap.pop() {
            heap.extend(next(&mut iters, i).map(|s| Reverse((s, i))));
            if last != Some(symbol) {
                last = Some(symbol);
                return Some(symbol);
            }
        }
        None
    })
}

/// No sample got lost: neither on the way into the blocks, as far as their metas tell, nor in the merge.
fn check(parents: &[&Meta], merged: Merged, written: Stats) -> Result<()> {
    let told: u64 = parents.iter().map(|m| m.stats.num_samples).sum();
    if merged.read < told {
        let text = format!("blocks hold {} samples, their metas say {told}", merged.read);
        return Err(Error::corrupt(text));
    }
    if written.num_samples != merged.written() || written.num_series > merged.series {
        let (samples, series) = (written.num_samples, written.num_series);
        let text = format!("merge wrote {samples} samples of {series} series, expected {merged:?}");
        return Err(Error::new(Kind::Halt, text));
    }
    Ok(())
}

/// Reads a whole block: every checksum, the order of its series, and the counts of its meta.
async fn verify(ctx: &Ctx, disk: &dyn Disk, dir: &Path, meta: &Meta) -> Result<()> {
    let mut input = BlockInput::open(disk, &dir.join(meta.ulid.to_string()), meta)?;
    let (mut series, mut chunks, mut samples) = (0u64, 0u64, 0u64);
    let mut last: Option<Labels> = None;
    while let Some(next) = input.next().await? {
        ctx.check()?;
        if last.as_ref().is_some_and(|last| *last >= next.labels) {
            return Err(Error::corrupt(format!("series {} is out of order", next.labels)));
        }
        series += 1;
        chunks += next.chunks.len() as u64;
        for chunk in &next.chunks {
            samples += u64::from(dolmen_chunk::samples(chunk.encoding, &chunk.data)?);
        }
        last = Some(next.labels);
    }
    let want = (meta.stats.num_series, meta.stats.num_chunks, meta.stats.num_samples);
    if (series, chunks, samples) != want {
        let text = format!("found {:?} series, chunks, samples, expected {want:?}", (series, chunks, samples));
        return Err(Error::corrupt(text));
    }
    Ok(())
}
