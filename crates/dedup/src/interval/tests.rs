//! The interval algorithm against a plain model and by hand.

use std::sync::Arc;

use dolmen_model::{FloatHistogram, HistLayout, Span, stale_nan};
use proptest::prelude::*;

use super::*;

fn floats(samples: &[(i64, f64)]) -> Columns {
    let mut c = Columns::default();
    for (t, v) in samples {
        c.t.push(*t);
        c.v.push(*v);
    }
    c
}

fn pairs(c: &Columns) -> Vec<(i64, f64)> {
    c.t.iter().copied().zip(c.v.iter().copied()).collect()
}

fn times(class: Class, parts: &[Columns]) -> Vec<i64> {
    let mut out = Columns::default();
    combine(class, parts, i64::MAX, &mut out);
    out.t
}

/// Samples every 10 from `from`, values as times; `_` in the picture is a missed scrape, `s` a stale marker.
fn drawn(from: i64, picture: &str) -> Columns {
    let at = |i: usize| from + 10 * i as i64;
    let drawn = picture.chars().enumerate().filter(|(_, c)| *c != '_');
    floats(
        &drawn.map(|(i, c)| (at(i), if c == 's' { stale_nan() } else { at(i) as f64 })).collect::<Vec<_>>(),
    )
}

#[test]
fn stays_until_a_scrape_is_missed() {
    let cases = [
        ("xxxxxxxx", "xxxxxxxx", vec![0, 10, 20, 30, 40, 50, 60, 70]),
        ("xxx__xxx", "xxxxxxxx", vec![0, 10, 20, 27, 37, 47, 57, 67, 77]),
        ("xxx__xxx", "xxxx_xxx", vec![0, 10, 20, 27, 37, 50, 60, 70]),
        ("xxx___xx", "xxx___xx", vec![0, 10, 20, 27, 60, 70]),
        ("___xxxxx", "xxxx____", vec![7, 17, 27, 37, 50, 60, 70]),
        ("xxxxxxxx", "________", vec![0, 10, 20, 30, 40, 50, 60, 70]),
        // One stale marker does not end the series, two do.
        ("xxxsxxxx", "xxxxxxxx", vec![0, 10, 20, 27, 37, 47, 57, 67, 77]),
        ("xxxxs___", "xxxxs___", vec![0, 10, 20, 30, 37, 47]),
        ("xxxxs__x", "xxxxs__x", vec![0, 10, 20, 30, 37, 47, 70]),
    ];
    for (a, b, want) in cases {
        let mut out = Columns::default();
        combine(Class::Other, &[drawn(0, a), drawn(7, b)], 81, &mut out);
        assert_eq!(out.t, want, "{a} {b}");
    }
}

#[test]
fn nothing_is_missed_at_the_edge() {
    let parts = [drawn(0, "xxxxxx"), drawn(7, "xxxxxx")];
    let mut out = Columns::default();
    combine(Class::Other, &parts[..], 60, &mut out);
    assert_eq!(out.t, vec![0, 10, 20, 30, 40, 50], "the next scrape may still come");
}

#[test]
fn times_at_the_ends_of_time() {
    let a = floats(&[(i64::MIN, 1.0), (0, 2.0), (i64::MAX - 1, 3.0)]);
    let b = floats(&[(i64::MIN + 1, 1.0), (i64::MAX - 2, 2.5)]);
    let got = times(Class::Counter, &[a, b]);
    assert_eq!((got.first(), got.last()), (Some(&i64::MIN), Some(&(i64::MAX - 1))));
}

#[test]
fn a_switch_makes_no_reset() {
    let a = floats(&[(0, 10.0), (10, 20.0), (20, 30.0), (30, 40.0), (40, 50.0), (50, 60.0)]);
    // Answered a little earlier than its time says.
    let b = floats(&[(8, 15.0), (18, 25.0), (58, 59.0), (68, 69.0), (78, 79.0), (88, 89.0)]);
    assert_eq!(times(Class::Other, &[a.clone(), b.clone()]), vec![0, 10, 20, 30, 40, 50, 58, 68, 78, 88]);
    assert_eq!(times(Class::Counter, &[a.clone(), b]), vec![0, 10, 20, 30, 40, 50, 68, 78, 88]);
    // The other replica saw the reset.
    let b = floats(&[(8, 15.0), (18, 25.0), (48, 55.0), (58, 1.0), (68, 2.0), (78, 3.0)]);
    assert_eq!(times(Class::Counter, &[a.clone(), b]), vec![0, 10, 20, 30, 40, 50, 58, 68, 78]);
    // It counts something else: a function over counters sees nothing of it, a graph does.
    let b = floats(&[(8, 1.0), (18, 2.0), (48, 5.0), (58, 6.0), (68, 7.0), (78, 8.0)]);
    assert_eq!(times(Class::Counter, &[a.clone(), b.clone()]), vec![0, 10, 20, 30, 40, 50]);
    assert_eq!(times(Class::Named, &[a, b]), vec![0, 10, 20, 30, 40, 50, 78]);
}

fn histograms(samples: &[(i64, f64)], hint: ResetHint) -> Columns {
    let layout =
        Arc::new(HistLayout { positive_spans: vec![Span { offset: 0, length: 1 }], ..HistLayout::default() });
    let mut c = Columns::default();
    for (t, count) in samples {
        let h = FloatHistogram {
            layout: layout.clone(),
            count: *count,
            zero_count: 0.0,
            sum: *count,
            hint,
            positive: vec![*count],
            negative: vec![],
        };
        c.h.push(*t, &h);
    }
    c
}

#[test]
fn histograms_forget_hints_at_a_switch() {
    let a = histograms(&[(0, 1.0), (10, 2.0), (20, 3.0)], ResetHint::NotReset);
    let b = histograms(&[(7, 1.0), (17, 2.0), (27, 3.0), (37, 4.0), (47, 5.0)], ResetHint::NotReset);
    let mut out = Columns::default();
    combine(Class::Counter, &[a, b], i64::MAX, &mut out);
    assert_eq!(out.h.t, vec![0, 10, 20, 27, 37, 47]);
    use ResetHint::{NotReset, Unknown};
    assert_eq!(out.h.hint, vec![Unknown, NotReset, NotReset, Unknown, NotReset, NotReset]);

    let a = histograms(&[(0, 4.0), (10, 5.0), (20, 6.0)], ResetHint::Unknown);
    let b = histograms(&[(7, 1.0), (17, 2.0), (27, 3.0), (37, 7.0), (47, 8.0)], ResetHint::Unknown);
    let mut out = Columns::default();
    combine(Class::Counter, &[a, b], i64::MAX, &mut out);
    assert_eq!(out.h.t, vec![0, 10, 20, 37, 47]);
}

#[test]
fn kinds_may_change() {
    let mut a = floats(&[(0, 1.0), (10, 2.0)]);
    a.h = histograms(&[(20, 3.0), (30, 4.0)], ResetHint::Gauge).h;
    let mut b = floats(&[(7, 1.0), (17, 2.0)]);
    b.h = histograms(&[(27, 3.0), (37, 4.0), (47, 5.0)], ResetHint::Gauge).h;
    let mut out = Columns::default();
    combine(Class::Counter, &[a, b], i64::MAX, &mut out);
    assert_eq!((out.t, out.h.t), (vec![0, 10], vec![20, 30, 37, 47]));
}

const INTERVAL: i64 = 1000;

/// What happens at a target, and two who look at it.
#[derive(Debug, Clone)]
struct Pair {
    parts: Vec<Columns>,
}

/// A replica: offset, jitter of each scrape, outages (first scrape, scrapes missed).
type Seen = (i64, Vec<i64>, Vec<(usize, usize)>);

fn seen() -> impl Strategy<Value = Seen> {
    let outages = prop::collection::vec((0usize..90, 1usize..12), 0..4);
    (0..INTERVAL, prop::collection::vec(-40i64..40, 100), outages)
}

/// A counter that grows by 1 every 10 ms and is reset at some times; each scrape reads it a little late.
fn pair() -> impl Strategy<Value = Pair> {
    let resets = prop::collection::vec(0i64..100_000, 0..3);
    (resets, prop::collection::vec(seen(), 2..4), prop::collection::vec(0i64..300, 300)).prop_map(
        |(resets, seen, late)| {
            let value = |t: i64| {
                let start = resets.iter().copied().filter(|r| *r <= t).max().unwrap_or(-50_000);
                ((t - start) / 10) as f64
            };
            let part = |(offset, jitter, outages): &Seen| {
                let up = |i: usize| outages.iter().all(|(from, n)| i < *from || i >= from + n);
                let at = |i: usize| i as i64 * INTERVAL + offset + jitter[i];
                let lag = |i: usize| late[(i * 7 + *offset as usize) % late.len()];
                let scrapes = (0..100).filter(|i| up(*i)).map(|i| (at(i), value(at(i) + lag(i))));
                floats(&scrapes.collect::<Vec<_>>())
            };
            Pair { parts: seen.iter().map(part).collect() }
        },
    )
}

/// Whether a replica saw a fall that overlaps a time.
fn fall_seen(parts: &[Columns], from: i64, to: i64) -> bool {
    parts.iter().any(|c| {
        let kept: Vec<_> = pairs(c).into_iter().filter(|(_, v)| !is_stale(*v)).collect();
        kept.windows(2).any(|w| w[1].1 < w[0].1 && w[1].0 > from && w[0].0 < to)
    })
}

/// A counter falls only where a replica saw it; where its readers do not count, also after two intervals without
/// a better sample.
fn check_falls(class: Class, parts: &[Columns], out: &Columns) -> Result<(), TestCaseError> {
    let kept: Vec<_> = pairs(out).into_iter().filter(|(_, v)| !is_stale(*v)).collect();
    for w in kept.windows(2) {
        // The interval that is learned is shorter by what scrapes come early.
        let late = class == Class::Named && w[1].0 - w[0].0 > 2 * (INTERVAL - 80);
        let nan = w[1].1.is_nan() || w[0].1.is_nan();
        let fine = w[1].1 >= w[0].1 || nan || late || fall_seen(parts, w[0].0, w[1].0);
        prop_assert!(fine, "nobody saw a fall at {:?}", w);
    }
    Ok(())
}

/// Every sample is one replica's, in order.
fn check_samples(parts: &[Columns], out: &Columns) -> Result<(), TestCaseError> {
    prop_assert!(out.t.windows(2).all(|w| w[0] < w[1]));
    for (t, v) in pairs(out) {
        let known = parts.iter().flat_map(pairs).any(|(pt, pv)| pt == t && pv.to_bits() == v.to_bits());
        prop_assert!(known, "nobody has ({t}, {v})");
    }
    Ok(())
}

/// No gap that not all had, but for samples of a counter that would be a fall which nobody saw; the ends are there.
fn check_gaps(class: Class, parts: &[Columns], out: &Columns) -> Result<(), TestCaseError> {
    let value = |t: i64| pairs(out).into_iter().find(|(at, _)| *at == t).map_or(f64::NAN, |(_, v)| v);
    let near = |t: i64| parts.iter().flat_map(|c| &c.t).any(|p| (p - t).abs() <= 2 * INTERVAL);
    for w in out.t.windows(2).filter(|w| w[1] - w[0] > 2 * INTERVAL) {
        let before = value(w[0]);
        let usable = |(t, v): (i64, f64)| w[0] < t && t < w[1] && (class == Class::Other || v >= before);
        let inside = parts.iter().flat_map(pairs).any(usable);
        prop_assert!(!inside, "a gap that not all had: {w:?}");
    }
    let first = parts.iter().filter_map(|c| c.t.first()).min();
    let last = parts.iter().filter_map(|c| c.t.last()).max();
    prop_assert_eq!(out.t.first(), first);
    prop_assert!(last.is_none_or(|l| near(*l) && *l - out.t.last().unwrap_or(&0) <= INTERVAL));
    Ok(())
}

/// The same, chunk by chunk.
fn streamed(class: Class, parts: &[Columns], every: i64) -> Columns {
    let mut merging = Interval.start(class, parts.len());
    let mut out = Columns::default();
    let mut at = vec![0; parts.len()];
    let end = parts.iter().filter_map(|c| c.t.last()).max().copied().unwrap_or(0);
    let mut until = i64::MIN;
    while until <= end {
        until = if until == i64::MIN {
            parts.iter().filter_map(|c| c.t.first()).min().copied().unwrap_or(0)
        } else {
            until
        };
        until += every;
        for (p, c) in parts.iter().enumerate() {
            let to = c.t.partition_point(|t| *t < until);
            let chunk: Vec<_> = pairs(c)[at[p]..to].to_vec();
            merging.push(p, &floats(&chunk));
            at[p] = to;
        }
        merging.pull(until, &mut out);
    }
    merging.pull(i64::MAX, &mut out);
    out
}

fn wild() -> impl Strategy<Value = Vec<Columns>> {
    let value = prop_oneof![6 => (0u32..50).prop_map(f64::from), 1 => Just(stale_nan()), 1 => Just(f64::NAN)];
    let part = prop::collection::vec((1i64..40, value), 0..30).prop_map(|deltas| {
        let mut t = 0;
        let samples = deltas.into_iter().map(|(d, v)| {
            t += d;
            (t, v)
        });
        floats(&samples.collect::<Vec<_>>())
    });
    prop::collection::vec(part, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn promises_on_scrapes(pair in pair()) {
        for class in [Class::Other, Class::Named, Class::Counter] {
            let mut out = Columns::default();
            combine(class, &pair.parts, i64::MAX, &mut out);
            check_samples(&pair.parts, &out)?;
            check_gaps(class, &pair.parts, &out)?;
            if class != Class::Other {
                check_falls(class, &pair.parts, &out)?;
            }
        }
    }

    #[test]
    fn promises_chunk_by_chunk(pair in pair(), every in 1i64..30) {
        let out = streamed(Class::Counter, &pair.parts, every * INTERVAL);
        check_samples(&pair.parts, &out)?;
        check_falls(Class::Counter, &pair.parts, &out)?;
    }

    #[test]
    fn promises_on_anything(parts in wild(), every in 1i64..300) {
        for class in [Class::Other, Class::Counter] {
            let mut out = Columns::default();
            combine(class, &parts, i64::MAX, &mut out);
            for out in [out, streamed(class, &parts, every)] {
                check_samples(&parts, &out)?;
                if class == Class::Counter {
                    check_falls(class, &parts, &out)?;
                }
            }
        }
    }

    #[test]
    fn one_replica_stays_as_it_is(parts in wild()) {
        let part = &parts[..1];
        let mut out = Columns::default();
        combine(Class::Counter, part, i64::MAX, &mut out);
        let values = |c: &Columns| pairs(c).into_iter().filter(|(_, v)| !is_stale(*v)).map(|(t, v)| (t, v.to_bits())).collect::<Vec<_>>();
        prop_assert_eq!(values(&out), values(&part[0]));
    }
}
