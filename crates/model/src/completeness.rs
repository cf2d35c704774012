//! What an answer lacks, and what a store may hold.

use std::fmt;

use smol_str::SmolStr;

use crate::{Labels, TimeRange, quote, rfc3339};

/// Data that an answer should have held and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The datacenter; empty where it is not known.
    pub site: SmolStr,
    /// The store, by address or by path.
    pub store: SmolStr,
    /// The time that is affected.
    pub range: TimeRange,
    /// Why.
    pub cause: String,
}

/// `site "dc-b" missing: 10.0.0.7:10901: no answer in 3s; data of FIRST/LAST`: the last millisecond is the last
/// that is affected, and `..` stands for a bound that no date of four digits names.
impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "site {} missing: ", quote(self.site.as_bytes()))?;
        if !self.store.is_empty() {
            write!(f, "{}: ", self.store)?;
        }
        let (first, last) = (rfc3339(self.range.mint()), rfc3339(self.range.maxt() - 1));
        let text = |t: Option<String>| t.unwrap_or_else(|| "..".to_owned());
        write!(f, "{}; data of {}/{}", self.cause, text(first), text(last))
    }
}

/// Whether an answer is whole. Empty means complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// What is missing.
    pub missing: Vec<Missing>,
}

impl Completeness {
    /// A whole answer.
    pub fn complete() -> Completeness {
        Completeness::default()
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Takes over what another part of the answer lacks.
    pub fn merge(&mut self, other: Completeness) {
        for m in other.missing {
            self.add(m);
        }
    }

    /// Takes over one lack; what a store lacks for one cause in ranges that touch becomes one.
    pub fn add(&mut self, mut new: Missing) {
        let same = |a: &Missing, b: &Missing| (&a.site, &a.store, &a.cause) == (&b.site, &b.store, &b.cause);
        // One that grew may touch a third.
        while let Some((i, range)) = self.missing.iter().enumerate().find_map(|(i, m)| {
            let joined = same(m, &new).then(|| m.range.join(new.range)).flatten()?;
            Some((i, joined))
        }) {
            new.range = range;
            self.missing.remove(i);
        }
        self.missing.push(new);
    }
}

/// A value and what it lacks.
#[derive(Clone, Debug, Default)]
pub struct Answer<T> {
    /// The value.
    pub value: T,
    /// What it lacks.
    pub completeness: Completeness,
}

impl<T> Answer<T> {
    /// A whole answer.
    pub fn whole(value: T) -> Answer<T> {
        Answer { value, completeness: Completeness::complete() }
    }
}

/// What a store may hold for a select: known without I/O.
#[derive(Clone, Debug, Default)]
pub struct Cover {
    /// The datacenter; empty where it is not known.
    pub site: SmolStr,
    /// The store, by address; empty within a process.
    pub store: SmolStr,
    /// External label sets.
    pub labels: Vec<Labels>,
    /// Time that it may hold; `None`: nothing that the select asks for.
    pub range: Option<TimeRange>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_lacks_in_ranges_that_touch_is_one() {
        let lack = |store: &str, mint, maxt| Missing {
            site: "dc-b".into(),
            store: store.into(),
            range: TimeRange::new(mint, maxt).unwrap(),
            cause: "gone".to_owned(),
        };
        let mut all = Completeness::complete();
        for (store, mint, maxt) in [("a", 0, 10), ("a", 20, 30), ("b", 5, 15), ("a", 10, 20), ("a", 40, 50)] {
            all.add(lack(store, mint, maxt));
        }
        assert_eq!(all.missing, [lack("b", 5, 15), lack("a", 0, 30), lack("a", 40, 50)]);
    }

    #[test]
    fn texts() {
        let text = |site: &str, store: &str, mint, maxt| {
            let range = TimeRange::new(mint, maxt).unwrap();
            Missing { site: site.into(), store: store.into(), range, cause: "no answer in 3s".to_owned() }
                .to_string()
        };
        const HOUR: i64 = 3_600_000;
        const TEN: i64 = 1_795_600_800_000;
        for (found, want) in [
            (
                text("dc-b", "127.0.0.1:10911", TEN, TEN + HOUR + 1),
                r#"site "dc-b" missing: 127.0.0.1:10911: no answer in 3s; data of 2026-11-25T10:00:00Z/2026-11-25T11:00:00Z"#,
            ),
            (
                text("d\"c", "", TEN + 7, TEN + HOUR),
                r#"site "d\"c" missing: no answer in 3s; data of 2026-11-25T10:00:00.007Z/2026-11-25T10:59:59.999Z"#,
            ),
            (
                text("", "b", i64::MIN, TEN + 1),
                r#"site "" missing: b: no answer in 3s; data of ../2026-11-25T10:00:00Z"#,
            ),
            (
                text("", "b", TEN, i64::MAX),
                r#"site "" missing: b: no answer in 3s; data of 2026-11-25T10:00:00Z/.."#,
            ),
        ] {
            assert_eq!(found, want);
        }
    }
}
