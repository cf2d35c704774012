//! What every role stands on: runtime, logs, metrics, readiness, shutdown, sockets, the directory lock.

use std::fs::File;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use dolmen_ctx::{Clock, Cpu, Disk, RealDisk, SystemClock};
use dolmen_service::{HttpSettings, Listener, Logs, Metrics, Readiness, Shutdown, probes, serve_http};

use crate::exit::{Exit, Outcome};
use crate::flags;

/// What every role stands on.
pub struct Stage {
    /// The role's name, as the ready line has it.
    pub role: &'static str,
    /// All metrics of the process.
    pub metrics: Metrics,
    /// What stands between the process and its work.
    pub readiness: Readiness,
    /// The word to end.
    pub shutdown: Shutdown,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// The machine's disk.
    pub disk: Arc<dyn Disk>,
    /// Where kernels run.
    pub cpu: Arc<dyn Cpu>,
    http: Listener,
    settings: HttpSettings,
}

/// Starts logging and the runtime, and runs a role in it.
pub fn run<F: Future<Output = Outcome>>(log: &flags::Log, role: impl FnOnce() -> F) -> Outcome {
    let parse = |e: dolmen_model::Error| Exit::Config(e.to_string());
    Logs { level: log.level.parse().map_err(parse)?, format: log.format.parse().map_err(parse)? }.init()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Exit::Failed(format!("start the runtime: {e}")))?.block_on(role())
}

impl Stage {
    /// Opens the HTTP socket before anything is touched on disk.
    pub async fn set(role: &'static str, listen: &flags::Listen) -> Result<Stage, Exit> {
        let http = bind("--http-address", &listen.http_address).await?;
        let shutdown = Shutdown::new();
        shutdown.on_signals()?;
        Ok(Stage {
            role,
            metrics: Metrics::new(env!("CARGO_PKG_VERSION"), option_env!("DOLMEN_REVISION").unwrap_or("unknown")),
            readiness: Readiness::new(),
            shutdown,
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk),
            cpu: dolmen_service::cpu(None)?,
            http,
            settings: HttpSettings { grace_period: listen.grace.std(), ..HttpSettings::default() },
        })
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> std::net::SocketAddr {
        self.http.address()
    }

    /// Serves `router` with the probes beside it, until the word to end; says that the role is ready once
    /// no gate is closed. A further listener serves its own router.
    pub async fn play(self, router: Router, data: &Path, further: Option<(Listener, Router)>) -> Outcome {
        let probes = probes(self.readiness.clone(), self.metrics.clone());
        let mut line = format!("ready role={} http={}", self.role, self.http.address());
        if let Some((listener, _)) = &further {
            line.push_str(&format!(" remote_write={}", listener.address()));
        }
        line.push_str(&format!(" data={}", data.display()));
        let ready = self.readiness.clone();
        let announce = async move {
            while !ready.is_ready() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            println!("{line}");
            std::future::pending::<()>().await;
        };
        let close = {
            let (readiness, shutdown) = (self.readiness.clone(), self.shutdown.clone());
            async move {
                shutdown.wait().await;
                readiness.close("shutting down");
                std::future::pending::<()>().await;
            }
        };
        let (settings, shutdown) = (self.settings, self.shutdown.clone());
        let beside = async move {
            if let Some((listener, router)) = further {
                serve_http(listener, router, settings, shutdown).await;
            }
        };
        let serve = serve_http(self.http, probes.merge(router), self.settings, self.shutdown.clone());
        tokio::select! {
            ((), ()) = async { tokio::join!(serve, beside) } => Ok(()),
            () = announce => Ok(()),
            () = close => Ok(()),
        }
    }
}

/// Opens a socket, or says which flag to change.
pub async fn bind(flag: &str, address: &flags::Address) -> Result<Listener, Exit> {
    Listener::bind(flag, &address.to_string()).await.map_err(|e| Exit::Config(e.to_string()))
}

/// Makes a data directory and locks it for as long as the file lives.
pub fn lock(dir: &Path) -> Result<File, Exit> {
    let failed = |e: std::io::Error| {
        Exit::config(format!("data directory {}", dir.display()), e, "a directory that can be written")
    };
    std::fs::create_dir_all(dir).map_err(failed)?;
    let file = File::options().create(true).append(true).open(dir.join("lock")).map_err(failed)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        let what = format!("data directory {}", dir.display());
        Exit::config(what, "it is locked by another process", "one process a directory")
    })?;
    Ok(file)
}
