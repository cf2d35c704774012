//! The server: `thanos.Store` and `thanos.info.Info` over any Queryable, and gRPC's health service.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use dolmen_ctx::{Budget, Clock, Cpu};
use dolmen_storage::Queryable;
use http::{HeaderMap, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic_prost::ProstCodec;

use crate::StoreFacts;
use crate::snappy::unsnap;

mod ask;
mod call;
mod codec;
mod encode;
mod gate;
mod info;
mod labels;
mod mask;
mod metrics;
mod series;
mod shard;
mod status;

use codec::FrameCodec;
use gate::Gate;

pub use metrics::StoreApiMetrics;

/// Who waits for a turn, for each that has one; more are refused.
const WAITING_FOR_EACH: usize = 16;

/// Says what a store holds, as of now.
pub trait Describe: Send + Sync {
    /// What `thanos.info.Info` is answered with.
    fn facts(&self) -> StoreFacts;
}

/// Limits of a server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Memory of all answers under way, in bytes.
    pub max_memory: u64,
    /// Calls that are worked on at once.
    pub max_concurrent: usize,
    /// Longest time of a call.
    pub timeout: Duration,
    /// Most bytes of a request, as it is sent and as it is plain.
    pub max_request_bytes: usize,
    /// The version that Info tells.
    pub version: String,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            max_memory: 1 << 30,
            max_concurrent: 64,
            timeout: Duration::from_secs(120),
            max_request_bytes: 16 << 20,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// A server over a Queryable.
pub struct StoreServer {
    /// What is asked.
    pub queryable: Arc<dyn Queryable>,
    /// What it says of itself.
    pub describe: Arc<dyn Describe>,
    /// Limits.
    pub settings: ServerSettings,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where frames are encoded.
    pub cpu: Arc<dyn Cpu>,
    /// What is counted.
    pub metrics: StoreApiMetrics,
}

/// A server at work.
struct Server {
    queryable: Arc<dyn Queryable>,
    describe: Arc<dyn Describe>,
    settings: ServerSettings,
    clock: Arc<dyn Clock>,
    cpu: Arc<dyn Cpu>,
    metrics: StoreApiMetrics,
    gate: Gate,
    budget: Arc<Budget>,
}

impl StoreServer {
    /// Its routes. They have a fallback: a gRPC status for services that are not there.
    pub fn routes(self) -> Router {
        let StoreServer { queryable, describe, settings, clock, cpu, metrics } = self;
        let running = settings.max_concurrent;
        let gate = Gate::new(running, running.saturating_mul(WAITING_FOR_EACH), metrics.clone());
        let budget = Budget::new("memory of StoreAPI answers", settings.max_memory);
        let max = settings.max_request_bytes;
        let server = Arc::new(Server { queryable, describe, settings, clock, cpu, metrics, gate, budget });
        let (_, health) = tonic_health::server::health_reporter();
        Router::new()
            .route("/thanos.Store/Series", post(series))
            .route("/thanos.Store/LabelNames", post(label_names))
            .route("/thanos.Store/LabelValues", post(label_values))
            .route("/thanos.info.Info/Info", post(info))
            .route_service("/grpc.health.v1.Health/{*method}", health)
            .fallback(|| async { Status::unimplemented("no such service or method").into_http::<Body>() })
            .with_state(server)
            .layer(axum::middleware::from_fn_with_state(max, unsnap))
    }
}

async fn series(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    let max = server.settings.max_request_bytes;
    let service = tower::service_fn(move |ask: tonic::Request<_>| {
        let server = server.clone();
        async move { series::series(&server, ask).await.map(tonic::Response::new) }
    });
    Grpc::new(FrameCodec).max_decoding_message_size(max).server_streaming(service, request).await
}

async fn label_names(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    unary(server, request, |server, headers, ask| async move { labels::names(&server, &headers, ask).await })
        .await
}

async fn label_values(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    unary(server, request, |server, headers, ask| async move { labels::values(&server, &headers, ask).await })
        .await
}

async fn info(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    unary(server, request, |server, _, _: dolmen_proto::thanos::info::InfoRequest| async move {
        Ok(info::info(&server))
    })
    .await
}

/// One message, one answer.
async fn unary<A, B, F>(
    server: Arc<Server>,
    request: Request,
    answer: fn(Arc<Server>, HeaderMap, A) -> F,
) -> Response<Body>
where
    A: prost::Message + Default + 'static,
    B: prost::Message + 'static,
    F: Future<Output = Result<B, Status>> + Send + 'static,
{
    let max = server.settings.max_request_bytes;
    let service = tower::service_fn(move |ask: tonic::Request<A>| {
        let server = server.clone();
        let (headers, _, message) = ask.into_parts();
        async move { answer(server, headers.into_headers(), message).await.map(tonic::Response::new) }
    });
    Grpc::new(ProstCodec::<B, A>::default()).max_decoding_message_size(max).unary(service, request).await
}
