//! What every role stands on: runtime, logs, metrics, readiness, shutdown, sockets, the directory lock.

use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dolmen_ctx::{Budget, CancelToken, Clock, Cpu, Ctx, Disk, RealDisk, SystemClock};
use dolmen_service::{Gate, HttpSettings, Listener, Logs, Metrics, Readiness, Shutdown, probes};
use smol_str::SmolStr;

use super::door::Door;
use crate::exit::{Exit, Outcome};
use crate::flags;

/// What the binary was built from.
pub const REVISION: &str = match option_env!("DOLMEN_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// How often it is looked whether the last gate is open.
const READY_POLL: Duration = Duration::from_millis(20);

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
    /// This process, by chance: other Dolmens know it again.
    pub instance: SmolStr,
    http: Option<Door>,
    grpc: Option<Door>,
    /// Whether gRPC is served only once the role is ready: one that knows nothing yet would be taken for one that
    /// holds nothing.
    pub grpc_when_ready: bool,
    starting: Gate,
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
    /// Opens the sockets of HTTP and gRPC before anything is touched on disk.
    pub async fn set(role: &'static str, listen: &flags::Listen) -> Result<Stage, Exit> {
        let mut stage = Stage::set_without_grpc(role, listen).await?;
        stage.grpc = Some(stage.door("--grpc-address", &listen.grpc_address).await?);
        Ok(stage)
    }

    /// The same for a role that serves no StoreAPI.
    pub async fn set_without_grpc(role: &'static str, listen: &flags::Listen) -> Result<Stage, Exit> {
        let listener = bind("--http-address", &listen.http_address).await?;
        let mut stage = Stage::without_socket(role, listen)?;
        let probes = probes(stage.readiness.clone(), stage.metrics.clone());
        stage.http = Some(Door::new(listener, probes, stage.readiness.clone(), stage.settings));
        Ok(stage)
    }

    /// For work that comes to its end by itself: nothing listens.
    pub fn without_socket(role: &'static str, listen: &flags::Listen) -> Result<Stage, Exit> {
        let shutdown = Shutdown::new();
        shutdown.on_signals()?;
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"), REVISION);
        let readiness = Readiness::new();
        let settings = HttpSettings { grace_period: listen.grace.std(), ..HttpSettings::default() };
        let starting = readiness.gate("starting");
        let instance = instance()?;
        Ok(Stage {
            role,
            metrics,
            readiness,
            shutdown,
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk),
            cpu: dolmen_service::cpu(None)?,
            instance,
            http: None,
            grpc: None,
            grpc_when_ready: false,
            starting,
            settings,
        })
    }

    /// One more socket, which has no probes.
    pub async fn door(&self, flag: &str, address: &flags::Address) -> Result<Door, Exit> {
        let listener = bind(flag, address).await?;
        Ok(Door::new(listener, Router::new(), self.readiness.clone(), self.settings))
    }

    /// What work of the role's own carries: no deadline, memory without a limit of its own.
    pub fn ctx(&self, what: &'static str) -> Ctx {
        Ctx {
            budget: Budget::new(what, u64::MAX / 2),
            cancel: CancelToken::default(),
            deadline: None,
            clock: self.clock.clone(),
            cpu: self.cpu.clone(),
            via: Arc::from([]),
        }
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Door::address)
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(Door::address)
    }

    /// Serves `router` beside the probes, and `grpc`, until the word to end; says that the role is ready once no
    /// gate is closed. `further` is the door of remote write.
    pub async fn play(self, router: Router, grpc: Router, data: &str, further: Option<Door>) -> Outcome {
        let mut line = format!("ready role={}", self.role);
        if let Some(http) = &self.http {
            http.show(router);
            line.push_str(&format!(" http={}", http.address()));
        }
        if let Some(door) = &self.grpc {
            if !self.grpc_when_ready {
                door.show(grpc.clone());
            }
            line.push_str(&format!(" grpc={}", door.address()));
        }
        self.starting.open();
        if let Some(door) = &further {
            line.push_str(&format!(" remote_write={}", door.address()));
        }
        line.push_str(&format!(" data={data}"));
        let announce = async {
            while !self.readiness.is_ready() {
                tokio::time::sleep(READY_POLL).await;
            }
            if let Some(door) = &self.grpc {
                door.show(grpc);
            }
            say(&line);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = announce => {}
            () = self.shutdown.wait() => {}
        }
        self.readiness.close("shutting down");
        let closing = [self.http, self.grpc, further].into_iter().flatten().map(Door::closed);
        futures::future::join_all(closing).await;
        Ok(())
    }
}

/// A name for this process that no other has.
fn instance() -> Result<SmolStr, Exit> {
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|e| Exit::Failed(format!("ask the system for chance: {e}")))?;
    Ok(format!("{:016x}", u64::from_le_bytes(id)).into())
}

/// The ready line. Who started us may have closed the pipe: that is no reason to end.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if let Err(e) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        tracing::warn!("write the ready line: {e}");
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

/// Waits for work in the background; a panic there is a failure of the role.
pub async fn join<T>(work: tokio::task::JoinHandle<T>) -> Result<T, Exit> {
    work.await.map_err(|e| Exit::Failed(format!("work in the background: {e}")))
}
