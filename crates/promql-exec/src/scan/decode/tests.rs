//! Decoding parts into columns.

use std::sync::Arc;

use dolmen_model::{Labels, Missing, SourceId};
use dolmen_storage::Origin;
use proptest::prelude::*;

use super::*;

fn part(source: &str, samples: &[(i64, f64)], per_chunk: usize) -> Part {
    let (t, v): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
    let mut encoded = Vec::new();
    dolmen_chunk::encode_floats(&t, &v, per_chunk, &mut encoded);
    let chunks = encoded.into_iter();
    Part {
        source: SourceId::new([source]),
        origin: None,
        masked: Arc::from([]),
        chunks: chunks
            .map(|c| RawChunk { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: c.data })
            .collect(),
    }
}

fn decoded(func: FuncClass, name: &str, parts: &[Part], range: (i64, i64)) -> Vec<(i64, f64)> {
    let labels = Labels::from_pairs([("__name__", name)]);
    let range = TimeRange::new(range.0, range.1).unwrap();
    let mut decoder = Decoder::new(func);
    let got = decoder.decode(labels.as_ref(), parts, range).unwrap();
    got.t.iter().copied().zip(got.v.iter().copied()).collect()
}

fn line(from: i64, n: i64) -> Vec<(i64, f64)> {
    (0..n).map(|i| (from + 10 * i, (from + 10 * i) as f64)).collect()
}

#[test]
fn parts_of_one_source_merge_by_time() {
    let all = line(0, 30);
    // The same samples in other chunks, and each end missing once: a head and a bucket.
    let parts = [part("a", &all[..20], 7), part("a", &all[8..], 5)];
    assert_eq!(decoded(FuncClass::Other, "m", &parts, (0, 1000)), all);
    assert_eq!(decoded(FuncClass::Other, "m", &parts, (50, 100)), all[5..10]);
    let mut masked = parts.clone();
    masked[0].masked = Arc::from([TimeRange::new(0, 30).unwrap()]);
    assert_eq!(decoded(FuncClass::Other, "m", &masked, (0, 1000)), all[3..]);
}

#[test]
fn replicas_are_deduplicated() {
    let (mut a, b) = (line(0, 30), line(7, 30));
    a.drain(10..12);
    // Each replica in two parts.
    let parts =
        [part("a", &a[..15], 7), part("b", &b[..9], 7), part("a", &a[10..], 7), part("b", &b[9..], 7)];
    let want: Vec<_> = a[..10].iter().chain(&b[9..]).copied().collect();
    assert_eq!(decoded(FuncClass::Other, "m", &parts, (0, 298)), want);
}

#[test]
fn names_and_functions_tell_counters() {
    let (mut a, mut b) = (line(0, 6), line(8, 20));
    a.truncate(6);
    b.iter_mut().for_each(|(t, v)| *v = (*t - 12) as f64);
    let parts = [part("a", &a, 7), part("b", &b, 7)];
    let after = |func, name| decoded(func, name, &parts, (0, 1000)).get(6).copied();
    assert_eq!(after(FuncClass::Other, "m"), Some((58, 46.0)));
    assert_eq!(after(FuncClass::Other, "m_total"), Some((68, 56.0)));
    assert_eq!(after(FuncClass::Counter, "m"), Some((68, 56.0)));
}

fn chunk(encoding: Encoding, (mint, maxt): (i64, i64), data: Vec<u8>) -> RawChunk {
    RawChunk { mint, maxt, encoding, data: data.into() }
}

/// Samples, and what is told of broken chunks.
type Told = (Vec<(i64, f64)>, Vec<String>);

fn lenient(parts: &[Part], range: (i64, i64)) -> Result<Told> {
    let labels = Labels::from_pairs([("__name__", "m")]);
    let mut decoder = Decoder::new(FuncClass::Other);
    let got = decoder.decode(labels.as_ref(), parts, TimeRange::new(range.0, range.1).unwrap())?;
    let samples = got.t.iter().copied().zip(got.v.iter().copied()).collect();
    let lacks = decoder.broken.lacks().missing.iter();
    let text =
        |m: &Missing| format!("{}/{} {}..{}: {}", m.site, m.store, m.range.mint(), m.range.maxt(), m.cause);
    Ok((samples, lacks.map(text).collect()))
}

fn of(store: &str, part: Part) -> Part {
    Part { origin: Some(Arc::new(Origin { site: "dc-b".into(), store: store.into() })), ..part }
}

const EARLY: &str = "broken chunk: chunk ends before its samples do";
const BEFORE: &str = "broken chunk: its times do not come after those of the chunk before";

#[test]
fn a_broken_chunk_is_left_out_and_told() {
    let all = line(0, 30);
    let mut broken = of("b:1", part("a", &all, 10));
    broken.chunks[1].data.truncate(9);
    let rest: Vec<_> = all[..10].iter().chain(&all[20..]).copied().collect();
    let told = |store: &str, range: &str, cause: &str| vec![format!("{store} {range}: {cause}")];
    let got = lenient(&[broken.clone()], (0, 1000)).unwrap();
    assert_eq!(got, (rest.clone(), told("dc-b/b:1", "100..191", EARLY)));
    // No more than was asked for is missing.
    let got = lenient(&[broken.clone()], (50, 120)).unwrap();
    assert_eq!(got, (all[5..10].to_vec(), told("dc-b/b:1", "100..120", EARLY)));
    assert_eq!(lenient(&[broken.clone()], (200, 1000)).unwrap(), (all[20..].to_vec(), vec![]));
    // Another part of the same replica, and another replica, have what is missing; it is told all the same.
    for source in ["a", "b"] {
        let got = lenient(&[broken.clone(), of("c:1", part(source, &all, 7))], (0, 299)).unwrap();
        assert_eq!(got, (all.clone(), told("dc-b/b:1", "100..191", EARLY)));
    }
    let own = Part { origin: None, ..broken };
    assert_eq!(lenient(&[own], (0, 1000)).unwrap().1, told("/", "100..191", EARLY));
}

#[test]
fn a_chunk_that_lies_about_its_time_is_left_out_and_the_others_are_not_blamed() {
    let all = line(0, 30);
    let honest = of("b:1", part("a", &[&all[..10], &all[20..]].concat(), 10));
    let mut liar = of("c:1", part("a", &line(400, 10), 10));
    (liar.chunks[0].mint, liar.chunks[0].maxt) = (100, 190);
    let got = lenient(&[honest.clone(), liar.clone()], (0, 1000)).unwrap();
    assert_eq!(got, ([&all[..10], &all[20..], &line(400, 10)].concat(), vec![]), "parts merge by time");
    let mut both = honest.clone();
    both.chunks.insert(1, liar.chunks[0].clone());
    let got = lenient(&[both], (0, 1000)).unwrap();
    let told = vec![format!("dc-b/b:1 200..291: {BEFORE}")];
    assert_eq!(got, ([&all[..10], &line(400, 10)].concat(), told));
    // Twice the same chunk, and chunks out of order.
    let mut twice = honest.clone();
    twice.chunks.push(honest.chunks[1].clone());
    twice.chunks.push(honest.chunks[0].clone());
    let (got, told) = lenient(&[twice], (0, 1000)).unwrap();
    assert_eq!(got, [&all[..10], &all[20..]].concat());
    assert_eq!(told, [format!("dc-b/b:1 200..291: {BEFORE}"), format!("dc-b/b:1 0..91: {BEFORE}")]);
}

#[test]
fn encodings_that_are_not_read_yet_are_an_error() {
    for (encoding, number) in
        [(Encoding::Xor2, "4"), (Encoding::HistogramSt, "5"), (Encoding::FloatHistogramSt, "6")]
    {
        let good = part("a", &line(0, 3), 10);
        let odd = Part { chunks: vec![chunk(encoding, (40, 50), vec![0, 0])], ..good.clone() };
        for parts in [vec![odd.clone()], vec![good, odd]] {
            let e = lenient(&parts, (0, 1000)).unwrap_err();
            assert!(e.kind == PromqlErrorKind::Internal && e.text.contains(number), "{e}");
        }
    }
}

fn some_chunk() -> impl Strategy<Value = RawChunk> {
    let encoding =
        prop_oneof![Just(Encoding::Xor), Just(Encoding::Histogram), Just(Encoding::FloatHistogram)];
    let noise = (encoding, prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(e, mut data)| {
        // Few samples, so that some get through.
        if let Some(high) = data.first_mut() {
            *high = 0;
        }
        (e, data)
    });
    let good = (-50i64..50, 1i64..9, 1i64..30, prop::option::of((any::<prop::sample::Index>(), 0..8)))
        .prop_map(|(from, step, n, flip)| {
            let samples: Vec<_> = (0..n).map(|i| (from + i * step, i as f64)).collect();
            let mut data = part("", &samples, 100).chunks[0].data.to_vec();
            if let Some((at, bit)) = flip {
                let at = at.index(data.len());
                data[at] ^= 1u8 << bit;
            }
            (Encoding::Xor, data)
        });
    (prop_oneof![noise, good], -60i64..60, -60i64..60)
        .prop_map(|((encoding, data), mint, maxt)| chunk(encoding, (mint, maxt), data))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_bytes_fail_a_query_or_unsort_its_samples(
        parts in prop::collection::vec((0usize..3, prop::collection::vec(some_chunk(), 0..6)), 1..4),
        (from, len) in (-60i64..60, 1i64..100),
    ) {
        let parts: Vec<Part> = parts
            .into_iter()
            .map(|(source, chunks)| Part { chunks, ..part(["a", "b", "c"][source], &[], 10) })
            .collect();
        let labels = Labels::from_pairs([("__name__", "m_total")]);
        let range = TimeRange::new(from, from + len).unwrap();
        for func in [FuncClass::Other, FuncClass::Counter] {
            let mut decoder = Decoder::new(func);
            let got = decoder.decode(labels.as_ref(), &parts, range).unwrap();
            prop_assert_eq!(got.t.len(), got.v.len());
            for times in [&got.t, &got.h.t] {
                prop_assert!(times.windows(2).all(|w| w[0] < w[1]), "{:?}", times);
                prop_assert!(times.iter().all(|t| range.contains(*t)));
            }
            for lack in &decoder.broken.lacks().missing {
                prop_assert_eq!(lack.range.intersect(range), Some(lack.range));
            }
        }
    }
}
