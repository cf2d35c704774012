//! The log as its users see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use dolmen_ctx::Disk;
use dolmen_model::{Context, Error, Kind, Result, Timestamp};
use futures::channel::oneshot;
use parking_lot::Mutex;

use crate::checkpoint;
use crate::files::Segments;
use crate::metrics::WalMetrics;
use crate::replay::Replay;
use crate::segment;
use crate::settings::WalSettings;
use crate::writer::{Shared, Writer};

/// A log that is written.
pub struct Wal {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    settings: WalSettings,
    metrics: WalMetrics,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    truncating: Mutex<()>,
}

impl Wal {
    /// Opens the log of a folder, which must be there: what it holds is to be replayed, what comes goes into a
    /// new segment.
    pub fn open(
        dir: &Path,
        disk: Arc<dyn Disk>,
        settings: WalSettings,
        metrics: WalMetrics,
    ) -> Result<(Wal, Replay)> {
        let listing = segment::list(&*disk, dir)?;
        let checkpoint = listing.checkpoints.last().copied();
        checkpoint::tidy(&*disk, dir, &listing)?;
        let mut segments = listing.segments;
        segments.retain(|n| checkpoint.is_none_or(|c| *n > c));
        // Starts without a sample leave empty segments: those are taken again.
        while let Some(last) = segments.last()
            && disk.len(&segment::path(dir, *last)).context("read segment")? == 0
        {
            segments.pop();
        }
        // After a crash its end may be in the system's memory only; whoever finds it there takes it for durable.
        if let Some(last) = segments.last() {
            let path = segment::path(dir, *last);
            disk.open_append(&path).and_then(|mut file| file.sync()).context("sync segment")?;
        }
        let number = segments.last().copied().or(checkpoint).map_or(0, |n| n + 1);
        let file = Segments::create(disk.clone(), dir, number, settings.segment_bytes)?;
        metrics.segment.set(i64::from(number));
        let shared = Arc::new(Shared::default());
        let writer = Writer {
            shared: shared.clone(),
            segments: file,
            settings,
            metrics: metrics.clone(),
            synced: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("wal".to_owned())
            .spawn(move || writer.run())
            .context("start the log's thread")?;
        let replay = Replay::new(disk.clone(), dir.to_owned(), checkpoint, segments, metrics.clone());
        let thread = Mutex::new(Some(thread));
        let dir = dir.to_owned();
        let truncating = Mutex::new(());
        Ok((Wal { dir, disk, settings, metrics, shared, thread, truncating }, replay))
    }

    /// An error while nothing should be taken: the disk refuses, too much waits, or the log is closed.
    pub fn check(&self) -> Result<()> {
        let state = self.shared.state.lock();
        if let Some(e) = &state.failed {
            return Err(e.clone());
        }
        if state.closing || state.ended {
            return Err(closed());
        }
        let (waits, max) = (state.pending.bytes.len(), self.settings.pending_bytes_max);
        if waits > max {
            let text = format!("{waits} bytes wait to be logged, at most {max} may: the disk is too slow");
            return Err(Error::new(Kind::Retry, text));
        }
        Ok(())
    }

    /// Adds records, in the order of the calls; gives the position to wait for. While the disk refuses they are
    /// kept and written later, so that the log never lacks what was applied.
    pub fn enqueue(&self, records: &[&[u8]]) -> Result<u64> {
        let mut state = self.shared.state.lock();
        if state.closing || state.ended {
            return Err(closed());
        }
        state.enqueued += 1;
        for record in records {
            state.pending.bytes.extend_from_slice(record);
            let end = state.pending.bytes.len();
            state.pending.ends.push(end);
        }
        let position = state.enqueued;
        drop(state);
        self.shared.work.notify_one();
        Ok(position)
    }

    /// The position of what was enqueued last.
    pub fn last(&self) -> u64 {
        self.shared.state.lock().enqueued
    }

    /// Waits until all up to a position is as durable as the settings promise.
    pub async fn durable(&self, position: u64) -> Result<()> {
        let told = {
            let mut state = self.shared.state.lock();
            if state.durable >= position {
                return Ok(());
            }
            if let Some(e) = &state.failed {
                return Err(e.clone());
            }
            if state.ended {
                return Err(closed());
            }
            let (tell, told) = oneshot::channel();
            state.waiters.push((position, tell));
            told
        };
        told.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Begins a new segment and gives its number: what was enqueued before is in earlier ones, durable. Blocking.
    pub fn cut_segment(&self) -> Result<u32> {
        let told = {
            let mut state = self.shared.state.lock();
            if state.closing || state.ended {
                return Err(closed());
            }
            if state.pending.cut.is_some() {
                return Err(Error::new(Kind::Retry, "a segment is being cut already"));
            }
            let (tell, told) = mpsc::channel();
            state.pending.cut = Some((state.pending.ends.len(), tell));
            told
        };
        self.shared.work.notify_one();
        told.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Makes a checkpoint of what is still needed of the segments before `segment`, and removes them. Blocking.
    pub fn truncate(
        &self,
        segment: u32,
        keep_series: &dyn Fn(u64) -> bool,
        keep_sample: &dyn Fn(u64, Timestamp) -> bool,
    ) -> Result<()> {
        let _one = self.truncating.lock();
        let Some(upto) = segment.checked_sub(1) else { return Ok(()) };
        let keep = checkpoint::Keep { series: keep_series, sample: keep_sample };
        match checkpoint::write(&self.disk, &self.dir, upto, self.settings.segment_bytes, &keep) {
            Ok(()) => {
                self.metrics.checkpoints.inc();
                Ok(())
            }
            Err(e) => {
                self.metrics.checkpoint_failures.inc();
                Err(e)
            }
        }
    }

    /// Writes and syncs what is enqueued, and ends. Blocking; an error where not all could be written.
    pub fn close(&self) -> Result<()> {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            thread.join().map_err(|_| Error::new(Kind::Halt, "the log's thread panicked"))?;
        }
        let state = self.shared.state.lock();
        match &state.failed {
            Some(e) => Err(e.clone()),
            None => Ok(()),
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        if let Err(e) = self.close() {
            tracing::error!("close the log: {e}");
        }
    }
}

fn closed() -> Error {
    Error::new(Kind::Retry, "the log is closed")
}
