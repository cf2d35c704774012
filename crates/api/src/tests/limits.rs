//! Every limit, one by one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use dolmen_promql::Value;
use http::Request;

use super::fake::{FakeEngine, MemQueryable, World, read, series};
use crate::ApiSettings;
use crate::answer::PIECE;

fn world(settings: ApiSettings) -> World {
    World::new(FakeEngine::default(), MemQueryable::default(), settings)
}

#[tokio::test]
async fn places_and_the_queue_before_them_are_bounded() {
    let w = world(ApiSettings { max_concurrent: 1, max_waiting: 1, ..Default::default() });
    let ask = |path: &'static str| {
        let router = w.router.clone();
        tokio::spawn(async move {
            let request = Request::get(path).body(Body::empty()).unwrap();
            tower::ServiceExt::oneshot(router, request).await.unwrap()
        })
    };
    let running = ask("/api/v1/query?query=hang");
    while w.engine.begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let (code, body) = read(ask("/api/v1/query?query=x&timeout=10ms").await.unwrap()).await;
    assert!(
        code == 503 && body.contains("\"timeout\",\"error\":\"query timed out in query queue\""),
        "{body}"
    );
    let waiting = ask("/api/v1/labels");
    while !w.metrics().contains("dolmen_query_waiting 1") {
        tokio::task::yield_now().await;
    }
    let refused = ask("/api/v1/query?query=x").await.unwrap();
    assert_eq!(refused.headers()["retry-after"], "5");
    let (code, body) = read(refused).await;
    assert!(code == 503 && body.contains("--query.max-concurrent"), "{body}");
    // The client of the running query leaves, and the next has its turn.
    running.abort();
    assert_eq!(waiting.await.unwrap().status().as_u16(), 200);
    assert_eq!(w.engine.dropped.load(Ordering::SeqCst), 1);
    let metrics = w.metrics();
    for line in ["dolmen_query_waiting 0", "dolmen_query_running 0", "dolmen_query_refused_total 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn a_query_that_never_ends_is_ended() {
    let w = world(ApiSettings { timeout: Duration::from_millis(20), ..Default::default() });
    for path in [
        "/api/v1/query?query=hang",
        "/api/v1/query?query=hang&timeout=1h",
        "/api/v1/query?query=hang&timeout=0",
    ] {
        let (code, body) = w.get(path).await;
        assert!(
            code == 503 && body.contains("\"errorType\":\"timeout\",\"error\":\"query timed out in"),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_query() {
    use tokio::io::AsyncWriteExt;
    let w = world(ApiSettings::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, w.router.clone()).into_future());
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /api/v1/query?query=hang HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    while w.engine.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(client);
    while w.engine.dropped.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while !w.metrics().contains("code=\"499\"} 1") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(w.engine.canceled.lock().as_ref().unwrap().is_canceled());
    server.abort();
}

#[tokio::test]
async fn points_of_a_series() {
    let w = world(ApiSettings { max_points: 1200, ..Default::default() });
    assert_eq!(w.get("/api/v1/query_range?query=x&start=0&end=1200&step=1").await.0, 200);
    let (code, body) = w.get("/api/v1/query_range?query=x&start=0&end=1201&step=1").await;
    assert!(code == 400 && body.contains("exceeded maximum resolution of 1,200 points"), "{body}");
    let all = "start=-292273086-05-16T16:47:06Z&end=292277025-08-18T07:12:54.999999999Z&step=1y";
    assert_eq!(w.get(&format!("/api/v1/query_range?query=x&{all}")).await.0, 400);
}

#[tokio::test]
async fn bytes_of_a_form_and_of_answers() {
    let w = world(ApiSettings { max_body_bytes: 100, max_memory: 10_000, ..Default::default() });
    assert_eq!(w.post("/api/v1/query", &"x".repeat(100)).await.0, 400);
    let (code, body) = w.post("/api/v1/query", &"x".repeat(101)).await;
    assert!(code == 413 && body.contains("the form is larger than 100 bytes"), "{body}");
    *w.engine.value.lock() = Some(Value::Matrix(vec![series(&[], vec![(0, 0.0); 1000])]));
    let (code, body) = w.get("/api/v1/query?query=x").await;
    assert!(code == 422 && body.contains("--query.max-memory"), "{body}");
    let small = world(ApiSettings { max_memory: 1000, ..Default::default() });
    let (code, body) = small.post("/api/v1/query", &"x".repeat(501)).await;
    assert!(code == 503 && body.contains("--query.max-memory"), "{body}");
    *w.engine.value.lock() = Some(Value::Matrix(vec![series(&[], vec![(0, 0.0); 100])]));
    for _ in 0..20 {
        assert_eq!(w.get("/api/v1/query?query=x").await.0, 200);
    }
}

#[tokio::test]
async fn a_long_answer_is_sent_in_pieces() {
    let w = world(ApiSettings::default());
    let floats = |n: i64| (0..n).map(|t| (t * 1000, t as f64)).collect::<Vec<_>>();
    let matrix = vec![
        series(&[("a", "1")], floats(9000)),
        series(&[("a", "2")], floats(3)),
        series(&[("a", "3")], floats(7000)),
    ];
    *w.engine.value.lock() = Some(Value::Matrix(matrix));
    let request = Request::get("/api/v1/query?query=x").body(Body::empty()).unwrap();
    let mut body = w.ask(request).await.into_body().into_data_stream();
    let mut text = Vec::new();
    let mut pieces = 0;
    while let Some(piece) = futures::StreamExt::next(&mut body).await {
        let piece = piece.unwrap();
        assert!(piece.len() < PIECE + 1000);
        text.extend_from_slice(&piece);
        pieces += 1;
    }
    assert!(pieces > 3);
    let body: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let result = body["data"]["result"].as_array().unwrap();
    let lengths: Vec<_> = result.iter().map(|s| s["values"].as_array().unwrap().len()).collect();
    assert_eq!(lengths, [9000, 3, 7000]);
    assert_eq!(result[2]["values"][6999].to_string(), "[6999,\"6999\"]");
}
