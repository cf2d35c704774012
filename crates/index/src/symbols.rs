//! The symbol table: all label names and values of a block, sorted. A ref is a place in it.
//!
//! Memory holds the offset of every 32nd symbol; the text stays where it is.

use bytes::Bytes;
use dolmen_model::{Error, Result};

use crate::toc::framed;
use crate::wire::Dec;

/// Every so many symbols, one offset is held.
const STEP: usize = 32;

/// Symbols over their bytes.
#[derive(Clone, Debug)]
pub struct Symbols {
    /// `symbols x (uvarint length, text)`
    data: Bytes,
    count: u32,
    samples: Vec<u32>,
}

impl Symbols {
    /// Reads a symbols section: `be32 length | be32 symbols | ... | CRC32C`.
    pub fn parse(section: Bytes) -> Result<Symbols> {
        let body = framed(&section, "symbols")?;
        let broken = || Error::corrupt("index: symbols are broken");
        let mut d = Dec::new(body);
        let count = d.be32().ok_or_else(broken)?;
        let data = section.slice_ref(d.rest());
        // Every symbol takes a byte at least.
        if count as usize > data.len() {
            return Err(broken());
        }
        let mut samples = Vec::with_capacity(count as usize / STEP + 1);
        for i in 0..count as usize {
            if i % STEP == 0 {
                let at = u32::try_from(data.len() - d.rest().len()).map_err(|_| broken())?;
                samples.push(at);
            }
            d.text().ok_or_else(broken)?;
        }
        Ok(Symbols { data, count, samples })
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The text of a ref.
    pub fn get(&self, r: u32) -> Result<&str> {
        let at = self.samples.get(r as usize / STEP).filter(|_| r < self.count);
        let mut d = at.and_then(|at| self.data.get(*at as usize..)).map(Dec::new);
        let text = d.as_mut().and_then(|d| {
            for _ in 0..r as usize % STEP {
                d.text()?;
            }
            d.text()
        });
        let text = text.ok_or_else(|| Error::corrupt(format!("index: there is no symbol {r}")))?;
        utf8(text)
    }

    /// The ref of a text.
    pub fn find(&self, text: &str) -> Option<u32> {
        let first = |at: &u32| Dec::new(self.data.get(*at as usize..)?).text();
        let step = self.samples.partition_point(|at| first(at).is_some_and(|s| s <= text.as_bytes()));
        let step = step.checked_sub(1)?;
        let mut d = Dec::new(self.data.get(self.samples[step] as usize..)?);
        let from = (step * STEP) as u32;
        (from..self.count.min(from + STEP as u32)).find(|_| d.text() == Some(text.as_bytes()))
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<&str>> {
        let mut d = Dec::new(&self.data);
        (0..self.count).map(move |_| utf8(d.text().unwrap_or_default()))
    }

    /// Bytes of memory beside the section's own bytes.
    pub fn memory(&self) -> usize {
        self.samples.capacity() * 4
    }
}

pub(crate) fn utf8(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|_| Error::corrupt("index: a name or value is not UTF-8"))
}
