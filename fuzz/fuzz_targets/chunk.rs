//! Chunk bytes of every encoding: decoding stands any bytes, its three ways agree, and what is decoded
//! can be written again and gone on with.
//!
//! Input: a byte that chooses the encoding, then the chunk.

#![no_main]

use dolmen_chunk::{
    FloatHistogramEncoder, HistogramEncoder, decode, decode_histograms, encode_floats, encode_histograms,
    reset_header, samples, xor,
};
use dolmen_model::{Columns, Encoding, FloatHistogram, Histogram, is_stale};
use libfuzzer_sys::fuzz_target;

const ENCODINGS: [Encoding; 6] = [
    Encoding::Xor,
    Encoding::Histogram,
    Encoding::FloatHistogram,
    Encoding::Xor2,
    Encoding::HistogramSt,
    Encoding::FloatHistogramSt,
];

fuzz_target!(|input: &[u8]| {
    let Some((choice, data)) = input.split_first() else { return };
    let e = ENCODINGS[usize::from(*choice) % ENCODINGS.len()];
    let count = samples(e, data);
    let _header = reset_header(data);
    let mut all = Columns::default();
    let done = decode(e, data, i64::MIN, i64::MAX, &mut all);
    // What a header claims must not decide over memory: a bucket of one bit becomes eight bytes, once a sample.
    assert!(all.bytes() <= (data.len() + 64) * 8 * 64 + (1 << 21), "{} bytes of {}", all.bytes(), data.len());
    if done.is_err() {
        assert!(all.is_empty() && all.h.buckets.is_empty(), "an error left samples behind");
        return;
    }
    planted(&all);
    rising(&all.t);
    rising(&all.h.t);
    parts(e, data, &all);
    if count.map(usize::from) != Ok(all.len()) {
        // A half-open range ends before the last time there is; what follows that is not looked at.
        return;
    }
    match e {
        Encoding::Xor => floats(data, &all),
        _ => histograms(e, data, &all),
    }
});

fn rising(t: &[i64]) {
    assert!(t.windows(2).all(|w| w[0] < w[1]), "times do not rise: {t:?}");
}

/// A window of the chunk holds what the whole holds there.
fn parts(e: Encoding, data: &[u8], all: &Columns) {
    let times = if e == Encoding::Xor { &all.t } else { &all.h.t };
    let n = times.len();
    let (Some(from), Some(to)) = (times.get(n / 3), times.get(2 * n / 3)) else { return };
    let mut part = Columns::default();
    decode(e, data, *from, *to, &mut part).expect("the whole could be decoded");
    let (a, b) = (n / 3, 2 * n / 3);
    if e == Encoding::Xor {
        assert_eq!(part.t, all.t[a..b]);
        assert!(part.v.iter().zip(&all.v[a..b]).all(|(x, y)| x.to_bits() == y.to_bits()));
    } else {
        assert_eq!(part.h.t, all.h.t[a..b]);
        for i in 0..part.h.len() {
            same(&part.h.get(i), &all.h.get(a + i));
        }
    }
}

fn floats(data: &[u8], all: &Columns) {
    let mut chunks = Vec::new();
    encode_floats(&all.t, &all.v, usize::from(u16::MAX), &mut chunks);
    let mut again = Columns::default();
    for c in &chunks {
        decode(c.encoding, &c.data, i64::MIN, i64::MAX, &mut again).expect("our own bytes");
    }
    equal_floats(&again, all);
    // An open chunk is gone on with after a restart.
    let mut state = xor::State::resume(data).expect("the chunk could be decoded");
    let n = all.t.len();
    if n == 0 || n >= usize::from(u16::MAX) || all.t[n - 1] == i64::MAX {
        return;
    }
    let mut chunk = data.to_vec();
    state.append_vec(&mut chunk, all.t[n - 1] + 1, 2.5);
    let mut longer = Columns::default();
    decode(Encoding::Xor, &chunk, i64::MIN, i64::MAX, &mut longer).expect("a chunk gone on with");
    assert_eq!((longer.t.pop(), longer.v.pop()), (Some(all.t[n - 1] + 1), Some(2.5)));
    equal_floats(&longer, all);
}

fn equal_floats(a: &Columns, b: &Columns) {
    assert_eq!(a.t, b.t);
    assert!(a.v.iter().zip(&b.v).all(|(x, y)| x.to_bits() == y.to_bits()), "values differ");
}

fn histograms(e: Encoding, data: &[u8], all: &Columns) {
    let own = decode_histograms(e, data).expect("the chunk could be decoded");
    assert_eq!(own.len(), all.h.len());
    for (i, (t, h)) in own.iter().enumerate() {
        assert_eq!(*t, all.h.t[i]);
        same(&h.to_float(), &all.h.get(i));
    }
    let mut chunks = Vec::new();
    encode_histograms(own.iter().cloned(), usize::from(u16::MAX), &mut chunks);
    let mut again = Vec::new();
    for c in &chunks {
        again.extend(decode_histograms(c.encoding, &c.data).expect("our own bytes"));
    }
    assert_eq!(again.len(), own.len());
    for ((t, h), (t_again, h_again)) in own.iter().zip(&again) {
        assert_eq!(t, t_again);
        assert_eq!(content(h), content(h_again));
    }
    match e {
        Encoding::Histogram => drop(HistogramEncoder::resume(data).expect("the chunk could be decoded")),
        _ => drop(FloatHistogramEncoder::resume(data).expect("the chunk could be decoded")),
    }
}

fn same(a: &FloatHistogram, b: &FloatHistogram) {
    let bits = |h: &FloatHistogram| -> Vec<u64> {
        [h.count, h.zero_count, h.sum]
            .iter()
            .chain(&h.positive)
            .chain(&h.negative)
            .map(|v| v.to_bits())
            .collect()
    };
    assert_eq!((bits(a), a.hint), (bits(b), b.hint));
    assert_eq!(format!("{:?}", a.layout), format!("{:?}", b.layout));
}

/// Count, zero count and sum, then buckets that are not empty with their indexes: equal however wide the layout is.
type Content = ([u64; 3], [Vec<(i64, u64)>; 2]);

fn content(h: &Histogram) -> Content {
    let f = h.to_float();
    if is_stale(f.sum) {
        return ([0, 0, f.sum.to_bits()], [vec![], vec![]]);
    }
    let side = |spans: &[dolmen_model::Span], counts: &[f64]| {
        let mut index = 0;
        let mut counts = counts.iter();
        let mut out = Vec::new();
        for span in spans {
            index += i64::from(span.offset);
            for _ in 0..span.length {
                let count = counts.next().expect("spans and buckets agree");
                if *count != 0.0 {
                    out.push((index, count.to_bits()));
                }
                index += 1;
            }
        }
        out
    };
    let sides = [side(&f.layout.positive_spans, &f.positive), side(&f.layout.negative_spans, &f.negative)];
    ([f.count.to_bits(), f.zero_count.to_bits(), f.sum.to_bits()], sides)
}

/// A bug for the fuzzer to find: samples that lie more than thirty years apart.
fn planted(all: &Columns) {
    if cfg!(feature = "planted") && all.t.windows(2).any(|w| w[1].saturating_sub(w[0]) > 1 << 40) {
        panic!("planted bug");
    }
}
