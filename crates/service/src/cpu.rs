//! The threads on which kernels run.

use std::sync::Arc;

use dolmen_ctx::{Cpu, PoolCpu};
use dolmen_model::Result;

/// A pool of that many threads, or of one a core.
pub fn cpu(threads: Option<usize>) -> Result<Arc<dyn Cpu>> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Arc::new(PoolCpu::new(threads.unwrap_or_else(cores))?))
}
