//! Records: what is encoded is decoded; bytes that are none are refused without a panic.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use dolmen_model::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistLayout, Histogram, IntHistogram, Labels, ResetHint, Span,
};
use dolmen_wal::{HistogramRec, Record, SampleRec, SeriesRec, decode, encode};
use proptest::prelude::*;

fn layout() -> impl Strategy<Value = HistLayout> {
    let spans = || {
        prop::collection::vec((-9i32..9, 0u32..4).prop_map(|(offset, length)| Span { offset, length }), 0..4)
    };
    (
        prop_oneof![-4i32..=8, Just(CUSTOM_BUCKETS_SCHEMA)],
        any::<f64>(),
        spans(),
        spans(),
        prop::collection::vec(any::<f64>(), 0..5),
    )
        .prop_map(|(schema, zero_threshold, positive_spans, negative_spans, values)| HistLayout {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            custom_values: if schema == CUSTOM_BUCKETS_SCHEMA { values } else { Vec::new() },
        })
}

fn histogram() -> impl Strategy<Value = Histogram> {
    (layout(), any::<(bool, u64, u64, f64, f64, f64)>(), 0u8..4, any::<[i64; 24]>()).prop_map(
        |(layout, (int, count, zero_count, sum, fcount, fzero), hint, buckets)| {
            let (p, n) = layout.buckets();
            let (positive, negative) = (&buckets[..p], &buckets[p..p + n]);
            let hint = ResetHint::from_u8(hint);
            let layout = Arc::new(layout);
            let floats = |b: &[i64]| b.iter().map(|d| f64::from_bits(*d as u64)).collect();
            if int {
                let (positive_deltas, negative_deltas) = (positive.to_vec(), negative.to_vec());
                Histogram::Int(IntHistogram {
                    layout,
                    count,
                    zero_count,
                    sum,
                    hint,
                    positive_deltas,
                    negative_deltas,
                })
            } else {
                let (positive, negative) = (floats(positive), floats(negative));
                Histogram::Float(FloatHistogram {
                    layout,
                    count: fcount,
                    zero_count: fzero,
                    sum,
                    hint,
                    positive,
                    negative,
                })
            }
        },
    )
}

/// NaNs are compared by their bits.
fn text(record: &impl std::fmt::Debug) -> String {
    format!("{record:?}")
}

fn encoded_series(all: &[SeriesRec]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::series_begin(&mut out);
    for s in all {
        let labels: Vec<_> = s.labels.iter().collect();
        encode::series(&mut out, s.reference, labels.iter().copied());
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn series_round_trip(all in prop::collection::vec((any::<u64>(),
        prop::collection::btree_map("[a-zé_]{1,9}", "[ -~]{1,200}", 0..6)), 0..9)) {
        let all: Vec<_> = all.into_iter()
            .map(|(reference, labels)| SeriesRec { reference, labels: Labels::from_pairs(labels) }).collect();
        prop_assert_eq!(decode::record(&encoded_series(&all)).unwrap(), Record::Series(all));
    }

    #[test]
    fn samples_round_trip(all in prop::collection::vec(any::<(u64, i64, u64)>(), 1..50)) {
        let all: Vec<_> = all.into_iter()
            .map(|(reference, t, v)| SampleRec { reference, t, v: f64::from_bits(v) }).collect();
        let mut out = Vec::new();
        encode::samples(&mut out, &all);
        let Record::Samples(read) = decode::record(&out).unwrap() else { panic!() };
        let bits = |all: &[SampleRec]| all.iter().map(|s| (s.reference, s.t, s.v.to_bits())).collect::<Vec<_>>();
        prop_assert_eq!(bits(&read), bits(&all));
    }

    #[test]
    fn histograms_round_trip(all in prop::collection::vec((any::<u64>(), any::<i64>(), histogram()), 1..20)) {
        let all: Vec<_> = all.into_iter()
            .map(|(reference, t, histogram)| HistogramRec { reference, t, histogram }).collect();
        let (mut out, mut records) = (b"before".to_vec(), Vec::new());
        encode::histograms(&mut out, &all, &mut records);
        prop_assert!(records.len() <= 4);
        let mut read = Vec::new();
        for at in records {
            let Record::Histograms(some) = decode::record(&out[at]).unwrap() else { panic!() };
            read.extend(some);
        }
        let mut all = all;
        all.sort_by_key(|h| encode::histogram_kind(&h.histogram));
        prop_assert_eq!(text(&read), text(&all));
    }

    #[test]
    fn mutated_bytes_never_panic(
        all in prop::collection::vec((any::<u64>(), any::<i64>(), histogram()), 1..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<prop::sample::Index>(),
        kind in 0u8..16,
    ) {
        let all: Vec<_> = all.into_iter()
            .map(|(reference, t, histogram)| HistogramRec { reference, t, histogram }).collect();
        let (mut out, mut records) = (Vec::new(), Vec::new());
        encode::histograms(&mut out, &all, &mut records);
        out.extend(encoded_series(&[SeriesRec { reference: 1, labels: Labels::from_pairs([("a", "b")]) }]));
        for (at, byte) in changes {
            let at = at.index(out.len());
            out[at] = byte;
        }
        out.truncate(cut.index(out.len()) + 1);
        let _any = decode::record(&out);
        // The same bytes as every other type.
        out[0] = kind;
        let _any = decode::record(&out);
    }
}

#[test]
fn records_with_start_timestamps_are_read() {
    // Reference 5, time 100, start 90; then reference +1, time +15, start as before; then start 3 after the first.
    let mut out = vec![11, 10, 200, 1, 180, 1];
    out.extend(1.5f64.to_be_bytes());
    out.extend([2, 30, 1]);
    out.extend(2.5f64.to_be_bytes());
    out.extend([0, 60, 2, 6]);
    out.extend(3.5f64.to_be_bytes());
    let expected = [(5, 100, 1.5), (6, 115, 2.5), (6, 130, 3.5)];
    let expected = expected.map(|(reference, t, v)| SampleRec { reference, t, v });
    assert_eq!(decode::record(&out).unwrap(), Record::Samples(expected.to_vec()));
}

#[test]
fn a_claim_takes_no_memory() {
    // A series with 2^60 labels, and a histogram with as many spans.
    let mut series = vec![1, 0, 0, 0, 0, 0, 0, 0, 1];
    series.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]);
    assert!(decode::record(&series).is_err());
    assert!(decode::record(&[]).is_err());
    assert_eq!(decode::record(&[4, 1, 2, 3]).unwrap(), Record::Other(4));
}
