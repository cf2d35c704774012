//! What a store says of itself.

use dolmen_model::{Labels, TimeRange};
use smol_str::SmolStr;

/// What a store says of itself: the answer to `thanos.info.Info`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFacts {
    /// query, sidecar, receive, rule, store, debug.
    pub component: String,
    /// External label sets of what it holds.
    pub label_sets: Vec<Labels>,
    /// Time of what it holds, to `i64::MAX` where it has a head; `None` where it holds nothing.
    pub range: Option<TimeRange>,
    /// Of each run of blocks with equal labels; may be empty.
    pub tsdbs: Vec<TsdbFacts>,
    /// Whether it leaves replica labels out before it sorts.
    pub without: bool,
    /// Whether it gives every n-th series where asked.
    pub sharding: bool,
    /// Whether it tells whose the parts of a series are, and what its answers lack: another Dolmen.
    pub parts: bool,
    /// The process, where it is another Dolmen; else empty.
    pub instance: SmolStr,
    /// For how long after it was said the end of `range` stays true, in milliseconds: data moves into buckets, and
    /// who held it lets go of it no earlier. 0: not told.
    pub end_stands_ms: i64,
}

impl Default for StoreFacts {
    /// Of a store that holds nothing and can nothing.
    fn default() -> StoreFacts {
        StoreFacts {
            component: String::new(),
            label_sets: Vec::new(),
            range: None,
            tsdbs: Vec::new(),
            without: false,
            sharding: false,
            parts: false,
            instance: SmolStr::default(),
            end_stands_ms: 0,
        }
    }
}

impl StoreFacts {
    /// Of one of our stores that holds these: external labels and time of each block, each head.
    pub fn of(
        component: impl Into<String>,
        holds: impl IntoIterator<Item = (Labels, TimeRange)>,
    ) -> StoreFacts {
        let tsdbs = runs(holds);
        let mut label_sets: Vec<Labels> = tsdbs.iter().map(|t| t.labels.clone()).collect();
        label_sets.dedup();
        let range = tsdbs.iter().map(|t| t.range).reduce(hull);
        StoreFacts {
            component: component.into(),
            label_sets,
            range,
            tsdbs,
            without: true,
            sharding: true,
            parts: true,
            ..StoreFacts::default()
        }
    }
}

/// Ranges of equal labels that touch become one; by labels, then time.
fn runs(holds: impl IntoIterator<Item = (Labels, TimeRange)>) -> Vec<TsdbFacts> {
    let mut all: Vec<_> = holds.into_iter().collect();
    all.sort_unstable();
    let mut out: Vec<TsdbFacts> = Vec::new();
    for (labels, range) in all {
        match out.last_mut() {
            Some(last) if last.labels == labels && last.range.join(range).is_some() => {
                last.range = hull(last.range, range);
            }
            _ => out.push(TsdbFacts { labels, range }),
        }
    }
    out
}

fn hull(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.mint().min(b.mint()), a.maxt().max(b.maxt())).unwrap_or(a)
}

/// A run of blocks, or a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsdbFacts {
    /// External labels.
    pub labels: Labels,
    /// Its time.
    pub range: TimeRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_touch_are_one_run_and_gaps_tell_runs_apart() {
        let labels = |v: &str| Labels::from_pairs([("site", v)]);
        let range = |a, b| TimeRange::new(a, b).unwrap();
        let holds = [("b", 0, 5), ("a", 10, 20), ("a", 0, 10), ("a", 5, 15), ("a", 30, 40)];
        let facts =
            StoreFacts::of("store", holds.map(|(site, mint, maxt)| (labels(site), range(mint, maxt))));
        let run = |site, mint, maxt| TsdbFacts { labels: labels(site), range: range(mint, maxt) };
        assert_eq!(facts.tsdbs, [run("a", 0, 20), run("a", 30, 40), run("b", 0, 5)]);
        assert_eq!(facts.label_sets, [labels("a"), labels("b")]);
        assert_eq!(facts.range, Some(range(0, 40)));
        assert_eq!(StoreFacts::of("store", []).range, None);
    }
}
