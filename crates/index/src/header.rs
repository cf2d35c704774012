//! What of an index is needed to plan: symbols and postings' table. It comes from a whole index, or from an
//! index-header, the file that Thanos' store gateway keeps of a block whose index lies in a bucket.
//!
//! ```text
//! be32 0xBAAAD792 | u8 1 | u8 version of the index | be64 where the index' postings end
//! the index' symbols section
//! the index from its postings' table to its end
//! be64 where the symbols start here | be64 where the table starts here | CRC32C of these 16 bytes
//! ```

use std::ops::Range;

use bytes::Bytes;
use dolmen_model::{Context, Error, Result};

use crate::symbols::Symbols;
use crate::table::PostingsTable;
use crate::toc::Toc;
use crate::wire::Dec;
use crate::{INDEX_MAGIC, SERIES_ALIGN};

/// First four bytes of an index-header.
pub const HEADER_MAGIC: u32 = 0xBAAA_D792;
/// Bytes before the symbols.
const HEADER_START: u64 = 14;
/// Bytes of the TOC.
const HEADER_TOC: usize = 20;

/// Symbols and postings' table of an index.
#[derive(Clone, Debug)]
pub struct IndexHeader {
    symbols: Symbols,
    table: PostingsTable,
    toc: Toc,
}

impl IndexHeader {
    /// From a whole index.
    pub fn from_index(index: &Bytes) -> Result<IndexHeader> {
        check_start(index)?;
        let (toc, [symbols, table]) = plan(index.len() as u64, tail(index))?;
        let cut = |r: Range<u64>| index.slice(r.start as usize..r.end as usize);
        IndexHeader::assemble(toc, cut(symbols), cut(table))
    }

    /// From an index-header.
    pub fn from_header(file: &Bytes) -> Result<IndexHeader> {
        let broken = || Error::corrupt("index-header is broken");
        let mut d = Dec::new(file);
        if (d.be32(), d.u8()) != (Some(HEADER_MAGIC), Some(1)) {
            return Err(Error::corrupt("index-header: magic number or version is wrong"));
        }
        check_version(d.u8().ok_or_else(broken)?)?;
        let end = d.be64().ok_or_else(broken)?;
        let (body, toc) = file.split_last_chunk::<HEADER_TOC>().ok_or_else(broken)?;
        let (places, crc) = toc.split_at(16);
        if crc32c::crc32c(places).to_be_bytes() != crc {
            return Err(Error::corrupt("index-header: checksum is wrong"));
        }
        let mut d = Dec::new(places);
        let (symbols, table) = d.be64().zip(d.be64()).ok_or_else(broken)?;
        let in_order = HEADER_START <= symbols && symbols < table && table < body.len() as u64;
        if !in_order {
            return Err(broken());
        }
        let symbols = file.slice(symbols as usize..table as usize);
        let table = file.slice(table as usize..body.len());
        // The part that was copied ends with the TOC of the index, whose length follows from it.
        let index_len = end.saturating_add(table.len() as u64);
        let toc = Toc::parse(tail(&table), index_len).context("index-header")?;
        if toc.postings_table != end || toc.series - toc.symbols != symbols.len() as u64 {
            return Err(broken());
        }
        IndexHeader::assemble(toc, symbols, table)
    }

    fn assemble(toc: Toc, symbols: Bytes, table: Bytes) -> Result<IndexHeader> {
        let symbols = Symbols::parse(symbols)?;
        let table = PostingsTable::parse(table, toc.postings_table)?;
        Ok(IndexHeader { symbols, table, toc })
    }

    /// Label names and values.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Where the postings stand.
    pub fn postings(&self) -> &PostingsTable {
        &self.table
    }

    /// Where the sections stand.
    pub fn toc(&self) -> Toc {
        self.toc
    }

    /// Bytes of the series section that hold the entry with this id, and others behind it.
    pub fn series_from(&self, id: u32) -> Result<Range<u64>> {
        let at = u64::from(id) * SERIES_ALIGN;
        if at < self.toc.series || at >= self.toc.label_indices {
            return Err(Error::corrupt(format!("index: series {id} does not stand in the series section")));
        }
        Ok(at..self.toc.label_indices)
    }

    /// Bytes of memory beside the sections' own bytes.
    pub fn memory(&self) -> usize {
        self.symbols.memory() + self.table.memory()
    }
}

/// The TOC, and the bytes of symbols and postings' table, which ends with the index. `tail`: the index' last
/// [`Toc::LEN`] bytes.
pub fn plan(index_len: u64, tail: &[u8]) -> Result<(Toc, [Range<u64>; 2])> {
    let toc = Toc::parse(tail, index_len)?;
    Ok((toc, [toc.symbols..toc.series, toc.postings_table..index_len]))
}

/// The bytes of an index-header, from the index' first bytes and the ranges of [`plan`].
pub fn build(start: &[u8], toc: Toc, symbols: &[u8], table: &[u8]) -> Result<Vec<u8>> {
    let version = check_start(start)?;
    let mut out = Vec::with_capacity(HEADER_START as usize + symbols.len() + table.len() + HEADER_TOC);
    out.extend_from_slice(&HEADER_MAGIC.to_be_bytes());
    out.extend_from_slice(&[1, version]);
    out.extend_from_slice(&toc.postings_table.to_be_bytes());
    out.extend_from_slice(symbols);
    let table_at = out.len() as u64;
    out.extend_from_slice(table);
    let at = out.len();
    out.extend_from_slice(&HEADER_START.to_be_bytes());
    out.extend_from_slice(&table_at.to_be_bytes());
    let crc = crc32c::crc32c(&out[at..]);
    out.extend_from_slice(&crc.to_be_bytes());
    Ok(out)
}

fn tail(index: &[u8]) -> &[u8] {
    &index[index.len().saturating_sub(Toc::LEN as usize)..]
}

/// Checks magic number and version at an index' start; gives the version.
fn check_start(start: &[u8]) -> Result<u8> {
    let mut d = Dec::new(start);
    match (d.be32(), d.u8()) {
        (Some(INDEX_MAGIC), Some(version)) => check_version(version),
        _ => Err(Error::corrupt("not an index: its magic number is wrong")),
    }
}

fn check_version(version: u8) -> Result<u8> {
    match version {
        2 | 3 => Ok(version),
        1 => Err(Error::corrupt("index version 1 is not read: let Prometheus 2 compact the block once")),
        v => Err(Error::corrupt(format!("index has version {v}, expected 2"))),
    }
}
