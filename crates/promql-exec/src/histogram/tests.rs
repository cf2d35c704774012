//! Checks of histogram arithmetic against values Prometheus gives, and of laws that hold for all histograms.

use std::sync::Arc;

use dolmen_model::{CUSTOM_BUCKETS_SCHEMA, HistLayout, Span};
use proptest::prelude::*;

use super::*;

/// A histogram with one run of buckets on each side.
fn hist(
    schema: i32,
    zero: (f64, f64),
    positive: (i32, &[f64]),
    negative: (i32, &[f64]),
    sum: f64,
) -> FloatHistogram {
    let spans = |(offset, counts): (i32, &[f64])| match counts.len() {
        0 => Vec::new(),
        n => vec![Span { offset, length: n as u32 }],
    };
    FloatHistogram {
        layout: Arc::new(HistLayout {
            schema,
            zero_threshold: zero.0,
            positive_spans: spans(positive),
            negative_spans: spans(negative),
            custom_values: Vec::new(),
        }),
        count: zero.1 + positive.1.iter().sum::<f64>() + negative.1.iter().sum::<f64>(),
        zero_count: zero.1,
        sum,
        hint: ResetHint::Unknown,
        positive: positive.1.to_vec(),
        negative: negative.1.to_vec(),
    }
}

/// A histogram with custom bounds, buckets from the lowest on.
fn custom(bounds: &[f64], counts: &[f64], sum: f64) -> FloatHistogram {
    let mut h = hist(CUSTOM_BUCKETS_SCHEMA, (0.0, 0.0), (0, counts), (0, &[]), sum);
    Arc::make_mut(&mut h.layout).custom_values = bounds.to_vec();
    h
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
}

#[test]
fn bounds_of_all_schemas() {
    use buckets::exponential_bound;
    for (schema, index, want) in [
        (0, 0, 1.0),
        (0, 1, 2.0),
        (0, -1, 0.5),
        (0, 10, 1024.0),
        (-1, 1, 4.0),
        (-4, 1, 65536.0),
        (-4, -1, 1.0 / 65536.0),
        // As Prometheus' table has it, a bit below the root of 2.
        (1, 1, std::f64::consts::SQRT_2.next_down()),
        (2, 1, 1.189207115002721),
        (8, 256, 2.0),
        (0, 1024, f64::MAX),
        (0, 1025, f64::INFINITY),
        (-4, 64, f64::MAX),
        (-4, 65, f64::INFINITY),
        (8, 262144, f64::MAX),
        (8, 262145, f64::INFINITY),
        (0, -1074, 5e-324),
        (0, -1080, 0.0),
        (0, i32::MIN, 0.0),
        (8, i32::MAX, f64::INFINITY),
    ] {
        assert_eq!(exponential_bound(index, schema), want, "schema {schema}, index {index}");
    }
}

#[test]
fn text_lists_filled_buckets_from_below() {
    let h = hist(0, (0.001, 2.0), (0, &[1.0, 0.0, 4.0]), (1, &[3.0]), 12.5);
    assert_eq!(text::to_text(&h), "{count:10, sum:12.5, [-2,-1):3, [-0.001,0.001]:2, (0.5,1]:1, (2,4]:4}");
    let h = custom(&[-1.0, 5.0], &[1.0, 2.0, 3.0], f64::INFINITY);
    assert_eq!(text::to_text(&h), "{count:6, sum:+Inf, [-Inf,-1]:1, (-1,5]:2, (5,+Inf]:3}");
}

#[test]
fn api_buckets_carry_the_rule_of_their_bounds() {
    let h = hist(0, (0.25, 2.0), (-2, &[1.0, 0.0, 4.0]), (0, &[3.0]), 0.0);
    let want = vec![(1, -1.0, -0.5, 3.0), (3, -0.25, 0.25, 2.0), (0, 0.25, 0.25, 1.0), (0, 0.5, 1.0, 4.0)];
    assert_eq!(api_buckets(&h), want);
    let h = custom(&[5.0], &[1.0, 2.0], 0.0);
    assert_eq!(api_buckets(&h), vec![(3, f64::NEG_INFINITY, 5.0, 1.0), (0, 5.0, f64::INFINITY, 2.0)]);
}

/// The values are those of Prometheus' own tests.
#[test]
fn quantiles() {
    const COUNTS: &[f64] = &[2.0, 3.0, 0.0, 1.0, 4.0];
    let above = hist(0, (0.001, 2.0), (0, COUNTS), (0, &[]), 100.0);
    let below = hist(0, (0.001, 2.0), (0, &[]), (0, COUNTS), 100.0);
    let around = hist(0, (0.001, 4.0), (0, COUNTS), (0, COUNTS), 100.0);
    for (h, q, want) in [
        (&above, 1.001, f64::INFINITY),
        (&above, 1.0, 16.0),
        (&above, 0.99, 15.67072476139083),
        (&above, 0.6, 4.594793419988138),
        (&above, 0.5, 1.5874010519681994),
        (&above, 0.1, 0.0006),
        (&above, 0.0, 0.0),
        (&above, -1.0, f64::NEG_INFINITY),
        (&below, 1.0, 0.0),
        (&below, 0.99, -0.00006),
        (&below, 0.5, -1.5874010519681996),
        (&below, 0.1, -12.996038341699768),
        (&below, 0.0, -16.0),
        (&around, 0.99, 15.34822590920423),
        (&around, 0.7, 1.2030250360821164),
        (&around, 0.55, 0.0006),
        (&around, 0.5, 0.0),
        (&around, 0.45, -0.0006),
        (&around, 0.3, -1.2030250360821169),
        (&around, 0.01, -15.34822590920423),
    ] {
        let (got, nans) = quantile(q, h);
        assert!(got == want || (got - want).abs() < 1e-10 * want.abs().max(0.001), "{q}: {got} {want}");
        assert_eq!(nans, Nans::None);
    }
    assert!(quantile(0.5, &hist(0, (0.0, 0.0), (0, &[]), (0, &[]), 0.0)).0.is_nan());
}

/// The values are those of Prometheus' own tests.
#[test]
fn variances() {
    let h = hist(2, (0.0, 0.0), (0, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0]), (0, &[]), 10.0);
    assert!(close(moments::variance(&h), 1.163807968526718));
    let h = hist(8, (0.0, 0.0), (0, &[1.0, 2.0, 3.0, 4.0]), (0, &[]), 10.0);
    assert!(close(moments::variance(&h).sqrt(), 0.0048960313898237465));
    let h = hist(0, (0.0, 0.0), (0, &[]), (0, &[0.0, 0.0, 0.0, 0.0, 10.0]), -100.0);
    assert!(close(moments::variance(&h), 1.725830020304794));
}

/// native_histograms.test: one bucket (1, 2], interpolated on the logarithmic scale.
#[test]
fn quantile_and_fraction_within_a_bucket() {
    let h = hist(0, (0.0, 0.0), (1, &[1.0]), (0, &[]), 1.5);
    assert!(close(quantile(0.5, &h).0, 2f64.sqrt()));
    assert!(close(fraction(1.0, 2f64.sqrt(), &h).0, 0.5));
    assert_eq!(fraction(f64::NEG_INFINITY, f64::INFINITY, &h).0, 1.0);
    let h = custom(&[5.0, 10.0], &[5.0, 0.0, 4.0], 1.0);
    assert_eq!(quantile(0.5, &h).0, 4.5);
    assert_eq!(quantile(1.0, &h).0, 10.0);
    assert_eq!(fraction(f64::NEG_INFINITY, 5.0, &h).0, 5.0 / 9.0);
}

#[test]
fn nan_observations_are_told() {
    let mut h = hist(0, (0.0, 0.0), (1, &[2.0]), (0, &[]), f64::NAN);
    h.count = 3.0;
    assert_eq!(quantile(0.2, &h).1, Nans::Skewed);
    let (v, nans) = quantile(1.0, &h);
    assert!(v.is_nan());
    assert_eq!(nans, Nans::Result);
    assert_eq!(fraction(0.0, 4.0, &h), (2.0 / 3.0, true));
}

#[test]
fn sums_meet_at_the_lower_schema_and_wider_zero_bucket() {
    let mut a = hist(1, (0.5, 1.0), (1, &[1.0, 2.0, 3.0]), (0, &[]), 1.0);
    let b = hist(0, (0.001, 4.0), (-3, &[1.0, 1.0, 1.0, 1.0, 5.0]), (0, &[7.0]), 2.0);
    assert_eq!(add(&mut a, &b), Ok(Combined::default()));
    assert_eq!(a.layout.schema, 0);
    assert_eq!(a.layout.zero_threshold, 0.5);
    assert_eq!(a.zero_count, 8.0);
    assert_eq!(
        text::to_text(&a),
        "{count:26, sum:3, [-1,-0.5):7, [-0.5,0.5]:8, (0.5,1]:1, (1,2]:8, (2,4]:3}"
            .replace("count:26", "count:27")
    );
}

#[test]
fn a_zero_threshold_grows_past_filled_buckets() {
    let mut a = hist(0, (0.75, 1.0), (3, &[1.0]), (0, &[]), 0.0);
    let b = hist(0, (0.25, 1.0), (0, &[2.0, 3.0]), (0, &[]), 0.0);
    add(&mut a, &b).unwrap();
    assert_eq!((a.layout.zero_threshold, a.zero_count), (1.0, 4.0));
    assert_eq!(text::to_text(&a), "{count:8, sum:0, [-1,1]:4, (1,2]:3, (4,8]:1}");
}

#[test]
fn custom_bounds_meet_where_both_have_them() {
    let mut a = custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0], 1.0);
    let b = custom(&[2.0, 3.0, 4.0], &[10.0, 20.0, 30.0, 40.0], 1.0);
    let done = add(&mut a, &b).unwrap();
    assert!(done.bounds_reconciled);
    assert_eq!(a.layout.custom_values, [2.0, 4.0]);
    assert_eq!(a.positive, [13.0, 53.0, 44.0]);
    assert_eq!(add(&mut a, &hist(0, (0.0, 0.0), (0, &[]), (0, &[]), 0.0)), Err(Incompatible));
}

#[test]
fn hints_of_sums() {
    use ResetHint::{Gauge, NotReset, Reset, Unknown};
    for (x, y, want, conflict) in [
        (Reset, Reset, Reset, false),
        (Gauge, Reset, Gauge, false),
        (NotReset, Gauge, Gauge, false),
        (Unknown, NotReset, Unknown, false),
        (Reset, NotReset, Unknown, true),
    ] {
        let mut a = hist(0, (0.0, 1.0), (0, &[]), (0, &[]), 0.0);
        let mut b = a.clone();
        (a.hint, b.hint) = (x, y);
        assert_eq!(add(&mut a, &b).unwrap().hint_conflict, conflict);
        assert_eq!(a.hint, want);
    }
}

#[test]
fn resets_are_found_in_any_bucket() {
    let before = hist(1, (0.001, 2.0), (0, &[1.0, 2.0, 3.0]), (0, &[1.0]), 0.0);
    let grown = |f: &dyn Fn(&mut FloatHistogram)| {
        let mut h = before.clone();
        h.count += 100.0;
        f(&mut h);
        detect_reset(&h, &before)
    };
    assert!(!grown(&|_| {}));
    assert!(grown(&|h| h.hint = ResetHint::Reset));
    assert!(!grown(&|h| (h.hint, h.positive[0]) = (ResetHint::NotReset, 0.0)));
    assert!(grown(&|h| h.positive[2] = 2.0));
    assert!(grown(&|h| h.zero_count = 1.0));
    assert!(grown(&|h| h.negative[0] = 0.0));
    assert!(!grown(&|h| reduce_to(h, 0)));
    assert!(grown(&|h| Arc::make_mut(&mut h.layout).schema = 2));
    assert!(grown(&|h| Arc::make_mut(&mut h.layout).zero_threshold = 0.0));
    // 0.8 cuts the filled bucket (0.7, 1].
    assert!(grown(&|h| Arc::make_mut(&mut h.layout).zero_threshold = 0.8));
    let a = custom(&[1.0, 2.0], &[1.0, 2.0, 3.0], 0.0);
    assert!(detect_reset(&before, &a));
    assert!(!detect_reset(&custom(&[2.0], &[3.0, 3.0], 0.0), &a));
    assert!(detect_reset(&custom(&[2.0], &[2.0, 9.0], 0.0), &a));
}

#[test]
fn trimming_splits_the_bucket_around_the_value() {
    let h = hist(0, (0.0, 0.0), (1, &[4.0, 6.0]), (0, &[]), 20.0);
    let mut low = h.clone();
    trim(&mut low, 2.0, Keep::UpTo);
    assert_eq!((low.count, low.positive.len()), (4.0, 1));
    assert!(close(low.sum, 4.0 * 2f64.sqrt()));
    let mut high = h.clone();
    trim(&mut high, 8f64.sqrt(), Keep::From);
    assert!(close(high.count, 3.0));
    let mut same = h.clone();
    trim(&mut same, 100.0, Keep::UpTo);
    assert!(equal(&same, &h));
    let mut c = custom(&[5.0, 10.0], &[2.0, 4.0, 6.0], 0.0);
    trim(&mut c, 7.5, Keep::From);
    assert_eq!((c.count, c.sum), (8.0, 2.0 * 8.75 + 6.0 * 10.0));
}

#[test]
fn division_by_zero_leaves_no_buckets() {
    let mut h = hist(0, (0.001, 2.0), (0, &[1.0]), (0, &[1.0]), 5.0);
    div(&mut h, 0.0);
    assert_eq!((h.count, h.sum, h.zero_count), (f64::INFINITY, f64::INFINITY, f64::INFINITY));
    assert!(h.positive.is_empty() && h.layout.positive_spans.is_empty());
    mul(&mut h, -1.0);
    assert_eq!(h.hint, ResetHint::Gauge);
}

#[test]
fn an_overflowing_sum_still_has_an_average() {
    let h = hist(0, (0.0, f64::MAX), (0, &[]), (0, &[]), f64::MAX);
    let mut mean = HistogramMean::new(&h);
    for _ in 0..3 {
        mean.add(&h).unwrap();
    }
    let mean = mean.finish();
    assert!(close(mean.count, f64::MAX) && close(mean.sum, f64::MAX));
}

prop_compose! {
    fn any_exponential()(schema in -2..3i32, zero in prop::sample::select(vec![0.0, 0.001, 0.5, 0.75, 3.0]),
                         zero_count in 0..5u8,
                         positive in prop::collection::vec(0..9u8, 0..12), p in -6..6i32,
                         negative in prop::collection::vec(0..9u8, 0..12), n in -6..6i32,
                         sum in -50..50i32) -> FloatHistogram {
        // Buckets lie outside the zero bucket, except where it cuts the first.
        let first = |mut i: i32| {
            while buckets::exponential_bound(i, schema) <= zero {
                i += 1;
            }
            i
        };
        let (p, n) = (first(p), first(n));
        let floats = |v: &[u8]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        hist(schema, (zero, f64::from(zero_count)), (p, &floats(&positive)), (n, &floats(&negative)), f64::from(sum))
    }
}

fn observations(h: &FloatHistogram) -> f64 {
    h.zero_count + h.positive.iter().chain(&h.negative).sum::<f64>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn addition_commutes(a in any_exponential(), b in any_exponential()) {
        let (mut x, mut y) = (a.clone(), b.clone());
        add(&mut x, &b).unwrap();
        add(&mut y, &a).unwrap();
        compact(&mut x);
        compact(&mut y);
        prop_assert!(equal(&x, &y), "{} {}", text::to_text(&x), text::to_text(&y));
    }

    #[test]
    fn exact_and_plain_sums_agree_on_integers(hs in prop::collection::vec(any_exponential(), 1..5)) {
        let mut plain = hs[0].clone();
        let mut exact = HistogramSum::new(&hs[0]);
        for h in &hs[1..] {
            add(&mut plain, h).unwrap();
            exact.add(h).unwrap();
        }
        let mut exact = exact.finish();
        compact(&mut plain);
        compact(&mut exact);
        prop_assert!(equal(&plain, &exact), "{} {}", text::to_text(&plain), text::to_text(&exact));
    }

    #[test]
    fn a_difference_takes_the_sum_back(a in any_exponential(), b in any_exponential()) {
        let mut x = a.clone();
        add(&mut x, &b).unwrap();
        sub(&mut x, &b).unwrap();
        prop_assert_eq!(x.count, a.count);
        prop_assert_eq!(x.sum, a.sum);
    }

    #[test]
    fn reduction_keeps_observations(a in any_exponential(), to in -4..3i32) {
        let mut x = a.clone();
        reduce_to(&mut x, to);
        prop_assert_eq!(observations(&x), observations(&a));
        prop_assert!(!detect_reset(&x, &a));
    }

    #[test]
    fn compaction_changes_no_bucket(a in any_exponential()) {
        let mut x = a.clone();
        compact(&mut x);
        prop_assert_eq!(api_buckets(&x), api_buckets(&a));
        prop_assert!(!x.positive.contains(&0.0));
    }

    #[test]
    fn quantiles_rise(a in any_exponential(), p in 0.0..1.0f64, q in 0.0..1.0f64) {
        prop_assume!(a.count > 0.0);
        // Zero buckets may overlap their neighbours here, as they must not in life.
        prop_assume!(a.layout.zero_threshold < 0.01);
        let (low, high) = (quantile(p.min(q), &a).0, quantile(p.max(q), &a).0);
        prop_assert!(low <= high + 1e-9 * high.abs(), "{low} {high}");
    }

    #[test]
    fn both_directions_list_the_same_buckets(a in any_exponential()) {
        let mut back: Vec<_> = buckets::all_rev(&a).collect();
        back.reverse();
        prop_assert_eq!(buckets::all(&a).collect::<Vec<_>>(), back);
    }

    #[test]
    fn the_two_sides_of_a_cut_make_the_whole(a in any_exponential(), at in -20.0..20.0f64) {
        let (mut low, mut high) = (a.clone(), a.clone());
        trim(&mut low, at, Keep::UpTo);
        trim(&mut high, at, Keep::From);
        prop_assert!((low.count + high.count - a.count).abs() < 1e-9);
    }

    /// Spans and counts that do not fit, as broken input may have them, are no reason to fail.
    #[test]
    fn spans_that_lie_do_no_harm(spans in prop::collection::vec((any::<i32>(), 0..5u32), 0..4),
                                 counts in prop::collection::vec(0..5u8, 0..9), b in any_exponential(),
                                 schema in prop::sample::select(vec![-53, -4, 0, 8])) {
        let mut a = b.clone();
        a.positive = counts.iter().map(|c| f64::from(*c)).collect();
        let layout = Arc::make_mut(&mut a.layout);
        layout.schema = schema;
        layout.positive_spans = spans.iter().map(|(o, l)| Span { offset: *o, length: *l }).collect();
        detect_reset(&a, &b);
        detect_reset(&b, &a);
        quantile(0.3, &a);
        fraction(-1.0, 1.0, &a);
        moments::variance(&a);
        api_buckets(&a);
        text::to_text(&a);
        let _ = add(&mut a.clone(), &b);
        let _ = add(&mut b.clone(), &a);
        trim(&mut a.clone(), 1.0, Keep::UpTo);
        compact(&mut a);
    }
}
