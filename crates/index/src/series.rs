//! One entry of the index' series section: label refs and chunk metas.
//!
//! ```text
//! uvarint length of the body | body | be32 CRC32C(body)        every entry starts at a multiple of 16
//! body: uvarint labels, labels x (uvarint name ref, uvarint value ref),
//!       uvarint chunks, first chunk  (varint mint,                uvarint maxt - mint, uvarint ref)
//!                       other chunks (uvarint mint - maxt before, uvarint maxt - mint, varint ref - ref before)
//! ```

use dolmen_model::{Error, LabelsRef, Result, TimeRange, Timestamp};

use crate::wire::{Dec, VARINT_MAX, put_uvarint, put_varint};

/// Entries start at multiples of it; a series' id is its offset divided by it.
pub const SERIES_ALIGN: u64 = 16;

/// Where a chunk is, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Time of its first sample.
    pub mint: Timestamp,
    /// Time of its last sample, inclusive.
    pub maxt: Timestamp,
    /// Segment (from 0) in the upper, offset of the record in the lower 32 bits.
    pub reference: u64,
}

impl ChunkMeta {
    /// Number of the segment, from 0 (file `000001`).
    pub fn segment(&self) -> u32 {
        (self.reference >> 32) as u32
    }

    /// Offset of the record in its segment file.
    pub fn offset(&self) -> u64 {
        self.reference & 0xffff_ffff
    }
}

/// A decoded entry; reused from entry to entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Symbol refs of names and values, by name.
    pub labels: Vec<(u32, u32)>,
    /// Chunks, by time.
    pub chunks: Vec<ChunkMeta>,
}

impl Series {
    /// Decodes an entry's body, keeping the chunks that overlap `range`.
    pub fn decode(&mut self, body: &[u8], range: TimeRange) -> Result<()> {
        self.labels.clear();
        self.chunks.clear();
        self.fill(body, range).ok_or_else(|| Error::corrupt("series entry is broken"))
    }

    /// Decodes an entry's labels alone.
    pub fn decode_labels(&mut self, body: &[u8]) -> Result<()> {
        self.labels.clear();
        self.chunks.clear();
        self.fill_labels(&mut Dec::new(body)).ok_or_else(|| Error::corrupt("series entry is broken"))
    }

    fn fill_labels(&mut self, d: &mut Dec<'_>) -> Option<()> {
        let labels = d.uvarint()?;
        for _ in 0..labels {
            // Each pair takes two bytes at least, so the loop ends with the bytes.
            self.labels.push((d.uvarint32()?, d.uvarint32()?));
        }
        Some(())
    }

    fn fill(&mut self, body: &[u8], range: TimeRange) -> Option<()> {
        let mut d = Dec::new(body);
        self.fill_labels(&mut d)?;
        let chunks = d.uvarint()?;
        let (mut before, mut reference) = (0i64, 0u64);
        for i in 0..chunks {
            let mint = if i == 0 { d.varint()? } else { before.checked_add_unsigned(d.uvarint()?)? };
            let maxt = mint.checked_add_unsigned(d.uvarint()?)?;
            reference = if i == 0 { d.uvarint()? } else { reference.checked_add_signed(d.varint()?)? };
            before = maxt;
            if mint < range.maxt() && maxt >= range.mint() {
                self.chunks.push(ChunkMeta { mint, maxt, reference });
            }
        }
        Some(())
    }
}

/// What stands at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// A whole entry: its body, and its length with prefix and checksum.
    Whole(&'a [u8], usize),
    /// The bytes end too early: so many are needed from the entry's start on.
    Need(usize),
}

/// Takes the entry at the front of `data` apart and checks its CRC.
pub fn split_entry(data: &[u8]) -> Result<Split<'_>> {
    let mut d = Dec::new(data);
    let Some(n) = d.uvarint() else {
        if data.len() >= VARINT_MAX {
            return Err(Error::corrupt("series entry has no length"));
        }
        return Ok(Split::Need(VARINT_MAX));
    };
    let n = usize::try_from(n).ok().filter(|n| *n <= ENTRY_MAX);
    let n = n.ok_or_else(|| Error::corrupt("series entry is longer than 64 MiB"))?;
    let whole = data.len() - d.rest().len() + n + 4;
    let (Some(body), Some(crc)) = (d.bytes(n), d.be32()) else { return Ok(Split::Need(whole)) };
    if crc32c::crc32c(body) != crc {
        return Err(Error::corrupt("series entry fails its checksum"));
    }
    Ok(Split::Whole(body, whole))
}

/// Longest entry that is read: 64 MiB, some five million chunks.
const ENTRY_MAX: usize = 64 << 20;

/// Appends an entry, without the padding before it. `symbol` gives the ref of a name or value.
pub fn put_series(
    out: &mut Vec<u8>,
    body: &mut Vec<u8>,
    labels: LabelsRef<'_>,
    chunks: &[ChunkMeta],
    mut symbol: impl FnMut(&str) -> Result<u32>,
) -> Result<()> {
    body.clear();
    put_uvarint(body, labels.iter().count() as u64);
    for (name, value) in labels.iter() {
        put_uvarint(body, symbol(name)?.into());
        put_uvarint(body, symbol(value)?.into());
    }
    put_uvarint(body, chunks.len() as u64);
    let mut last: Option<&ChunkMeta> = None;
    for c in chunks {
        match last {
            None => put_varint(body, c.mint),
            Some(l) => put_uvarint(body, c.mint.wrapping_sub(l.maxt) as u64),
        }
        put_uvarint(body, c.maxt.wrapping_sub(c.mint) as u64);
        match last {
            None => put_uvarint(body, c.reference),
            Some(l) => put_varint(body, c.reference.wrapping_sub(l.reference) as i64),
        }
        last = Some(c);
    }
    put_uvarint(out, body.len() as u64);
    out.extend_from_slice(body);
    out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
    Ok(())
}
