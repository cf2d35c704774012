//! Writes an index, version 2, in one pass over the series.
//!
//! ```text
//! header     be32 0xBAAAD700 | u8 2
//! symbols    be32 length | be32 symbols | symbols x (uvarint length, text) | CRC32C
//! series     entries, each at a multiple of 16 (see `series`)
//! postings   each at a multiple of 4: be32 length | be32 ids | ids x be32 | CRC32C
//! table      be32 length | be32 entries | entries x (uvarint 2, text name, text value, uvarint offset) | CRC32C
//! TOC        be64 symbols, series, label indices, their table, postings, postings' table | CRC32C
//! ```
//!
//! Memory: every symbol once and 12 bytes each, 24 bytes for each label pair that occurs, 4 bytes for each
//! series, and [`POSTINGS_AT_ONCE`] ids. Postings are not held while series come: they are read back from
//! the series section, as many lists at a time as fit.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dolmen_ctx::Disk;
use dolmen_model::{Context, Error, Labels, LabelsRef, Result, TimeRange};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

use crate::series::{ChunkMeta, SERIES_ALIGN, Series, Split, put_series, split_entry};
use crate::wire::{put_text, put_uvarint};
use crate::{FileOut, INDEX_MAGIC, INDEX_VERSION};

/// Ids of postings held at once while lists are made: 64 MiB. A longer list is still made in one piece.
pub const POSTINGS_AT_ONCE: usize = 16 << 20;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of the file.
    pub bytes: u64,
    /// Series.
    pub series: u64,
    /// Longest series entry, with its padding.
    pub series_max_size: u64,
}

/// Writes an index file.
pub struct IndexWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    out: FileOut,
    symbols: SymbolTable,
    /// Offset right behind the symbols.
    series_start: u64,
    /// How many series have a pair of (name ref, value ref).
    pairs: HashMap<(u32, u32), u32>,
    ids: Vec<u32>,
    last: Option<Labels>,
    last_ref: u64,
    written: Written,
    at_once: usize,
    entry: Vec<u8>,
    body: Vec<u8>,
}

impl IndexWriter {
    /// Starts a file; `symbols` are all names and values that will come, sorted by bytes, each once. Symbols
    /// that no series uses do no harm.
    pub fn create<S: AsRef<str>>(
        disk: Arc<dyn Disk>,
        path: &Path,
        symbols: impl IntoIterator<Item = S>,
    ) -> Result<IndexWriter> {
        let mut out = FileOut::new(disk.create(path).context("create index")?);
        out.put(&INDEX_MAGIC.to_be_bytes())?;
        out.put(&[INDEX_VERSION])?;
        let symbols = put_symbols(&mut out, symbols)?;
        let series_start = out.pos();
        Ok(IndexWriter {
            disk,
            path: path.to_owned(),
            out,
            symbols,
            series_start,
            pairs: HashMap::new(),
            ids: Vec::new(),
            last: None,
            last_ref: 0,
            written: Written::default(),
            at_once: POSTINGS_AT_ONCE,
            entry: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Adds a series. Series come in label order, each once; chunks by time, apart, their refs ascending over
    /// the whole file.
    pub fn add_series(&mut self, labels: LabelsRef<'_>, chunks: &[ChunkMeta]) -> Result<()> {
        if let Some(last) = &self.last
            && last.iter().cmp(labels.iter()) != std::cmp::Ordering::Less
        {
            return Err(Error::invalid(format!("series {labels} does not follow {last}")));
        }
        self.check_chunks(labels, chunks)?;
        self.out.pad(SERIES_ALIGN)?;
        let id = u32::try_from(self.out.pos() / SERIES_ALIGN);
        let id = id.map_err(|_| Error::invalid("index would be longer than 64 GiB"))?;
        self.entry.clear();
        let (symbols, pairs) = (&self.symbols, &mut self.pairs);
        let mut name = None;
        put_series(&mut self.entry, &mut self.body, labels, chunks, |text| {
            let r = symbols.find(text)?;
            match name.take() {
                None => name = Some(r),
                Some(name) => *pairs.entry((name, r)).or_default() += 1,
            }
            Ok(r)
        })?;
        self.out.put(&self.entry)?;
        self.ids.push(id);
        self.written.series += 1;
        let size = (self.entry.len() as u64).next_multiple_of(SERIES_ALIGN);
        self.written.series_max_size = self.written.series_max_size.max(size);
        self.last = Some(labels.to_labels());
        Ok(())
    }

    /// Writes postings, their table and the TOC; returns once the file would survive a loss of power.
    pub fn finish(mut self) -> Result<Written> {
        let series_end = self.out.pos();
        let mut table = Table::default();
        self.out.pad(4)?;
        table.add("", "", self.out.pos());
        put_list(&mut self.out, &mut self.entry, &self.ids)?;

        let mut pairs: Vec<((u32, u32), u32)> = self.pairs.drain().collect();
        pairs.sort_unstable();
        let mut rest = pairs.as_slice();
        while !rest.is_empty() {
            let group = self.group(rest);
            let lists = self.collect(&rest[..group])?;
            let mut start = 0;
            for ((pair, count), list) in rest[..group].iter().zip(lists.ends) {
                self.out.pad(4)?;
                table.add(self.symbols.get(pair.0), self.symbols.get(pair.1), self.out.pos());
                if list - start != *count as usize {
                    return Err(Error::corrupt("series read back differ from those written"));
                }
                put_list(&mut self.out, &mut self.entry, &lists.ids[start..list])?;
                start = list;
            }
            rest = &rest[group..];
        }

        let table_start = self.out.pos();
        put_framed(&mut self.out, table.entries, &table.bytes)?;
        let mut toc = Vec::with_capacity(52);
        for at in [5, self.series_start, series_end, table_start, series_end, table_start] {
            toc.extend_from_slice(&u64::to_be_bytes(at));
        }
        let crc = crc32c::crc32c(&toc);
        toc.extend_from_slice(&crc.to_be_bytes());
        self.out.put(&toc)?;
        self.out.sync()?;
        Ok(Written { bytes: self.out.pos(), ..self.written })
    }

    fn check_chunks(&mut self, labels: LabelsRef<'_>, chunks: &[ChunkMeta]) -> Result<()> {
        let mut before: Option<&ChunkMeta> = None;
        for c in chunks {
            if c.maxt < c.mint || before.is_some_and(|b| c.mint <= b.maxt) {
                return Err(Error::invalid(format!(
                    "chunks of {labels} overlap or run backwards at {}",
                    c.mint
                )));
            }
            if c.reference < self.last_ref {
                return Err(Error::invalid(format!("chunk refs of {labels} run backwards")));
            }
            self.last_ref = c.reference;
            before = Some(c);
        }
        Ok(())
    }

    /// How many of the lists are made in one scan.
    fn group(&self, pairs: &[((u32, u32), u32)]) -> usize {
        let mut ids = 0usize;
        let fit = pairs.iter().take_while(|(_, n)| {
            ids += *n as usize;
            ids <= self.at_once
        });
        fit.count().max(1)
    }

    /// Reads the series section back and gathers the ids of these pairs.
    fn collect(&mut self, pairs: &[((u32, u32), u32)]) -> Result<Lists> {
        self.out.flush()?;
        let mut place = HashMap::with_capacity(pairs.len());
        let mut ends = Vec::with_capacity(pairs.len());
        let mut total = 0usize;
        for (i, (pair, n)) in pairs.iter().enumerate() {
            place.insert(*pair, i);
            ends.push(total);
            total += *n as usize;
        }
        let mut ids = vec![0u32; total];
        let mut scan = Scan { disk: &*self.disk, path: &self.path, start: 0, data: Vec::new() };
        let mut series = Series::default();
        for id in &self.ids {
            scan.entry(u64::from(*id) * SERIES_ALIGN, &mut series)?;
            for pair in &series.labels {
                if let Some(i) = place.get(pair) {
                    let slot = ids.get_mut(ends[*i]);
                    *slot.ok_or_else(|| Error::corrupt("series read back differ from those written"))? = *id;
                    ends[*i] += 1;
                }
            }
        }
        Ok(Lists { ids, ends })
    }
}

/// Lists one behind the other, and where each ends.
struct Lists {
    ids: Vec<u32>,
    ends: Vec<usize>,
}

/// Reads entries of a file in order, a mebibyte at a time.
struct Scan<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    start: u64,
    data: Vec<u8>,
}

impl Scan<'_> {
    fn entry(&mut self, at: u64, out: &mut Series) -> Result<()> {
        let mut step = 1 << 20;
        loop {
            let here = usize::try_from(at - self.start).ok().and_then(|i| self.data.get(i..));
            if let Some(here) = here.filter(|h| !h.is_empty()) {
                match split_entry(here)? {
                    Split::Whole(body, _) => return out.decode(body, TimeRange::ALL),
                    Split::Need(n) => step = step.max(n),
                }
            }
            let had = if self.start == at { self.data.len() } else { 0 };
            self.data = self.disk.read_at(self.path, at, step).context("read back index")?;
            self.start = at;
            if self.data.len() <= had {
                return Err(Error::corrupt("index ends within a series read back"));
            }
        }
    }
}

/// All symbols, and their refs by text.
struct SymbolTable {
    text: String,
    ends: Vec<u32>,
    known: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl SymbolTable {
    fn get(&self, r: u32) -> &str {
        let r = r as usize;
        let start = if r == 0 { 0 } else { self.ends[r - 1] as usize };
        &self.text[start..self.ends[r] as usize]
    }

    fn push(&mut self, text: &str) -> Result<()> {
        let r = self.ends.len() as u32;
        let end = u32::try_from(self.text.len() + text.len());
        self.text.push_str(text);
        self.ends.push(end.map_err(|_| Error::invalid("symbols take more than 4 GiB"))?);
        let SymbolTable { text: all, ends, known, hasher } = self;
        let at = |r: &u32| {
            let r = *r as usize;
            &all[if r == 0 { 0 } else { ends[r - 1] as usize }..ends[r] as usize]
        };
        known.insert_unique(hasher.hash_one(text), r, |r| hasher.hash_one(at(r)));
        Ok(())
    }

    fn find(&self, text: &str) -> Result<u32> {
        let found = self.known.find(self.hasher.hash_one(text), |r| self.get(*r) == text);
        found.copied().ok_or_else(|| Error::invalid(format!("{text:?} is not among the symbols")))
    }
}

fn put_symbols<S: AsRef<str>>(
    out: &mut FileOut,
    symbols: impl IntoIterator<Item = S>,
) -> Result<SymbolTable> {
    let mut table = SymbolTable {
        text: String::new(),
        ends: Vec::new(),
        known: HashTable::new(),
        hasher: DefaultHashBuilder::default(),
    };
    let start = out.pos();
    // Length and count are known only at the end; they are written over then.
    out.put(&[0; 8])?;
    let (mut crc, mut len, mut entry) = (0, 0usize, Vec::new());
    for symbol in symbols {
        let symbol = symbol.as_ref();
        if let Some(last) = table.ends.len().checked_sub(1)
            && table.get(last as u32) >= symbol
        {
            return Err(Error::invalid(format!("symbol {symbol:?} comes twice or out of order")));
        }
        table.push(symbol)?;
        entry.clear();
        put_text(&mut entry, symbol);
        crc = crc32c::crc32c_append(crc, &entry);
        len += entry.len();
        out.put(&entry)?;
    }
    let count = (table.ends.len() as u32).to_be_bytes();
    let head = u32::try_from(len + 4).map_err(|_| Error::invalid("symbols take more than 4 GiB"))?;
    let crc = crc32c::crc32c_combine(crc32c::crc32c(&count), crc, len);
    out.put(&crc.to_be_bytes())?;
    out.put_at(start, &head.to_be_bytes())?;
    out.put_at(start + 4, &count)?;
    Ok(table)
}

#[derive(Default)]
struct Table {
    entries: u32,
    bytes: Vec<u8>,
}

impl Table {
    fn add(&mut self, name: &str, value: &str, offset: u64) {
        self.entries += 1;
        put_uvarint(&mut self.bytes, 2);
        put_text(&mut self.bytes, name);
        put_text(&mut self.bytes, value);
        put_uvarint(&mut self.bytes, offset);
    }
}

fn put_list(out: &mut FileOut, buf: &mut Vec<u8>, ids: &[u32]) -> Result<()> {
    buf.clear();
    buf.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
    put_framed(out, ids.len() as u32, buf)
}

/// `be32 length | be32 count | bytes | CRC32C(count, bytes)`.
fn put_framed(out: &mut FileOut, count: u32, bytes: &[u8]) -> Result<()> {
    let len =
        u32::try_from(bytes.len() + 4).map_err(|_| Error::invalid("a section takes more than 4 GiB"))?;
    let count = count.to_be_bytes();
    out.put(&len.to_be_bytes())?;
    out.put(&count)?;
    out.put(bytes)?;
    out.put(&crc32c::crc32c_append(crc32c::crc32c(&count), bytes).to_be_bytes())
}
