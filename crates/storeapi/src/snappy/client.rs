//! Around a client's channel: answers become plain, requests are compressed where that is wanted, and an answer
//! that is no gRPC (a server that is not ready, a proxy) becomes a status as gRPC maps it. tonic alone would take
//! its text for a message.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::CONTENT_LENGTH;
use http::{Request, Response, StatusCode};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use super::{GRPC_ACCEPT_ENCODING, GRPC_ENCODING, Reframed, SNAPPY, Turn};

/// The status of an answer without messages.
const GRPC_STATUS: &str = "grpc-status";

/// A channel that reads snappy.
#[derive(Clone, Debug)]
pub struct SnappyChannel<S> {
    inner: S,
    compress: bool,
    max: usize,
}

impl<S> SnappyChannel<S> {
    /// Over another channel. `compress`: requests are sent compressed, and so Thanos answers. Messages of answers
    /// may take `max` bytes, compressed and plain: more is `ResourceExhausted`, broken snappy is `DataLoss`.
    pub fn new(inner: S, compress: bool, max: usize) -> SnappyChannel<S> {
        SnappyChannel { inner, compress, max }
    }
}

impl<S, B> Service<Request<Body>> for SnappyChannel<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.headers_mut().insert(GRPC_ACCEPT_ENCODING, SNAPPY);
        if self.compress {
            request.headers_mut().insert(GRPC_ENCODING, SNAPPY);
            request.headers_mut().remove(CONTENT_LENGTH);
            request = request.map(|body| Body::new(Reframed::new(body, Turn::Snappy, usize::MAX)));
        }
        let max = self.max;
        let answer = self.inner.call(request);
        async move {
            let mut answer = answer.await?;
            if answer.status() != StatusCode::OK && !answer.headers().contains_key(GRPC_STATUS) {
                return Ok(not_grpc(answer.status()).into_http());
            }
            if answer.headers().get(GRPC_ENCODING) != Some(&SNAPPY) {
                return Ok(answer.map(Body::new));
            }
            answer.headers_mut().remove(GRPC_ENCODING);
            answer.headers_mut().remove(CONTENT_LENGTH);
            Ok(answer.map(|body| Body::new(Reframed::new(body, Turn::Plain, max))))
        }
        .boxed()
    }
}

/// What a code of HTTP means.
fn not_grpc(http: StatusCode) -> Status {
    let code = match http.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("HTTP status {http}"))
}
