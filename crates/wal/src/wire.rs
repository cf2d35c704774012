//! Integers, floats and strings as records hold them: big-endian, Go's varints.

use dolmen_model::{Error, Result};

/// Appends a varint.
pub fn put_uvarint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Appends a zig-zag varint.
pub fn put_varint(out: &mut Vec<u8>, v: i64) {
    put_uvarint(out, (v << 1 ^ v >> 63) as u64);
}

/// Appends eight bytes.
pub fn put_u64(out: &mut Vec<u8>, v: u64) {
    out.extend_from_slice(&v.to_be_bytes());
}

/// Appends a float.
pub fn put_f64(out: &mut Vec<u8>, v: f64) {
    put_u64(out, v.to_bits());
}

/// Appends a string behind its length.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// What is left of a record.
pub struct Bytes<'a>(pub &'a [u8]);

fn short() -> Error {
    Error::corrupt("record ends early")
}

impl<'a> Bytes<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn u8(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().ok_or_else(short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub fn u64(&mut self) -> Result<u64> {
        let (first, rest) = self.0.split_first_chunk::<8>().ok_or_else(short)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*first))
    }

    pub fn f64(&mut self) -> Result<f64> {
        self.u64().map(f64::from_bits)
    }

    pub fn uvarint(&mut self) -> Result<u64> {
        let mut v = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            v |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(Error::corrupt("varint is longer than 64 bits"))
    }

    pub fn varint(&mut self) -> Result<i64> {
        let v = self.uvarint()?;
        Ok((v >> 1) as i64 ^ -((v & 1) as i64))
    }

    /// A count of things that take at least `bytes_each` bytes: never more than could be there.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize> {
        let n = self.uvarint()?;
        if n > (self.0.len() / bytes_each) as u64 {
            return Err(Error::corrupt(format!(
                "record claims {n} parts and has {} bytes left",
                self.0.len()
            )));
        }
        Ok(n as usize)
    }

    pub fn text(&mut self) -> Result<&'a str> {
        let len = self.count(1)?;
        let (text, rest) = self.0.split_at(len);
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Error::corrupt("label is not UTF-8"))
    }
}
