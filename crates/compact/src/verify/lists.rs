//! Postings: each list's checksum and order, and that it names just the series that have the label.
//!
//! A list is compared by its length and the sum of its ids' hashes, so that memory holds 24 bytes for each
//! pair of name and value, not the lists.

use std::collections::HashMap;

use bytes::Bytes;
use dolmen_ctx::Ctx;
use dolmen_index::{Postings, PostingsTable};
use dolmen_model::{Error, Result};
use dolmen_source::{ByteSource, ObjectPart, Why};

use crate::Fault;
use crate::verify::Checked;
use crate::walk::Walk;

const INDEX: ObjectPart = ObjectPart::Index;

/// What a list must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    ids: u64,
    hash: u64,
}

impl Sum {
    fn add(&mut self, id: u64) {
        self.ids += 1;
        self.hash = self.hash.wrapping_add(mix(id));
    }
}

/// Splitmix64's finish: near ids become numbers without a pattern.
fn mix(id: u64) -> u64 {
    let mut z = id.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What all lists of a block must hold, as its series tell.
#[derive(Default)]
pub(super) struct Lists {
    all: Sum,
    pairs: HashMap<(u32, u32), Sum>,
}

impl Lists {
    /// A series with the refs of its labels.
    pub fn add(&mut self, id: u64, labels: &[(u32, u32)]) {
        self.all.add(id);
        for pair in labels {
            self.pairs.entry(*pair).or_default().add(id);
        }
    }

    /// Reads all lists; compares them with the series where all of those were read.
    pub async fn check(
        mut self,
        ctx: &Ctx,
        source: &dyn ByteSource,
        walk: &Walk,
        step: u64,
        whole: bool,
        found: &mut Checked,
    ) -> Result<()> {
        let toc = walk.toc();
        let end = source.len(INDEX).unwrap_or(0);
        let section = source.read(ctx, Why::Header, &[(INDEX, toc.postings_table..end)]).await;
        let table =
            section.and_then(|mut s| PostingsTable::parse(s.pop().unwrap_or_default(), toc.postings_table));
        let Some(table) = found.take(table.map_err(Fault::at(INDEX, toc.postings_table)))? else {
            return Ok(());
        };
        let mut reader = Reader { ctx, source, step, start: 0, bytes: Bytes::new(), end: toc.postings_table };
        let all = table.all().map_err(Fault::at(INDEX, toc.postings_table));
        if let Some(range) = found.take(all)? {
            let at = range.start;
            let sum = reader.sum(range).await;
            if let Some(sum) = found.take(sum)?
                && whole
                && sum != self.all
            {
                found.note(Fault::corrupt(
                    INDEX,
                    at,
                    "the list of all series names others than there are",
                ))?;
            }
        }
        for name in table.names() {
            ctx.check()?;
            let Some(name) = found.take(name.map_err(Fault::at(INDEX, toc.postings_table)))? else {
                continue;
            };
            for (value, range) in table.values(name) {
                let at = range.start;
                let sum = reader.sum(range).await;
                let value = String::from_utf8_lossy(value);
                let pair = walk.symbols().find(name).zip(walk.symbols().find(&value));
                let want = pair.and_then(|pair| self.pairs.remove(&pair)).unwrap_or_default();
                if let Some(sum) = found.take(sum)?
                    && whole
                    && sum != want
                {
                    let text =
                        format!("the list of {name}={value:?} names others than the series that have it");
                    found.note(Fault::corrupt(INDEX, at, text))?;
                }
            }
        }
        if whole && !self.pairs.is_empty() {
            let text = format!("lists of {} label pairs are missing", self.pairs.len());
            found.note(Fault::corrupt(INDEX, toc.postings_table, text))?;
        }
        Ok(())
    }
}

/// Reads lists in their order, many at once.
struct Reader<'a> {
    ctx: &'a Ctx,
    source: &'a dyn ByteSource,
    step: u64,
    start: u64,
    bytes: Bytes,
    end: u64,
}

impl Reader<'_> {
    async fn sum(&mut self, range: std::ops::Range<u64>) -> Result<Sum, Fault> {
        let at = range.start;
        let bytes = self.get(range).await.map_err(Fault::at(INDEX, at))?;
        let list = Postings::parse(bytes).map_err(Fault::at(INDEX, at))?;
        let mut sum = Sum::default();
        let mut last = None;
        for id in list.iter() {
            if last.is_some_and(|last| last >= id) {
                return Err(Fault::corrupt(INDEX, at, "ids of a postings list do not rise"));
            }
            last = Some(id);
            sum.add(id.into());
        }
        Ok(sum)
    }

    async fn get(&mut self, range: std::ops::Range<u64>) -> Result<Bytes> {
        let until = self.start + self.bytes.len() as u64;
        if range.start < self.start || range.end > until {
            let end = range.end.max(range.start.saturating_add(self.step)).min(self.end).max(range.end);
            let mut got = self.source.read(self.ctx, Why::Postings, &[(INDEX, range.start..end)]).await?;
            self.bytes = got.pop().ok_or_else(|| Error::corrupt("index: nothing was read"))?;
            self.start = range.start;
        }
        let from = (range.start - self.start) as usize;
        Ok(self.bytes.slice(from..from + (range.end - range.start) as usize))
    }
}
