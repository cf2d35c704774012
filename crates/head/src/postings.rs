//! Which series have a label: series ids by name and value.
//!
//! Most pairs have one series, many a few, few very many: a single id stands in the table itself, up to 32 in
//! a sorted vector, more in a roaring bitmap.

use std::collections::HashMap;

use dolmen_model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

use crate::symbols::Symbols;

const FEW_MAX: usize = 32;

enum Ids {
    One(u32),
    Few(Vec<u32>),
    Many(Box<RoaringBitmap>),
}

impl Ids {
    fn insert(&mut self, id: u32) {
        match self {
            Ids::One(one) if *one == id => {}
            Ids::One(one) => {
                let mut few = vec![*one, id];
                few.sort_unstable();
                *self = Ids::Few(few);
            }
            Ids::Few(few) => {
                if let Err(at) = few.binary_search(&id) {
                    few.insert(at, id);
                }
                if few.len() > FEW_MAX {
                    *self = Ids::Many(Box::new(few.iter().copied().collect()));
                }
            }
            Ids::Many(many) => {
                many.insert(id);
            }
        }
    }

    /// Takes ids out; whether any is left.
    fn remove(&mut self, dead: &RoaringBitmap) -> bool {
        match self {
            Ids::One(one) => !dead.contains(*one),
            Ids::Few(few) => {
                few.retain(|id| !dead.contains(*id));
                !few.is_empty()
            }
            Ids::Many(many) => {
                **many -= dead;
                !many.is_empty()
            }
        }
    }

    fn add_to(&self, out: &mut RoaringBitmap) {
        match self {
            Ids::One(one) => drop(out.insert(*one)),
            Ids::Few(few) => out.extend(few.iter().copied()),
            Ids::Many(many) => *out |= &**many,
        }
    }
}

/// Series ids by label.
#[derive(Default)]
pub struct Postings {
    /// Values of each name, and their ids.
    names: HashMap<u32, HashMap<u32, Ids, foldhash::fast::RandomState>, foldhash::fast::RandomState>,
    all: RoaringBitmap,
}

impl Postings {
    /// Adds a series: pairs of symbols.
    pub fn insert(&mut self, id: u32, pairs: &[(u32, u32)]) {
        self.all.insert(id);
        for (name, value) in pairs {
            self.names
                .entry(*name)
                .or_default()
                .entry(*value)
                .and_modify(|ids| ids.insert(id))
                .or_insert(Ids::One(id));
        }
    }

    /// Takes series out. `pairs` are those that they had, in any order, more than once if they like.
    pub fn remove(&mut self, dead: &RoaringBitmap, pairs: &[(u32, u32)]) {
        self.all -= dead;
        for (name, value) in pairs {
            let Some(values) = self.names.get_mut(name) else { continue };
            if values.get_mut(value).is_some_and(|ids| !ids.remove(dead)) {
                values.remove(value);
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// The series that pass all matchers. A series without a label has the value that `absent` gives.
    pub fn select<'a, 'b>(
        &self,
        symbols: &Symbols,
        matchers: impl IntoIterator<Item = &'a Matcher>,
        absent: impl Fn(&str) -> &'b str,
    ) -> RoaringBitmap {
        let mut found: Option<RoaringBitmap> = None;
        let (mut less, more): (Vec<_>, Vec<_>) =
            matchers.into_iter().partition(|m| m.matches(absent(m.name())));
        for m in more {
            let ids = self.matching(symbols, m, true);
            match &mut found {
                Some(f) => *f &= ids,
                None => found = Some(ids),
            }
            if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
                return RoaringBitmap::new();
            }
        }
        let mut found = found.unwrap_or_else(|| self.all.clone());
        // A matcher of nothing but the empty value rules out every value; the others only some.
        less.sort_by_key(|m| m.value().len());
        for m in less {
            if found.is_empty() {
                break;
            }
            found -= self.matching(symbols, m, false);
        }
        found
    }

    /// The series whose value passes, or (`pass` false) whose value does not.
    fn matching(&self, symbols: &Symbols, m: &Matcher, pass: bool) -> RoaringBitmap {
        let mut out = RoaringBitmap::new();
        let Some(values) = symbols.find(m.name()).and_then(|name| self.names.get(&name)) else { return out };
        let mut add = |value: &str| {
            if let Some(ids) = symbols.find(value).and_then(|v| values.get(&v)) {
                ids.add_to(&mut out);
            }
        };
        match (m.op(), m.set_matches()) {
            (MatchOp::Eq, _) if pass => add(m.value()),
            (MatchOp::Ne, _) if !pass => add(m.value()),
            (MatchOp::Re, Some(set)) if pass => set.iter().for_each(|value| add(value)),
            (MatchOp::Nre, Some(set)) if !pass => set.iter().for_each(|value| add(value)),
            _ => {
                for (value, ids) in values {
                    if m.matches(symbols.text(*value)) == pass {
                        ids.add_to(&mut out);
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matcher(op: u8, name: &str, value: &str) -> Matcher {
        let op = [MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre][op as usize % 4];
        Matcher::new(op, name, value).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn as_a_walk_over_all_series_would_find(
            series in prop::collection::vec((0u8..3, 0u8..60), 1..150),
            dead in prop::collection::vec(any::<bool>(), 150),
            asked in prop::collection::vec((0u8..4, 0usize..3, prop_oneof![
                Just(""), Just("v1"), Just("v1|v2"), Just("v.*"), Just(".*"), Just(".+"), Just("v[3-5]")]), 1..4),
        ) {
            let mut symbols = Symbols::default();
            let mut postings = Postings::default();
            // Label `l<a>` = `v<b>`, and `all` = `x` on each.
            let pairs: Vec<_> = series.iter().map(|(a, b)| vec![
                (symbols.acquire("all"), symbols.acquire("x")),
                (symbols.acquire(&format!("l{a}")), symbols.acquire(&format!("v{b}"))),
            ]).collect();
            pairs.iter().enumerate().for_each(|(id, p)| postings.insert(id as u32, p));
            let gone: RoaringBitmap = (0..series.len() as u32).filter(|i| dead[*i as usize]).collect();
            let mut of_gone: Vec<_> = gone.iter().flat_map(|id| pairs[id as usize].clone()).collect();
            of_gone.sort_unstable();
            of_gone.dedup();
            postings.remove(&gone, &of_gone);
            let matchers: Vec<_> = asked.iter().map(|(op, l, v)| matcher(*op, &format!("l{l}"), v)).collect();
            let expected: RoaringBitmap = (0..series.len() as u32).filter(|id| !gone.contains(*id)).filter(|id| {
                let (a, b) = series[*id as usize];
                matchers.iter().all(|m| {
                    m.matches(&if m.name() == format!("l{a}") { format!("v{b}") } else { String::new() })
                })
            }).collect();
            prop_assert_eq!(postings.select(&symbols, &matchers, |_| ""), expected);
            let left: std::collections::HashSet<_> =
                series.iter().enumerate().filter(|(i, _)| !gone.contains(*i as u32)).map(|(_, (a, _))| *a).collect();
            prop_assert_eq!(postings.names.len(), left.len() + usize::from(!left.is_empty()), "empty names go");
        }
    }
}
