//! The numbers of Prometheus' files: big-endian integers and Go's varints, read with bounds.

/// Most bytes of a varint of 64 bits.
pub const VARINT_MAX: usize = 10;

/// Reads from the front of a slice. `None`: the bytes end, or hold no such value.
#[derive(Clone, Copy, Debug)]
pub struct Dec<'a> {
    rest: &'a [u8],
}

impl<'a> Dec<'a> {
    /// Reads `bytes` from its start.
    pub fn new(bytes: &'a [u8]) -> Dec<'a> {
        Dec { rest: bytes }
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all is read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (head, tail) = self.rest.split_first()?;
        self.rest = tail;
        Some(*head)
    }

    /// A big-endian integer of 32 bits.
    pub fn be32(&mut self) -> Option<u32> {
        let (head, tail) = self.rest.split_first_chunk::<4>()?;
        self.rest = tail;
        Some(u32::from_be_bytes(*head))
    }

    /// A big-endian integer of 64 bits.
    pub fn be64(&mut self) -> Option<u64> {
        let (head, tail) = self.rest.split_first_chunk::<8>()?;
        self.rest = tail;
        Some(u64::from_be_bytes(*head))
    }

    /// An unsigned varint: groups of seven bits, least significant first.
    pub fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for (i, b) in self.rest.iter().enumerate().take(VARINT_MAX) {
            if i == VARINT_MAX - 1 && *b > 1 {
                return None;
            }
            value |= u64::from(b & 0x7f) << (7 * i);
            if *b < 0x80 {
                self.rest = &self.rest[i + 1..];
                return Some(value);
            }
        }
        None
    }

    /// An unsigned varint that fits a `u32`.
    pub fn uvarint32(&mut self) -> Option<u32> {
        u32::try_from(self.uvarint()?).ok()
    }

    /// A signed varint, zigzag coded.
    pub fn varint(&mut self) -> Option<i64> {
        let u = self.uvarint()?;
        Some((u >> 1) as i64 ^ -((u & 1) as i64))
    }

    /// Bytes behind their length as an unsigned varint.
    pub fn text(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.uvarint()?).ok()?;
        self.bytes(n)
    }
}

/// Appends an unsigned varint.
pub fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed varint.
pub fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, (value << 1) as u64 ^ (value >> 63) as u64);
}

/// Appends bytes behind their length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_round_trip(u: u64, i: i64) {
            let mut out = Vec::new();
            put_uvarint(&mut out, u);
            put_varint(&mut out, i);
            let mut d = Dec::new(&out);
            prop_assert_eq!((d.uvarint(), d.varint(), d.is_empty()), (Some(u), Some(i), true));
        }
    }

    #[test]
    fn a_varint_that_is_too_long_is_none() {
        assert_eq!(Dec::new(&[0xff; 11]).uvarint(), None);
        assert_eq!(Dec::new(&[0x80; 3]).uvarint(), None);
    }
}
