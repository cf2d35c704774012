//! Checks of the computations against values of Prometheus' own tests, and of laws they keep.

use std::sync::Arc;

use dolmen_model::{FloatHistogram, HistColumns, HistLayout, Labels, ResetHint, Span};
use proptest::prelude::*;

use super::extended::Reach;
use super::kernel::{Hists, Note, Value, Window};
use super::*;

fn floats<'a>(t: &'a [i64], v: &'a [f64], none: &'a HistColumns, start: i64, end: i64) -> Window<'a> {
    Window {
        t,
        v,
        h: Hists::new(none, 0, 0),
        start,
        end,
        at: end,
        seconds: (end - start) as f64 / 1000.0,
        reach: Reach::Plain,
    }
}

fn hist(counts: &[f64], hint: ResetHint) -> FloatHistogram {
    FloatHistogram {
        layout: Arc::new(HistLayout {
            positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
            ..HistLayout::default()
        }),
        count: counts.iter().sum(),
        zero_count: 0.0,
        sum: 1.0,
        hint,
        positive: counts.to_vec(),
        negative: Vec::new(),
    }
}

/// functions.test: `rate(http_requests_total[50m])` of a counter 0+10x10 every five minutes.
#[test]
fn rates_are_extrapolated_to_the_edges() {
    let none = HistColumns::default();
    let t: Vec<i64> = (1..=10).map(|i| i * 300_000).collect();
    let v: Vec<f64> = (1..=10).map(|i| f64::from(i) * 10.0).collect();
    let w = floats(&t, &v, &none, 0, 3_000_000);
    let got = rate::change(rate::Change::Increase, &w, &mut |_| {});
    assert_eq!(got, Value::Float(100.0));
    let got = rate::change(rate::Change::Rate, &w, &mut |_| {});
    assert!(matches!(got, Value::Float(v) if (v - 100.0 / 3000.0).abs() < 1e-15));
    // A reset in the middle adds what was there before it.
    let v: Vec<f64> = [0.0, 10.0, 20.0, 30.0, 40.0, 0.0, 10.0, 20.0, 30.0, 40.0].to_vec();
    let w = floats(&t, &v, &none, 0, 3_000_000);
    assert_eq!(rate::change(rate::Change::Increase, &w, &mut |_| {}), Value::Float(80.0));
    assert_eq!(transitions::resets(&w), Some(1.0));
    // One sample has no rate.
    let w = floats(&t[..1], &v[..1], &none, 0, 300_000);
    assert_eq!(rate::change(rate::Change::Rate, &w, &mut |_| {}), Value::None);
}

#[test]
fn rates_of_histograms_subtract_bucket_by_bucket() {
    let mut columns = HistColumns::default();
    columns.push(0, &hist(&[1.0, 2.0], ResetHint::Unknown));
    columns.push(15_000, &hist(&[2.0, 4.0], ResetHint::NotReset));
    columns.push(30_000, &hist(&[1.0, 1.0], ResetHint::Unknown));
    columns.push(45_000, &hist(&[2.0, 5.0], ResetHint::NotReset));
    let w = Window { h: Hists::new(&columns, 0, 4), ..floats(&[], &[], &columns, 0, 45_000) };
    let mut notes = Vec::new();
    let Value::Histogram(h) = rate::change(rate::Change::Increase, &w, &mut |n| notes.push(n)) else {
        panic!("no histogram");
    };
    assert_eq!((h.positive, h.count, h.hint), (vec![3.0, 7.0], 10.0, ResetHint::Gauge));
    assert!(notes.is_empty());
    rate::change(rate::Change::Delta, &w, &mut |n| notes.push(n));
    assert_eq!(notes, [Note::NotGauge]);
    assert_eq!(transitions::resets(&w), Some(1.0));
    assert_eq!(transitions::changes(&w), Some(3.0));
    // A float in between is of another kind.
    let mixed = Window { t: &[20_000], v: &[1.0], ..w };
    assert_eq!(rate::change(rate::Change::Rate, &mixed, &mut |n| notes.push(n)), Value::None);
    assert_eq!(notes, [Note::NotGauge, Note::MixedKinds]);
    assert_eq!(transitions::changes(&mixed), Some(4.0));
    assert_eq!(over_time::last(&mixed), Value::from(columns.get(3)));
    assert_eq!(rate::instant_change(true, &mixed, &mut |_| {}), {
        let mut want = hist(&[1.0, 4.0], ResetHint::Gauge);
        want.sum = 0.0;
        crate::histogram::div(&mut want, 15.0);
        Value::from(want)
    });
}

#[test]
fn instant_changes() {
    let none = HistColumns::default();
    let w = floats(&[0, 5_000, 10_000], &[7.0, 10.0, 4.0], &none, -1, 10_000);
    assert_eq!(rate::instant_change(true, &w, &mut |_| {}), Value::Float(0.8));
    assert_eq!(rate::instant_change(false, &w, &mut |_| {}), Value::Float(-6.0));
}

/// functions.test: sums and averages of what floats can hardly hold.
#[test]
fn sums_and_averages_are_exact() {
    assert_eq!(over_time::sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
    assert_eq!(over_time::avg(&[1e20, 9988.0, -1e20, 2e20, -1.0, -2e20]), 9987.0 / 6.0);
    assert!(over_time::avg(&[f64::MAX, f64::MAX, f64::MAX]) / f64::MAX > 0.999_999_999);
    assert_eq!(over_time::avg(&[f64::INFINITY, 1.0]), f64::INFINITY);
    assert!(over_time::avg(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
    assert!((over_time::variance(&[0.0, 8.0, 8.0, 2.0, 3.0]) - 10.56).abs() < 1e-12);
}

#[test]
fn extremes_pass_over_nan() {
    let v = [f64::NAN, 3.0, 1.0, 3.0, 1.0, f64::NAN];
    assert_eq!((over_time::min(&v), over_time::max(&v)), (1.0, 3.0));
    assert_eq!(over_time::ts_of_max(&[0, 1000, 2000, 3000, 4000, 5000], &v), 3.0);
    assert_eq!(over_time::ts_of_min(&[0, 1000, 2000, 3000, 4000, 5000], &v), 4.0);
    assert!(over_time::max(&[f64::NAN]).is_nan());
}

/// functions.test: quantiles of 0, 1, 0, 8, 8, 2, 3 and their kind.
#[test]
fn quantiles_lie_between_two_values() {
    for (q, v, want) in [
        (0.0, vec![0.0, 1.0], 0.0),
        (0.5, vec![1.0, 0.0], 0.5),
        (0.75, vec![0.0, 1.0, 2.0], 1.5),
        (0.8, vec![0.0, 1.0, 4.0], 2.8),
        (1.1, vec![0.0], f64::INFINITY),
        (-1.0, vec![0.0], f64::NEG_INFINITY),
    ] {
        assert!((over_time::quantile(q, &mut v.clone()) - want).abs() < 1e-12 || want.is_infinite());
    }
    assert_eq!(over_time::median_deviation(&[4.0, 6.0, 2.0, 1.0, 999.0, 1.0, 2.0], &mut Vec::new()), 1.0);
}

/// functions.test: deriv, predict_linear, double_exponential_smoothing.
#[test]
fn lines_and_levels() {
    let t: Vec<i64> = (0..10).map(|i| i * 300_000).collect();
    let v: Vec<f64> = (0..10).map(|i| f64::from(i) * 10.0).collect();
    let (slope, at) = trend::line(&t, &v, 3_000_000);
    assert!((slope - 10.0 / 300.0).abs() < 1e-15 && (at - 100.0).abs() < 1e-12);
    assert_eq!(trend::line(&t[..2], &[5.0, 5.0], 0), (0.0, 5.0));
    assert!(trend::line(&t[..2], &[f64::INFINITY, f64::INFINITY], 0).0.is_nan());
    let rising: Vec<f64> = (0..=1000).map(|i| f64::from(i) * 10.0).collect();
    assert!((trend::smooth(&rising, 0.01, 0.1) - 10_000.0).abs() < 1e-6);
}

#[test]
fn classic_quantiles() {
    let buckets = |pairs: &[(f64, f64)]| -> Vec<classic::Bucket> {
        pairs.iter().map(|(upper, count)| classic::Bucket { upper: *upper, count: *count }).collect()
    };
    const INF: f64 = f64::INFINITY;
    let plain = buckets(&[(INF, 10.0), (0.1, 2.0), (0.2, 6.0), (1.0, 10.0)]);
    for (q, want) in [(0.0, 0.0), (0.1, 0.05), (0.4, 0.15), (1.0, 1.0), (2.0, INF)] {
        assert!(
            classic::quantile(q, &mut plain.clone()).0 == want
                || (classic::quantile(q, &mut plain.clone()).0 - want).abs() < 1e-12
        );
    }
    assert!(classic::quantile(0.5, &mut buckets(&[(1.0, 1.0)])).0.is_nan());
    assert!(classic::quantile(0.5, &mut buckets(&[(INF, 1.0)])).0.is_nan());
    assert!(classic::quantile(0.5, &mut buckets(&[(1.0, 0.0), (INF, 0.0)])).0.is_nan());
    let (_, forced) = classic::quantile(0.5, &mut buckets(&[(1.0, 5.0), (2.0, 3.0), (3.0, 4.0), (INF, 9.0)]));
    assert_eq!(forced, Some(classic::Forced { min_bound: 2.0, max_bound: 3.0, max_diff: 2.0 }));
    let (_, forced) = classic::quantile(0.5, &mut buckets(&[(1.0, 1.0), (2.0, 1.0 - 1e-15), (INF, 9.0)]));
    assert_eq!(forced, None);
    assert_eq!(classic::fraction(0.1, 0.2, &mut plain.clone()), 0.4);
    assert_eq!(classic::parse_bound("+Inf"), Some(INF));
    assert_eq!(classic::parse_bound("0.25"), Some(0.25));
    assert_eq!(classic::parse_bound(""), None);
    assert_eq!(classic::parse_bound("1s"), None);
}

#[test]
fn dates() {
    use calendar::Part;
    for (part, seconds, want) in [
        (Part::Year, 0.0, 1970.0),
        (Part::Minute, f64::NAN, 30.0),
        (Part::Hour, f64::INFINITY, 15.0),
        (Part::Year, -1.0, 1969.0),
        (Part::Month, 1_456_790_399.0, 2.0),
        (Part::Month, 1_456_790_400.0, 3.0),
        (Part::DayOfMonth, 1_456_790_399.0, 29.0),
        (Part::DaysInMonth, 1_454_284_800.0, 29.0),
        (Part::DaysInMonth, 1_485_907_200.0, 28.0),
        (Part::DayOfWeek, 1_136_239_445.0, 1.0),
        (Part::DayOfYear, 1_483_228_799.0, 366.0),
        (Part::Hour, 1_136_239_445.9, 22.0),
        (Part::Minute, 1_136_239_445.0, 4.0),
        (Part::Year, -62_135_596_801.0, 0.0),
    ] {
        assert_eq!(part.of_seconds(seconds), want, "{part:?} of {seconds}");
    }
}

#[test]
fn single_floats() {
    assert_eq!(math::round(2.5, 1.0), 3.0);
    assert_eq!(math::round(-2.5, 1.0), -2.0);
    assert_eq!(math::round(0.17, 0.1), 0.2);
    assert_eq!(math::clamp(5.0, 1.0, 3.0), 3.0);
    assert!(math::clamp(f64::NAN, 1.0, 3.0).is_nan());
    assert_eq!(math::max_of(f64::INFINITY, f64::NAN), f64::INFINITY);
    assert_eq!(math::min_of(0.0, -0.0).to_bits(), (-0.0f64).to_bits());
    assert_eq!(math::sgn(-3.0), -1.0);
    let MapKernel::Float(deg) = map::find("deg").unwrap().kernel else { panic!("deg takes a float") };
    assert_eq!(deg(std::f64::consts::PI), 180.0);
    assert!(map::find("rate").is_none());
}

#[test]
fn natural_order_knows_numbers() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for (a, b, want) in [
        ("2", "10", Less),
        ("a2", "a10", Less),
        ("a10b", "a10a", Greater),
        ("a", "a1", Less),
        ("", "a", Less),
        ("1.9.0", "1.12.0", Less),
        ("x", "x", Equal),
        ("99999999999999999999999", "100000000000000000000000", Less),
    ] {
        assert_eq!(order::natural(a, b), want, "{a} {b}");
    }
}

#[test]
fn labels_are_replaced_and_joined() {
    let labels = Labels::from_pairs([("__name__", "m"), ("src", "source-value-10"), ("x", "")]);
    let replace = |to, template, from, pattern| {
        relabel::Relabel::replace(to, template, from, pattern).unwrap().apply(labels.as_ref())
    };
    let dst = |l: Option<Labels>| l.map(|l| l.get("dst").unwrap_or_default().to_owned());
    for (template, pattern, want) in [
        ("destination-value-$1", "source-value-(.*)", Some("destination-value-10")),
        ("${1}0$$", "source-value-(.*)", Some("100$")),
        ("$1x", "source-value-(.*)", Some("")),
        ("$9|$name|${a", "source-value-(?P<name>.*)", Some("|10|${a")),
        ("v", "value-(.*)", None),
        ("$", ".*", Some("$")),
    ] {
        assert_eq!(dst(replace("dst", template, "src", pattern)).as_deref(), want, "{template}");
    }
    assert_eq!(replace("src", "", "src", ".*").unwrap().get("src"), None);
    assert_eq!(replace("dst", "d", "nosuch", "").unwrap().get("dst"), Some("d"));
    assert!(relabel::Relabel::replace("", "", "src", "").is_err());
    assert!(relabel::Relabel::replace("dst", "", "src", "(.*").is_err());
    let join = relabel::Relabel::join("dst", "-", &["src", "nosuch", "__name__"]).unwrap();
    assert_eq!(join.apply(labels.as_ref()).unwrap().get("dst"), Some("source-value-10--m"));
}

proptest! {
    #[test]
    fn classic_quantiles_rise(counts in prop::collection::vec(0..100u32, 2..8), p in 0.0..1.0f64, q in 0.0..1.0f64) {
        let mut sum = 0.0;
        let n = counts.len();
        let buckets: Vec<classic::Bucket> = counts.iter().enumerate().map(|(i, c)| {
            sum += f64::from(*c);
            classic::Bucket { upper: if i + 1 == n { f64::INFINITY } else { i as f64 - 1.0 }, count: sum }
        }).collect();
        prop_assume!(sum > 0.0);
        let low = classic::quantile(p.min(q), &mut buckets.clone()).0;
        let high = classic::quantile(p.max(q), &mut buckets.clone()).0;
        prop_assert!(low <= high, "{low} {high}");
    }

    #[test]
    fn quantiles_stay_within_the_values(v in prop::collection::vec(-1e9..1e9f64, 1..20), q in 0.0..=1.0f64) {
        let got = over_time::quantile(q, &mut v.clone());
        prop_assert!(got >= over_time::min(&v) - 1e-3 && got <= over_time::max(&v) + 1e-3);
    }

    #[test]
    fn increases_of_integer_counters_are_what_was_added(steps in prop::collection::vec(0..50u32, 2..20)) {
        // Windows that begin and end with a sample are not extrapolated.
        let none = HistColumns::default();
        let t: Vec<i64> = (0..steps.len() as i64).map(|i| i * 1000).collect();
        let mut value = 0.0;
        let v: Vec<f64> = steps.iter().map(|s| { value += f64::from(*s); value }).collect();
        let w = floats(&t, &v, &none, 0, t[t.len() - 1]);
        prop_assert_eq!(rate::change(rate::Change::Increase, &w, &mut |_| {}), Value::Float(value - v[0]));
    }
}

/// A batch of one step, every element 1 or what is given.
fn batch(series: &[(&[(&str, &str)], f64)]) -> StepBatch {
    let mut batch = StepBatch::new(1);
    for (labels, v) in series {
        let row = batch.push(Labels::from_pairs(labels.iter().copied()), false);
        batch.set(row, 0, *v);
    }
    batch
}

fn texts(batch: &StepBatch) -> Vec<String> {
    let floats = (0..batch.len()).filter(|row| !batch.is_blank(*row));
    floats.map(|row| format!("{} {}", batch.heads[row].labels, batch.floats(row)[0])).collect()
}

#[test]
fn info_adds_the_labels_of_the_newest_info_series() {
    let base = batch(&[
        (&[("__name__", "m"), ("instance", "a"), ("job", "1"), ("x", "own")], 2.0),
        (&[("__name__", "m"), ("instance", "b"), ("job", "1")], 3.0),
    ]);
    let info = batch(&[
        (&[("__name__", "target_info"), ("instance", "a"), ("job", "1"), ("v", "old"), ("x", "no")], 1.0),
        (&[("__name__", "target_info"), ("instance", "a"), ("job", "1"), ("v", "new"), ("w", "1")], 2.0),
    ]);
    let names = info::metric_names(&[]).unwrap();
    let out = info::join(&base, &info, &names, &[]).unwrap();
    assert_eq!(
        texts(&out),
        [
            r#"{__name__="m", instance="a", job="1", v="new", w="1", x="own"} 2"#,
            r#"{__name__="m", instance="b", job="1"} 3"#,
        ]
    );
    // Only what is named, and no element without it.
    let only = [dolmen_model::Matcher::eq("v", "new")];
    let out = info::join(&base, &info, &names, &only).unwrap();
    assert_eq!(texts(&out), [r#"{__name__="m", instance="a", job="1", v="new", x="own"} 2"#]);
    let twins = batch(&[
        (&[("__name__", "target_info"), ("instance", "a"), ("job", "1"), ("v", "1")], 1.0),
        (&[("__name__", "target_info"), ("instance", "a"), ("job", "1"), ("v", "2")], 1.0),
    ]);
    assert!(info::join(&base, &twins, &names, &[]).is_err());
    let wanted = info::wanted(&base, &names).unwrap().unwrap();
    assert_eq!(
        wanted.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [r#"instance=~"a|b""#, r#"job=~"1""#]
    );
    assert!(info::wanted(&info, &names).unwrap().is_none());
}

/// A call as the engine makes it.
fn call<'a>(
    name: &'a str,
    scalars: &'a [Vec<f64>],
    strings: &'a [String],
    absent: &'a Labels,
) -> GroupCall<'a> {
    GroupCall {
        name,
        grid: Grid::instant(0),
        scalars,
        strings,
        args: &[Pos(1), Pos(2), Pos(3)],
        vector: Pos(2),
        pos: Pos(0),
        absent_labels: absent,
        delayed_names: false,
    }
}

#[test]
fn histograms_of_both_kinds_have_quantiles() {
    let mut input = batch(&[
        (&[("__name__", "b"), ("le", "0.1"), ("i", "1")], 1.0),
        (&[("__name__", "b"), ("le", "+Inf"), ("i", "1")], 4.0),
        (&[("__name__", "b"), ("le", "0.2"), ("i", "1")], 3.0),
        (&[("__name__", "b"), ("le", "x")], 3.0),
    ]);
    let row = input.push(Labels::from_pairs([("__name__", "n")]), false);
    input.set_hist(row, 0, Arc::new(hist(&[2.0, 2.0], ResetHint::Gauge)));
    let empty = Labels::empty();
    let quantile = group::find("histogram_quantile").unwrap().kernel;
    let mut notes = Annotations::default();
    let out = quantile(&call("", &[vec![0.5]], &[], &empty), input.clone(), &mut notes).unwrap();
    assert_eq!(texts(&out), [r#"{i="1"} 0.15000000000000002"#, "{} 1"]);
    let (warnings, infos) = notes.render("histogram_quantile(0.5, x)", 0);
    assert_eq!(
        warnings,
        [r#"PromQL warning: bucket label "le" is missing or has a malformed value of "x" (1:3)"#]
    );
    assert!(infos.is_empty());
    let quantiles = group::find("histogram_quantiles").unwrap().kernel;
    let strings = ["q".to_owned()];
    let scalars = [vec![0.0], vec![1.0]];
    let out = quantiles(&call("", &scalars, &strings, &empty), input.clone(), &mut notes).unwrap();
    assert_eq!(
        texts(&out),
        [r#"{i="1", q="0.0"} 0"#, r#"{i="1", q="1.0"} 0.2"#, r#"{q="0.0"} 0.5"#, r#"{q="1.0"} 2"#]
    );
    let fraction = group::find("histogram_fraction").unwrap().kernel;
    let scalars = [vec![0.0], vec![0.1]];
    let out = fraction(&call("", &scalars, &[], &empty), input, &mut notes).unwrap();
    assert_eq!(texts(&out), [r#"{i="1"} 0.25"#, "{} 0"]);
}

#[test]
fn sorting_and_absence() {
    let input = batch(&[(&[("a", "10")], 2.0), (&[("a", "9")], f64::NAN), (&[("a", "b")], 1.0)]);
    let absent = Labels::from_pairs([("job", "x")]);
    let run = |name: &str, strings: &[String], input: &StepBatch| {
        let kernel = group::find(name).unwrap().kernel;
        texts(
            &kernel(&call(name, &[], strings, &absent), input.clone(), &mut Annotations::default()).unwrap(),
        )
    };
    assert_eq!(run("sort", &[], &input), [r#"{a="b"} 1"#, r#"{a="10"} 2"#, r#"{a="9"} NaN"#]);
    assert_eq!(run("sort_desc", &[], &input), [r#"{a="10"} 2"#, r#"{a="b"} 1"#, r#"{a="9"} NaN"#]);
    let by = ["a".to_owned()];
    assert_eq!(run("sort_by_label", &by, &input), [r#"{a="9"} NaN"#, r#"{a="10"} 2"#, r#"{a="b"} 1"#]);
    assert!(run("absent", &[], &input).is_empty());
    assert_eq!(run("absent", &[], &StepBatch::new(1)), [r#"{job="x"} 1"#]);
}
