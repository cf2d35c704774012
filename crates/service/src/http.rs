//! The accept loop.
//!
//! Every connection has a limit on the time of a request head and on silence, there is a limit on connections,
//! and a shutdown lets running requests finish for as long as the grace period lasts.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};
use tower_http::catch_panic::CatchPanicLayer;

use crate::connection::{Watch, Watched, WatchedBody};
use crate::{Listener, Shutdown};

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
    let graceful = GracefulShutdown::new();
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
        let watcher = graceful.watcher();
        connections.spawn(serve_connection(stream, permit, router.clone(), settings, watcher));
    }
    drop(listener);
    if tokio::time::timeout(settings.grace_period, graceful.shutdown()).await.is_err() {
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
    watcher: hyper_util::server::graceful::Watcher,
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
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(128);
    let connection = watcher.watch(builder.serve_connection(io, service).into_owned());
    tokio::select! {
        served = connection => if let Err(e) = served {
            tracing::debug!(error = %e, "connection");
        },
        cause = watch.expired(settings.head_timeout, settings.idle_timeout) => {
            tracing::debug!(cause, "connection closed");
        }
    }
}

async fn respond(mut router: Router, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    <Router as ServiceExt<Request<Body>>>::ready(&mut router).await?.call(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn start(settings: HttpSettings) -> (std::net::SocketAddr, Shutdown, tokio::task::JoinHandle<()>) {
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(|| async { "fast" }))
            .route("/slow", get(slow))
            .route("/panic", get(|| async { if true { panic!("on purpose") } else { "" } }));
        let listener = Listener::bind("--http-address", "127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.address(), Shutdown::new());
        let task = tokio::spawn(serve_http(listener, router, settings, shutdown.clone()));
        (address, shutdown, task)
    }

    async fn ask(address: std::net::SocketAddr, path: &str) -> String {
        let mut s = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        s.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        s.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_running_request_ends_within_the_grace_period_and_a_panic_is_an_answer() {
        let (address, shutdown, task) = start(HttpSettings::default()).await;
        assert!(ask(address, "/").await.ends_with("fast"));
        assert!(ask(address, "/panic").await.starts_with("HTTP/1.1 500"));
        let slow = tokio::spawn(async move { ask(address, "/slow").await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        shutdown.trigger();
        assert!(slow.await.unwrap().ends_with("slow"));
        task.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_grace_period_of_nothing_cuts_requests_off() {
        let (address, shutdown, task) =
            start(HttpSettings { grace_period: Duration::ZERO, ..Default::default() }).await;
        let slow = tokio::spawn(async move { ask(address, "/slow").await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        shutdown.trigger();
        task.await.unwrap();
        assert_eq!(slow.await.unwrap(), "");
    }

    #[tokio::test]
    async fn half_a_head_and_silence_are_closed_and_connections_are_counted() {
        let settings = HttpSettings {
            head_timeout: Duration::from_millis(80),
            idle_timeout: Duration::from_millis(400),
            max_connections: 1,
            ..Default::default()
        };
        let (address, _shutdown, _task) = start(settings).await;
        let began = tokio::time::Instant::now();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HT").await.unwrap();
        // The only place is taken until the half head is given up.
        assert!(ask(address, "/").await.ends_with("fast"));
        assert!(began.elapsed() >= Duration::from_millis(80));
        let mut rest = Vec::new();
        assert_eq!(half.read_to_end(&mut rest).await.unwrap_or(0), 0);
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(silent.read_to_end(&mut rest).await.unwrap(), 0);
        assert!(began.elapsed() >= Duration::from_millis(400));
    }
}
