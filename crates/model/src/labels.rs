//! Label sets: one owned form, one borrowed form, and a block of many that share their strings.
//!
//! An owned set is one string in which each name and value stands behind its length, in label order:
//!
//! ```text
//! length  1 byte  0..=126, or 127 followed by five bytes of seven bits, most significant first
//! text    `length` bytes of UTF-8
//! ```
//!
//! All length bytes are ASCII, so the whole is valid UTF-8 and can be sliced without checks of our own.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::HashTable;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

const LONG: u8 = 127;

fn put_text(out: &mut String, text: &str) {
    let n = text.len();
    if n < LONG as usize {
        out.push(n as u8 as char);
    } else {
        out.push(LONG as char);
        for shift in [28, 21, 14, 7, 0] {
            out.push(((n >> shift) & 0x7f) as u8 as char);
        }
    }
    out.push_str(text);
}

fn take_text<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let bytes = rest.as_bytes();
    let first = *bytes.first()?;
    let (n, at) = if first < LONG {
        (first as usize, 1)
    } else {
        (bytes[1..6].iter().fold(0usize, |n, b| n << 7 | *b as usize), 6)
    };
    let (text, tail) = rest[at..].split_at(n);
    *rest = tail;
    Some(text)
}

/// A label set: sorted by name, each name once, no empty values. Cheap to clone.
#[derive(Clone)]
pub struct Labels(Arc<str>);

impl Labels {
    /// The set without labels.
    pub fn empty() -> Labels {
        Labels(Arc::from(""))
    }

    /// From pairs in any order. Of a name that comes twice the last value stays; empty values are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// From pairs that are sorted by name already, each name once, no empty value. The caller has checked.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut text = String::new();
        for (name, value) in pairs {
            put_text(&mut text, name);
            put_text(&mut text, value);
        }
        Labels(Arc::from(text))
    }

    /// Names and values in label order.
    pub fn iter(&self) -> LabelsIter<'_> {
        LabelsIter(Form::Text(&self.0))
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.as_ref().get(name)
    }

    /// How many labels there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The borrowed form.
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef(Form::Text(&self.0))
    }

    /// Bytes of memory that the text takes.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// A hash of the set, stable within one build of the program; not keyed.
    pub fn hash128(&self) -> u128 {
        xxhash_rust::xxh3::xxh3_128(self.0.as_bytes())
    }

    /// A builder that starts with these labels.
    pub fn edit(&self) -> LabelsBuilder {
        LabelsBuilder::from(self.as_ref())
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        self.0 == other.0
    }
}
impl Eq for Labels {}
impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}
impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Labels {
    /// Pair by pair, name before value; the shorter set first. Prometheus' order.
    fn cmp(&self, other: &Labels) -> Ordering {
        self.iter().cmp(other.iter())
    }
}
impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_ref(), f)
    }
}

/// A borrowed label set: of a [`Labels`] or of a [`LabelBlock`].
#[derive(Clone, Copy)]
pub struct LabelsRef<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    Text(&'a str),
    Block(&'a LabelBlock, &'a [(u32, u32)]),
}

impl<'a> LabelsRef<'a> {
    /// Names and values in label order.
    pub fn iter(self) -> LabelsIter<'a> {
        LabelsIter(self.0)
    }

    /// The value of a label.
    pub fn get(self, name: &str) -> Option<&'a str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// An owned copy.
    pub fn to_labels(self) -> Labels {
        match self.0 {
            Form::Text(text) => Labels(Arc::from(text)),
            Form::Block(..) => Labels::from_sorted(self.iter()),
        }
    }

    /// Refs of names and values within the block it stands in, where it stands in one.
    pub fn refs(self) -> Option<&'a [(u32, u32)]> {
        match self.0 {
            Form::Text(_) => None,
            Form::Block(_, refs) => Some(refs),
        }
    }
}

impl fmt::Display for LabelsRef<'_> {
    /// As Prometheus prints a label set: `{a="b", c="d"}`, names quoted where they need it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            let plain = !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && !name.as_bytes()[0].is_ascii_digit();
            if plain {
                write!(f, "{name}=")?;
            } else {
                write!(f, "{name:?}=")?;
            }
            write!(f, "{value:?}")?;
        }
        f.write_str("}")
    }
}

/// Names and values of a label set, in label order.
#[derive(Clone)]
pub struct LabelsIter<'a>(Form<'a>);

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a str, &'a str);
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Form::Text(rest) => Some((take_text(rest)?, take_text(rest)?)),
            Form::Block(block, refs) => {
                let (first, rest) = refs.split_first()?;
                *refs = rest;
                Some((block.symbol(first.0), block.symbol(first.1)))
            }
        }
    }
}

/// Changes a label set.
#[derive(Clone, Default, Debug)]
pub struct LabelsBuilder(Vec<(String, String)>);

impl From<LabelsRef<'_>> for LabelsBuilder {
    fn from(labels: LabelsRef<'_>) -> LabelsBuilder {
        LabelsBuilder(labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }
}

impl LabelsBuilder {
    /// Sets a label; an empty value takes it away.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match (self.0.binary_search_by(|(n, _)| n.as_str().cmp(name)), value.is_empty()) {
            (Ok(i), true) => drop(self.0.remove(i)),
            (Ok(i), false) => self.0[i].1 = value.to_owned(),
            (Err(_), true) => {}
            (Err(i), false) => self.0.insert(i, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Takes a label away.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|(n, _)| n.as_str().cmp(name)).ok().map(|i| self.0[i].1.as_str())
    }

    /// Keeps the labels whose name and value pass.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) -> &mut Self {
        self.0.retain(|(n, v)| keep(n, v));
        self
    }

    /// The set as it is now.
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.0.iter().map(|(n, v)| (n.as_str(), v.as_str())))
    }
}

/// The label sets of many series: every string stands there once, sets are pairs of refs.
#[derive(Default, Debug)]
pub struct LabelBlock {
    text: String,
    /// End of each symbol in `text`.
    symbol_ends: Vec<u32>,
    pairs: Vec<(u32, u32)>,
    /// End of each set in `pairs`.
    ends: Vec<u32>,
}

impl LabelBlock {
    /// A block with one set.
    pub fn single(labels: &Labels) -> LabelBlock {
        let mut builder = LabelBlockBuilder::default();
        builder.push(labels.iter());
        builder.build()
    }

    /// How many sets there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no set.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The set at `i`; panics past the end.
    pub fn get(&self, i: u32) -> LabelsRef<'_> {
        let i = i as usize;
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        LabelsRef(Form::Block(self, &self.pairs[start..self.ends[i] as usize]))
    }

    /// The string of a ref.
    pub fn symbol(&self, r: u32) -> &str {
        let r = r as usize;
        let start = if r == 0 { 0 } else { self.symbol_ends[r - 1] as usize };
        &self.text[start..self.symbol_ends[r] as usize]
    }

    /// How many different strings there are: refs are below it.
    pub fn symbols(&self) -> usize {
        self.symbol_ends.len()
    }

    /// Bytes of memory that the block takes.
    pub fn bytes(&self) -> usize {
        self.text.capacity()
            + 4 * (self.symbol_ends.capacity() + self.ends.capacity())
            + 8 * self.pairs.capacity()
    }
}

/// Builds a [`LabelBlock`], set by set.
#[derive(Default)]
pub struct LabelBlockBuilder {
    block: LabelBlock,
    known: HashTable<u32>,
    hasher: foldhash::quality::RandomState,
}

impl LabelBlockBuilder {
    /// Adds a set, whose pairs come sorted by name; gives its place.
    pub fn push<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> u32 {
        for (name, value) in pairs {
            let pair = (self.intern(name), self.intern(value));
            self.block.pairs.push(pair);
        }
        self.block.ends.push(self.block.pairs.len() as u32);
        self.block.ends.len() as u32 - 1
    }

    /// Whether the set added last equals `other`.
    pub fn last_is(&self, other: LabelsRef<'_>) -> bool {
        let last = self.block.len().checked_sub(1);
        last.is_some_and(|i| self.block.get(i as u32).iter().eq(other.iter()))
    }

    /// How many sets there are so far.
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Whether there is no set yet.
    pub fn is_empty(&self) -> bool {
        self.block.is_empty()
    }

    /// The finished block.
    pub fn build(self) -> LabelBlock {
        self.block
    }

    fn intern(&mut self, text: &str) -> u32 {
        use std::hash::BuildHasher;
        let (block, hasher) = (&self.block, &self.hasher);
        let hash = hasher.hash_one(text);
        if let Some(r) = self.known.find(hash, |r| block.symbol(*r) == text) {
            return *r;
        }
        let r = self.block.symbol_ends.len() as u32;
        self.block.text.push_str(text);
        self.block.symbol_ends.push(self.block.text.len() as u32);
        let (block, hasher) = (&self.block, &self.hasher);
        self.known.insert_unique(hash, r, |r| hasher.hash_one(block.symbol(*r)));
        r
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn owned_and_block_forms_agree(sets in prop::collection::vec(
            prop::collection::btree_map("[a-zé]{1,9}", "[ -~]{1,200}", 0..6), 0..9)) {
            let mut builder = LabelBlockBuilder::default();
            for set in &sets {
                builder.push(set.iter().map(|(n, v)| (n.as_str(), v.as_str())));
            }
            let block = builder.build();
            for (i, set) in sets.iter().enumerate() {
                let owned = Labels::from_pairs(set);
                let pairs: Vec<_> = set.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                prop_assert_eq!(owned.iter().collect::<Vec<_>>(), pairs);
                prop_assert_eq!(block.get(i as u32).to_labels(), owned);
            }
        }

        #[test]
        fn order_is_pairwise_then_shorter_first(a in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,2}", 0..4),
                                                b in prop::collection::btree_map("[ab]{1,2}", "[ab]{1,2}", 0..4)) {
            let want = a.iter().collect::<Vec<_>>().cmp(&b.iter().collect::<Vec<_>>());
            prop_assert_eq!(Labels::from_pairs(&a).cmp(&Labels::from_pairs(&b)), want);
        }
    }

    #[test]
    fn long_values_round_trip() {
        let value = "x".repeat(100_000);
        let labels = Labels::from_pairs([("a", value.as_str()), ("b", "1")]);
        assert_eq!(labels.get("a"), Some(value.as_str()));
        assert_eq!(labels.get("b"), Some("1"));
    }

    #[test]
    fn an_empty_value_is_no_label() {
        let mut builder = Labels::from_pairs([("a", "1"), ("b", "")]).edit();
        assert_eq!(builder.build().len(), 1);
        assert!(builder.set("a", "").build().is_empty());
    }
}
