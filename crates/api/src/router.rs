//! The routes, and what all of them share: CORS, compression, the time they take.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use tower_http::compression::{CompressionLayer, CompressionLevel};

use crate::answer::Answer;
use crate::error::ApiError;
use crate::form::Form;
use crate::state::{Api, ApiState};
use crate::{metadata, query, series, status, stores};

/// The kinds of requests that are answered from what stores hold.
const DATA: [&str; 5] = ["query", "query_range", "series", "labels", "label_values"];

/// The routes below `/api`. Paths that are not known there are answered 404; other routers may add more.
pub fn router(state: Arc<ApiState>) -> Router {
    let api = Arc::new(Api::new(state));
    let mut router = Router::new()
        .route(
            "/api/v1/query",
            asked(&api, "query", |api, form| async move { query::query(&api, form).await }),
        )
        .route(
            "/api/v1/query_range",
            asked(&api, "query_range", |api, form| async move { query::query_range(&api, form).await }),
        )
        .route(
            "/api/v1/series",
            asked(&api, "series", |api, form| async move { series::series(&api, form).await }),
        )
        .route(
            "/api/v1/labels",
            asked(&api, "labels", |api, form| async move { metadata::names(&api, form).await }),
        )
        .route("/api/v1/label/{name}/values", label_values(&api))
        .route(
            "/api/v1/query_exemplars",
            asked(&api, "query_exemplars", |api, form| async move { query::exemplars(&api, &form) }),
        )
        .route(
            "/api/v1/format_query",
            asked(&api, "format_query", |api, form| async move { query::format(&api, &form) }),
        )
        .route("/api/v1/stores", told(&api, stores::list))
        .route("/api/v1/status/buildinfo", told(&api, status::buildinfo))
        .route("/api/v1/status/runtimeinfo", told(&api, status::runtimeinfo))
        .route("/api/v1/status/flags", told(&api, status::flags))
        .route("/api/{*rest}", any(not_found));
    for (path, nothing) in status::EMPTY {
        router = router.route(path, get(move || async move { Answer::json(nothing) }));
    }
    let compression = CompressionLayer::new().gzip(true).quality(CompressionLevel::Fastest);
    router.layer(compression).layer(from_fn(cors))
}

/// A handler of parameters, by GET and by POST.
fn asked<F>(api: &Arc<Api>, kind: &'static str, handler: fn(Arc<Api>, Form) -> F) -> MethodRouter
where
    F: Future<Output = Result<Answer, ApiError>> + Send + 'static,
{
    let api = api.clone();
    let handle = move |request: Request| {
        let api = api.clone();
        async move {
            let work = async {
                let form = read(&api, request).await?;
                handler(api.clone(), form).await
            };
            timed(&api, kind, work).await
        }
    };
    get(handle.clone()).post(handle)
}

async fn read(api: &Api, request: Request) -> Result<Form, ApiError> {
    let settings = &api.state.settings;
    Form::read(request, settings.max_body_bytes, settings.timeout, &api.budget).await
}

fn label_values(api: &Arc<Api>) -> MethodRouter {
    let api = api.clone();
    get(move |request: Request| async move {
        let work = async {
            // As it was sent: the name may hold an escaped slash, or bytes that are no text.
            let path = request.uri().path().to_owned();
            let segment = path.rsplit('/').nth(1).unwrap_or_default();
            let form = read(&api, request).await?;
            metadata::values(&api, form, segment).await
        };
        timed(&api, "label_values", work).await
    })
}

fn told(api: &Arc<Api>, tell: fn(&Api) -> Answer) -> MethodRouter {
    let api = api.clone();
    get(move || async move { tell(&api) })
}

async fn timed(
    api: &Api,
    kind: &'static str,
    work: impl Future<Output = Result<Answer, ApiError>>,
) -> Response {
    let timer = api.state.metrics.begin(kind);
    let answer = match work.await {
        Ok(answer) => {
            if DATA.contains(&kind) {
                api.state.metrics.answer(answer.missing.is_empty());
            }
            answer.into_response()
        }
        Err(e) => e.into_response(),
    };
    timer.answered(answer.status().as_u16());
    answer
}

/// Text, not JSON, as Prometheus: Grafana looks for these words.
async fn not_found() -> Response {
    let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    (StatusCode::NOT_FOUND, [kind, (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], "404 page not found\n")
        .into_response()
}

/// Any page may ask, as Prometheus' default has it; OPTIONS is answered here.
async fn cors(request: Request, next: Next) -> Response {
    let mut answer = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date, Dolmen-Complete"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
