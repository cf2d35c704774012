//! The tombstones file: which time of which series is deleted.
//!
//! ```text
//! be32 0x0130BA30 | u8 1 | stones x (uvarint series ref, varint mint, varint maxt inclusive) | CRC32C(stones)
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use dolmen_index::wire::Dec;
use dolmen_model::{Error, Result, TimeRange};

/// First four bytes.
pub const TOMBSTONES_MAGIC: u32 = 0x0130_BA30;

/// Deleted time by series ref (the series' id in the index): half-open, sorted, apart.
pub type Tombstones = HashMap<u64, Arc<[TimeRange]>>;

/// Reads the whole file.
pub fn read(bytes: &[u8]) -> Result<Tombstones> {
    let mut d = Dec::new(bytes);
    if (d.be32(), d.u8()) != (Some(TOMBSTONES_MAGIC), Some(1)) {
        return Err(Error::corrupt("tombstones: magic number or version is wrong"));
    }
    let Some((stones, crc)) = d.rest().split_last_chunk::<4>() else {
        return Err(Error::corrupt("tombstones: file ends before its checksum"));
    };
    if crc32c::crc32c(stones) != u32::from_be_bytes(*crc) {
        return Err(Error::corrupt("tombstones: checksum is wrong"));
    }
    let mut d = Dec::new(stones);
    let mut all: HashMap<u64, Vec<TimeRange>> = HashMap::new();
    while !d.is_empty() {
        let (Some(series), Some(first), Some(last)) = (d.uvarint(), d.varint(), d.varint()) else {
            return Err(Error::corrupt("tombstones: a stone is broken"));
        };
        // An interval that runs backwards deletes nothing.
        all.entry(series).or_default().extend(TimeRange::inclusive(first, last));
    }
    Ok(all.into_iter().map(|(series, ranges)| (series, merge(ranges).into())).collect())
}

fn merge(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.sort_unstable();
    let mut out: Vec<TimeRange> = Vec::with_capacity(ranges.len());
    for r in ranges {
        match out.last_mut() {
            Some(last) if r.mint() <= last.maxt() => {
                let joined = TimeRange::new(last.mint(), last.maxt().max(r.maxt()));
                *last = joined.unwrap_or(*last);
            }
            _ => out.push(r),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use dolmen_index::wire::{put_uvarint, put_varint};

    use super::*;

    fn file(stones: &[(u64, i64, i64)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (series, first, last) in stones {
            put_uvarint(&mut body, *series);
            put_varint(&mut body, *first);
            put_varint(&mut body, *last);
        }
        let mut out = TOMBSTONES_MAGIC.to_be_bytes().to_vec();
        out.push(1);
        out.extend_from_slice(&body);
        out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
        out
    }

    #[test]
    fn closed_intervals_become_half_open_and_merge() {
        let got = read(&file(&[(1, 10, 19), (2, 5, 5), (1, 20, 30), (1, 40, 50)])).unwrap();
        let range = |a, b| TimeRange::new(a, b).unwrap();
        assert_eq!(&got[&1][..], [range(10, 31), range(40, 51)]);
        assert_eq!(&got[&2][..], [range(5, 6)]);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let whole = file(&[(1, 10, 19), (700, -5, 5)]);
        for n in 0..whole.len() {
            assert!(read(&whole[..n]).is_err());
            let mut flipped = whole.clone();
            flipped[n] ^= 1;
            assert!(read(&flipped).is_err());
        }
        assert!(read(&file(&[])).unwrap().is_empty());
    }
}
