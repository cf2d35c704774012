//! What a log holds, from its beginning to its end: the checkpoint, then the segments.
//!
//! A torn end is cut off, so that the next reader finds none. Damage with whole records after it stays as it is
//! and is told: what follows is read, in this segment and in later ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dolmen_ctx::Disk;
use dolmen_model::{Context, Result};

use crate::frame::{Damage, PAGE};
use crate::metrics::WalMetrics;
use crate::record::Record;
use crate::{decode, segment};

/// What a log holds.
pub struct Replay {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    checkpoint: Option<u32>,
    segments: Vec<u32>,
    metrics: WalMetrics,
}

/// How reading went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Records read.
    pub records: u64,
    /// Bytes that were torn off the end.
    pub cut: u64,
    /// What could not be read: where, and why.
    pub damages: Vec<String>,
}

impl Replay {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        checkpoint: Option<u32>,
        segments: Vec<u32>,
        metrics: WalMetrics,
    ) -> Replay {
        Replay { disk, dir, checkpoint, segments, metrics }
    }

    /// Reads all records. What cannot be read is told in the report and in the program's log; an error of `on`
    /// ends it.
    pub fn run(self, mut on: impl FnMut(Record) -> Result<()>) -> Result<ReplayReport> {
        let mut report = ReplayReport::default();
        if let Some(number) = self.checkpoint {
            let dir = segment::checkpoint_path(&self.dir, number);
            for number in segment::list(&*self.disk, &dir)?.segments {
                self.segment(&segment::path(&dir, number), false, &mut report, &mut on)?;
            }
        }
        let mut next = self.checkpoint.map(|n| n + 1);
        for number in &self.segments {
            if let Some(next) = next.filter(|n| n != number) {
                self.damaged(&mut report, format!("segments {next:08} to {:08} are missing", number - 1));
            }
            next = Some(number + 1);
            let last = Some(number) == self.segments.last();
            self.segment(&segment::path(&self.dir, *number), last, &mut report, &mut on)?;
        }
        Ok(report)
    }

    fn segment(
        &self,
        path: &Path,
        last: bool,
        report: &mut ReplayReport,
        on: &mut impl FnMut(Record) -> Result<()>,
    ) -> Result<()> {
        let mut bad = Vec::new();
        let read = segment::read(&*self.disk, path, &mut |bytes| {
            report.records += 1;
            match decode::record(bytes) {
                Ok(record) => on(record),
                Err(e) => {
                    bad.push(format!("{}: a record cannot be decoded: {e}", path.display()));
                    Ok(())
                }
            }
        })?;
        let text = |d: &Damage| format!("{} at {}: {}", path.display(), d.at, d.why);
        bad.extend(read.middle.iter().map(text));
        bad.into_iter().for_each(|text| self.damaged(report, text));
        let Some(tail) = read.tail else { return Ok(()) };
        if !last {
            self.damaged(report, format!("{}; the rest of the segment is lost", text(&tail)));
            return Ok(());
        }
        report.cut = read.len - read.good;
        self.damaged(report, format!("{}; {} torn bytes are cut off", text(&tail), report.cut));
        cut_off(&*self.disk, path, read.good).context("cut off the torn end of the log")
    }

    fn damaged(&self, report: &mut ReplayReport, text: String) {
        tracing::warn!("the log is damaged: {text}");
        self.metrics.damages.inc();
        report.damages.push(text);
    }
}

/// Cuts a segment behind its last whole record; the page is filled up, as where a segment ends by itself.
fn cut_off(disk: &dyn Disk, path: &Path, good: u64) -> Result<()> {
    let mut file = disk.open_append(path)?;
    file.truncate(good)?;
    let used = (good % PAGE as u64) as usize;
    if used > 0 {
        file.write_all(&vec![0; PAGE - used])?;
    }
    file.sync()?;
    Ok(())
}
