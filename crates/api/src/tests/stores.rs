//! labels, label values, series; what is left out, and what is missing.

use dolmen_model::Labels;

use super::fake::{FakeEngine, MemQueryable, World, store_away};
use crate::{ApiSettings, MAX_TIME, MIN_TIME};

fn world(lacks: bool) -> World {
    let pair = |name: &str, job: &str| {
        let set = |replica: &str, dolmen: &str| {
            Labels::from_pairs([("__name__", name), ("job", job), ("replica", replica), ("dolmen", dolmen)])
        };
        [set("1", "local"), set("2", "local"), set("1", "self")]
    };
    let lacks = if lacks { store_away() } else { Default::default() };
    let store = MemQueryable {
        series: [pair("up", "a<b"), pair("up", "node"), pair("down", "node")].concat(),
        lacks: lacks.clone(),
        batch: 2,
        ..Default::default()
    };
    let engine = FakeEngine { lacks, ..Default::default() };
    let settings = ApiSettings { replica_labels: vec!["replica".into()], ..Default::default() };
    World::new(engine, store, settings)
}

async fn data(w: &World, path: &str) -> String {
    let (code, body) = w.get(&format!("/api/v1/{path}")).await;
    assert_eq!(code, 200, "{body}");
    body["{\"status\":\"success\",\"data\":".len()..body.len() - 1].to_owned()
}

#[tokio::test]
async fn replica_labels_are_left_out_and_our_own_never_shows() {
    let w = world(false);
    for (path, want) in [
        ("labels", r#"["__name__","job"]"#),
        ("labels?dedup=false", r#"["__name__","job","replica"]"#),
        ("labels?replicaLabels[]=job", r#"["__name__","replica"]"#),
        ("labels?limit=1", r#"["__name__"],"warnings":["results truncated due to limit"]"#),
        ("labels?start=2&end=1", "[]"),
        ("label/job/values", r#"["a\u003cb","node"]"#),
        ("label/U__job/values?match[]=down&match[]=down", r#"["node"]"#),
        ("label/replica/values", "[]"),
        ("label/replica/values?dedup=false", r#"["1","2"]"#),
        ("label/dolmen/values?dedup=false", "[]"),
        ("label/a%20b/values", "[]"),
        ("label/a%2Fb/values", "[]"),
    ] {
        assert_eq!(data(&w, path).await, want, "{path}");
    }
    assert_eq!(
        w.post("/api/v1/labels", "match[]=up").await.1,
        r#"{"status":"success","data":["__name__","job"]}"#
    );
}

#[tokio::test]
async fn series_come_sorted_and_once() {
    let w = world(false);
    let (down, odd, up) = (
        r#"{"__name__":"down","job":"node"}"#,
        r#"{"__name__":"up","job":"a<b"}"#,
        r#"{"__name__":"up","job":"node"}"#,
    );
    let cut = r#","warnings":["results truncated due to limit"]"#;
    for (query, want) in [
        ("match[]=up", format!("[{odd},{up}]")),
        ("match[]=up&match[]={job=%22node%22}", format!("[{down},{odd},{up}]")),
        ("match[]=up&limit=1", format!("[{odd}]{cut}")),
        ("match[]=up&match[]=down&limit=2", format!("[{down},{odd}]{cut}")),
        ("match[]=up&limit=2", format!("[{odd},{up}]")),
        ("match[]=nosuch", "[]".to_owned()),
        ("match[]=up&start=2&end=1", "[]".to_owned()),
    ] {
        assert_eq!(data(&w, &format!("series?{query}")).await, want, "{query}");
    }
    let path = "series?match[]=down&dedup=false";
    let two =
        r#"[{"__name__":"down","job":"node","replica":"1"},{"__name__":"down","job":"node","replica":"2"}]"#;
    assert_eq!(data(&w, path).await, two);
    let asked = w.store.asked.lock();
    assert_eq!((asked[0].range.mint(), asked[0].range.maxt()), (MIN_TIME, MAX_TIME + 1));
    assert_eq!(asked[0].without.join(","), "dolmen,replica");
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let w = world(true);
    let text =
        "incomplete: dc-b: 10.0.0.7:10901: connect refused (2026-11-22T21:50:00Z to 2026-11-22T22:18:15Z)";
    for path in [
        "query?query=x",
        "query_range?query=x&start=0&end=1&step=1",
        "labels",
        "label/job/values",
        "series?match[]=up",
    ] {
        let request = http::Request::get(format!("/api/v1/{path}")).body(axum::body::Body::empty()).unwrap();
        let answer = w.ask(request).await;
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["dolmen-complete"], "false");
        let (code, body) = super::fake::read(answer).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code, body["warnings"][0].as_str()), (200, Some(text)), "{path}");
        let missing = serde_json::json!({
            "site": "dc-b", "store": "10.0.0.7:10901", "cause": "connect refused",
            "mint": 1_795_384_200_000i64, "maxt": 1_795_385_895_000i64,
        });
        let completeness = serde_json::json!({"complete": false, "missing": [missing]});
        assert_eq!(body["completeness"], completeness, "{path}");
        let and = if path.contains('?') { '&' } else { '?' };
        let (code, body) = w.get(&format!("/api/v1/{path}{and}partial_response=false")).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (code, body["errorType"].as_str(), body["error"].as_str()),
            (503, Some("unavailable"), Some(text))
        );
    }
    assert!(w.metrics().contains("dolmen_query_incomplete_total 5"));
}
