//! Protobuf's wire format, read in place.
//!
//! ```text
//! field  varint: number << 3 | type
//! value  type 0: varint; 1: 8 bytes LE; 2: varint length, then as many bytes; 5: 4 bytes LE
//! ```

use std::ops::Range;

use dolmen_model::{Error, Result};

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;
pub(crate) const FIXED32: u8 = 5;

/// Reads a message that stands somewhere in a buffer; positions are those of the buffer.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    buf: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// The message in `range`, which lies within `buf`.
    pub(crate) fn new(buf: &'a [u8], range: Range<usize>) -> Reader<'a> {
        debug_assert!(range.start <= range.end && range.end <= buf.len());
        Reader { buf, at: range.start, end: range.end }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// The next field's number and type; `None` at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u32, u8)>> {
        if self.is_done() {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint()?;
        match u32::try_from(tag) {
            Ok(tag) if tag >> 3 != 0 => Ok(Some((tag >> 3, (tag & 7) as u8))),
            _ => Err(malformed(start, "no field number")),
        }
    }

    pub(crate) fn varint(&mut self) -> Result<u64> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.buf[..self.end].get(self.at) else {
                return Err(malformed(start, "a number is cut off"));
            };
            self.at += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(malformed(start, "a number has more than 64 bits"))
    }

    /// The range of a length-delimited value, which is stepped over.
    pub(crate) fn bytes(&mut self) -> Result<Range<usize>> {
        let start = self.at;
        let n = self.varint()?;
        if n > (self.end - self.at) as u64 {
            return Err(malformed(start, "a length reaches past the end"));
        }
        let range = self.at..self.at + n as usize;
        self.at = range.end;
        Ok(range)
    }

    /// A message within this one.
    pub(crate) fn message(&mut self) -> Result<Reader<'a>> {
        Ok(Reader::new(self.buf, self.bytes()?))
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64> {
        match self.buf[..self.end].get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(bytes) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(malformed(self.at, "eight bytes are cut off")),
        }
    }

    pub(crate) fn double(&mut self) -> Result<f64> {
        Ok(f64::from_bits(self.fixed64()?))
    }

    /// Steps over a value of a field that is not known, or known with another type.
    pub(crate) fn skip(&mut self, wire: u8) -> Result<()> {
        match wire {
            VARINT => drop(self.varint()?),
            FIXED64 => drop(self.fixed64()?),
            BYTES => {
                self.bytes()?;
            }
            FIXED32 if self.end - self.at >= 4 => self.at += 4,
            FIXED32 => return Err(malformed(self.at, "four bytes are cut off")),
            _ => return Err(malformed(self.at, "a type that remote write does not use")),
        }
        Ok(())
    }
}

/// Negative numbers are folded between the positive ones.
pub(crate) fn zigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// Appends a varint of the least length.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// How long that is.
pub(crate) fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

fn malformed(at: usize, what: &str) -> Error {
    Error::corrupt(format!("write request: byte {at}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints(n in any::<u64>(), shift in 0u32..64) {
            let n = n >> shift;
            let mut bytes = Vec::new();
            put_varint(&mut bytes, n);
            prop_assert_eq!(bytes.len(), varint_len(n));
            let mut r = Reader::new(&bytes, 0..bytes.len());
            prop_assert_eq!(r.varint().unwrap(), n);
            prop_assert_eq!(r.position(), bytes.len());
            for cut in 0..bytes.len() {
                prop_assert!(Reader::new(&bytes, 0..cut).varint().is_err());
            }
        }
    }

    #[test]
    fn eleven_byte_numbers_are_refused() {
        assert!(Reader::new(&[0xff; 11], 0..11).varint().is_err());
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(Reader::new(&max, 0..10).varint().unwrap(), u64::MAX);
        assert_eq!([zigzag(0), zigzag(1), zigzag(2), zigzag(u64::MAX)], [0, -1, 1, i64::MIN]);
    }
}
