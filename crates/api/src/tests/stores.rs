//! labels, label values, series; what is left out, and what is missing.

use std::sync::Arc;

use dolmen_model::{Labels, TimeRange};
use dolmen_storage::Queryable;

use super::fake::{FakeEngine, FakeStores, MemQueryable, NOW, World, store_away};
use crate::{ApiSettings, MAX_TIME, MIN_TIME, StoreStatus};

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

const TEXT: &str = "site \"dc-b\" missing: 10.0.0.7:10901: connect refused; \
    data of 2026-11-22T21:50:00Z/2026-11-22T22:18:15Z";

const DATA: [&str; 5] = [
    "query?query=x",
    "query_range?query=x&start=0&end=1&step=1",
    "labels?",
    "label/job/values?",
    "series?match[]=up",
];

async fn error(w: &World, path: &str) -> (u16, String, String) {
    let request = http::Request::get(format!("/api/v1/{path}")).body(axum::body::Body::empty()).unwrap();
    let answer = w.ask(request).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let (code, body) = super::fake::read(answer).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    (code, text("errorType"), text("error"))
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let w = world(true);
    for path in DATA {
        let request = http::Request::get(format!("/api/v1/{path}")).body(axum::body::Body::empty()).unwrap();
        let answer = w.ask(request).await;
        assert_eq!(answer.headers()["cache-control"], "no-store");
        assert_eq!(answer.headers()["dolmen-complete"], "false");
        let (code, body) = super::fake::read(answer).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((code, body["warnings"][0].as_str()), (200, Some(TEXT)), "{path}");
        let missing = serde_json::json!({
            "site": "dc-b", "store": "10.0.0.7:10901", "cause": "connect refused",
            "mint": 1_795_384_200_000i64, "maxt": 1_795_385_895_000i64,
        });
        let completeness = serde_json::json!({"complete": false, "missing": [missing]});
        assert_eq!(body["completeness"], completeness, "{path}");
        for no in ["false", "0"] {
            let error = error(&w, &format!("{path}&partial_response={no}")).await;
            assert_eq!(error, (422, "execution".to_owned(), TEXT.to_owned()), "{path}");
        }
    }
    let metrics = w.metrics();
    for line in ["dolmen_answers_total{complete=\"true\"} 0", "dolmen_answers_total{complete=\"false\"} 5"] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn whether_answers_may_lack_something_is_configured_and_asked() {
    let mut lacks = store_away();
    let one = lacks.missing[0].clone();
    lacks.missing.push(dolmen_model::Missing { store: "10.0.0.8:10901".into(), ..one });
    let settings = ApiSettings { partial_response: false, ..Default::default() };
    let engine = FakeEngine { lacks: lacks.clone(), ..Default::default() };
    let w = World::new(engine, MemQueryable { lacks, ..Default::default() }, settings);
    for path in DATA {
        let (code, _, text) = error(&w, path).await;
        assert_eq!((code, text), (422, format!("{TEXT} (and 1 more)")));
        assert_eq!(w.get(&format!("/api/v1/{path}&partial_response=1")).await.0, 200);
        let (code, class, text) = error(&w, &format!("{path}&partial_response=maybe")).await;
        assert_eq!((code, class.as_str()), (400, "bad_data"));
        assert!(text.starts_with("invalid parameter \"partial_response\""), "{text}");
    }
}

/// What was cut off at the limit may have hidden a lack, which only the end tells.
#[tokio::test]
async fn a_limit_hides_no_lack() {
    let w = world(true);
    let (code, body) = w.get("/api/v1/series?match[]=up&limit=1").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &body["completeness"]["complete"]), (200, &serde_json::Value::Bool(false)));
    assert_eq!(body["data"].as_array().unwrap().len(), 1);
}

/// Two stores, one of which was never reached, beside what `queryable` holds.
fn stores() -> World {
    let store = |name: &'static str| {
        let series = vec![Labels::from_pairs([("__name__", name), ("job", name)])];
        Arc::new(MemQueryable { series, ..Default::default() }) as Arc<dyn Queryable>
    };
    let away = StoreStatus {
        component: "".into(),
        name: "b:1".into(),
        site: "".into(),
        label_sets: vec![],
        range: None,
        last_check: None,
        last_success: None,
        last_error: Some("no answer in 3s".to_owned()),
    };
    let there = StoreStatus {
        component: "receive".into(),
        name: "a:1".into(),
        site: "dc-a".into(),
        label_sets: vec![Labels::from_pairs([("site", "dc-a"), ("x", "<")])],
        range: TimeRange::inclusive(5, i64::MAX),
        last_check: Some(NOW - 250),
        last_success: Some(NOW - 2500),
        last_error: None,
    };
    let also = StoreStatus { name: "a:0".into(), range: TimeRange::new(5, 10), ..there.clone() };
    let list = vec![away, there, also];
    let data = [("a:1", store("one")), ("b:1", store("two"))].into();
    let stores = Arc::new(FakeStores { list, data });
    let all = MemQueryable { series: vec![Labels::from_pairs([("__name__", "all")])], ..Default::default() };
    World::over(FakeEngine::default(), all, Some(stores), Default::default())
}

#[tokio::test]
async fn stores_are_listed_by_component() {
    let there = r#"{"labelSets":[{"site":"dc-a","x":"<"}],"lagSeconds":2.5,"lastCheck":"2026-11-22T22:18:14.750Z","lastError":null"#;
    let away = r#"{"labelSets":[],"lagSeconds":null,"lastCheck":"0001-01-01T00:00:00Z","lastError":"no answer in 3s","maxTime":9223372036854775807,"minTime":-9223372036854775808,"name":"b:1","site":""}"#;
    let want = format!(
        r#"{{"receive":[{there},"maxTime":9,"minTime":5,"name":"a:0","site":"dc-a"}},{there},"maxTime":9223372036854775807,"minTime":5,"name":"a:1","site":"dc-a"}}],"unknown-store-api":[{away}]}}"#
    );
    assert_eq!(data(&stores(), "stores").await, want);
    assert_eq!(data(&World::plain(), "stores").await, "{}");
}

#[tokio::test]
async fn stores_are_chosen_by_address() {
    let w = stores();
    let (a, b) = ("storeMatch[]=%7B__address__=%22a:1%22%7D", "storeMatch[]=%7B__address__=%22b:1%22%7D");
    for (terms, names) in
        [("x=y", "all"), (a, "one"), (b, "two"), (&format!("{a}&{b}"), "one,two"), ("storeMatch[]=up", "")]
    {
        for path in ["query?query=names&time=1", "query_range?query=names&start=1&end=1&step=1"] {
            let found = data(&w, &format!("{path}&{terms}")).await;
            assert_eq!(found, format!("{{\"resultType\":\"string\",\"result\":[1,\"{names}\"]}}"), "{terms}");
        }
        let list: Vec<String> =
            names.split(',').filter(|n| !n.is_empty()).map(|n| format!("\"{n}\"")).collect();
        assert_eq!(
            data(&w, &format!("label/__name__/values?{terms}")).await,
            format!("[{}]", list.join(","))
        );
        let labels = if ["", "all"].contains(&names) { "" } else { ",\"job\"" };
        let labels = if names.is_empty() { "[]".to_owned() } else { format!("[\"__name__\"{labels}]") };
        assert_eq!(data(&w, &format!("labels?{terms}")).await, labels);
        let found = data(&w, &format!("series?match[]=one&match[]=two&match[]=all&{terms}")).await;
        assert_eq!(found.matches("__name__").count(), list.len(), "{terms}");
    }
    // Without stores there is one, without an address.
    let own = world(false);
    for (terms, there) in [
        (a, false),
        ("storeMatch[]=%7B__address__=%22%22%7D", true),
        (&format!("{a}&storeMatch[]=%7B%7D"), true),
    ] {
        assert_eq!(data(&own, &format!("labels?{terms}")).await != "[]", there, "{terms}");
    }
    for path in DATA {
        let (code, class, text) = error(&own, &format!("{path}&storeMatch[]=up%7B")).await;
        assert_eq!((code, class.as_str()), (400, "bad_data"));
        assert!(text.starts_with("invalid parameter \"storeMatch[]\": "), "{text}");
    }
}
