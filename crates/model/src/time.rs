//! Time is milliseconds since the Unix epoch; ranges are half-open inside, the doors convert.

/// Milliseconds since the Unix epoch.
pub type Timestamp = i64;

/// Half-open: `mint <= t < maxt`, never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeRange {
    mint: Timestamp,
    maxt: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { mint: i64::MIN, maxt: i64::MAX };

    /// `None` where `mint >= maxt`.
    pub fn new(mint: Timestamp, maxt: Timestamp) -> Option<TimeRange> {
        (mint < maxt).then_some(TimeRange { mint, maxt })
    }

    /// From inclusive bounds, as Prometheus' queriers give them. `None` where `first > last`.
    pub fn inclusive(first: Timestamp, last: Timestamp) -> Option<TimeRange> {
        TimeRange::new(first, last.saturating_add(1))
    }

    /// First millisecond inside.
    pub fn mint(self) -> Timestamp {
        self.mint
    }

    /// First millisecond after the range.
    pub fn maxt(self) -> Timestamp {
        self.maxt
    }

    /// Whether `t` lies inside.
    pub fn contains(self, t: Timestamp) -> bool {
        self.mint <= t && t < self.maxt
    }

    /// Whether the two share a millisecond.
    pub fn overlaps(self, other: TimeRange) -> bool {
        self.mint < other.maxt && other.mint < self.maxt
    }

    /// The two as one, where they overlap or touch.
    pub fn join(self, other: TimeRange) -> Option<TimeRange> {
        let touch = self.mint <= other.maxt && other.mint <= self.maxt;
        touch.then(|| TimeRange { mint: self.mint.min(other.mint), maxt: self.maxt.max(other.maxt) })
    }

    /// The milliseconds that both hold.
    pub fn intersect(self, other: TimeRange) -> Option<TimeRange> {
        TimeRange::new(self.mint.max(other.mint), self.maxt.min(other.maxt))
    }
}
