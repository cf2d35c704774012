//! Lets so many calls run, so many more wait, and turns the rest away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::StoreApiMetrics;

/// The gate before the stores.
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    metrics: StoreApiMetrics,
}

/// A place among the running calls; dropping it frees the place.
pub(crate) struct Pass {
    _permit: OwnedSemaphorePermit,
    metrics: StoreApiMetrics,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.metrics.running.dec();
    }
}

/// One who waits; also one that goes away while it waits is no longer counted.
struct Waiter<'a>(&'a Gate);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub fn new(max_running: usize, max_waiting: usize, metrics: StoreApiMetrics) -> Gate {
        let permits = Arc::new(Semaphore::new(max_running.clamp(1, Semaphore::MAX_PERMITS)));
        Gate { permits, waiting: AtomicUsize::new(0), max_waiting, metrics }
    }

    /// Waits for a place, at most until `deadline`.
    pub async fn enter(&self, deadline: Instant) -> Result<Pass, Status> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(deadline).await?,
        };
        self.metrics.running.inc();
        Ok(Pass { _permit: permit, metrics: self.metrics.clone() })
    }

    async fn wait(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Status> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiter = Waiter(self);
        if before >= self.max_waiting {
            self.metrics.refused.inc();
            return Err(Status::resource_exhausted(format!(
                "too many calls: all places are taken and {} wait",
                self.max_waiting
            )));
        }
        let turn = self.permits.clone().acquire_owned();
        match tokio::time::timeout_at(deadline.into(), turn).await {
            Ok(permit) => Ok(permit.expect("the semaphore is never closed")),
            Err(_) => Err(Status::deadline_exceeded("the call timed out while it waited for its turn")),
        }
    }
}
