//! The word that the process is to end.

use dolmen_model::{Error, Kind, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells all parts of the process to come to an end. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Nobody has said so yet.
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// Says so.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Whether it was said.
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Returns once it is said.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// A later stage: it hears this one's word, and can be told by itself.
    pub fn child(&self) -> Shutdown {
        Shutdown(self.0.child_token())
    }

    /// SIGTERM and SIGINT say so from now on. A second signal changes nothing: the WAL is being synced.
    pub fn on_signals(&self) -> Result<()> {
        let listen = |kind| signal(kind).map_err(|e| Error::wrap(Kind::Halt, "listen for signals", e));
        let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = term.recv() => "SIGTERM",
                _ = int.recv() => "SIGINT",
            };
            tracing::info!(signal = name, "shutting down");
            shutdown.trigger();
        });
        Ok(())
    }
}
