//! One call into the engine or the stores: its turn, its deadline, its memory, and the word to stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_ctx::{CancelGuard, CancelToken, Ctx};

use crate::error::ApiError;
use crate::gate::Pass;
use crate::state::Api;

/// A call under way. Dropping it stops what still works for it: so does a client that leaves.
pub(crate) struct Call {
    /// What the call carries.
    pub ctx: Ctx,
    /// How long it waited for its turn.
    pub queued: Duration,
    deadline: Instant,
    _cancel: CancelGuard,
    _pass: Pass,
}

impl Call {
    /// Waits for a turn. The deadline counts from now; `timeout` can only bring it nearer.
    pub async fn begin(api: &Api, timeout: Option<Duration>) -> Result<Call, ApiError> {
        let began = Instant::now();
        let longest = api.state.settings.timeout;
        let deadline = began + timeout.map_or(longest, |t| t.min(longest));
        let pass = api.gate.enter(deadline).await?;
        let cancel = CancelToken::default();
        let ctx = Ctx {
            budget: api.budget.child("memory of the query", u64::MAX),
            cancel: cancel.clone(),
            deadline: Some(deadline),
            clock: api.state.clock.clone(),
            cpu: api.state.cpu.clone(),
            via: Arc::from([]),
        };
        Ok(Call { ctx, queued: began.elapsed(), deadline, _cancel: cancel.guard(), _pass: pass })
    }

    /// Runs `work` until the deadline: also work that never asks what time it is.
    pub async fn run<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        match tokio::time::timeout_at(self.deadline.into(), work).await {
            Ok(done) => done,
            Err(_) => Err(ApiError::timeout("query timed out in expression evaluation")),
        }
    }
}
