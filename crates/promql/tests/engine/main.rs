//! Queries over a handful of series in memory: what the engine itself adds to its operators.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use dolmen_ctx::{Budget, CancelToken, Ctx, PoolCpu};
use dolmen_model::Encoding;
use dolmen_promql::{
    Engine, EngineSettings, Features, PromqlError, PromqlErrorKind, QueryOpts, QueryResult, Sample, Value,
};
use dolmen_storage::{Queryable, RawChunk};
use futures::executor::block_on;
use memory::Memory;
use proptest::prelude::*;

fn all_syntax() -> EngineSettings {
    EngineSettings { features: Features::all_syntax(), ..EngineSettings::default() }
}

fn data() -> Arc<dyn Queryable> {
    let counter: Vec<f64> = (0..61).map(|i| f64::from(i) * 6.0).collect();
    Memory::default()
        .series("requests_total", &[("job", "a")], 10, &counter)
        .series("requests_total", &[("job", "b")], 10, &counter.iter().map(|v| v * 2.0).collect::<Vec<_>>())
        .series("limit", &[("job", "a")], 60, &[5.0; 11])
        .source()
}

fn instant(expr: &str, seconds: i64) -> Result<QueryResult, PromqlError> {
    let engine = Engine::new(all_syntax());
    block_on(engine.instant(&Ctx::unbounded(), &data(), expr, seconds * 1000, &QueryOpts::default()))
}

fn range(expr: &str, start: i64, end: i64, step: i64) -> Result<QueryResult, PromqlError> {
    let engine = Engine::new(all_syntax());
    let (start, end, step) = (start * 1000, end * 1000, step * 1000);
    block_on(engine.range(&Ctx::unbounded(), &data(), expr, start, end, step, &QueryOpts::default()))
}

/// A value in one line.
fn text(value: &Value) -> String {
    match value {
        Value::Scalar(t, v) => format!("{v} @{t}"),
        Value::String(t, s) => format!("{s:?} @{t}"),
        Value::Vector(all) => {
            let all = all.iter().map(|s| match &s.value {
                Sample::Float(v) => format!("{} {v}", s.labels),
                Sample::Histogram(_) => format!("{} histogram", s.labels),
            });
            all.collect::<Vec<_>>().join("; ")
        }
        Value::Matrix(all) => {
            let all = all.iter().map(|s| {
                let floats: Vec<String> =
                    s.floats.iter().map(|(t, v)| format!("{v}@{}", *t / 1000)).collect();
                format!("{} {}", s.labels, floats.join(" "))
            });
            all.collect::<Vec<_>>().join("; ")
        }
    }
}

#[test]
fn instant_queries() {
    let cases = [
        ("1 + 2 * 3", "7 @300000"),
        ("\"a b\"", "\"a b\" @300000"),
        ("time()", "300 @300000"),
        ("limit", r#"{__name__="limit", job="a"} 5"#),
        ("-limit", r#"{job="a"} -5"#),
        ("sum(requests_total)", "{} 540"),
        ("sum by (job) (rate(requests_total[1m]))", r#"{job="a"} 0.6; {job="b"} 1.2"#),
        (
            "requests_total offset 1m",
            r#"{__name__="requests_total", job="a"} 144; {__name__="requests_total", job="b"} 288"#,
        ),
        ("requests_total{job=\"a\"} @ 60", r#"{__name__="requests_total", job="a"} 36"#),
        ("requests_total / on (job) limit", r#"{job="a"} 36"#),
        ("topk(1, requests_total)", r#"{__name__="requests_total", job="b"} 360"#),
        ("absent(nothing{job=\"x\", place=~\"y\"})", r#"{job="x"} 1"#),
        ("absent_over_time(nothing{job=\"x\"}[5m])", r#"{job="x"} 1"#),
        ("limit[2m]", r#"{__name__="limit", job="a"} 5@240 5@300"#),
        ("limit[2m:1m]", r#"{__name__="limit", job="a"} 5@240 5@300"#),
        ("max_over_time(sum(requests_total)[2m:])", "{} 540"),
        ("timestamp(limit offset 10s)", r#"{job="a"} 240"#),
        ("minute()", "{} 5"),
        ("scalar(limit) + pi() - pi()", "5 @300000"),
        (
            "label_replace(limit, \"to\", \"<$1>\", \"job\", \"(.*)\")",
            r#"{__name__="limit", job="a", to="<a>"} 5"#,
        ),
        ("sum(limit @ end()) + sum(limit @ start())", "{} 10"),
        ("max_of(1, 2) + min_of(1, 2)", "3 @300000"),
    ];
    for (expr, want) in cases {
        let got = instant(expr, 300).map(|r| text(&r.value));
        assert_eq!(got.as_deref().map_err(|e| &e.text[..]), Ok(want), "{expr}");
    }
}

#[test]
fn range_queries() {
    let cases = [
        ("vector(time())", "{} 0@0 60@60 120@120"),
        ("2", "{} 2@0 2@60 2@120"),
        ("sum(limit @ 60) + vector(time())", "{} 5@0 65@60 125@120"),
        ("sum(requests_total @ end())", "{} 216@0 216@60 216@120"),
        ("end() - start() + step() + range()", "{} 300@0 300@60 300@120"),
        ("sum(sum_over_time(limit[2m:1m]))", "{} 5@0 10@60 10@120"),
        ("count_over_time(limit[step() * 2])", r#"{job="a"} 1@0 2@60 2@120"#),
    ];
    for (expr, want) in cases {
        let got = range(expr, 0, 120, 60).map(|r| text(&r.value));
        assert_eq!(got.as_deref().map_err(|e| &e.text[..]), Ok(want), "{expr}");
    }
}

#[test]
fn refusals() {
    use PromqlErrorKind::{BadData, Execution};
    let cases = [
        (
            "limit[5m]",
            BadData,
            "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        (
            "\"text\"",
            BadData,
            "invalid expression type \"string\" for range query, must be Scalar or instant Vector",
        ),
        ("rate(limit[step() - 1m])", BadData, "11:22: duration must be greater than 0"),
        (
            "deriv(limit[5m] smoothed)",
            Execution,
            "smoothed modifier can only be used with: delta, increase, rate - not with deriv",
        ),
        (
            "label_replace(requests_total, \"job\", \"\", \"job\", \".*\")",
            Execution,
            "vector cannot contain metrics with the same labelset",
        ),
    ];
    for (expr, kind, want) in cases {
        let got = range(expr, 0, 120, 60).map(|r| text(&r.value)).map_err(|e| (e.kind, e.text));
        assert_eq!(got, Err((kind, want.to_owned())), "{expr}");
    }
    assert_eq!(range("1", 60, 0, 60).map(|_| ()).unwrap_err().kind, BadData);
    assert_eq!(range("1", 0, 60, 0).map(|_| ()).unwrap_err().kind, BadData);
}

#[test]
fn annotations_say_where() {
    let got = instant("1 +\n rate(limit[5m])", 300).unwrap();
    let want = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"limit\" (2:7)";
    assert_eq!((got.warnings, got.infos), (vec![], vec![want.to_owned()]));
}

#[test]
fn what_is_missing_is_told() {
    let source = Memory::default().series("m", &[], 60, &[1.0]).lacking("there").source();
    let engine = Engine::new(all_syntax());
    let got =
        block_on(engine.instant(&Ctx::unbounded(), &source, "m + m", 0, &QueryOpts::default())).unwrap();
    assert_eq!(got.completeness.missing.len(), 1, "the same lack counts once");
    assert_eq!(text(&got.value), "{} 2");
}

/// A chunk of these bytes that says that it reaches from the start for ten minutes.
fn chunk(encoding: Encoding, data: Vec<u8>) -> RawChunk {
    RawChunk { mint: 0, maxt: 600_000, encoding, data: data.into() }
}

#[test]
fn a_broken_chunk_fails_no_query() {
    let source = Memory::default()
        .series("m", &[("a", "1")], 60, &[1.0; 11])
        .chunks("m", ("a", "2"), vec![chunk(Encoding::Xor, vec![0, 9, 1])])
        .chunks("m", ("a", "3"), vec![chunk(Encoding::Histogram, vec![0, 9, 0])])
        .source();
    let engine = Engine::new(all_syntax());
    let run = |expr| {
        block_on(engine.range(&Ctx::unbounded(), &source, expr, 0, 120_000, 60_000, &QueryOpts::default()))
    };
    for expr in ["sum(m)", "sum(max_over_time(m[1m]))", "sum(m or m)"] {
        let got = run(expr).unwrap();
        assert_eq!(text(&got.value), "{} 1@0 1@60 1@120", "{expr}");
        let lacks: Vec<String> = got.completeness.missing.iter().map(|m| m.to_string()).collect();
        let want = "site \"\" missing: broken chunk: chunk ends before its samples do; data of \
            1970-01-01T00:00:00Z/1970-01-01T00:02:00Z";
        assert_eq!(lacks, [want], "{expr}");
    }
    assert!(run("sum(m{a=\"1\"})").unwrap().completeness.is_complete());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_bytes_of_a_chunk_fail_a_query(
        encoding in prop_oneof![Just(Encoding::Xor), Just(Encoding::Histogram), Just(Encoding::FloatHistogram)],
        data in prop::collection::vec(any::<u8>(), 0..80),
        samples in 1u8..4,
    ) {
        let mut data = data;
        // A few samples, the first soon after the start: some are then decoded.
        for (at, b) in [0, samples, 0].into_iter().enumerate().take(data.len()) {
            data[at] = b;
        }
        let source = Memory::default()
            .series("m", &[("a", "1")], 60, &[1.0; 11])
            .chunks("m", ("a", "2"), vec![chunk(encoding, data)])
            .source();
        let engine = Engine::new(all_syntax());
        for expr in ["m", "sum(rate(m[5m]))", "histogram_quantile(0.9, m)", "avg(m) + sum(m)", "m == m", "m[5m:1m]"] {
            let (ctx, opts) = (Ctx::unbounded(), QueryOpts::default());
            let got = block_on(engine.instant(&ctx, &source, expr, 300_000, &opts));
            prop_assert!(got.is_ok(), "{}", expr);
        }
    }
}

#[test]
fn limits() {
    let run = |settings: EngineSettings, ctx: &Ctx| {
        let engine = Engine::new(settings);
        let (data, opts) = (data(), QueryOpts::default());
        let query = engine.range(ctx, &data, "requests_total", 0, 600_000, 10_000, &opts);
        block_on(query).map(|_| ()).map_err(|e| e.kind)
    };
    let open = Ctx::unbounded();
    assert_eq!(run(all_syntax(), &open), Ok(()));
    assert_eq!(run(EngineSettings { max_samples: 100, ..all_syntax() }, &open), Err(PromqlErrorKind::Limit));
    assert_eq!(
        run(EngineSettings { timeout: Duration::ZERO, ..all_syntax() }, &open),
        Err(PromqlErrorKind::Timeout)
    );
    let left = Ctx { cancel: CancelToken::default(), ..open.clone() };
    left.cancel.cancel();
    assert_eq!(run(all_syntax(), &left), Err(PromqlErrorKind::Canceled));
    let narrow = Ctx { budget: Budget::new("query memory", 500), ..open };
    assert_eq!(run(all_syntax(), &narrow), Err(PromqlErrorKind::Limit));
    assert_eq!(narrow.budget.used(), 0, "all is given back");
}

#[test]
fn lookback_of_the_call() {
    let engine = Engine::new(all_syntax());
    let at = |lookback_ms| {
        let opts = QueryOpts { lookback_ms, ..QueryOpts::default() };
        let got = block_on(engine.instant(&Ctx::unbounded(), &data(), "limit", 630_000, &opts)).unwrap();
        text(&got.value)
    };
    assert_eq!(at(0), r#"{__name__="limit", job="a"} 5"#);
    assert_eq!(at(30_000), "");
}

/// Scrapes every 10 s of a counter that grows by 1 a second; a replica's clock may be off a little.
fn scrapes(from: i64, until: i64, lag: i64) -> Vec<(i64, f64)> {
    (from..until).step_by(10).map(|t| (t, (t - lag) as f64)).collect()
}

#[test]
fn replicas_are_one_series() {
    let mut a = scrapes(0, 600, 0);
    // The first replica was down for a while; the second reads a little late.
    a.retain(|(t, _)| !(100..200).contains(t));
    let source = Memory::default()
        .replica("up_seconds_total", "a", &a)
        .replica("up_seconds_total", "b", &scrapes(7, 600, 8))
        .replica("up_seconds_total", "a", &a[40..])
        .source();
    let engine = Engine::new(all_syntax());
    let at = |expr: &str, t: i64| {
        let (ctx, opts) = (Ctx::unbounded(), QueryOpts::default());
        text(&block_on(engine.instant(&ctx, &source, expr, t * 1000, &opts)).unwrap().value)
    };
    assert_eq!(at("count_over_time(up_seconds_total[10m])", 600), "{} 60", "one replica's at any time");
    assert_eq!(at("resets(up_seconds_total[10m])", 600), "{} 0");
    assert_eq!(
        at("up_seconds_total[1m]", 140),
        r#"{__name__="up_seconds_total"} 79@87 89@97 99@107 109@117 119@127 129@137"#
    );
    let rates = at("max_over_time(rate(up_seconds_total[1m])[9m:10s])", 600);
    let rate: f64 = rates.trim_start_matches("{} ").parse().unwrap();
    assert!((0.9..1.2).contains(&rate), "no spike: {rate}");
}

#[test]
fn threads_change_nothing() {
    let mut memory = Memory::default();
    for i in 0..300u32 {
        let values: Vec<f64> = (0..40u32).map(|n| f64::from(n * i % 97) * 0.1).collect();
        let labels = [("group", format!("g{}", i % 7)), ("id", i.to_string())];
        let labels: Vec<_> = labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
        memory = memory.series("load", &labels, 10, &values);
    }
    let source = memory.source();
    let engine = Engine::new(all_syntax());
    let run = |ctx: &Ctx, expr: &str| {
        let opts = QueryOpts::default();
        let got = block_on(engine.range(ctx, &source, expr, 0, 400_000, 30_000, &opts)).unwrap();
        (text(&got.value), got.warnings, got.infos)
    };
    let alone = Ctx::unbounded();
    let threads = Ctx { cpu: Arc::new(PoolCpu::new(4).unwrap()), ..alone.clone() };
    for expr in [
        "load",
        "sum by (group) (rate(load[1m]))",
        "avg(load)",
        "stddev by (group) (load)",
        "topk by (group) (2, load)",
        "load - on (id) group_left (group) load",
        "sum(load > 5) or count by (group) (load)",
        "quantile(0.3, max_over_time(load[2m:20s]))",
    ] {
        assert_eq!(run(&threads, expr), run(&alone, expr), "{expr}");
    }
}
