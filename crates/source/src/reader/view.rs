//! How a block's label sets look from outside: external labels added, replica labels taken out.
//!
//! Strings are compared by *rank*. The symbols of an index are sorted, so a symbol's ref is its rank, shifted
//! by the strings of external labels that sort before it and are no symbols themselves.

use std::collections::HashMap;

use dolmen_index::Symbols;
use dolmen_model::{Result, SourceId};
use smol_str::SmolStr;

use super::{Block, OWN_LABEL};

/// What a select makes of a block's label sets.
pub(crate) struct View {
    /// Strings of external labels that are no symbols, sorted: the ref that they stand before.
    extra: Vec<(u32, SmolStr)>,
    /// External labels that are shown: ranks of names and values, by name.
    added: Vec<(u32, u32)>,
    /// Symbol refs of names that are not taken from the series: replica labels and external labels.
    dropped: Vec<u32>,
    /// Replica labels by name.
    replica: Vec<Replica>,
}

/// The sources that occurred.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    all: Vec<SourceId>,
    by_values: HashMap<Vec<u32>, u32>,
    /// Scratch: values of the replica labels of one series.
    values: Vec<u32>,
}

impl Sources {
    /// A source by its place.
    pub fn get(&self, at: u32) -> &SourceId {
        &self.all[at as usize]
    }
}

struct Replica {
    own: bool,
    from: From,
}

/// Where the value of a replica label comes from.
enum From {
    External(SmolStr),
    /// The symbol ref of its name.
    Series(u32),
    Nowhere,
}

const NO_VALUE: u32 = u32::MAX;

impl View {
    /// The view of a select that leaves `without` out.
    pub fn new(block: &Block, without: &[SmolStr]) -> Result<View> {
        let symbols = block.header.symbols();
        let mut names: Vec<&str> = without.iter().map(SmolStr::as_str).filter(|n| !n.is_empty()).collect();
        names.push(OWN_LABEL);
        names.sort_unstable();
        names.dedup();
        let in_series = |name: &str| symbols.find(name).filter(|_| block.header.postings().has_name(name));
        let shown: Vec<(&str, &str)> =
            block.external.iter().filter(|(name, _)| names.binary_search(name).is_err()).collect();
        let mut dropped: Vec<u32> = names.iter().filter_map(|name| in_series(name)).collect();
        dropped.extend(shown.iter().filter_map(|(name, _)| in_series(name)));
        let replica = names.iter().map(|name| {
            let from = match (block.external.get(name), in_series(name)) {
                (Some(value), _) => From::External(value.into()),
                (None, Some(name)) => From::Series(name),
                (None, None) => From::Nowhere,
            };
            Replica { own: *name == OWN_LABEL, from }
        });
        let mut view =
            View { extra: extra(symbols, &shown)?, added: Vec::new(), dropped, replica: replica.collect() };
        view.added =
            shown.iter().map(|(n, v)| (view.rank_of(symbols, n), view.rank_of(symbols, v))).collect();
        Ok(view)
    }

    /// Whether labels are taken out of series: then order may break anywhere, and label sets may meet.
    pub fn takes_out(&self) -> bool {
        !self.dropped.is_empty()
    }

    /// Whether labels are added: then order may break among series that extend each other.
    pub fn adds(&self) -> bool {
        !self.added.is_empty()
    }

    /// Whether `b`, less the added labels, has all that `a` has and perhaps more behind it.
    pub fn extends(&self, a: &[(u32, u32)], b: &[(u32, u32)]) -> bool {
        let own = |pair: &&(u32, u32)| !self.added.contains(pair);
        let mut of_b = b.iter().filter(own);
        a.iter().filter(own).all(|pair| of_b.next() == Some(pair))
    }

    /// Appends the label set of a series by ranks, sorted by name; gives the place of its source.
    pub fn apply(
        &self,
        symbols: &Symbols,
        labels: &[(u32, u32)],
        out: &mut Vec<(u32, u32)>,
        sources: &mut Sources,
    ) -> Result<u32> {
        let mut added = self.added.iter().copied().peekable();
        for (name, value) in labels {
            if self.dropped.contains(name) {
                continue;
            }
            let name = self.rank(*name);
            while let Some(pair) = added.next_if(|(n, _)| *n < name) {
                out.push(pair);
            }
            out.push((name, self.rank(*value)));
        }
        out.extend(added);
        self.source_of(symbols, labels, sources)
    }

    fn source_of(&self, symbols: &Symbols, labels: &[(u32, u32)], sources: &mut Sources) -> Result<u32> {
        sources.values.clear();
        for replica in &self.replica {
            if let From::Series(name) = replica.from {
                let value = labels.iter().find(|(n, _)| *n == name);
                sources.values.push(value.map_or(NO_VALUE, |(_, v)| *v));
            }
        }
        if let Some(at) = sources.by_values.get(&sources.values) {
            return Ok(*at);
        }
        let mut texts: Vec<&str> = Vec::with_capacity(self.replica.len());
        let mut next = sources.values.iter();
        for replica in &self.replica {
            let text = match &replica.from {
                From::External(value) => value.as_str(),
                From::Nowhere => "",
                From::Series(_) => match next.next() {
                    Some(r) if *r != NO_VALUE => symbols.get(*r)?,
                    _ => "",
                },
            };
            texts.push(if replica.own && text == "local" { "" } else { text });
        }
        let at = sources.all.len() as u32;
        sources.all.push(SourceId::new(texts));
        sources.by_values.insert(sources.values.clone(), at);
        Ok(at)
    }

    /// The rank of a symbol.
    pub fn rank(&self, symbol: u32) -> u32 {
        symbol.saturating_add(self.extra.partition_point(|(before, _)| *before <= symbol) as u32)
    }

    /// The string of a rank.
    pub fn text<'a>(&'a self, symbols: &'a Symbols, rank: u32) -> Result<&'a str> {
        // The extra string at `i` has the rank `before + i`.
        let at = self.extra_below(rank);
        match self.extra.get(at) {
            Some((before, text)) if before.saturating_add(at as u32) == rank => Ok(text),
            _ => symbols.get(rank.saturating_sub(at as u32)),
        }
    }

    fn extra_below(&self, rank: u32) -> usize {
        let (mut low, mut high) = (0, self.extra.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.extra[middle].0.saturating_add(middle as u32) < rank {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    fn rank_of(&self, symbols: &Symbols, text: &str) -> u32 {
        match self.extra.iter().position(|(_, t)| t == text) {
            Some(at) => self.extra[at].0.saturating_add(at as u32),
            None => symbols.find(text).map_or(0, |r| self.rank(r)),
        }
    }
}

/// Strings of external labels that are no symbols, with the ref that they stand before.
fn extra(symbols: &Symbols, shown: &[(&str, &str)]) -> Result<Vec<(u32, SmolStr)>> {
    let mut extra = Vec::new();
    for text in shown.iter().flat_map(|(n, v)| [n, v]) {
        if symbols.find(text).is_none() {
            extra.push((first_not_below(symbols, text)?, SmolStr::from(*text)));
        }
    }
    extra.sort_unstable_by(|a, b| a.1.cmp(&b.1));
    extra.dedup();
    Ok(extra)
}

fn first_not_below(symbols: &Symbols, text: &str) -> Result<u32> {
    let (mut low, mut high) = (0, symbols.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if symbols.get(middle)? < text {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
