//! The accept loop.
//!
//! HTTP/1.1, and HTTP/2 for those who begin with its preface, on one socket. Every connection has a limit on the
//! time of a request head and on silence, there is a limit on connections, and a shutdown lets running requests
//! finish for as long as the grace period lasts: on HTTP/2 clients are told to go away.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;

use crate::connection::{Expired, Watch, Watched, WatchedBody};
use crate::{Listener, Shutdown};

/// Bytes of one HTTP/2 stream that a client may send before they are read.
const STREAM_WINDOW: u32 = 4 << 20;
/// Bytes of all HTTP/2 streams of a connection that a client may send before they are read.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Requests that may run at once on one HTTP/2 connection; more wait with the client.
const STREAMS_MAX: u32 = 256;
/// How long a connection that is closed for its silence may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Limits of a listener.
#[derive(Clone, Copy, Debug)]
pub struct HttpSettings {
    /// How long running requests may take once shutdown has begun: `--http-grace-period`.
    pub grace_period: Duration,
    /// Most open connections; more wait in the kernel's queue.
    pub max_connections: usize,
    /// Longest time from a request's first byte to the end of its head.
    pub head_timeout: Duration,
    /// Longest time in which no byte moves in either direction.
    pub idle_timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> HttpSettings {
        HttpSettings {
            grace_period: Duration::from_secs(120),
            max_connections: 1024,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
        }
    }
}

/// Serves until shutdown, then drains; returns when all connections are closed.
pub async fn serve_http(listener: Listener, router: Router, settings: HttpSettings, shutdown: Shutdown) {
    let router = router.layer(CatchPanicLayer::new());
    let permits = Arc::new(Semaphore::new(settings.max_connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.wait() => break,
            accepted = accept(&listener, &permits) => accepted,
            // Finished tasks are collected, so that the set holds the open ones alone.
            Some(_closed) = connections.join_next() => continue,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Out of file descriptors, most likely: closing connections will help, asking again at once will not.
                tracing::warn!(error = %e, "accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        connections.spawn(serve_connection(stream, permit, router.clone(), settings, shutdown.clone()));
    }
    drop(listener);
    let all_closed = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(settings.grace_period, all_closed).await.is_err() {
        tracing::warn!(
            open = connections.len(),
            "grace period is over: closing connections with running requests"
        );
    }
    connections.shutdown().await;
}

async fn accept(
    listener: &Listener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _peer) = listener.socket.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn serve_connection(
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
    router: Router,
    settings: HttpSettings,
    shutdown: Shutdown,
) {
    let watch = Watch::new();
    let io = TokioIo::new(Watched { stream, watch: watch.clone() });
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let in_request = watch.begin();
        let router = router.clone();
        async move {
            let answer: Result<Response<Body>, Infallible> = respond(router, request.map(Body::new)).await;
            answer.map(|r| r.map(|body| WatchedBody { body, _request: in_request }))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Our own watch takes over from hyper's head timeout, which would also count idle time.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX);
    let mut connection = pin!(builder.serve_connection(io, service));
    let expired = || watch.expired(settings.head_timeout, settings.idle_timeout);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = shutdown.wait() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                served = connection.as_mut() => served,
                _cause = expired() => Ok(()),
            }
        }
        cause = expired() => {
            tracing::debug!(?cause, "connection closed");
            connection.as_mut().graceful_shutdown();
            let wait = if cause == Expired::Idle { GOODBYE } else { Duration::ZERO };
            tokio::time::timeout(wait, connection.as_mut()).await.unwrap_or(Ok(()))
        }
    };
    if let Err(e) = served {
        tracing::debug!(error = %e, "connection");
    }
}

async fn respond(mut router: Router, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    <Router as ServiceExt<Request<Body>>>::ready(&mut router).await?.call(request).await
}

#[cfg(test)]
mod tests;
