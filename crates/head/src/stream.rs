//! Streams: what one replica sends. Age and cut are a stream's own, measured from its newest sample.
//!
//! A stream is the values of the replica labels. Only the cut splits by it: each stream becomes blocks of its
//! own, with these labels as external labels.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dolmen_model::{Labels, Timestamp};
use parking_lot::RwLock;

/// Most streams of a head: each costs blocks of its own.
pub const STREAMS_MAX: usize = 64;

/// Samples behind their stream's newest by more than this are refused, or by more than half a block.
const AGE_MIN_MS: i64 = 3_600_000;

/// One stream.
#[derive(Debug)]
pub struct Stream {
    /// Its place in the head.
    pub id: u32,
    /// Its replica labels.
    pub labels: Labels,
    newest: AtomicI64,
    oldest: AtomicI64,
    /// The oldest of what was appended since a walk over all series began.
    since: AtomicI64,
    floor: AtomicI64,
}

impl Stream {
    /// Time of the newest sample; `i64::MIN` before the first.
    pub fn newest(&self) -> Timestamp {
        self.newest.load(Ordering::Acquire)
    }

    /// No sample in memory is older; `i64::MAX` where there is none.
    pub fn oldest(&self) -> Timestamp {
        self.oldest.load(Ordering::Acquire)
    }

    /// Up to where it is cut: samples below are taken no longer.
    pub fn floor(&self) -> Timestamp {
        self.floor.load(Ordering::Acquire)
    }

    /// Notes stored samples.
    pub fn saw(&self, first: Timestamp, last: Timestamp) {
        // Mostly nothing changes, and writers on other cores are left alone. In this order: see `end_walk`.
        if self.newest.load(Ordering::SeqCst) < last {
            self.newest.fetch_max(last, Ordering::SeqCst);
        }
        for lowest in [&self.since, &self.oldest] {
            if lowest.load(Ordering::SeqCst) > first {
                lowest.fetch_min(first, Ordering::SeqCst);
            }
        }
    }

    /// A walk over all series begins, which looks for the oldest sample. One at a time.
    pub fn begin_walk(&self) {
        self.since.store(i64::MAX, Ordering::SeqCst);
    }

    /// It found `oldest`. What was appended where it had been already was noted in `since` first: where that
    /// changed meanwhile, what is stored here may be too high.
    pub fn end_walk(&self, oldest: Timestamp) {
        loop {
            let since = self.since.load(Ordering::SeqCst);
            self.oldest.store(oldest.min(since), Ordering::SeqCst);
            if self.since.load(Ordering::SeqCst) == since {
                return;
            }
        }
    }

    /// Raises the floor.
    pub fn raise_floor(&self, t: Timestamp) {
        self.floor.fetch_max(t, Ordering::AcqRel);
    }

    /// Puts the floor back after a cut that failed.
    pub fn restore_floor(&self, t: Timestamp) {
        self.floor.store(t, Ordering::Release);
    }

    /// Samples below are too old.
    pub fn age_bound(&self, block_ms: i64) -> Timestamp {
        let newest = self.newest();
        let age = match newest {
            i64::MIN => i64::MIN,
            newest => newest.saturating_sub(AGE_MIN_MS.max(block_ms / 2)),
        };
        age.max(self.floor()).max(0)
    }
}

/// All streams of a head.
#[derive(Debug, Default)]
pub struct Streams {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    all: Vec<Arc<Stream>>,
    by_labels: HashMap<Labels, u32>,
}

impl Streams {
    /// The stream of these replica labels, a new one if there is none; `None` where there are too many.
    pub fn of(&self, labels: &Labels) -> Option<Arc<Stream>> {
        if let Some(stream) = self.find(labels) {
            return Some(stream);
        }
        let mut table = self.table.write();
        if let Some(id) = table.by_labels.get(labels) {
            return Some(table.all[*id as usize].clone());
        }
        if table.all.len() >= STREAMS_MAX {
            return None;
        }
        let stream = Arc::new(Stream {
            id: table.all.len() as u32,
            labels: labels.clone(),
            newest: AtomicI64::new(i64::MIN),
            oldest: AtomicI64::new(i64::MAX),
            since: AtomicI64::new(i64::MAX),
            floor: AtomicI64::new(i64::MIN),
        });
        table.by_labels.insert(labels.clone(), stream.id);
        table.all.push(stream.clone());
        Some(stream)
    }

    fn find(&self, labels: &Labels) -> Option<Arc<Stream>> {
        let table = self.table.read();
        table.by_labels.get(labels).map(|id| table.all[*id as usize].clone())
    }

    /// The stream of an id.
    pub fn get(&self, id: u32) -> Option<Arc<Stream>> {
        self.table.read().all.get(id as usize).cloned()
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<Stream>> {
        self.table.read().all.clone()
    }
}
