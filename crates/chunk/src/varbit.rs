//! Numbers of few bits where they are small: histogram chunks are made of them.
//!
//! ```text
//! prefix     payload bits   signed                  unsigned up to
//! 0          0              0                       0
//! 10         3              -3 … 4                  7
//! 110        6              -31 … 32                63
//! 1110       9              -255 … 256              511
//! 11110      12             -2047 … 2048            4095
//! 111110     18             -131071 … 131072        262143
//! 1111110    25             -2^24+1 … 2^24          33554431
//! 11111110   56             -2^55+1 … 2^55          2^56-1
//! 11111111   64             any                     any
//! ```

use crate::bits::{BitReader, BitWriter};

/// Payload bits by number of leading ones.
const WIDTH: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

/// Reads an unsigned number.
#[inline]
pub fn take_unsigned(r: &mut BitReader<'_>) -> u64 {
    take(r).0
}

/// Reads a signed number.
#[inline]
pub fn take_signed(r: &mut BitReader<'_>) -> i64 {
    let (raw, width) = take(r);
    if width == 0 || width == 64 {
        return raw as i64;
    }
    // The range reaches one further up than down, unlike two's complement.
    let above = raw > 1 << (width - 1);
    (raw as i64).wrapping_sub(i64::from(above) << width)
}

#[inline(always)]
fn take(r: &mut BitReader<'_>) -> (u64, u32) {
    let bits = r.peek();
    // In the top byte only: the payload may go on with ones.
    let ones = ((bits >> 56) as u8).leading_ones();
    let width = WIDTH[ones as usize];
    let prefix = (ones + 1).min(8);
    r.skip(prefix);
    if width <= 56 - 8 {
        r.skip(width);
        let raw = bits << prefix;
        return (if width == 0 { 0 } else { raw >> (64 - width) }, width);
    }
    (r.take(width), width)
}

/// Writes an unsigned number.
pub fn put_unsigned(w: &mut BitWriter<'_>, value: u64) {
    let needed = 64 - value.leading_zeros();
    let class = WIDTH.iter().position(|width| needed <= *width).unwrap_or(8);
    put(w, value, class);
}

/// Writes a signed number.
pub fn put_signed(w: &mut BitWriter<'_>, value: i64) {
    let fits = |width: &u32| match *width {
        0 => value == 0,
        64 => true,
        width => {
            let half = 1i64 << (width - 1);
            -half < value && value <= half
        }
    };
    let class = WIDTH.iter().position(fits).unwrap_or(8);
    put(w, value as u64, class);
}

fn put(w: &mut BitWriter<'_>, value: u64, class: usize) {
    match class {
        8 => w.put(0xff, 8),
        class => w.put((1 << (class + 1)) - 2, class as u32 + 1),
    }
    w.put(value, WIDTH[class]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_class_at_its_borders() {
        let mut numbers = vec![0i64, i64::MAX, i64::MIN];
        for width in &WIDTH[1..8] {
            let half = 1i64 << (width - 1);
            numbers.extend([-half - 1, -half, -half + 1, half - 1, half, half + 1, 2 * half - 1, 2 * half]);
        }
        let mut data = vec![0; 40 * numbers.len()];
        let mut w = BitWriter::new(&mut data, 0);
        for n in &numbers {
            put_signed(&mut w, *n);
            put_unsigned(&mut w, *n as u64);
        }
        let mut r = BitReader::new(&data);
        for n in &numbers {
            assert_eq!(take_signed(&mut r), *n);
            assert_eq!(take_unsigned(&mut r), *n as u64);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec((any::<i64>(), 0u32..64), 0..40)) {
            let mut data = vec![0; 20 * numbers.len() + 1];
            let mut w = BitWriter::new(&mut data, 0);
            for (n, shift) in &numbers {
                put_signed(&mut w, n >> shift);
                put_unsigned(&mut w, *n as u64 >> shift);
            }
            let mut r = BitReader::new(&data);
            for (n, shift) in &numbers {
                prop_assert_eq!(take_signed(&mut r), n >> shift);
                prop_assert_eq!(take_unsigned(&mut r), *n as u64 >> shift);
            }
            r.check().unwrap();
        }
    }
}
