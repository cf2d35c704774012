//! Parameters, errors, headers.

use axum::body::Body;
use dolmen_promql::Value;
use http::Request;

use super::fake::{NOW, World, encode, series};
use crate::ApiSettings;
use crate::tests::fake::{FakeEngine, MemQueryable};

#[tokio::test]
async fn success_is_written_as_prometheus_writes_it() {
    let w = World::plain();
    *w.engine.value.lock() = Some(Value::Matrix(vec![
        series(&[("__name__", "up"), ("a", "<b>")], vec![(1500, 1.0), (2000, f64::NAN)]),
        series(&[], vec![(0, 1e-7)]),
    ]));
    for (path, body) in [
        (
            "/api/v1/query?query=1%2B1",
            r#"{"status":"success","data":{"resultType":"scalar","result":[1795385895,"2"]}}"#,
        ),
        (
            "/api/v1/query_range?query=x&start=0&end=2&step=1",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","a":"<b>"},"values":[[1.500,"1"],[2,"NaN"]]},{"metric":{},"values":[[0,"1e-07"]]}]}}"#,
        ),
        (
            "/api/v1/query?query=x&limit=1",
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","a":"<b>"},"values":[[1.500,"1"],[2,"NaN"]]}]},"warnings":["results truncated due to limit"]}"#,
        ),
    ] {
        assert_eq!(w.get(path).await, (200, body.to_owned()));
    }
    *w.engine.value.lock() = Some(Value::String(1500, "a<b".to_owned()));
    assert_eq!(
        w.get("/api/v1/query?query=annotated").await.1,
        r#"{"status":"success","data":{"resultType":"string","result":[1.5,"a\u003cb"]},"warnings":["odd \u003cdata\u003e"],"infos":["by the way"]}"#
    );
    *w.engine.value.lock() = None;
    let (_, body) = w.get("/api/v1/query?query=x&stats=all").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["data"]["result"].to_string(), "[]");
    assert!(body["data"]["stats"]["timings"]["execTotalTime"].as_f64().unwrap() < 10.0);
}

#[tokio::test]
async fn parameters_reach_the_engine() {
    let settings = ApiSettings { replica_labels: vec!["replica".into()], ..Default::default() };
    let w = World::new(FakeEngine::default(), MemQueryable::default(), settings);
    let seen = || {
        let (opts, start, end, step) = w.engine.seen.lock().take().unwrap();
        (opts.without.join(","), opts.lookback_ms, start, end, step)
    };
    let own = || "dolmen,replica".to_owned();
    assert_eq!(w.get("/api/v1/query?query=x").await.0, 200);
    assert_eq!(seen(), (own(), 300_000, NOW, NOW, 0));
    assert_eq!(w.post("/api/v1/query?time=7", "query=x&time=1.5&lookback_delta=1m&dedup=false").await.0, 200);
    assert_eq!(seen(), ("dolmen".to_owned(), 60_000, 1500, 1500, 0));
    let range =
        "start=2026-11-22T21:50:00.5Z&end=1795384300&step=15s&replicaLabels[]=r&max_source_resolution=5m";
    assert_eq!(w.post("/api/v1/query_range", &format!("query=x&{range}")).await.0, 200);
    assert_eq!(seen(), ("dolmen,r".to_owned(), 300_000, 1_795_384_200_500, 1_795_384_300_000, 15_000));
    assert_eq!(w.get("/api/v1/query_range?query=x&start=0&end=0.01&step=0.0001").await.0, 200);
    assert_eq!(seen().4, 1);
}

#[tokio::test]
async fn errors_have_their_class_and_code() {
    let w = World::plain();
    for (query, code, class, text) in [
        ("execution", 422, "execution", "division by cucumber"),
        ("limit", 422, "execution", "too many samples"),
        ("timeout", 503, "timeout", "query timed out in expression evaluation"),
        ("canceled", 499, "canceled", "query was canceled in expression evaluation"),
        ("internal", 500, "internal", "expanding series: disk \\u003csda\\u003e is on fire"),
        (
            "sum(",
            400,
            "bad_data",
            "invalid parameter \\\"query\\\": 1:5: parse error: unclosed left parenthesis",
        ),
    ] {
        let body = format!("{{\"status\":\"error\",\"errorType\":\"{class}\",\"error\":\"{text}\"}}");
        assert_eq!(w.get(&format!("/api/v1/query?query={}", encode(query))).await, (code, body));
    }
    for (path, text) in [
        ("query?query=x&limit=-1", "invalid parameter \"limit\": limit must be non-negative"),
        ("labels?limit=x", "invalid parameter \"limit\": strconv.Atoi: parsing \"x\": invalid syntax"),
        (
            "query_range?query=x&end=1&step=1",
            "invalid parameter \"start\": cannot parse \"\" to a valid timestamp",
        ),
        (
            "query?query=x&dedup=x",
            "invalid parameter \"dedup\": strconv.ParseBool: parsing \"x\": invalid syntax",
        ),
        ("label/%FF/values", "invalid label name: \"\\xff\""),
        ("query_exemplars?query=x&start=2&end=1", "end timestamp must not be before start timestamp"),
    ] {
        let (code, body) = w.get(&format!("/api/v1/{path}")).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code, body["error"].as_str().unwrap()), (400, text), "{path}");
    }
    let codes = w.metrics();
    assert!(codes.contains("dolmen_query_seconds_count{kind=\"query\",code=\"422\"} 2"), "{codes}");
}

#[tokio::test]
async fn what_grafana_probes_is_there() {
    let w = World::plain();
    for (path, pointer, value) in [
        ("status/buildinfo", "/data/version", "\"3.14.0\""),
        ("status/buildinfo", "/data/application", "\"Dolmen\""),
        ("status/runtimeinfo", "/data/serverTime", "\"2026-11-22T22:18:15Z\""),
        ("status/flags", "/data", "{}"),
        ("status/config", "/data/yaml", "\"\""),
        ("rules?type=alert", "/data/groups", "[]"),
        ("alerts", "/data/alerts", "[]"),
        ("metadata?limit=10", "/data", "{}"),
        ("targets?state=active", "/data/activeTargets", "[]"),
        ("query_exemplars?query=up&start=0&end=1", "/data", "[]"),
        ("format_query?query=sum%20by(a)(b)", "/data", "\"sum by (a) (b)\""),
    ] {
        let (code, body) = w.get(&format!("/api/v1/{path}")).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(code, 200, "{path}");
        assert_eq!(body.pointer(pointer).unwrap().to_string(), value, "{path}");
    }
    for path in ["/api/v1/nosuch", "/api/v1/rules/test/test", "/api/v2/query", "/api/prom/rules"] {
        assert_eq!(w.get(path).await, (404, "404 page not found\n".to_owned()));
    }
    assert_eq!(w.post("/api/v1/label/a/values", "").await.0, 405);
}

#[tokio::test]
async fn headers() {
    let w = World::plain();
    let options = Request::options("/api/v1/query").body(Body::empty()).unwrap();
    let answer = w.ask(options).await;
    assert_eq!(answer.status().as_u16(), 204);
    for path in ["/api/v1/query?query=1%2B1", "/api/v1/query", "/api/v1/nosuch"] {
        let answer = w.ask(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.headers().get("cache-control").is_some(), path == "/api/v1/query");
    }
    let answer = w.ask(Request::get("/api/v1/query?query=1").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["content-length"], "63");
}

#[tokio::test]
async fn gzip_where_it_is_asked_for() {
    use std::io::Read;
    let w = World::plain();
    *w.engine.value.lock() =
        Some(Value::Matrix(vec![series(&[], (0..20_000).map(|t| (t, t as f64)).collect())]));
    let plain = w.get("/api/v1/query?query=x").await.1;
    let request =
        Request::get("/api/v1/query?query=x").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
    let answer = w.ask(request).await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert!(text == plain && body.len() < plain.len() / 3);
}
