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
use dolmen_model::{Error, Kind, Result};

use crate::input::BlockInput;
use crate::local::LocalSource;
use crate::merge::{MergeError, Merged, merge};
use crate::seed::seed;
use crate::verify::verify_block;
use crate::walk::LOCAL_STEP;

/// Merges the blocks `parents`, which stand in `dir` under their names and do not overlap in time, into
/// `<dir>/<ulid>`. The result is read back and counted before its meta is given. `None`: no sample is left,
/// and nothing was written. Works on the caller's thread.
pub async fn merge_blocks(
    ctx: &Ctx,
    disk: &Arc<dyn Disk>,
    dir: &Path,
    parents: &[&Meta],
    ulid: Ulid,
) -> Result<Option<Meta>, MergeError> {
    let mut inputs = Vec::with_capacity(parents.len());
    for (place, meta) in parents.iter().enumerate() {
        let path = dir.join(meta.ulid.to_string());
        inputs.push(BlockInput::open(ctx, disk, &path, meta).await.map_err(MergeError::of(place))?);
    }
    let mut writer = create(disk, dir, ulid, &inputs)?;
    let merged = merge(ctx, inputs, &mut writer).await?;
    check(parents, &merged, writer.stats())?;
    if merged.written() == 0 {
        return Ok(None);
    }
    let meta = writer.finish(seed(parents)?)?;
    read_back(ctx, disk, &dir.join(ulid.to_string()), &meta).await?;
    Ok(Some(meta))
}

/// Starts the result with the symbols of all inputs.
fn create(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    ulid: Ulid,
    inputs: &[BlockInput],
) -> Result<BlockWriter, MergeError> {
    let broken = RefCell::new(None);
    let symbols = union(inputs.iter().map(BlockInput::symbols), &broken);
    let writer = BlockWriter::create(disk.clone(), dir, ulid, symbols);
    match broken.into_inner() {
        Some(e) => Err(e),
        None => Ok(writer?),
    }
}

/// Symbols of several blocks in order, each once. An error ends those of its block and goes into `broken`.
fn union<'a>(
    blocks: impl Iterator<Item = &'a Symbols>,
    broken: &RefCell<Option<MergeError>>,
) -> impl Iterator<Item = &'a str> {
    let mut iters: Vec<_> = blocks.map(Symbols::iter).collect();
    let next = move |iters: &mut Vec<_>, i: usize| -> Option<&'a str> {
        let iter: &mut dyn Iterator<Item = Result<&'a str>> = &mut iters[i];
        let symbol = iter.next()?;
        let keep = |e| {
            broken.borrow_mut().get_or_insert(MergeError::of(i)(e));
        };
        symbol.map_err(keep).ok()
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
fn check(parents: &[&Meta], merged: &Merged, written: Stats) -> Result<(), MergeError> {
    for (place, (meta, read)) in parents.iter().zip(&merged.read).enumerate() {
        let told = meta.stats.num_samples;
        if *read < told {
            let text = format!("it holds {read} samples, its meta.json says {told}");
            return Err(MergeError::of(place)(Error::corrupt(text)));
        }
    }
    if written.num_samples != merged.written() || written.num_series > merged.series {
        let (samples, series) = (written.num_samples, written.num_series);
        let text = format!("merge wrote {samples} samples of {series} series, expected {merged:?}");
        return Err(Error::new(Kind::Halt, text).into());
    }
    Ok(())
}

/// The result is checked as a stranger's block would be, before anybody else sees it.
async fn read_back(ctx: &Ctx, disk: &Arc<dyn Disk>, dir: &Path, meta: &Meta) -> Result<(), MergeError> {
    let source = Arc::new(LocalSource::open(disk.clone(), dir)?);
    let found = verify_block(ctx, source, meta, LOCAL_STEP).await?;
    match found.faults.first() {
        None => Ok(()),
        // Not the parents' bytes but ours are broken: once more would give the same.
        Some(fault) => {
            let text = format!("read back block {}: {fault}, it is thrown away", meta.ulid);
            Err(Error::new(Kind::Halt, text).into())
        }
    }
}
