//! Bits in order, most significant first, read and written 64 at a time.

use crate::error::{Corrupt, ENDS_EARLY};

/// Reads bits of a slice. Past its end it gives zeros: callers check [`BitReader::check`] once a sample,
/// not once a bit.
#[derive(Clone, Debug)]
pub struct BitReader<'a> {
    data: &'a [u8],
    /// Next bit.
    at: usize,
}

impl<'a> BitReader<'a> {
    /// From the first bit of `data`.
    pub fn new(data: &'a [u8]) -> BitReader<'a> {
        BitReader { data, at: 0 }
    }

    /// The next 64 bits, the first one on top; nothing is consumed.
    #[inline(always)]
    pub fn peek(&self) -> u64 {
        let byte = self.at >> 3;
        // One comparison bounds all nine bytes that 64 unaligned bits can touch.
        match self.data.get(byte..byte.saturating_add(9)) {
            Some(w) => {
                let word = u64::from_be_bytes([w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]]);
                let shift = (self.at & 7) as u32;
                (word << shift) | (u64::from(w[8]) >> (8 - shift))
            }
            None => self.peek_at_end(),
        }
    }

    #[cold]
    #[inline(never)]
    fn peek_at_end(&self) -> u64 {
        let rest = self.data.get(self.at >> 3..).unwrap_or_default();
        let mut w = [0u8; 16];
        w[..rest.len().min(9)].copy_from_slice(&rest[..rest.len().min(9)]);
        ((u128::from_be_bytes(w) << (self.at & 7)) >> 64) as u64
    }

    /// Goes `n` bits forward.
    #[inline(always)]
    pub fn skip(&mut self, n: u32) {
        // Saturation keeps hostile data past the end: `check` sees it.
        self.at = self.at.saturating_add(n as usize);
    }

    /// The next `n` bits, at most 64, as a number.
    #[inline(always)]
    pub fn take(&mut self, n: u32) -> u64 {
        let bits = self.peek();
        self.skip(n);
        if n == 0 { 0 } else { bits >> (64 - n.min(64)) }
    }

    /// One bit.
    #[inline(always)]
    pub fn bit(&mut self) -> bool {
        self.take(1) == 1
    }

    /// An error where more bits were taken than there are.
    #[inline(always)]
    pub fn check(&self) -> Result<(), Corrupt> {
        if self.at <= self.data.len() * 8 { Ok(()) } else { Err(ENDS_EARLY) }
    }

    /// How many bits are left.
    pub fn left(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.at)
    }

    /// An unsigned number of 7 bits a byte.
    pub fn uvarint(&mut self) -> Result<u64, Corrupt> {
        let mut value = 0u64;
        for i in 0..10 {
            let byte = self.take(8);
            if i == 9 && byte > 1 {
                return Err(Corrupt("number of more than 64 bits"));
            }
            value |= (byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Corrupt("number of more than 64 bits"))
    }

    /// A signed number of 7 bits a byte, zigzag.
    pub fn varint(&mut self) -> Result<i64, Corrupt> {
        let u = self.uvarint()?;
        Ok((u >> 1) as i64 ^ -((u & 1) as i64))
    }
}

/// Writes bits into memory that the caller owns. All bits of a byte behind those written are zero.
#[derive(Debug)]
pub struct BitWriter<'a> {
    data: &'a mut [u8],
    at: usize,
}

impl<'a> BitWriter<'a> {
    /// Goes on at bit `at`. The caller has made sure that what will be written fits.
    pub fn new(data: &'a mut [u8], at: usize) -> BitWriter<'a> {
        BitWriter { data, at }
    }

    /// Where the next bit goes.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The lowest `n` bits of `bits`, at most 64.
    #[inline]
    pub fn put(&mut self, bits: u64, n: u32) {
        if n == 0 {
            return;
        }
        let top = bits << (64 - n);
        let (byte, offset) = (self.at >> 3, (self.at & 7) as u32);
        let kept = !(0xff_u8 >> offset);
        self.data[byte] = (self.data[byte] & kept) | (top >> (56 + offset)) as u8;
        let used = 8 - offset;
        if n > used {
            let rest = (top << used).to_be_bytes();
            let bytes = (n - used).div_ceil(8) as usize;
            self.data[byte + 1..byte + 1 + bytes].copy_from_slice(&rest[..bytes]);
        }
        self.at += n as usize;
    }

    /// One bit.
    #[inline]
    pub fn bit(&mut self, bit: bool) {
        self.put(u64::from(bit), 1);
    }

    /// An unsigned number, 7 bits a byte.
    pub fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }

    /// A signed number, zigzag, 7 bits a byte.
    pub fn varint(&mut self, value: i64) {
        self.uvarint((value << 1 ^ value >> 63) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back(fields in prop::collection::vec((any::<u64>(), 0u32..=64), 0..50)) {
            let mut data = vec![0xff; 8 * fields.len() + 1];
            let mut w = BitWriter::new(&mut data, 0);
            for (bits, n) in &fields {
                w.put(*bits, *n);
            }
            let end = w.at();
            data.truncate(end.div_ceil(8));
            let mut r = BitReader::new(&data);
            for (bits, n) in &fields {
                let expected = if *n == 0 { 0 } else { bits << (64 - n) >> (64 - n) };
                prop_assert_eq!(r.take(*n), expected);
                r.check().unwrap();
            }
            prop_assert!(r.left() < 8);
            prop_assert_eq!(r.take(7), 0);
            r.skip(u32::MAX);
            prop_assert!(r.check().is_err());
        }

        #[test]
        fn varints_come_back(numbers in prop::collection::vec(any::<i64>(), 0..20)) {
            let mut data = vec![0; 20 * numbers.len()];
            let mut w = BitWriter::new(&mut data, 0);
            for n in &numbers {
                w.varint(*n);
                w.uvarint(*n as u64);
            }
            let mut r = BitReader::new(&data);
            for n in &numbers {
                prop_assert_eq!(r.varint().unwrap(), *n);
                prop_assert_eq!(r.uvarint().unwrap(), *n as u64);
            }
        }
    }
}
