//! Which series match, sorted by their final label sets.
//!
//! The sort compares ranks of strings, not strings: each string that occurs is ranked once.

use std::collections::HashMap;

use dolmen_model::{Matcher, SourceId};
use dolmen_storage::Select;
use roaring::RoaringBitmap;
use smol_str::SmolStr;

use crate::head::Head;
use crate::index::Index;

/// The series of a select: label sets by rank of their strings.
pub struct Found {
    /// Strings by rank, sorted.
    pub strings: Vec<SmolStr>,
    /// Names and values of all series, by rank, without replica labels.
    pairs: Vec<(u32, u32)>,
    /// The series, sorted.
    pub series: Vec<FoundSeries>,
}

/// One of them.
#[derive(Clone)]
pub struct FoundSeries {
    /// Its id.
    pub id: u32,
    /// Where its pairs end.
    from: u32,
    to: u32,
    /// Whose samples it has.
    pub source: SourceId,
}

impl Found {
    /// Name and value of each label, by rank.
    pub fn pairs(&self, s: &FoundSeries) -> &[(u32, u32)] {
        &self.pairs[s.from as usize..s.to as usize]
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.strings.len() * size_of::<SmolStr>()
            + self.pairs.len() * size_of::<(u32, u32)>()
            + self.series.len() * size_of::<FoundSeries>()
    }
}

impl Head {
    /// Ids of the series that match; labels that the head adds count as theirs.
    fn matching(&self, index: &Index, matchers: &[Matcher]) -> RoaringBitmap {
        let external = &self.settings.external_labels;
        index.postings.select(&index.symbols, matchers.iter(), |name| external.get(name).unwrap_or_default())
    }

    /// Which series match and have samples in the range, sorted by their final label sets.
    pub(crate) fn find(&self, select: &Select) -> Found {
        let ids = self.matching(&self.index.read(), &select.matchers);
        let mut by_stripe: Vec<Vec<u32>> = vec![Vec::new(); self.stripes.len()];
        for id in ids {
            let (stripe, local) = self.place(id);
            by_stripe[stripe].push(local);
        }
        // Shapes and value symbols first, under one stripe's lock at a time.
        let mut shapes = Vec::new();
        let mut values = Vec::new();
        for (at, locals) in by_stripe.into_iter().enumerate() {
            if locals.is_empty() {
                continue;
            }
            let stripe = self.stripes[at].lock();
            for local in locals {
                let has_samples = stripe.is_live(local)
                    && stripe.hot(local).t_last >= select.range.mint()
                    && stripe.oldest(local).is_some_and(|t| t < select.range.maxt());
                if has_samples {
                    let shape = stripe.cold(local).shape;
                    let names = self.index.read().names(shape).len();
                    shapes.push((self.id(at, local), shape));
                    stripe.values(local, names, &mut values);
                }
            }
        }
        self.ranked(select, &shapes, &values)
    }

    fn ranked(&self, select: &Select, shapes: &[(u32, u32)], values: &[u32]) -> Found {
        let mut without: Vec<&SmolStr> = select.without.iter().collect();
        without.sort_unstable();
        without.dedup();
        let index = self.index.read();
        let external: Vec<(SmolStr, SmolStr)> =
            self.settings.external_labels.iter().map(|(n, v)| (SmolStr::from(n), SmolStr::from(v))).collect();
        let mut ranks = Ranks::default();
        let mut pairs: Vec<(u32, u32)> = Vec::with_capacity(values.len() + shapes.len() * external.len());
        let mut series = Vec::with_capacity(shapes.len());
        let own: Vec<(u32, u32)> =
            external.iter().map(|(n, v)| (ranks.of_text(n.clone()), ranks.of_text(v.clone()))).collect();
        let without_refs: Vec<u32> = without.iter().map(|n| ranks.of_text((*n).clone())).collect();
        let mut sources: HashMap<Vec<u32>, SourceId> = HashMap::new();
        let mut values = values.iter();
        for (id, shape) in shapes {
            let from = pairs.len();
            pairs.extend(
                index
                    .names(*shape)
                    .iter()
                    .zip(&mut values)
                    .map(|(name, value)| (ranks.of_symbol(&index, *name), ranks.of_symbol(&index, *value))),
            );
            for pair in &own {
                // A series' own label stands before the head's.
                if !pairs[from..].iter().any(|(name, _)| *name == pair.0) {
                    pairs.push(*pair);
                }
            }
            let value_of =
                |name: &u32| pairs[from..].iter().find(|(n, _)| n == name).map_or(u32::MAX, |(_, v)| *v);
            let of_replica: Vec<u32> = without_refs.iter().map(value_of).collect();
            let source = sources.entry(of_replica).or_insert_with_key(|values| {
                SourceId::new(values.iter().zip(&without).map(
                    |(v, name)| match ranks.texts.get(*v as usize) {
                        Some(text) if !(*name == "dolmen" && text == "local") => text.as_str(),
                        _ => "",
                    },
                ))
            });
            let source = source.clone();
            let mut kept = from;
            for at in from..pairs.len() {
                if !without_refs.contains(&pairs[at].0) {
                    pairs[kept] = pairs[at];
                    kept += 1;
                }
            }
            pairs.truncate(kept);
            series.push(FoundSeries { id: *id, from: from as u32, to: kept as u32, source });
        }
        drop(index);
        let (strings, rank) = ranks.sorted();
        for (name, value) in &mut pairs {
            (*name, *value) = (rank[*name as usize], rank[*value as usize]);
        }
        for s in &series {
            pairs[s.from as usize..s.to as usize].sort_unstable();
        }
        let mut found = Found { strings, pairs, series: Vec::new() };
        series.sort_by(|a, b| found.pairs(a).cmp(found.pairs(b)).then_with(|| a.source.cmp(&b.source)));
        found.series = series;
        found
    }
}

/// Strings that occur, by the order in which they came.
#[derive(Default)]
struct Ranks {
    of_symbol: Vec<u32>,
    texts: Vec<SmolStr>,
    by_text: HashMap<SmolStr, u32>,
}

impl Ranks {
    fn of_text(&mut self, text: SmolStr) -> u32 {
        *self.by_text.entry(text).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            self.texts.len() as u32 - 1
        })
    }

    fn of_symbol(&mut self, index: &Index, symbol: u32) -> u32 {
        if self.of_symbol.len() <= symbol as usize {
            self.of_symbol.resize(index.symbols.bound().max(symbol as usize + 1), u32::MAX);
        }
        let known = self.of_symbol[symbol as usize];
        if known != u32::MAX {
            return known;
        }
        let text = index.symbols.text(symbol).clone();
        // Only strings that were asked for by text stand there.
        let place = match self.by_text.get(&text) {
            Some(place) => *place,
            None => {
                self.texts.push(text);
                self.texts.len() as u32 - 1
            }
        };
        self.of_symbol[symbol as usize] = place;
        place
    }

    /// The strings sorted, and the rank of each.
    fn sorted(self) -> (Vec<SmolStr>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.texts.len() as u32).collect();
        order.sort_unstable_by(|a, b| self.texts[*a as usize].cmp(&self.texts[*b as usize]));
        let mut rank = vec![0; order.len()];
        let strings = order.iter().map(|place| self.texts[*place as usize].clone()).collect();
        for (at, place) in (0u32..).zip(&order) {
            rank[*place as usize] = at;
        }
        (strings, rank)
    }
}
