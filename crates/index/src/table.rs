//! The postings' table: for each label name and value, where its list of series stands.
//!
//! Memory holds, for each name, the place of every 32nd of its entries; the entries stay where they are.

use std::ops::Range;

use bytes::Bytes;
use dolmen_model::{Error, Result};

use crate::symbols::utf8;
use crate::toc::framed;
use crate::wire::Dec;

/// Every so many values of a name, one place is held.
const STEP: usize = 32;

/// Postings' table over its bytes.
#[derive(Clone, Debug)]
pub struct PostingsTable {
    /// `entries x (uvarint 2, text name, text value, uvarint offset)`
    data: Bytes,
    /// By name.
    names: Vec<Name>,
    /// Where the last list ends.
    end: u64,
}

#[derive(Clone, Debug)]
struct Name {
    /// Place of the name's text in `data`.
    text: Range<u32>,
    /// Places of every 32nd entry.
    samples: Vec<u32>,
    count: u32,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    name: &'a [u8],
    value: &'a [u8],
    offset: u64,
}

fn entry<'a>(d: &mut Dec<'a>) -> Option<Entry<'a>> {
    if d.uvarint()? != 2 {
        return None;
    }
    Some(Entry { name: d.text()?, value: d.text()?, offset: d.uvarint()? })
}

fn broken() -> Error {
    Error::corrupt("index: the postings' table is broken")
}

impl PostingsTable {
    /// Reads a table section `be32 length | be32 entries | ... | CRC32C`; what stands behind it is passed over.
    /// `end`: where the last list ends in the index.
    pub fn parse(section: Bytes, end: u64) -> Result<PostingsTable> {
        let body = framed(&section, "the postings' table")?;
        let mut d = Dec::new(body);
        let count = d.be32().ok_or_else(broken)?;
        let data = section.slice_ref(d.rest());
        let place = |rest: &[u8]| (data.len() - rest.len()) as u32;
        let mut names: Vec<Name> = Vec::new();
        let mut last: Option<Entry<'_>> = None;
        for _ in 0..count {
            let at = place(d.rest());
            let e = entry(&mut d).ok_or_else(broken)?;
            // Binary search and the ends of lists rest on this order.
            let follows = |l: &Entry<'_>| (l.name, l.value) < (e.name, e.value) && l.offset < e.offset;
            if e.offset >= end || !last.as_ref().is_none_or(follows) {
                return Err(Error::corrupt("index: the postings' table is not sorted"));
            }
            if last.is_none_or(|l| l.name != e.name) {
                // Not `slice_ref`: an empty slice would lose its place.
                let from = e.name.as_ptr() as usize - data.as_ptr() as usize;
                let text = from as u32..(from + e.name.len()) as u32;
                names.push(Name { text, samples: Vec::new(), count: 0 });
            }
            if let Some(name) = names.last_mut() {
                if (name.count as usize).is_multiple_of(STEP) {
                    name.samples.push(at);
                }
                name.count += 1;
            }
            last = Some(e);
        }
        Ok(PostingsTable { data, names, end })
    }

    /// Label names in order.
    pub fn names(&self) -> impl Iterator<Item = Result<&str>> {
        self.names.iter().map(|n| self.text(n)).filter(|n| !n.is_empty()).map(utf8)
    }

    /// Whether a series has a label of this name.
    pub fn has_name(&self, name: &str) -> bool {
        self.name(name).is_some()
    }

    /// How many values a name has.
    pub fn values_len(&self, name: &str) -> usize {
        self.name(name).map_or(0, |n| n.count as usize)
    }

    /// Bytes of the list of a name's value; `None` where no series has it. The pair of two empty texts lists
    /// all series.
    pub fn list(&self, name: &str, value: &str) -> Option<Range<u64>> {
        let mut values = self.values_from(name, value);
        values.next().filter(|(v, _)| *v == value.as_bytes()).map(|(_, list)| list)
    }

    /// Bytes of the list of all series.
    pub fn all(&self) -> Result<Range<u64>> {
        self.list("", "").ok_or_else(|| Error::corrupt("index: the list of all series is missing"))
    }

    /// All values of a name in order, with the bytes of their lists.
    pub fn values(&self, name: &str) -> Values<'_> {
        self.values_from(name, "")
    }

    /// The values of a name that are not below `from`.
    pub fn values_from(&self, name: &str, from: &str) -> Values<'_> {
        let Some(n) = self.name(name) else {
            return Values { d: Dec::new(&[]), left: 0, next: None, end: 0 };
        };
        let value = |at: &u32| self.data.get(*at as usize..).and_then(|b| entry(&mut Dec::new(b)));
        let step = n.samples.partition_point(|at| value(at).is_some_and(|e| e.value < from.as_bytes()));
        let step = step.saturating_sub(1);
        let rest = n.samples.get(step).and_then(|at| self.data.get(*at as usize..)).unwrap_or_default();
        let mut d = Dec::new(rest);
        let mut values =
            Values { next: entry(&mut d), d, left: n.count as usize - step * STEP, end: self.end };
        while values.left > 0 && values.next.is_some_and(|e| e.value < from.as_bytes()) {
            values.step();
        }
        values
    }

    /// Bytes of memory beside the section's own bytes.
    pub fn memory(&self) -> usize {
        self.names.iter().map(|n| size_of::<Name>() + n.samples.capacity() * 4).sum()
    }

    fn text(&self, n: &Name) -> &[u8] {
        &self.data[n.text.start as usize..n.text.end as usize]
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let i = self.names.binary_search_by(|n| self.text(n).cmp(name.as_bytes()));
        i.ok().map(|i| &self.names[i])
    }
}

/// Values of a name, with the bytes of their lists.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    d: Dec<'a>,
    left: usize,
    next: Option<Entry<'a>>,
    end: u64,
}

impl Values<'_> {
    fn step(&mut self) {
        self.left -= 1;
        self.next = entry(&mut self.d);
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = (&'a [u8], Range<u64>);
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let e = self.next?;
        self.step();
        // The entry behind, be it of another name, tells where this list ends.
        let end = self.next.map_or(self.end, |n| n.offset);
        Some((e.value, e.offset..end))
    }
}
