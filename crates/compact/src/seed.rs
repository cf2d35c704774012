//! The meta of a merged block, from those of the blocks that it is merged from.

use std::collections::BTreeSet;

use dolmen_block::Meta;
use dolmen_block::meta::{Compaction, Parent, Thanos};
use dolmen_block::{MetaSeed, Ulid};
use dolmen_model::{Error, Result};
use serde_json::{Map, Value};

/// `thanos.source` of what a compactor makes.
const SOURCE: &str = "compactor";
/// All samples came late. Of a merged block that is said only if it is so of all its parents.
const OUT_OF_ORDER: &str = "from-out-of-order";

/// What a merge of `parents`, in that order, is. They are of one group.
pub fn seed(parents: &[&Meta]) -> Result<MetaSeed> {
    let first = parents.first().ok_or_else(|| Error::invalid("a merge of no blocks"))?;
    let sources: BTreeSet<Ulid> = parents.iter().flat_map(|m| &m.compaction.sources).copied().collect();
    let all = |hint: &str| parents.iter().all(|m| m.compaction.hints.iter().any(|h| h == hint));
    let hints: BTreeSet<&String> = parents.iter().flat_map(|m| &m.compaction.hints).collect();
    let parent = |m: &&Meta| Parent { ulid: m.ulid, min_time: m.min_time, max_time: m.max_time };
    let compaction = Compaction {
        level: parents.iter().map(|m| m.compaction.level).max().unwrap_or(0).saturating_add(1),
        sources: sources.into_iter().collect(),
        parents: parents.iter().map(parent).collect(),
        hints: hints.into_iter().filter(|h| *h != OUT_OF_ORDER || all(h)).cloned().collect(),
        ..Compaction::default()
    };
    let thanos = first.thanos.as_ref().ok_or_else(|| Error::invalid("a block without a thanos section"))?;
    Ok(MetaSeed {
        min_time: parents.iter().map(|m| m.min_time).min().unwrap_or_default(),
        max_time: parents.iter().map(|m| m.max_time).max().unwrap_or_default(),
        compaction,
        thanos: Some(Thanos {
            labels: thanos.labels.clone(),
            downsample: thanos.downsample,
            source: SOURCE.to_owned(),
            extensions: extensions(parents),
            ..Thanos::default()
        }),
    })
}

/// Notes that all parents carry alike.
fn extensions(parents: &[&Meta]) -> Option<Value> {
    let notes = |m: &&Meta| m.thanos.as_ref()?.extensions.as_ref()?.as_object().cloned();
    let all: Vec<Map<String, Value>> = parents.iter().map(notes).collect::<Option<_>>()?;
    let mut common = all.first()?.clone();
    common.retain(|key, value| all.iter().all(|other| other.get(key) == Some(value)));
    (!common.is_empty()).then_some(Value::Object(common))
}

#[cfg(test)]
mod tests {
    use dolmen_block::meta::Stats;
    use serde_json::json;

    use super::*;

    fn meta(n: u128, level: u32, sources: &[u128], hints: &[&str], notes: Value) -> Meta {
        Meta {
            ulid: Ulid(n),
            min_time: n as i64 * 10,
            max_time: n as i64 * 10 + 10,
            stats: Stats::default(),
            compaction: Compaction {
                level,
                sources: sources.iter().map(|s| Ulid(*s)).collect(),
                hints: hints.iter().map(|h| (*h).to_owned()).collect(),
                ..Compaction::default()
            },
            version: 1,
            thanos: Some(Thanos {
                labels: [("site".to_owned(), "dc-a".to_owned())].into(),
                source: "receive".to_owned(),
                extensions: Some(notes),
                ..Thanos::default()
            }),
        }
    }

    #[test]
    fn of_two_levels() {
        let a = meta(3, 1, &[3], &[OUT_OF_ORDER, "from-stale-series"], json!({"x": 1, "y": 2}));
        let b = meta(4, 2, &[9, 1], &[], json!({"x": 1, "y": 3}));
        let seed = seed(&[&a, &b]).unwrap();
        assert_eq!((seed.min_time, seed.max_time, seed.compaction.level), (30, 50, 3));
        assert_eq!(seed.compaction.sources, [Ulid(1), Ulid(3), Ulid(9)]);
        assert_eq!(seed.compaction.parents.iter().map(|p| p.ulid).collect::<Vec<_>>(), [a.ulid, b.ulid]);
        assert_eq!(seed.compaction.hints, ["from-stale-series"]);
        let thanos = seed.thanos.unwrap();
        assert_eq!((thanos.source.as_str(), thanos.extensions), ("compactor", Some(json!({"x": 1}))));
        assert_eq!(thanos.labels["site"], "dc-a");
    }

    #[test]
    fn out_of_order_of_all() {
        let all =
            [meta(1, 1, &[1], &[OUT_OF_ORDER], json!({})), meta(2, 1, &[2], &[OUT_OF_ORDER], json!({}))];
        let seed = seed(&[&all[0], &all[1]]).unwrap();
        assert_eq!(seed.compaction.hints, [OUT_OF_ORDER]);
        assert_eq!(seed.thanos.unwrap().extensions, None);
        assert!(super::seed(&[]).is_err());
    }
}
