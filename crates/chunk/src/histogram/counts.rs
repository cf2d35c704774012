//! How the numbers of a histogram are coded: integers by difference of differences, floats by xor.

use crate::bits::BitWriter;
use crate::varbit::{put_signed, put_unsigned};
use crate::xor::{NO_WINDOW, put_xor};

/// A count: integer or float.
pub(super) trait Count: Copy + PartialOrd + Default {
    /// What the encoder remembers of each number beside its last value.
    type Memory: Clone + Copy;
    /// Before the first sample.
    const FRESH: Self::Memory;

    /// A count of the first sample.
    fn put_first(self, w: &mut BitWriter<'_>);
    /// A bucket of the first sample.
    fn put_first_bucket(self, w: &mut BitWriter<'_>);
    /// The same number in a later sample.
    fn put_next(self, w: &mut BitWriter<'_>, last: Self, memory: &mut Self::Memory);
    /// A count of a stale sample.
    fn put_stale(w: &mut BitWriter<'_>, last: Self, memory: &mut Self::Memory);
    /// Absolute buckets of one sign to what the chunk holds.
    fn to_stored(absolute: &mut [Self]);
}

/// Counts of more than 2^63 wrap, as they do in the format.
impl Count for i64 {
    type Memory = i64;
    const FRESH: i64 = 0;

    fn put_first(self, w: &mut BitWriter<'_>) {
        put_unsigned(w, self as u64);
    }

    fn put_first_bucket(self, w: &mut BitWriter<'_>) {
        put_signed(w, self);
    }

    fn put_next(self, w: &mut BitWriter<'_>, last: i64, memory: &mut i64) {
        let delta = self.wrapping_sub(last);
        put_signed(w, delta.wrapping_sub(*memory));
        *memory = delta;
    }

    fn put_stale(w: &mut BitWriter<'_>, _: i64, _: &mut i64) {
        w.put(0, 1);
    }

    fn to_stored(absolute: &mut [i64]) {
        for i in (1..absolute.len()).rev() {
            absolute[i] = absolute[i].wrapping_sub(absolute[i - 1]);
        }
    }
}

impl Count for f64 {
    type Memory = (u8, u8);
    const FRESH: (u8, u8) = (NO_WINDOW, 0);

    fn put_first(self, w: &mut BitWriter<'_>) {
        w.put(self.to_bits(), 64);
    }

    fn put_first_bucket(self, w: &mut BitWriter<'_>) {
        w.put(self.to_bits(), 64);
    }

    fn put_next(self, w: &mut BitWriter<'_>, last: f64, (lead, trail): &mut (u8, u8)) {
        put_xor(w, last, self, lead, trail);
    }

    fn put_stale(w: &mut BitWriter<'_>, last: f64, memory: &mut (u8, u8)) {
        0.0.put_next(w, last, memory);
    }

    fn to_stored(_: &mut [f64]) {}
}
