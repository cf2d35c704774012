//! What a call carries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use dolmen_model::{Error, Kind, Result};
use smol_str::SmolStr;

use crate::{Budget, Clock, Cpu, InlineCpu, SystemClock};

/// Tells workers that their caller has left.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Says so.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was said.
    pub fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Cancels when the guard is dropped.
    pub fn guard(&self) -> CancelGuard {
        CancelGuard(self.clone())
    }
}

/// Cancels its token when dropped.
#[derive(Debug)]
pub struct CancelGuard(CancelToken);

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a call carries: budget, cancel, deadline, clock, CPU. Cheap to clone.
#[derive(Clone)]
pub struct Ctx {
    /// Memory that the call may take.
    pub budget: Arc<Budget>,
    /// Whether the caller has left.
    pub cancel: CancelToken,
    /// When the call must be over.
    pub deadline: Option<Instant>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Where kernels run.
    pub cpu: Arc<dyn Cpu>,
    /// Processes through which the call came here: they are not asked again.
    pub via: Arc<[SmolStr]>,
}

impl Ctx {
    /// A call without limits, on the caller's thread and the machine's clock: for tools and tests.
    pub fn unbounded() -> Ctx {
        Ctx {
            budget: Budget::new("memory", u64::MAX / 2),
            cancel: CancelToken::default(),
            deadline: None,
            clock: Arc::new(SystemClock),
            cpu: Arc::new(InlineCpu),
            via: Arc::from([]),
        }
    }

    /// An error where the caller has left or the deadline has passed. Asked once a morsel.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_canceled() {
            return Err(Error::new(Kind::Canceled, "query was canceled"));
        }
        if self.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err(Error::new(Kind::Timeout, "query timed out"));
        }
        Ok(())
    }
}
