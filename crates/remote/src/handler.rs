//! `POST /api/v1/write` and `/api/v1/receive`.
//!
//! ```text
//! 204  stored as durably as configured, or stored before
//! 400  no remote-write request; or `stored A of B samples; cause=n …; first: series: what`, the A being stored
//! 413  larger than --receive.max-request-bytes
//! 415  another encoding or message
//! 503  overloaded, read-only or disk full; with Retry-After: the sender keeps the batch
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use dolmen_ctx::{Budget, Ctx, Reservation, offload};
use dolmen_model::{Error, Kind, Labels, Result as ModelResult};
use dolmen_storage::{AppendReport, Appender};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;

use crate::{BodyError, Decoded, LabelRules, RemoteMetrics, decode, decoded_len, decompress};

/// The one tenant that there is.
const TENANT: &str = "default-tenant";
/// Seconds that an overloaded receiver asks for.
const RETRY_SECONDS: &str = "5";
/// Bodies from here on are decoded on a CPU thread instead of the connection's.
const OFFLOAD_FROM: usize = 64 << 10;
/// Most memory that a batch may take beside its body, in sizes of the largest body. Prometheus' requests need
/// less than one; a request of nothing but empty messages would need a hundred.
const BATCH_BODIES_MAX: u64 = 4;

/// How the door behaves.
#[derive(Clone, Debug)]
pub struct RemoteSettings {
    /// The receiver's own labels.
    pub external_labels: Labels,
    /// Most bytes of a request, decompressed: `--receive.max-request-bytes`.
    pub max_request_bytes: u64,
    /// Most bytes that all requests under way may take together. At least five times `max_request_bytes`, else
    /// the largest allowed request could never be taken.
    pub in_flight_bytes: u64,
    /// Longest time that a body may take to arrive.
    pub body_timeout: Duration,
}

impl Default for RemoteSettings {
    fn default() -> RemoteSettings {
        RemoteSettings {
            external_labels: Labels::empty(),
            max_request_bytes: 32 << 20,
            in_flight_bytes: 512 << 20,
            body_timeout: Duration::from_secs(60),
        }
    }
}

/// What the handlers need. Clones are one.
#[derive(Clone)]
pub struct RemoteState(Arc<Inner>);

struct Inner {
    appender: Arc<dyn Appender>,
    ctx: Ctx,
    settings: RemoteSettings,
    rules: LabelRules,
    budget: Arc<Budget>,
    metrics: RemoteMetrics,
}

impl RemoteState {
    /// A door to `appender`. Of `ctx` the clock and the CPU threads are used.
    pub fn new(
        appender: Arc<dyn Appender>,
        ctx: Ctx,
        settings: RemoteSettings,
        metrics: RemoteMetrics,
    ) -> RemoteState {
        let rules = LabelRules::new(&settings.external_labels);
        let least = (BATCH_BODIES_MAX + 2).saturating_mul(settings.max_request_bytes);
        let budget = Budget::new("memory of write requests under way", settings.in_flight_bytes.max(least));
        RemoteState(Arc::new(Inner { appender, ctx, settings, rules, budget, metrics }))
    }
}

/// The routes.
pub fn router(state: RemoteState) -> Router {
    Router::new()
        .route("/api/v1/write", post(write))
        .route("/api/v1/receive", post(write))
        // The limit is ours, by decompressed size.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

/// An answer that is no success.
struct Refusal {
    code: StatusCode,
    text: String,
}

impl Refusal {
    fn new(code: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal { code, text: text.into() }
    }
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Refusal {
        let code = match e.kind() {
            Kind::Retry | Kind::Refused | Kind::Limit | Kind::Canceled | Kind::Timeout => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Kind::Invalid | Kind::Corrupt => StatusCode::BAD_REQUEST,
            Kind::Halt | Kind::NotFound => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(code, e.to_string())
    }
}

impl From<BodyError> for Refusal {
    fn from(e: BodyError) -> Refusal {
        let code = match e {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        };
        Refusal::new(code, e.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut answer = (self.code, self.text + "\n").into_response();
        if self.code == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static(RETRY_SECONDS));
        }
        answer
    }
}

async fn write(State(state): State<RemoteState>, headers: HeaderMap, body: Body) -> Response {
    let began = Instant::now();
    let inner = state.0;
    let answer = match inner.clone().receive(&headers, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => {
            if refusal.code.is_server_error() {
                tracing::warn!(code = refusal.code.as_u16(), "write request: {}", refusal.text);
            }
            refusal.into_response()
        }
    };
    inner.metrics.answered(answer.status().as_u16(), began.elapsed().as_secs_f64());
    answer
}

impl Inner {
    async fn receive(self: Arc<Inner>, headers: &HeaderMap, body: Body) -> Result<(), Refusal> {
        check_headers(headers)?;
        let limit = self.settings.max_request_bytes;
        let mut held = self.budget.reserve(0)?;
        let arriving = read_body(headers, body, limit, &mut held);
        let body = tokio::time::timeout(self.settings.body_timeout, arriving)
            .await
            .map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive"))??;
        self.metrics.bytes("sent", body.len() as u64);
        let claimed = decoded_len(&body, limit)?;
        held.grow(claimed as u64)?;
        self.metrics.bytes("decompressed", claimed as u64);
        // What has begun is brought to its end, whether the sender waits or not: a batch is never half counted.
        let work = tokio::spawn(async move { self.store(body, claimed, held).await });
        work.await.map_err(|e| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))?
    }

    async fn store(self: Arc<Inner>, body: Bytes, claimed: usize, held: Reservation) -> Result<(), Refusal> {
        let inner = self.clone();
        let job = move || inner.decode(&body, held);
        let (mut decoded, held) = match claimed < OFFLOAD_FROM {
            true => job()?,
            false => offload(&self.ctx.cpu, job).await??,
        };
        self.metrics.decoded(&decoded);
        let mut report = std::mem::take(&mut decoded.refused);
        if !decoded.batch.series.is_empty() {
            let stored = self.appender.append(&self.ctx, std::mem::take(&mut decoded.batch)).await?;
            (report.accepted, report.duplicates) = (stored.accepted, stored.duplicates);
            for r in stored.rejected {
                report.reject(r.cause, r.samples, || r.first);
            }
        }
        drop(held);
        self.metrics.report(&report);
        match report.rejected.iter().any(|r| r.samples > 0) {
            true => Err(Refusal::new(StatusCode::BAD_REQUEST, report_text(&mut report, decoded.samples))),
            false => Ok(()),
        }
    }

    fn decode(&self, body: &[u8], mut held: Reservation) -> Result<(Decoded, Reservation), Refusal> {
        let limit = self.settings.max_request_bytes;
        let body = decompress(body, limit)?;
        let hasher = self.appender.key_hasher();
        let (base, most) = (held.bytes(), BATCH_BODIES_MAX.saturating_mul(limit));
        let mut over = None;
        let mut memory = |bytes: u64| -> ModelResult<()> {
            if bytes > most {
                over = Some(bytes);
                return Err(Error::new(Kind::Limit, "memory of a write request"));
            }
            // Taken in steps, so that the budget is not asked for each series.
            let want = base + bytes.next_multiple_of(64 << 10);
            if want > held.bytes() { held.resize(want) } else { Ok(()) }
        };
        let decoded = decode(body, &self.rules, &hasher, &mut memory);
        if let Some(bytes) = over {
            let text = format!(
                "request takes more than {bytes} bytes of memory, over {BATCH_BODIES_MAX} times \
                 --receive.max-request-bytes ({limit})"
            );
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Ok((decoded?, held))
    }
}

fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let text =
        |name| headers.get(name).map_or(Some(""), |v: &http::HeaderValue| v.to_str().ok()).map(str::trim);
    match text(http::HeaderName::from_static("thanos-tenant")) {
        Some("" | TENANT) => {}
        _ => {
            let text = format!("THANOS-TENANT: there is one tenant only, {TENANT}");
            return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
        }
    }
    let unsupported = |text: String| Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    let encoding = text(CONTENT_ENCODING).unwrap_or("?");
    if !matches!(encoding, "" | "snappy") {
        return unsupported(format!("content encoding {encoding:?} is not supported, only snappy"));
    }
    let content_type = text(CONTENT_TYPE).unwrap_or("?");
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.is_empty() && !media_type.eq_ignore_ascii_case("application/x-protobuf") {
        return unsupported(format!(
            "content type {media_type:?} is not supported, only application/x-protobuf"
        ));
    }
    for parameter in parts {
        match parameter.split_once('=').map(|(n, v)| (n.trim(), v.trim().trim_matches('"'))) {
            Some(("proto", "prometheus.WriteRequest")) => {}
            Some(("proto", "io.prometheus.write.v2.Request")) => {
                return unsupported(
                    "remote write 2.0 is not supported yet: send prometheus.WriteRequest".to_owned(),
                );
            }
            Some(("proto", other)) => return unsupported(format!("message {other:?} is not supported")),
            Some(_) => {}
            None => return unsupported(format!("content type {content_type:?} is malformed")),
        }
    }
    Ok(())
}

/// The body as sent; its memory is reserved before it is taken.
async fn read_body(
    headers: &HeaderMap,
    mut body: Body,
    limit: u64,
    held: &mut Reservation,
) -> Result<Bytes, Refusal> {
    // Snappy makes what it cannot compress a little longer.
    let most = limit.saturating_add(limit / 6).saturating_add(32);
    let told = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok()).unwrap_or(0);
    let too_large = |claimed| Refusal::from(BodyError::TooLarge { claimed, limit });
    if told > most {
        return Err(too_large(told));
    }
    held.grow(told)?;
    let mut out = BytesMut::with_capacity(told as usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Refusal::new(StatusCode::BAD_REQUEST, format!("read body: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let len = (out.len() + data.len()) as u64;
        if len > most {
            return Err(too_large(len));
        }
        if len > held.bytes() {
            held.grow(len.next_power_of_two() - held.bytes())?;
        }
        out.extend_from_slice(&data);
    }
    Ok(out.freeze())
}

fn report_text(report: &mut AppendReport, samples: u64) -> String {
    report.rejected.retain(|r| r.samples > 0);
    report.rejected.sort_by_key(|r| r.cause);
    let causes: Vec<_> =
        report.rejected.iter().map(|r| format!("{}={}", r.cause.as_str(), r.samples)).collect();
    let first = report.rejected.first().map_or("", |r| r.first.as_str());
    format!("stored {} of {samples} samples; {}; first: {first}", report.accepted, causes.join(" "))
}
