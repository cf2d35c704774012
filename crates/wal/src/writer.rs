//! The thread that writes: group commit, and what happens when the disk refuses.
//!
//! ```text
//! take all that waits -> frame -> write -> fdatasync -> tell all who wait
//!                          └── refused: tell them, keep the records, cut the segment back, try in a new one
//! ```

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use dolmen_model::{Error, Kind, Result};
use futures::channel::oneshot;
use parking_lot::{Condvar, Mutex};

use crate::files::Segments;
use crate::metrics::WalMetrics;
use crate::settings::{SyncMode, WalSettings};

/// Memory that is kept for the next group.
const KEEP: usize = 8 << 20;

/// What callers and the thread share.
#[derive(Default)]
pub(crate) struct Shared {
    pub state: Mutex<State>,
    pub work: Condvar,
}

/// Records that wait, and who waits for them.
#[derive(Default)]
pub(crate) struct State {
    pub pending: Group,
    /// Counts calls of enqueue.
    pub enqueued: u64,
    /// Up to where all is as durable as the setting promises.
    pub durable: u64,
    pub waiters: Vec<(u64, oneshot::Sender<Result<()>>)>,
    /// Why nothing can be written now.
    pub failed: Option<Error>,
    pub closing: bool,
    pub ended: bool,
}

impl State {
    fn tell(&mut self, upto: u64, result: &Result<()>) {
        let (told, wait) = self.waiters.drain(..).partition(|(position, _)| *position <= upto);
        self.waiters = wait;
        let told: Vec<(u64, oneshot::Sender<_>)> = told;
        for (_, waiter) in told {
            // Who has left need not know.
            let _gone = waiter.send(result.clone());
        }
    }
}

/// Records that are written together.
#[derive(Default)]
pub(crate) struct Group {
    pub bytes: Vec<u8>,
    pub ends: Vec<usize>,
    /// After so many of the records a new segment begins.
    pub cut: Option<(usize, Sender<Result<u32>>)>,
}

impl Group {
    fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.cut.is_none()
    }
}

/// The thread's own.
pub(crate) struct Writer {
    pub shared: Arc<Shared>,
    pub segments: Segments,
    pub settings: WalSettings,
    pub metrics: WalMetrics,
    pub synced: Instant,
}

enum Work {
    Write(Group, u64),
    Sync,
    End,
}

impl Writer {
    /// Writes until the log is closed.
    pub fn run(mut self) {
        let mut spare = Group::default();
        loop {
            match self.take(spare) {
                Work::Write(group, position) => match self.commit(group, position) {
                    Some(group) => spare = group,
                    // What comes after what is lost must not be written.
                    None => return,
                },
                Work::Sync => {
                    // In this mode a failed sync is told by the next write that fails.
                    if let Err(e) = self.sync() {
                        tracing::error!("sync the log: {e}");
                        self.metrics.failures.inc();
                        self.synced = Instant::now();
                    }
                    spare = Group::default();
                }
                Work::End => break,
            }
        }
        if let Err(e) = self.sync() {
            tracing::error!("sync the log at its end: {e}");
            self.shared.state.lock().failed.get_or_insert(e);
        }
    }

    fn take(&self, spare: Group) -> Work {
        let mut state = self.shared.state.lock();
        loop {
            if !state.pending.is_empty() {
                let position = state.enqueued;
                return Work::Write(std::mem::replace(&mut state.pending, spare), position);
            }
            if state.closing {
                return Work::End;
            }
            match self.settings.sync {
                SyncMode::Every(pause) if self.segments.synced < self.segments.at() => {
                    let due = self.synced + pause;
                    if due <= Instant::now() || self.shared.work.wait_until(&mut state, due).timed_out() {
                        return Work::Sync;
                    }
                }
                _ => self.shared.work.wait(&mut state),
            }
        }
    }

    /// Writes a group, however long that takes; gives its memory back. `None`: the log is to be closed, and the
    /// disk refuses still.
    fn commit(&mut self, mut group: Group, position: u64) -> Option<Group> {
        let mut result = self.write(&mut group);
        while let Err(e) = result {
            self.metrics.failures.inc();
            tracing::error!("the log cannot be written, nothing is taken until it can: {e}");
            if let Some((_, asker)) = group.cut.take() {
                let _gone = asker.send(Err(e.clone()));
            }
            if !self.pause(Error::new(Kind::Retry, format!("the log cannot be written: {e}"))) {
                return None;
            }
            result = self.segments.give_up();
            if result.is_ok() {
                result = self.write(&mut group);
            }
            if result.is_ok() {
                tracing::info!("the log can be written again");
            }
        }
        self.metrics.records.inc_by(group.ends.len() as u64);
        self.metrics.bytes.inc_by(group.bytes.len() as u64);
        group.bytes.clear();
        group.bytes.shrink_to(KEEP);
        group.ends.clear();
        let mut state = self.shared.state.lock();
        state.failed = None;
        state.durable = position;
        state.tell(position, &Ok(()));
        Some(group)
    }

    /// Tells all who wait and waits a while; false where the log is to be closed.
    fn pause(&self, error: Error) -> bool {
        let mut state = self.shared.state.lock();
        state.failed = Some(error.clone());
        state.tell(u64::MAX, &Err(error.clone()));
        if let Some((_, asker)) = state.pending.cut.take() {
            let _gone = asker.send(Err(error));
        }
        let until = Instant::now() + self.settings.retry;
        while !state.closing && !self.shared.work.wait_until(&mut state, until).timed_out() {}
        !state.closing
    }

    fn write(&mut self, group: &mut Group) -> Result<()> {
        let mut from = 0;
        for (i, end) in group.ends.iter().enumerate() {
            if group.cut.as_ref().is_some_and(|(at, _)| *at == i) {
                self.cut(&mut group.cut)?;
            }
            self.segments.push(&group.bytes[from..*end])?;
            from = *end;
        }
        if group.cut.is_some() {
            self.cut(&mut group.cut)?;
        }
        match self.settings.sync {
            SyncMode::Always => self.sync(),
            _ => self.segments.flush(),
        }
    }

    fn cut(&mut self, cut: &mut Option<(usize, Sender<Result<u32>>)>) -> Result<()> {
        self.segments.roll()?;
        self.metrics.segment.set(i64::from(self.segments.number));
        if let Some((_, asker)) = cut.take() {
            let _gone = asker.send(Ok(self.segments.number));
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let began = Instant::now();
        self.segments.sync()?;
        self.synced = Instant::now();
        self.metrics.sync_seconds.observe((self.synced - began).as_secs_f64());
        self.metrics.segment.set(i64::from(self.segments.number));
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Also where the thread panics: nobody may wait for what never comes.
        let mut state = self.shared.state.lock();
        state.ended = true;
        state.waiters.clear();
        state.pending.cut = None;
    }
}
