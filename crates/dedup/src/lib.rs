//! Replicas -> one series: pure functions over columns.
//!
//! Replicas scrape the same target at times of their own. Parts of one replica never come here: they hold the
//! same samples and merge by time.

use dolmen_model::{Columns, Timestamp};

mod interval;
pub use interval::{Interval, combine};

/// What will be computed over a series: where a counter falls it was reset, so a switch between replicas must
/// not make it fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// Anything else.
    #[default]
    Other,
    /// Its name is a counter's: a switch that would make it fall is put off, but no longer than two intervals.
    Named,
    /// It is read by a function over counters: a switch never makes it fall.
    Counter,
}

/// A way to combine replicas.
pub trait Combine: Send + Sync {
    /// Begins a series that has so many replicas.
    fn start(&self, class: Class, parts: usize) -> Box<dyn Merging>;
}

/// Replicas of one series on their way to one: keeps its state from chunk to chunk.
pub trait Merging: Send {
    /// Adds samples of a replica, later than those it has.
    fn push(&mut self, part: usize, samples: &Columns);

    /// Gives what is decided, now that all samples before `until` have been pushed.
    fn pull(&mut self, until: Timestamp, out: &mut Columns);
}
