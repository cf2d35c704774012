//! Canonical label bytes: the `Label` messages of a series as remote-write 1.0 encodes them, sorted by name.
//!
//! ```text
//! 0x0a len  0x0a n name  0x12 m value      len, n, m: minimal varints
//! ```

use dolmen_model::{Labels, LabelsRef};

/// Appends the canonical bytes of a label set.
pub fn encode(labels: LabelsRef<'_>, out: &mut Vec<u8>) {
    for (name, value) in labels.iter() {
        let len = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
        out.push(0x0a);
        varint(len, out);
        out.push(0x0a);
        varint(name.len(), out);
        out.extend_from_slice(name.as_bytes());
        out.push(0x12);
        varint(value.len(), out);
        out.extend_from_slice(value.as_bytes());
    }
}

/// Names and values of canonical bytes; ends early at bytes that are none.
pub fn decode(bytes: &[u8]) -> Decode<'_> {
    Decode(bytes)
}

/// The label set of canonical bytes.
pub fn labels(bytes: &[u8]) -> Labels {
    Labels::from_sorted(decode(bytes))
}

/// See [`decode`].
#[derive(Clone, Copy)]
pub struct Decode<'a>(&'a [u8]);

impl<'a> Iterator for Decode<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.0 = self.0.strip_prefix(&[0x0a])?;
        take_varint(&mut self.0)?;
        self.0 = self.0.strip_prefix(&[0x0a])?;
        let name = take_text(&mut self.0)?;
        self.0 = self.0.strip_prefix(&[0x12])?;
        Some((name, take_text(&mut self.0)?))
    }
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let len = take_varint(bytes)?;
    let (text, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

fn take_varint(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0usize;
    for shift in (0..35).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= usize::from(first & 0x7f) << shift;
        if *first < 0x80 {
            return Some(value);
        }
    }
    None
}

fn varint(mut v: usize, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn varint_len(v: usize) -> usize {
    (usize::BITS - (v | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let long = "v".repeat(300);
        let set = Labels::from_pairs([("__name__", "up"), ("a", &long), ("job", "ü")]);
        let mut bytes = Vec::new();
        encode(set.as_ref(), &mut bytes);
        assert_eq!(labels(&bytes), set);
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).count() < 3);
        }
    }
}
