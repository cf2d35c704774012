//! A socket that is answered from the first moment to the last: while the role is being put together, and once
//! it is to end, everything but the probes is refused with 503, so that senders keep their samples and try again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use dolmen_service::{HttpSettings, Listener, Readiness, Shutdown, serve_http};
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// Seconds after which who was refused may come again.
const RETRY_SECONDS: &str = "2";

/// The content type of gRPC begins with this.
const GRPC: &[u8] = b"application/grpc";

/// How often it is looked whether the last request is answered.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// One socket.
pub struct Door {
    address: SocketAddr,
    inside: Arc<Inside>,
    grace: Duration,
    /// Closes the socket.
    close: Shutdown,
    served: JoinHandle<()>,
}

/// What requests meet behind the socket.
struct Inside {
    router: OnceLock<Router>,
    readiness: Readiness,
    ending: AtomicBool,
    /// Requests that have no answer yet, but for the probes.
    active: AtomicUsize,
}

impl Door {
    /// Answers on `listener`: `probes` at once, all else once it is shown.
    pub fn new(listener: Listener, probes: Router, readiness: Readiness, settings: HttpSettings) -> Door {
        let (address, close) = (listener.address(), Shutdown::new());
        let inside = Arc::new(Inside {
            router: OnceLock::new(),
            readiness,
            ending: AtomicBool::new(false),
            active: AtomicUsize::new(0),
        });
        let behind = inside.clone();
        let front = probes.fallback(move |request| answer(behind.clone(), request));
        let served = tokio::spawn(serve_http(listener, front, settings, close.clone()));
        Door { address, inside, grace: settings.grace_period, close, served }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `router` answers. What was shown first stays.
    pub fn show(&self, router: Router) {
        self.inside.router.get_or_init(|| router);
    }

    /// Refuses new requests, waits until those under way are answered, within the grace period, and closes.
    pub async fn closed(self) {
        let end = Instant::now() + self.grace;
        self.inside.ending.store(true, Ordering::SeqCst);
        while self.inside.active.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        self.close.trigger();
        if let Err(e) = self.served.await {
            tracing::error!("serve {}: {e}", self.address);
        }
    }
}

/// Counts a request for as long as it lives.
struct Active<'a>(&'a AtomicUsize);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(inside: Arc<Inside>, request: Request<Body>) -> Response {
    // Counted before it is looked whether the end has begun: who waits for the last one misses none.
    inside.active.fetch_add(1, Ordering::SeqCst);
    let _active = Active(&inside.active);
    match inside.router.get().filter(|_| !inside.ending.load(Ordering::SeqCst)) {
        Some(router) => match router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        },
        None => {
            // A gRPC client takes a body for a broken answer, and the bare code for "come again".
            let grpc = request.headers().get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(GRPC));
            let text = match grpc {
                true => String::new(),
                false => format!("not ready: {}\n", inside.readiness.reasons().join("; ")),
            };
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_SECONDS)], text).into_response()
        }
    }
}
