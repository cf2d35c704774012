//! Before the services: requests become plain, answers are compressed as their requests were.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::CONTENT_LENGTH;

use super::{GRPC_ACCEPT_ENCODING, GRPC_ENCODING, Reframed, SNAPPY, Turn, names_snappy};

/// A middleware: messages of requests may take `max` bytes. As a gRPC server written in Go does, answers are
/// compressed where the request was, and its client reads that.
pub(crate) async fn unsnap(State(max): State<usize>, mut request: Request, next: Next) -> Response {
    if request.headers().get(GRPC_ENCODING) != Some(&SNAPPY) {
        return next.run(request).await;
    }
    let answer_too = names_snappy(request.headers(), GRPC_ACCEPT_ENCODING);
    request.headers_mut().remove(GRPC_ENCODING);
    request.headers_mut().remove(CONTENT_LENGTH);
    let plain = request.map(|body| Body::new(Reframed::new(body, Turn::Plain, max)));
    let mut answer = next.run(plain).await;
    // A status among the headers means that there is no message.
    if !answer_too || answer.headers().contains_key("grpc-status") || !answer.status().is_success() {
        return answer;
    }
    answer.headers_mut().insert(GRPC_ENCODING, SNAPPY);
    answer.headers_mut().remove(CONTENT_LENGTH);
    answer.map(|body| Body::new(Reframed::new(body, Turn::Snappy, usize::MAX)))
}
