//! The table of contents at an index's end.

use dolmen_model::{Error, Result};

use crate::wire::Dec;

/// Where the sections of an index start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toc {
    /// Symbols.
    pub symbols: u64,
    /// Series; the symbols end here.
    pub series: u64,
    /// Obsolete; the series end here.
    pub label_indices: u64,
    /// Obsolete.
    pub label_indices_table: u64,
    /// Postings, before their padding.
    pub postings: u64,
    /// The postings' table; the last postings list ends here.
    pub postings_table: u64,
}

impl Toc {
    /// Bytes of a TOC with its checksum.
    pub const LEN: u64 = 52;

    /// Reads an index' last [`Toc::LEN`] bytes and checks that the sections lie in order within the file.
    pub fn parse(tail: &[u8], file_len: u64) -> Result<Toc> {
        let Some((body, crc)) = tail.split_last_chunk::<4>().filter(|(body, _)| body.len() == 48) else {
            return Err(Error::corrupt("index ends before its table of contents"));
        };
        if crc32c::crc32c(body) != u32::from_be_bytes(*crc) {
            return Err(Error::corrupt("index: checksum of the table of contents is wrong"));
        }
        let mut d = Dec::new(body);
        let mut next = || d.be64().unwrap_or(u64::MAX);
        let toc = Toc {
            symbols: next(),
            series: next(),
            label_indices: next(),
            label_indices_table: next(),
            postings: next(),
            postings_table: next(),
        };
        let end = file_len.saturating_sub(Toc::LEN);
        let in_order = 5 <= toc.symbols
            && toc.symbols < toc.series
            && toc.series <= toc.label_indices
            && toc.label_indices <= toc.postings
            && toc.postings < toc.postings_table
            && toc.postings_table < end;
        if !in_order {
            return Err(Error::corrupt("index: sections of the table of contents are out of order"));
        }
        Ok(toc)
    }
}

/// `be32 length | body | CRC32C(body)` at the front of `bytes`: gives the body.
pub(crate) fn framed<'a>(bytes: &'a [u8], what: &str) -> Result<&'a [u8]> {
    let mut d = Dec::new(bytes);
    let body = d.be32().and_then(|n| d.bytes(n as usize));
    let (Some(body), Some(crc)) = (body, d.be32()) else {
        return Err(Error::corrupt(format!("index: {what} ends early")));
    };
    if crc32c::crc32c(body) != crc {
        return Err(Error::corrupt(format!("index: checksum of {what} is wrong")));
    }
    Ok(body)
}
