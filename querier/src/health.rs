//! Whether a store is asked: a breaker. Pure: time is an argument.
//!
//! ```text
//!           a query found it gone, or it did not say how it is
//!   up ────────────────────────────────────────────────────────▶ down
//!      ◀────────────────────────────────────────────────────────
//!           it says how it is, and the pause is over
//! ```
//!
//! A store that says it is well and then keeps queries waiting is left alone for a pause that doubles, until a
//! query succeeds.

use std::time::{Duration, Instant};

/// Pause after the second query in a row that found the store gone; it doubles from there.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(32);

/// Why a store is not asked before it said how it is.
pub(crate) const NOT_REACHED: &str = "not reached since the start";
/// Queries in a row that a store may keep waiting while it says that it is well.
const SLOW_MAX: u32 = 3;

/// Whether a store is asked.
#[derive(Debug)]
pub(crate) struct Health {
    /// Why it is not asked.
    down: Option<String>,
    /// Queries in a row that found it gone, while it was thought to be up.
    trips: u32,
    /// Queries in a row that it kept waiting while it said that it is well.
    slow: u32,
    /// When that was found last.
    slow_at: Option<Instant>,
    /// Not asked before, whatever it says.
    not_before: Option<Instant>,
}

impl Health {
    /// Down until it is reached.
    pub fn unknown() -> Health {
        Health { down: Some(NOT_REACHED.to_owned()), trips: 0, slow: 0, slow_at: None, not_before: None }
    }

    /// Why it is not asked; `None`: it is.
    pub fn down(&self) -> Option<&str> {
        self.down.as_deref()
    }

    /// It said how it is.
    pub fn reached(&mut self, now: Instant) {
        if self.not_before.is_none_or(|t| now >= t) {
            self.down = None;
        }
    }

    /// It did not say how it is.
    pub fn unreachable(&mut self, why: String) {
        self.down = Some(why);
        // It is not that it says it is well: as soon as it does, it is asked.
        (self.trips, self.slow, self.not_before) = (0, 0, None);
    }

    /// It is another process than before.
    pub fn restarted(&mut self) {
        (self.trips, self.slow, self.not_before) = (0, 0, None);
    }

    /// A query that began then was kept waiting, and meanwhile it said how it is.
    pub fn slow(&mut self, began: Instant, now: Instant, why: String) {
        // Queries that waited beside each other found one thing.
        if self.slow_at.is_some_and(|at| began < at) {
            return;
        }
        self.slow_at = Some(now);
        self.slow += 1;
        if self.slow >= SLOW_MAX {
            self.slow = 0;
            self.tripped(now, why);
        }
    }

    /// A query found it gone.
    pub fn tripped(&mut self, now: Instant, why: String) {
        // Queries that ran at once found the same.
        if self.down.is_some() {
            return;
        }
        self.down = Some(why);
        self.not_before =
            self.trips.checked_sub(1).map(|n| now + (PAUSE * 2u32.pow(n.min(8))).min(PAUSE_MAX));
        self.trips += 1;
    }

    /// A query was answered to its end.
    pub fn answered(&mut self) {
        (self.trips, self.slow, self.not_before) = (0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_gone_is_asked_as_soon_as_it_is_back() {
        let now = Instant::now();
        let mut h = Health::unknown();
        assert_eq!(h.down(), Some(NOT_REACHED));
        h.reached(now);
        assert_eq!(h.down(), None);
        h.tripped(now, "no answer in 3s".to_owned());
        h.tripped(now, "another".to_owned());
        assert_eq!(h.down(), Some("no answer in 3s"));
        h.unreachable("connection refused".to_owned());
        assert_eq!(h.down(), Some("connection refused"));
        h.reached(now);
        assert_eq!(h.down(), None);
    }

    #[test]
    fn one_slow_answer_is_no_reason_and_a_restart_ends_a_pause() {
        let now = Instant::now();
        let mut h = Health::unknown();
        h.reached(now);
        for _ in 0..2 {
            h.slow(now, now, "no answer in 3s".to_owned());
            assert_eq!(h.down(), None);
            h.slow(now, now, "no answer in 3s".to_owned());
            h.answered();
        }
        for _ in 0..6 {
            h.slow(now, now, "no answer in 3s".to_owned());
        }
        assert!(h.down().is_some());
        h.reached(now);
        // Those that waited at once count once.
        let later = now + Duration::from_secs(3);
        h.answered();
        (0..9).for_each(|_| h.slow(now, later, "no answer in 3s".to_owned()));
        assert_eq!(h.down(), None);
        h.tripped(now, "gone".to_owned());
        h.tripped(now, "gone".to_owned());
        h.unreachable("connection refused".to_owned());
        h.reached(now);
        assert_eq!(h.down(), None);
    }

    #[test]
    fn a_store_that_says_it_is_well_and_is_not_is_left_alone_for_longer_and_longer() {
        let start = Instant::now();
        let mut h = Health::unknown();
        let mut now = start;
        for pause in [0, 2, 4, 8, 16, 32, 32] {
            h.reached(now);
            assert_eq!(h.down(), None, "{:?}", now - start);
            h.tripped(now, "gone".to_owned());
            if pause > 0 {
                h.reached(now + Duration::from_millis(pause * 1000 - 1));
                assert!(h.down().is_some());
            }
            now += Duration::from_secs(pause);
        }
        h.reached(now);
        h.answered();
        h.tripped(now, "gone".to_owned());
        h.reached(now);
        assert_eq!(h.down(), None);
    }
}
