//! Records <-> pages.
//!
//! ```text
//! page      32 KiB: fragments, then zeros; fewer than 7 bytes at its end stay empty
//! fragment  type u8 | length be16 | CRC32C of the data be32 | data
//! type      0 rest of the page is zero, 1 full, 2 first, 3 middle, 4 last; | 8 snappy, | 16 zstd
//! ```
//! Compression is over the whole record. Every page begins with a fragment, so after damage reading goes on
//! at the next page.

use std::io::Read;

use dolmen_model::{Context, Error, Result};

/// Bytes of a page.
pub const PAGE: usize = 32 << 10;
const HEADER: usize = 7;
/// Longest record that is read.
const RECORD_MAX: usize = 512 << 20;

const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
const SNAPPY: u8 = 8;
const ZSTD: u8 = 16;

/// Appends a record as fragments; `at` is how far the segment is.
pub fn frame(record: &[u8], mut at: u64, out: &mut Vec<u8>) {
    let mut rest = record;
    let mut first = true;
    while first || !rest.is_empty() {
        let left = PAGE - (at % PAGE as u64) as usize;
        if left < HEADER {
            out.resize(out.len() + left, 0);
            at += left as u64;
            continue;
        }
        let data;
        (data, rest) = rest.split_at(rest.len().min(left - HEADER));
        out.push(match (first, rest.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        });
        out.extend_from_slice(&(data.len() as u16).to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(data).to_be_bytes());
        out.extend_from_slice(data);
        at += (HEADER + data.len()) as u64;
        first = false;
    }
}

/// At most as many bytes a record takes as fragments.
pub fn framed_len_max(record: usize) -> u64 {
    (record + HEADER * (record / (PAGE - HEADER) + 3)) as u64
}

/// A place that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where in the segment.
    pub at: u64,
    /// What is wrong there.
    pub why: String,
}

/// What a page gave.
#[derive(Debug)]
pub enum Event<'a> {
    /// A record, which ends at this place in the segment.
    Record(&'a [u8], u64),
    /// A place that could not be read; the next whole record follows, if there is one.
    Damage(Damage),
}

/// Puts records together from the pages of one segment.
#[derive(Default)]
pub struct Assembler {
    at: u64,
    partial: Vec<u8>,
    open: bool,
    flags: u8,
    /// Fragments of a record whose beginning was lost are passed over.
    lost: bool,
    plain: Vec<u8>,
}

impl Assembler {
    /// Reads the next page; only the last may be shorter than [`PAGE`].
    pub fn page(&mut self, page: &[u8], on: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        let mut pos = 0;
        while pos + HEADER <= page.len() {
            let (kind, flags) = (page[pos] & 7, page[pos] & !7);
            if kind == 0 {
                if page[pos..].iter().any(|b| *b != 0) {
                    self.damage(pos, "the unused end of a page is not zero", on)?;
                }
                pos = page.len();
                break;
            }
            let len = usize::from(u16::from_be_bytes([page[pos + 1], page[pos + 2]]));
            let crc = u32::from_be_bytes([page[pos + 3], page[pos + 4], page[pos + 5], page[pos + 6]]);
            let Some(data) = page.get(pos + HEADER..pos + HEADER + len) else {
                let why = if page.len() < PAGE {
                    "fragment ends early"
                } else {
                    "fragment reaches beyond its page"
                };
                self.damage(pos, why, on)?;
                pos = page.len();
                break;
            };
            if crc32c::crc32c(data) != crc {
                self.damage(pos, "checksum is wrong", on)?;
                pos = page.len();
                break;
            }
            self.fragment(pos, kind, flags, data, on)?;
            pos += HEADER + len;
        }
        if pos < page.len() && page.len() < PAGE && page[pos..].iter().any(|b| *b != 0) {
            self.damage(pos, "fragment ends early", on)?;
        }
        self.at += page.len() as u64;
        Ok(())
    }

    /// The segment has no further page.
    pub fn end(&mut self, on: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        if self.open { self.damage(0, "the last record has no end", on) } else { Ok(()) }
    }

    fn fragment(
        &mut self,
        pos: usize,
        kind: u8,
        flags: u8,
        data: &[u8],
        on: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        if flags & !(SNAPPY | ZSTD) != 0 || flags == SNAPPY | ZSTD || kind > LAST {
            return self.damage(pos, "fragment has an unknown type", on);
        }
        let begins = matches!(kind, FULL | FIRST);
        if begins && self.open {
            self.damage(pos, "a record has no end", on)?;
        }
        if !begins && (!self.open || flags != self.flags || self.partial.len() + data.len() > RECORD_MAX) {
            // Told once, with the damage that took its beginning.
            if !self.lost {
                self.damage(pos, "a record has no beginning", on)?;
            }
            return Ok(());
        }
        let end = self.at + (pos + HEADER + data.len()) as u64;
        self.lost = false;
        match kind {
            FULL => return self.emit(flags, data, end, on),
            FIRST => {
                self.partial.clear();
                (self.open, self.flags) = (true, flags);
            }
            _ => {}
        }
        self.partial.extend_from_slice(data);
        if kind == LAST {
            self.open = false;
            let record = std::mem::take(&mut self.partial);
            let result = self.emit(flags, &record, end, on);
            self.partial = record;
            return result;
        }
        debug_assert!(matches!(kind, FIRST | MIDDLE));
        Ok(())
    }

    fn emit(
        &mut self,
        flags: u8,
        data: &[u8],
        end: u64,
        on: &mut dyn FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        if flags == 0 {
            return on(Event::Record(data, end));
        }
        let mut plain = std::mem::take(&mut self.plain);
        let result = match decompress(flags, data, &mut plain) {
            Ok(()) => on(Event::Record(&plain, end)),
            Err(e) => on(Event::Damage(Damage { at: end, why: format!("{e}") })),
        };
        self.plain = plain;
        result
    }

    fn damage(&mut self, pos: usize, why: &str, on: &mut dyn FnMut(Event<'_>) -> Result<()>) -> Result<()> {
        (self.open, self.lost) = (false, true);
        on(Event::Damage(Damage { at: self.at + pos as u64, why: why.to_owned() }))
    }
}

fn decompress(flags: u8, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    let too_long =
        |n: usize| Error::corrupt(format!("record claims {n} bytes in {} compressed ones", data.len()));
    if flags == SNAPPY {
        let bad = |e: snap::Error| Error::corrupt(format!("decompress record: {e}"));
        let len = snap::raw::decompress_len(data).map_err(bad)?;
        // Three bytes of snappy give at most 64.
        if len > RECORD_MAX || len > data.len().saturating_mul(22).saturating_add(64) {
            return Err(too_long(len));
        }
        out.resize(len, 0);
        snap::raw::Decoder::new().decompress(data, out).map_err(bad)?;
        return Ok(());
    }
    let decoder = zstd::stream::read::Decoder::new(data).context("decompress record")?;
    decoder.take(RECORD_MAX as u64 + 1).read_to_end(out).context("decompress record")?;
    if out.len() > RECORD_MAX {
        return Err(too_long(out.len()));
    }
    Ok(())
}
