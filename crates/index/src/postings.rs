//! Lists of series ids: big-endian, ascending, read where they lie.

use std::cmp::Ordering;

use bytes::Bytes;
use dolmen_model::{Error, Result};

use crate::toc::framed;

/// A list as it stands in the index.
#[derive(Clone, Debug, Default)]
pub struct Postings(Bytes);

impl Postings {
    /// Reads a list at the front of `bytes` and checks its CRC: `be32 length | be32 ids | ids x be32 | CRC32C`.
    pub fn parse(bytes: Bytes) -> Result<Postings> {
        let body = framed(&bytes, "a postings list")?;
        let broken = || Error::corrupt("index: a postings list is broken");
        let (count, ids) = body.split_first_chunk::<4>().ok_or_else(broken)?;
        if ids.len() != u32::from_be_bytes(*count) as usize * 4 {
            return Err(broken());
        }
        Ok(Postings(bytes.slice_ref(ids)))
    }

    /// How many ids.
    pub fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id at `i`; panics past the end.
    pub fn get(&self, i: usize) -> u32 {
        let b = &self.0[4 * i..4 * i + 4];
        u32::from_be_bytes([b[0], b[1], b[2], b[3]])
    }

    /// All ids.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// First place from `from` on whose id is not below `id`: steps that double, then halves.
    fn seek(&self, from: usize, id: u32) -> usize {
        let n = self.len();
        let mut step = 1;
        let (mut low, mut high) = (from, from);
        while high < n && self.get(high) < id {
            low = high + 1;
            high = high.saturating_add(step);
            step *= 2;
        }
        let mut high = high.min(n);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle).cmp(&id) {
                Ordering::Less => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }

    /// Calls `hit` with the place in `ids` of each id that is in both; gallops through the longer list.
    pub fn common(&self, ids: &[u32], mut hit: impl FnMut(usize)) {
        if ids.len() <= self.len() {
            let mut at = 0;
            for (i, id) in ids.iter().enumerate() {
                at = self.seek(at, *id);
                if at == self.len() {
                    return;
                }
                if self.get(at) == *id {
                    hit(i);
                }
            }
            return;
        }
        let mut at = 0;
        for id in self.iter() {
            at += gallop(&ids[at..], id);
            match ids.get(at) {
                None => return,
                Some(here) if *here == id => hit(at),
                Some(_) => {}
            }
        }
    }
}

/// How many of `ids` are below `id`, found from the front.
fn gallop(ids: &[u32], id: u32) -> usize {
    let mut step = 1;
    while step < ids.len() && ids[step] < id {
        step *= 2;
    }
    let (low, high) = (step / 2, step.min(ids.len()));
    low + ids[low..high].partition_point(|i| *i < id)
}

/// A set of places.
struct Bits(Vec<u64>);

impl Bits {
    fn new(n: usize) -> Bits {
        Bits(vec![0; n.div_ceil(64)])
    }
    fn set(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }
    fn get(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }
}

/// Ids that are in any of the lists.
pub fn union(lists: &[Postings]) -> Vec<u32> {
    let mut out = Vec::with_capacity(lists.iter().map(Postings::len).sum());
    for list in lists {
        out.extend(list.iter());
    }
    if lists.len() > 1 {
        // A stable sort finds the runs and merges them.
        out.sort();
        out.dedup();
    }
    out
}

/// Keeps the ids that are in any of the lists (`keep`), or in none of them.
pub fn filter(ids: &mut Vec<u32>, lists: &[Postings], keep: bool) {
    let mut found = Bits::new(ids.len());
    for list in lists {
        list.common(ids, |i| found.set(i));
    }
    let mut i = 0;
    ids.retain(|_| {
        i += 1;
        found.get(i - 1) == keep
    });
}

#[cfg(test)]
pub(crate) fn encode(ids: &[u32]) -> Bytes {
    let mut body = (ids.len() as u32).to_be_bytes().to_vec();
    body.extend(ids.iter().flat_map(|i| i.to_be_bytes()));
    let mut out = (body.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(&body);
    out.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    out.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn list() -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            prop::collection::btree_set(0u32..2000, 0..400),
            prop::collection::btree_set(0u32..2000, 0..8)
        ]
    }

    fn postings(set: &BTreeSet<u32>) -> Postings {
        Postings::parse(encode(&set.iter().copied().collect::<Vec<_>>())).unwrap()
    }

    proptest! {
        #[test]
        fn algebra_equals_sets(base in list(), lists in prop::collection::vec(list(), 0..4)) {
            let all: BTreeSet<u32> = lists.iter().flatten().copied().collect();
            let raw: Vec<Postings> = lists.iter().map(postings).collect();
            prop_assert_eq!(union(&raw), all.iter().copied().collect::<Vec<_>>());
            for keep in [true, false] {
                let mut ids: Vec<u32> = base.iter().copied().collect();
                filter(&mut ids, &raw, keep);
                let want: Vec<u32> = base.iter().copied().filter(|i| all.contains(i) == keep).collect();
                prop_assert_eq!(ids, want);
            }
        }

        #[test]
        fn lists_out_of_order_do_no_harm(base: Vec<u32>, other in prop::collection::vec(any::<u32>(), 0..50)) {
            let mut ids = base;
            filter(&mut ids, &[Postings::parse(encode(&other)).unwrap()], true);
        }
    }
}
