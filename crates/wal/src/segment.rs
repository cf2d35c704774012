//! Segment files and checkpoint folders: names, and reading them page by page.

use std::path::{Path, PathBuf};

use dolmen_ctx::Disk;
use dolmen_model::{Context, Result};

use crate::frame::{Assembler, Damage, Event, PAGE};

/// Bytes that are read at once: whole pages.
const READ: usize = 32 * PAGE;

/// What the name of a checkpoint begins with.
pub const CHECKPOINT: &str = "checkpoint.";
/// What the name of an unfinished checkpoint ends with.
pub const TMP: &str = ".tmp";

/// Path of a segment.
pub fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}"))
}

/// Path of a checkpoint.
pub fn checkpoint_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{CHECKPOINT}{number:08}"))
}

/// What stands in a log's folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Segments, ascending.
    pub segments: Vec<u32>,
    /// Checkpoints, ascending.
    pub checkpoints: Vec<u32>,
    /// Unfinished checkpoints.
    pub unfinished: Vec<String>,
}

/// Lists a log's folder. Other names are left alone.
pub fn list(disk: &dyn Disk, dir: &Path) -> Result<Listing> {
    let mut out = Listing::default();
    for name in disk.list(dir).context("list the log")? {
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u32>().ok()).flatten();
        if let Some(rest) = name.strip_prefix(CHECKPOINT) {
            if rest.ends_with(TMP) {
                out.unfinished.push(name);
            } else if let Some(number) = digits(rest) {
                out.checkpoints.push(number);
            }
        } else if let Some(number) = digits(&name) {
            out.segments.push(number);
        }
    }
    out.segments.sort_unstable();
    out.checkpoints.sort_unstable();
    Ok(out)
}

/// What reading a segment found.
#[derive(Debug, Default)]
pub struct Read {
    /// Damage with whole records after it.
    pub middle: Vec<Damage>,
    /// Damage after the last whole record.
    pub tail: Option<Damage>,
    /// Where the last whole record ends.
    pub good: u64,
    /// Length of the file.
    pub len: u64,
}

/// Reads a segment; `on` gets each whole record.
pub fn read(disk: &dyn Disk, path: &Path, on: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Read> {
    let mut out = Read { len: disk.len(path).context("read segment")?, ..Read::default() };
    let mut assembler = Assembler::default();
    let mut damages: Vec<Damage> = Vec::new();
    let mut tail = 0;
    let mut event = |event: Event<'_>| match event {
        Event::Record(record, end) => {
            // Whole records follow what was damaged until here.
            (out.good, tail) = (end, damages.len());
            on(record)
        }
        Event::Damage(damage) => {
            damages.push(damage);
            Ok(())
        }
    };
    let mut at = 0;
    while at < out.len {
        let bytes = disk.read_at(path, at, READ).context("read segment")?;
        if bytes.is_empty() {
            break;
        }
        at += bytes.len() as u64;
        bytes.chunks(PAGE).try_for_each(|page| assembler.page(page, &mut event))?;
    }
    assembler.end(&mut event)?;
    let mut after = damages.split_off(tail);
    out.middle = damages;
    out.tail = (!after.is_empty()).then(|| after.swap_remove(0));
    Ok(out)
}
