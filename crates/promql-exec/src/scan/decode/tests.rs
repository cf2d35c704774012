//! Decoding parts into columns.

use std::sync::Arc;

use dolmen_model::{Labels, SourceId};

use super::*;

fn part(source: &str, samples: &[(i64, f64)], per_chunk: usize) -> Part {
    let (t, v): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
    let mut encoded = Vec::new();
    dolmen_chunk::encode_floats(&t, &v, per_chunk, &mut encoded);
    let chunks = encoded.into_iter();
    Part {
        source: SourceId::new([source]),
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
