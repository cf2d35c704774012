//! The start page and the Grafana dashboard: files of `ui/`, held in the binary.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// `GET /` and `GET /grafana/overview.json`.
pub fn router() -> Router {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", include_str!("../../ui/index.html")) }))
        .route(
            "/grafana/overview.json",
            get(|| async { file("application/json", include_str!("../../ui/overview.json")) }),
        )
}

fn file(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    // Nothing is loaded from elsewhere, whatever a label value may say.
    let policy = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
    ([(header::CONTENT_TYPE, content_type), (header::CONTENT_SECURITY_POLICY, policy)], text)
}
