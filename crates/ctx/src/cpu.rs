//! Where kernels run: never on a thread that waits for sockets.

use std::sync::Arc;

use dolmen_model::{Error, Kind, Result};
use futures::channel::oneshot;

/// Runs pieces of work of about a millisecond. A job never waits for I/O.
pub trait Cpu: Send + Sync {
    /// Runs the job some time soon.
    fn run(&self, job: Box<dyn FnOnce() + Send>);

    /// How many jobs can run at once.
    fn width(&self) -> usize;
}

/// Runs every job at once on the caller's thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineCpu;

impl Cpu for InlineCpu {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
    fn width(&self) -> usize {
        1
    }
}

/// A pool of threads of its own.
pub struct PoolCpu(rayon::ThreadPool);

impl PoolCpu {
    /// A pool with that many threads.
    pub fn new(threads: usize) -> Result<PoolCpu> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|i| format!("cpu-{i}"))
            .build()
            .map(PoolCpu)
            .map_err(|e| Error::wrap(Kind::Halt, "start the CPU threads", e))
    }
}

impl Cpu for PoolCpu {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.spawn(job);
    }
    fn width(&self) -> usize {
        self.0.current_num_threads()
    }
}

/// Runs `f` on `cpu` and waits for its value without holding a thread. A panic in `f` becomes an error.
pub async fn offload<T: Send + 'static>(
    cpu: &Arc<dyn Cpu>,
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (tx, rx) = oneshot::channel();
    cpu.run(Box::new(move || {
        let value = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        if let Ok(value) = value {
            // Nobody may wait any more: the caller has left.
            let _gone = tx.send(value);
        }
    }));
    rx.await.map_err(|_| Error::new(Kind::Halt, "a computation panicked; the log has its message"))
}
