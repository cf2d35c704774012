//! The block reader against a naive scan, against real blocks, and against broken ones.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;
mod hostile;
mod real;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use common::*;
use dolmen_ctx::{Budget, Ctx};
use dolmen_model::{Kind, Labels, MatchOp, Matcher, SourceId, TimeRange};
use dolmen_storage::{LabelAsk, Order, Queryable, Select, Values};
use proptest::prelude::*;
use smol_str::SmolStr;

const NAMES: [&str; 5] = ["a", "b", "dolmen", "r", "z"];

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map(prop::sample::select(&NAMES[..]), "[xy]{1,2}|local", 1..5)
        .prop_map(Labels::from_pairs)
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop::sample::select(&[MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre][..]);
    let name = prop::sample::select(&["a", "b", "c", "r", "site", "z"][..]);
    let value = prop::sample::select(&["x", "y", "xx", "x.*", "", "x|", ".+", "west", "x|yy|local"][..]);
    (op, name, value).prop_map(|(op, n, v)| Matcher::new(op, n, v).unwrap())
}

/// What a select must give, from all series and their chunks.
fn expected(all: &[(Labels, Vec<i64>)], external: &Labels, select: &Select) -> Vec<Times> {
    let mut without: Vec<&str> = select.without.iter().map(|s| s.as_str()).collect();
    without.push("dolmen");
    without.sort_unstable();
    without.dedup();
    let mut out: BTreeMap<Labels, BTreeMap<SourceId, BTreeSet<i64>>> = BTreeMap::new();
    for (own, times) in all {
        let mut full = own.edit();
        external.iter().for_each(|(n, v)| {
            full.set(n, v);
        });
        let full = full.build();
        if !select.matchers.iter().all(|m| m.matches(full.get(m.name()).unwrap_or_default())) {
            continue;
        }
        let hit = |t: &&i64| **t < select.range.maxt() && **t + 9 >= select.range.mint();
        let times: Vec<i64> = times.iter().filter(hit).copied().collect();
        if times.is_empty() {
            continue;
        }
        let value = |n: &&str| match (*n, full.get(n).unwrap_or_default()) {
            ("dolmen", "local") => "",
            (_, v) => v,
        };
        let source = SourceId::new(without.iter().map(value));
        let mut shown = full.edit();
        without.iter().for_each(|n| {
            shown.remove(n);
        });
        out.entry(shown.build()).or_default().entry(source).or_default().extend(times);
    }
    let of = |m: BTreeMap<SourceId, BTreeSet<i64>>| {
        m.into_iter().map(|(s, t)| (s.as_str().to_owned(), t.into_iter().collect())).collect()
    };
    out.into_iter().map(|(l, m)| (l, of(m))).collect()
}

/// Sources in order, each with all its times: what is left of the difference between one part and several.
fn times(got: Vec<Got>) -> Vec<Times> {
    let of = |parts: Vec<(String, Vec<Chunk>)>| {
        let mut by: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for (source, chunks) in parts {
            assert!(chunks.windows(2).all(|w| w[0].1 < w[1].0), "chunks of a part overlap");
            by.entry(source).or_default().extend(chunks.iter().map(|c| c.0));
        }
        by.into_iter().map(|(s, t)| (s, t.into_iter().collect())).collect()
    };
    got.into_iter().map(|(l, p)| (l, of(p))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn selects_equal_a_naive_scan(
        sets in prop::collection::btree_map(labels(), prop::collection::btree_set(0i64..90, 1..5), 1..40),
        external in prop::collection::btree_map(prop::sample::select(&["dolmen", "r", "site", "aa", "z"][..]), "[xy]|west|local|m", 0..4),
        matchers in prop::collection::vec(matcher(), 0..3),
        without in prop::collection::vec(prop::sample::select(&["a", "r", "dolmen", "site", "none"][..]), 0..3),
        range in (0i64..1000, 1i64..1000),
        any: bool,
    ) {
        let series: Vec<(Labels, Vec<i64>)> =
            sets.into_iter().map(|(l, t)| (l, t.into_iter().map(|t| t * 10).collect())).collect();
        let external: Vec<(&str, &str)> = external.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let dir = tempfile::tempdir().unwrap();
        let (block, meta) = write(dir.path(), &series, &external);
        let external = Labels::from_pairs(external);
        let range = TimeRange::new(range.0, range.0 + range.1).unwrap();
        let without: Vec<SmolStr> = without.into_iter().map(SmolStr::from).collect();
        let mut select = Select { without: without.into(), ..Select::new(range, matchers) };
        if any { select.order = Order::Any; }
        let want = expected(&series, &external, &select);
        let (source, far) = far(&block, meta.clone());
        for reader in [near(&block, meta), far] {
            let ctx = Ctx::unbounded();
            let (got, completeness) = run(collect(&reader, &ctx, &select)).unwrap();
            prop_assert!(completeness.is_complete());
            let mut got = times(got);
            if any { got.sort(); }
            prop_assert_eq!(&got, &want);
            prop_assert_eq!(ctx.budget.used(), 0);
            // Labels alone, and a limit.
            let bare = Select { values: Values::None, limit: NonZeroU64::new(3), ..select.clone() };
            let (got, _) = run(collect(&reader, &ctx, &bare)).unwrap();
            prop_assert!(got.iter().all(|(_, parts)| parts.is_empty()));
            let got: BTreeSet<Labels> = got.into_iter().map(|(l, _)| l).collect();
            prop_assert_eq!(got.len(), want.len().min(3));
            prop_assert!(got.iter().all(|l| want.iter().any(|(w, _)| w == l)));
        }
        prop_assert!(source.waves() <= 2 * 3);
    }

    #[test]
    fn names_and_values_equal_a_naive_scan(
        sets in prop::collection::btree_set(labels(), 1..40),
        external in prop::collection::btree_map(prop::sample::select(&["dolmen", "site", "z"][..]), "west|local", 0..3),
        matchers in prop::collection::vec(matcher(), 0..3),
    ) {
        let series: Vec<(Labels, Vec<i64>)> = sets.into_iter().map(|l| (l, vec![0])).collect();
        let external: Vec<(&str, &str)> = external.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let dir = tempfile::tempdir().unwrap();
        let (block, meta) = write(dir.path(), &series, &external);
        let external = Labels::from_pairs(external);
        let select = Select::new(TimeRange::ALL, matchers);
        let sets: Vec<Labels> = expected(&series, &external, &select).into_iter().map(|(l, _)| l).collect();
        let (source, far) = far(&block, meta.clone());
        for reader in [near(&block, meta), far] {
            let ctx = Ctx::unbounded();
            let ask = |ask| run(reader.labels(&ctx, &select, ask)).unwrap().value;
            let names: BTreeSet<SmolStr> = sets.iter().flat_map(|l| l.iter().map(|(n, _)| n.into()).collect::<Vec<_>>()).collect();
            prop_assert_eq!(ask(LabelAsk::Names), names.into_iter().collect::<Vec<_>>());
            for name in ["a", "b", "dolmen", "site", "z", "none"] {
                let values: BTreeSet<SmolStr> = sets.iter().filter_map(|l| l.get(name)).map(SmolStr::from).collect();
                prop_assert_eq!(ask(LabelAsk::Values(name.into())), values.into_iter().collect::<Vec<_>>());
            }
            prop_assert_eq!(ctx.budget.used(), 0);
        }
        prop_assert!(source.waves() <= 7 * 2);
    }
}

/// Enough series for many batches, with the labels that break order.
fn many() -> Vec<(Labels, Vec<i64>)> {
    let mut all: Vec<(Labels, Vec<i64>)> = (0..1500)
        .map(|i| {
            let n = format!("{:04}", i / 3);
            let mut l = Labels::from_pairs([("a", n.as_str())]).edit();
            if i % 3 > 0 {
                l.set("q", &format!("{}", i % 3));
            }
            (l.build(), vec![0, 10, 20])
        })
        .collect();
    all.sort();
    all
}

#[test]
fn three_waves_for_many_batches() {
    let dir = tempfile::tempdir().unwrap();
    let series = many();
    let (block, meta) = write(dir.path(), &series, &[("m", "west")]);
    let external = Labels::from_pairs([("m", "west")]);
    let select = Select::new(TimeRange::ALL, []);
    let (source, reader) = far(&block, meta);
    let (got, _) = run(collect(&reader, &Ctx::unbounded(), &select)).unwrap();
    assert_eq!(source.waves(), 3);
    assert_eq!(times(got), expected(&series, &external, &select));
    // With a replica label that all have, too.
    let select = Select { without: [SmolStr::from("q")].into(), ..select };
    let (got, _) = run(collect(&reader, &Ctx::unbounded(), &select)).unwrap();
    assert_eq!(source.waves(), 3);
    assert_eq!(got.len(), 500);
    assert_eq!(times(got), expected(&series, &external, &select));
}

#[test]
fn order_holds_over_rounds_of_series() {
    let dir = tempfile::tempdir().unwrap();
    let mut series = many();
    // Three of four label sets have no samples in the range, so a limit takes several rounds.
    for (i, (_, times)) in series.iter_mut().enumerate() {
        *times = vec![if i / 3 % 4 == 0 { 0 } else { 900 }];
    }
    // `z` stands behind `q`: it changes the order within each three.
    let (block, meta) = write(dir.path(), &series, &[("z", "west")]);
    let external = Labels::from_pairs([("z", "west")]);
    let all = Select::new(TimeRange::new(0, 100).unwrap(), []);
    let want = expected(&series, &external, &all);
    assert_eq!(want.len(), 375);
    let (source, reader) = far(&block, meta);
    for limit in [1, 130, 370, 374, 375, 376] {
        let select = Select { limit: NonZeroU64::new(limit), ..all.clone() };
        let (got, _) = run(collect(&reader, &Ctx::unbounded(), &select)).unwrap();
        assert_eq!(times(got), want[..want.len().min(limit as usize)], "limit {limit}");
        assert!(limit < 130 || source.waves() > 3, "one round: the test tests nothing");
    }
}

#[test]
fn memory_comes_from_the_budget_and_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let (block, meta) = write(dir.path(), &many(), &[]);
    let (_, reader) = far(&block, meta);
    let select = Select::new(TimeRange::ALL, []);
    let ctx = Ctx { budget: Budget::new("query memory", 50_000), ..Ctx::unbounded() };
    let e = run(collect(&reader, &ctx, &select)).unwrap_err();
    assert_eq!((e.kind(), ctx.budget.used()), (Kind::Limit, 0));
    let ctx = Ctx::unbounded();
    ctx.cancel.cancel();
    assert_eq!(run(collect(&reader, &ctx, &select)).unwrap_err().kind(), Kind::Canceled);
}

#[test]
fn deleted_time_is_masked_and_wholly_deleted_chunks_are_gone() {
    use dolmen_index::wire::{put_uvarint, put_varint};
    let dir = tempfile::tempdir().unwrap();
    let series = vec![
        (Labels::from_pairs([("a", "x")]), vec![0, 10, 20]),
        (Labels::from_pairs([("a", "y")]), vec![0]),
    ];
    let (block, meta) = write(dir.path(), &series, &[]);
    let ids = run(async {
        let index = bytes::Bytes::from(std::fs::read(block.join("index")).unwrap());
        let header = dolmen_index::IndexHeader::from_index(&index).unwrap();
        let all = header.postings().all().unwrap();
        let all = dolmen_index::Postings::parse(index.slice(all.start as usize..all.end as usize)).unwrap();
        all.iter().collect::<Vec<_>>()
    });
    let mut body = Vec::new();
    for (id, first, last) in [(ids[0], 5, 19), (ids[1], 0, 9)] {
        put_uvarint(&mut body, id.into());
        put_varint(&mut body, first);
        put_varint(&mut body, last);
    }
    let mut file = 0x0130_BA30u32.to_be_bytes().to_vec();
    file.push(1);
    file.extend_from_slice(&body);
    file.extend_from_slice(&crc32c::crc32c(&body).to_be_bytes());
    std::fs::write(block.join("tombstones"), file).unwrap();
    let select = Select::new(TimeRange::ALL, []);
    let got = run(collect(&near(&block, meta), &Ctx::unbounded(), &select)).unwrap().0;
    let want = vec![(Labels::from_pairs([("a", "x")]), vec![(String::new(), vec![0, 20])])];
    assert_eq!(times(got), want);
}
