//! Lengths and bytes of protobuf fields.

/// Wire type of numbers.
const VARINT: u64 = 0;
/// Wire type of strings, bytes and messages.
const LEN: u64 = 2;

/// Bytes of a varint.
pub(super) fn varint_len(v: u64) -> usize {
    let bits = 64 - (v | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Bytes of the key of a field.
pub(super) fn key_len(field: u32) -> usize {
    varint_len(u64::from(field) << 3)
}

/// Bytes of a field of `len` bytes.
pub(super) fn bytes_len(field: u32, len: usize) -> usize {
    key_len(field) + varint_len(len as u64) + len
}

/// Bytes of a field of text or bytes; nothing where it is empty.
pub(super) fn text_len(field: u32, len: usize) -> usize {
    if len == 0 { 0 } else { bytes_len(field, len) }
}

/// Bytes of a field with a number; nothing where it is 0.
pub(super) fn number_len(field: u32, v: u64) -> usize {
    if v == 0 { 0 } else { key_len(field) + varint_len(v) }
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// The key and length of a field of `len` bytes, which follow.
pub(crate) fn put_key(out: &mut Vec<u8>, field: u32, len: usize) {
    put_varint(out, u64::from(field) << 3 | LEN);
    put_varint(out, len as u64);
}

/// A field of bytes, also of none.
pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_key(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// A field of text or bytes; nothing where it is empty.
pub(super) fn put_text(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(out, field, bytes);
    }
}

/// A field with a number; nothing where it is 0.
pub(super) fn put_number(out: &mut Vec<u8>, field: u32, v: u64) {
    if v != 0 {
        put_varint(out, u64::from(field) << 3 | VARINT);
        put_varint(out, v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_is_as_long_as_it_says() {
        for v in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX / 2, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, v);
            assert_eq!(out.len(), varint_len(v), "{v}");
        }
    }
}
