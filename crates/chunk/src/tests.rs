//! Histogram chunks: what fits, what comes back, what any bytes do.

use std::sync::Arc;

use dolmen_model::{
    Columns, Encoding, FloatHistogram, HistLayout, Histogram, IntHistogram, ResetHint, Span, stale_nan,
};
use proptest::prelude::*;

use super::*;

fn layout(spans: &[(i32, u32)]) -> Arc<HistLayout> {
    let positive_spans =
        spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect();
    Arc::new(HistLayout { schema: 2, zero_threshold: 0.001, positive_spans, ..HistLayout::default() })
}

fn int(spans: &[(i32, u32)], absolute: &[i64]) -> IntHistogram {
    let mut last = 0;
    let deltas = absolute
        .iter()
        .map(|a| {
            let d = a - last;
            last = *a;
            d
        })
        .collect();
    IntHistogram {
        layout: layout(spans),
        count: absolute.iter().sum::<i64>() as u64,
        zero_count: 0,
        sum: 1.5,
        hint: ResetHint::Unknown,
        positive_deltas: deltas,
        negative_deltas: vec![],
    }
}

fn stale() -> IntHistogram {
    IntHistogram { sum: stale_nan(), ..int(&[(0, 1)], &[9]) }
}

/// What becomes of `second` after `first`, for integers; floats must agree.
fn check(first: &IntHistogram, second: &IntHistogram, expected: Appended) {
    let mut e = HistogramEncoder::new();
    assert_eq!(e.append(1, first), Appended::Added);
    assert_eq!(e.append(2, second), expected, "integer");
    let mut e = FloatHistogramEncoder::new();
    assert_eq!(e.append(1, &first.to_float()), Appended::Added);
    assert_eq!(e.append(2, &second.to_float()), expected, "float");
}

#[test]
fn when_a_histogram_fits() {
    use Appended::*;
    let a = int(&[(0, 2)], &[1, 2]);
    let gauge = |h: IntHistogram| IntHistogram { hint: ResetHint::Gauge, ..h };
    let with = |f: &dyn Fn(&mut HistLayout)| {
        let mut l = HistLayout::clone(&a.layout);
        f(&mut l);
        IntHistogram { layout: Arc::new(l), ..a.clone() }
    };
    check(&a, &a, Added);
    check(&a, &int(&[(0, 2)], &[2, 2]), Added);
    check(&a, &int(&[(0, 3)], &[1, 2, 1]), Recoded);
    check(&a, &int(&[(-3, 1), (2, 2)], &[1, 1, 2]), Recoded);
    check(&int(&[(0, 3)], &[1, 2, 0]), &int(&[(0, 2)], &[1, 2]), Added);
    check(&a, &int(&[(0, 2)], &[3, 1]), NeedsNewChunk(ResetHeader::Reset));
    check(&a, &int(&[(0, 2)], &[1, 1]), NeedsNewChunk(ResetHeader::Reset));
    check(&a, &int(&[(1, 1)], &[9]), NeedsNewChunk(ResetHeader::Reset));
    check(&IntHistogram { zero_count: 1, ..a.clone() }, &a, NeedsNewChunk(ResetHeader::Reset));
    check(&a, &IntHistogram { hint: ResetHint::Reset, ..a.clone() }, NeedsNewChunk(ResetHeader::Reset));
    check(&a, &with(&|l| l.schema = 3), NeedsNewChunk(ResetHeader::Unknown));
    check(&a, &with(&|l| l.zero_threshold = 0.5), NeedsNewChunk(ResetHeader::Unknown));
    check(&a, &stale(), Added);
    check(&stale(), &a, NeedsNewChunk(ResetHeader::Unknown));
    check(&a, &gauge(a.clone()), NeedsNewChunk(ResetHeader::Gauge));
    check(&gauge(a.clone()), &gauge(int(&[(5, 1)], &[1])), Recoded);
    check(&gauge(a.clone()), &a, NeedsNewChunk(ResetHeader::Unknown));
    check(&gauge(a.clone()), &stale(), Added);
}

#[test]
fn headers_and_hints() {
    let a = int(&[(0, 2)], &[1, 2]);
    let mut e = HistogramEncoder::new();
    e.append(1, &a);
    e.append(2, &int(&[(0, 4)], &[1, 2, 0, 1]));
    e.append(3, &stale());
    assert_eq!(e.next_header(&a), ResetHeader::Unknown);
    assert_eq!(reset_header(e.data()), Ok(ResetHeader::Unknown));
    let mut out = Columns::default();
    decode(Encoding::Histogram, e.data(), i64::MIN, i64::MAX, &mut out).unwrap();
    assert_eq!(out.h.hint, [ResetHint::Unknown, ResetHint::NotReset, ResetHint::Unknown]);
    assert_eq!(out.h.buckets_of(0), [1.0, 2.0, 0.0, 0.0]);
    assert_eq!(out.h.buckets_of(1), [1.0, 2.0, 0.0, 1.0]);
    assert_eq!(out.h.buckets_of(2), [0.0; 0]);
    assert!(dolmen_model::is_stale(out.h.sum[2]));
    let mut gauges = FloatHistogramEncoder::new();
    let g = FloatHistogram { hint: ResetHint::Gauge, ..a.to_float() };
    gauges.append(1, &g);
    assert_eq!(reset_header(gauges.data()), Ok(ResetHeader::Gauge));
    out.clear();
    decode(Encoding::FloatHistogram, gauges.data(), i64::MIN, i64::MAX, &mut out).unwrap();
    assert_eq!(out.h.get(0), g);
}

#[test]
fn finer_schemas_are_coarsened() {
    let mut fine = HistLayout::clone(&layout(&[(-1, 6)]));
    fine.schema = 9;
    let mut h = int(&[(-1, 6)], &[1, 2, 3, 4, 5, 6]);
    h.layout = Arc::new(fine);
    let mut e = HistogramEncoder::new();
    e.append(1, &h);
    let read = decode_histograms(Encoding::Histogram, e.data()).unwrap().remove(0).1.to_float();
    // Index i of schema 9 lies in ceil(i / 2) of schema 8.
    assert_eq!(read.layout.positive_spans, [Span { offset: 0, length: 3 }]);
    assert_eq!((read.layout.schema, read.positive), (8, vec![3.0, 7.0, 11.0]));
}

#[test]
fn other_encodings_are_named() {
    for (e, number) in
        [(Encoding::Xor2, "4"), (Encoding::HistogramSt, "5"), (Encoding::FloatHistogramSt, "6")]
    {
        let error = decode(e, &[0, 1, 0], 0, 1, &mut Columns::default()).unwrap_err();
        assert!(error.to_string().contains(number), "{error}");
    }
    assert_eq!(samples(Encoding::HistogramSt, &[0xc0, 7]), Ok(7));
    assert_eq!(samples(Encoding::Xor, &[1, 0]), Ok(256));
    assert!(samples(Encoding::Xor, &[1]).is_err());
}

/// Counters and gauges whose buckets come and go.
fn histograms() -> impl Strategy<Value = Vec<(i64, Histogram)>> {
    let one =
        (1i64..100_000, prop::collection::vec((-2i32..4, 0u32..4), 0..4), 0i64..50, 0u8..20, any::<bool>());
    prop::collection::vec(one, 0..40).prop_map(|steps| {
        let mut t = 0;
        steps
            .into_iter()
            .enumerate()
            .map(|(i, (step, spans, grown, kind, float))| {
                t += step;
                let spans: Vec<_> = spans
                    .iter()
                    .enumerate()
                    .map(|(k, (o, n))| (if k == 0 { *o } else { o.abs() }, *n))
                    .collect();
                let n: u32 = spans.iter().map(|s| s.1).sum();
                let absolute: Vec<i64> = (0..n).map(|k| i64::from(k) * 7 % 5 + grown + i as i64).collect();
                let mut h = if kind == 0 { stale() } else { int(&spans, &absolute) };
                h.hint = if kind > 15 { ResetHint::Gauge } else { ResetHint::Unknown };
                (t, if float && kind % 2 == 0 { Histogram::Float(h.to_float()) } else { Histogram::Int(h) })
            })
            .collect()
    })
}

/// Buckets with counts by index: equal however wide the layout is.
fn content(h: &Histogram) -> (bool, Vec<(i32, u64)>, u64, u64) {
    let f = h.to_float();
    let mut buckets = Vec::new();
    let mut index = 0;
    let mut at = 0;
    for span in &f.layout.positive_spans {
        index += span.offset;
        for _ in 0..span.length {
            buckets.push((index, f.positive[at].to_bits()));
            index += 1;
            at += 1;
        }
    }
    buckets.retain(|b| f64::from_bits(b.1) != 0.0);
    if dolmen_model::is_stale(f.sum) {
        return (matches!(h, Histogram::Int(_)), vec![], 0, f.sum.to_bits());
    }
    (matches!(h, Histogram::Int(_)), buckets, f.count.to_bits(), f.sum.to_bits())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn histograms_come_back(histograms in histograms(), per_chunk in 1usize..20) {
        let mut chunks = Vec::new();
        encode_histograms(histograms.iter().cloned(), per_chunk, &mut chunks);
        let mut read = Vec::new();
        let mut columns = Columns::default();
        for c in &chunks {
            let own = decode_histograms(c.encoding, &c.data).unwrap();
            prop_assert_eq!(own.len(), usize::from(c.samples));
            prop_assert_eq!((own[0].0, own[own.len() - 1].0), (c.mint, c.maxt));
            prop_assert!(own.len() <= per_chunk);
            // Within a chunk no count falls, unless it is one of gauges.
            if reset_header(&c.data).unwrap() != ResetHeader::Gauge {
                for pair in own.windows(2) {
                    let (a, b) = (pair[0].1.to_float(), pair[1].1.to_float());
                    prop_assert!(dolmen_model::is_stale(b.sum) || a.count <= b.count);
                }
            }
            decode(c.encoding, &c.data, i64::MIN, i64::MAX, &mut columns).unwrap();
            read.extend(own);
        }
        prop_assert_eq!(read.len(), histograms.len());
        for (i, ((t, h), (t_read, h_read))) in histograms.iter().zip(&read).enumerate() {
            prop_assert_eq!(t, t_read);
            prop_assert_eq!(content(h), content(h_read));
            let column = columns.h.get(i);
            let own = h_read.to_float();
            prop_assert_eq!((columns.h.t[i], &column.positive, column.sum.to_bits()), (*t, &own.positive, own.sum.to_bits()));
            prop_assert_eq!(column.hint, own.hint);
        }
    }

    #[test]
    fn a_resumed_encoder_writes_the_same(histograms in histograms()) {
        let mut chunks = Vec::new();
        encode_histograms(histograms, 100, &mut chunks);
        for c in chunks {
            match c.encoding {
                Encoding::Histogram => {
                    let resumed = HistogramEncoder::resume(&c.data).unwrap();
                    prop_assert_eq!(resumed.data(), &c.data[..]);
                }
                _ => {
                    let resumed = FloatHistogramEncoder::resume(&c.data).unwrap();
                    prop_assert_eq!(resumed.data(), &c.data[..]);
                }
            }
        }
    }

    #[test]
    fn any_bytes_give_histograms_or_an_error(
        mut data in prop::collection::vec(any::<u8>(), 0..120),
        histograms in histograms(),
        bit in any::<prop::sample::Index>(),
    ) {
        let mut chunks = Vec::new();
        encode_histograms(histograms, 100, &mut chunks);
        let mut all: Vec<Vec<u8>> = chunks.iter().map(|c| c.data.to_vec()).collect();
        for chunk in &mut all {
            let bit = bit.index(chunk.len() * 8);
            chunk[bit / 8] ^= 1 << (bit % 8);
        }
        if data.len() > 4 {
            // A plain layout, so that more than the layout's checks are reached.
            data[3..5].copy_from_slice(&[0, 0]);
        }
        all.push(data);
        for data in &all {
            for e in [Encoding::Histogram, Encoding::FloatHistogram] {
                let mut out = Columns::default();
                let done = decode(e, data, 5, 1 << 40, &mut out);
                prop_assert!(done.is_ok() || out.is_empty() && out.h.buckets.is_empty());
                // 64 bytes a bit is what a bucket of one bit becomes; layouts and other columns are few.
                prop_assert!(out.bytes() < data.len() * 8 * 64 + 4096 * 16);
                let _ = decode_histograms(e, data);
                let _ = reset_header(data);
            }
        }
    }
}
