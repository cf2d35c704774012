//! What is still needed of old segments, written anew, so that they can go.

use std::path::Path;
use std::sync::Arc;

use dolmen_ctx::Disk;
use dolmen_model::{Context, Result, Timestamp};

use crate::files::Segments;
use crate::segment::{self, Listing, TMP};
use crate::{Record, decode, encode};

/// What is still needed.
pub(crate) struct Keep<'a> {
    /// Of a series' number.
    pub series: &'a dyn Fn(u64) -> bool,
    /// Of a sample: the number of its series, and its time.
    pub sample: &'a dyn Fn(u64, Timestamp) -> bool,
}

/// Writes the checkpoint of all segments up to `upto` and of the checkpoint before; removes those.
pub(crate) fn write(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    upto: u32,
    segment_bytes: u64,
    keep: &Keep<'_>,
) -> Result<()> {
    let listing = segment::list(&**disk, dir)?;
    let before = listing.checkpoints.last().copied();
    let segments: Vec<u32> =
        listing.segments.iter().copied().filter(|n| *n <= upto && before.is_none_or(|c| *n > c)).collect();
    if segments.is_empty() {
        return Ok(());
    }
    let path = segment::checkpoint_path(dir, upto);
    let tmp = path.with_extension(format!("{upto:08}{TMP}"));
    if disk.is_dir(&tmp) {
        disk.remove_dir_all(&tmp).context("remove an unfinished checkpoint")?;
    }
    disk.create_dir_all(&tmp).context("create checkpoint")?;
    let mut out =
        Out { segments: Segments::create(disk.clone(), &tmp, 0, segment_bytes)?, keep, bytes: Vec::new() };
    if let Some(before) = before {
        let dir = segment::checkpoint_path(dir, before);
        for number in segment::list(&**disk, &dir)?.segments {
            out.copy(&**disk, &segment::path(&dir, number))?;
        }
    }
    for number in segments {
        out.copy(&**disk, &segment::path(dir, number))?;
    }
    out.segments.sync()?;
    disk.sync_dir(&tmp).context("sync checkpoint")?;
    disk.rename(&tmp, &path).context("name checkpoint")?;
    disk.sync_dir(dir).context("sync the log's folder")?;
    tidy(&**disk, dir, &segment::list(&**disk, dir)?)
}

/// Removes what a checkpoint has replaced, and checkpoints that were not finished.
pub(crate) fn tidy(disk: &dyn Disk, dir: &Path, listing: &Listing) -> Result<()> {
    for name in &listing.unfinished {
        disk.remove_dir_all(&dir.join(name)).context("remove an unfinished checkpoint")?;
    }
    let Some((newest, older)) = listing.checkpoints.split_last() else { return Ok(()) };
    // The oldest first: what is left after a crash has no gap.
    for number in listing.segments.iter().filter(|n| *n <= newest) {
        disk.remove_file(&segment::path(dir, *number)).context("remove an old segment")?;
    }
    for number in older {
        disk.remove_dir_all(&segment::checkpoint_path(dir, *number)).context("remove an old checkpoint")?;
    }
    Ok(())
}

struct Out<'a> {
    segments: Segments,
    keep: &'a Keep<'a>,
    bytes: Vec<u8>,
}

impl Out<'_> {
    fn copy(&mut self, disk: &dyn Disk, path: &Path) -> Result<()> {
        let read = segment::read(disk, path, &mut |record| self.record(record))?;
        for damage in read.middle.iter().chain(&read.tail) {
            let path = path.display();
            tracing::warn!(%path, at = damage.at, "not in the checkpoint, as it cannot be read: {}", damage.why);
        }
        Ok(())
    }

    fn record(&mut self, record: &[u8]) -> Result<()> {
        let Keep { series, sample } = self.keep;
        self.bytes.clear();
        let mut histograms = Vec::new();
        match decode::record(record) {
            Ok(Record::Series(all)) => {
                for s in all.iter().filter(|s| series(s.reference)) {
                    if self.bytes.is_empty() {
                        encode::series_begin(&mut self.bytes);
                    }
                    let labels: Vec<_> = s.labels.iter().collect();
                    encode::series(&mut self.bytes, s.reference, labels.iter().copied());
                }
            }
            Ok(Record::Samples(mut all)) => {
                all.retain(|s| sample(s.reference, s.t));
                encode::samples(&mut self.bytes, &all);
            }
            Ok(Record::Histograms(mut all)) => {
                all.retain(|h| sample(h.reference, h.t));
                encode::histograms(&mut self.bytes, &all, &mut histograms);
            }
            Ok(Record::Other(_)) => {}
            Err(e) => tracing::warn!("not in the checkpoint, as it cannot be read: {e}"),
        }
        if histograms.is_empty() && !self.bytes.is_empty() {
            return self.segments.push(&self.bytes);
        }
        histograms.into_iter().try_for_each(|at| self.segments.push(&self.bytes[at]))
    }
}
