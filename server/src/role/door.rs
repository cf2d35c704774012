//! A socket that is answered from the first moment: while the role is being put together everything but the
//! probes is refused with 503, so that senders keep their samples and try again.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use dolmen_service::{HttpSettings, Listener, Readiness, Shutdown, serve_http};
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// Seconds after which who was refused may come again.
const RETRY_SECONDS: &str = "2";

/// One socket.
pub struct Door {
    address: SocketAddr,
    router: Arc<OnceLock<Router>>,
    served: JoinHandle<()>,
}

impl Door {
    /// Answers on `listener` until the word to end: `probes` at once, all else once it is shown.
    pub fn new(
        listener: Listener,
        probes: Router,
        readiness: Readiness,
        settings: HttpSettings,
        shutdown: Shutdown,
    ) -> Door {
        let address = listener.address();
        let router: Arc<OnceLock<Router>> = Arc::default();
        let behind = router.clone();
        let front = probes.fallback(move |request| answer(behind.clone(), readiness.clone(), request));
        let served = tokio::spawn(serve_http(listener, front, settings, shutdown));
        Door { address, router, served }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `router` answers. What was shown first stays.
    pub fn show(&self, router: Router) {
        self.router.get_or_init(|| router);
    }

    /// Waits until the word to end was said and the last request is answered.
    pub async fn closed(self) {
        if let Err(e) = self.served.await {
            tracing::error!("serve {}: {e}", self.address);
        }
    }
}

async fn answer(router: Arc<OnceLock<Router>>, readiness: Readiness, request: Request<Body>) -> Response {
    match router.get() {
        Some(router) => match router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        },
        None => {
            let text = format!("not ready: {}\n", readiness.reasons().join("; "));
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY_SECONDS)], text).into_response()
        }
    }
}
