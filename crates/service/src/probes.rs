//! `/-/healthy`, `/-/ready`, `/metrics`.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::{Metrics, OPEN_METRICS, Readiness};

/// The routes that every role has.
pub fn probes(readiness: Readiness, metrics: Metrics) -> Router {
    let ready = move || {
        let reasons = readiness.reasons();
        async move {
            match reasons.is_empty() {
                true => (StatusCode::OK, "OK\n".to_owned()),
                false => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", reasons.join("; "))),
            }
        }
    };
    let scrape = move || {
        let text = metrics.text();
        async move {
            match text {
                Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
                Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
            }
        }
    };
    Router::new()
        .route("/-/healthy", get(|| async { "OK\n" }))
        .route("/-/ready", get(ready))
        .route("/metrics", get(scrape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(router: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (code, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn ready_says_why_not() {
        let readiness = Readiness::new();
        let router = probes(readiness.clone(), Metrics::new("1", "2"));
        let gate = readiness.gate("replaying the WAL");
        assert_eq!(ask(&router, "/-/ready").await, (503, "not ready: replaying the WAL\n".to_owned()));
        assert_eq!(ask(&router, "/-/healthy").await, (200, "OK\n".to_owned()));
        gate.open();
        assert_eq!(ask(&router, "/-/ready").await, (200, "OK\n".to_owned()));
        readiness.close("shutting down");
        assert_eq!(ask(&router, "/-/ready").await.0, 503);
        assert!(ask(&router, "/metrics").await.1.ends_with("# EOF\n"));
    }
}
