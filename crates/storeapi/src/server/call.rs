//! One call: its turn, its deadline, its memory, and the word to stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_ctx::{CancelGuard, CancelToken, Ctx};
use http::HeaderMap;
use smol_str::SmolStr;
use tonic::Status;

use super::Server;
use super::gate::Pass;
use crate::VIA;

/// Most processes through which a call comes; a longer way is one in circles.
const VIA_MAX: usize = 64;

/// A call under way. Dropping it stops what still works for it: so does a client that leaves.
pub(crate) struct Call {
    /// What the call carries.
    pub ctx: Ctx,
    deadline: Instant,
    _cancel: CancelGuard,
    _pass: Pass,
}

impl Call {
    /// Waits for a turn. The deadline counts from now; the client's own can only bring it nearer.
    pub async fn begin(server: &Server, headers: &HeaderMap) -> Result<Call, Status> {
        let longest = server.settings.timeout;
        let deadline = Instant::now() + timeout(headers).map_or(longest, |t| t.min(longest));
        let pass = server.gate.enter(deadline).await?;
        let cancel = CancelToken::default();
        let ctx = Ctx {
            budget: server.budget.child("memory of the call", u64::MAX),
            cancel: cancel.clone(),
            deadline: Some(deadline),
            clock: server.clock.clone(),
            cpu: server.cpu.clone(),
            via: via(headers),
        };
        Ok(Call { ctx, deadline, _cancel: cancel.guard(), _pass: pass })
    }

    /// Runs `work` until the deadline: also work that never asks what time it is.
    pub async fn run<T>(&self, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        match tokio::time::timeout_at(self.deadline.into(), work).await {
            Ok(done) => done,
            Err(_) => Err(Status::deadline_exceeded("the call timed out")),
        }
    }
}

/// Processes through which a call came, as the client tells it: another Dolmen.
fn via(headers: &HeaderMap) -> Arc<[SmolStr]> {
    let text = headers.get(VIA).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(',').filter(|id| !id.is_empty()).take(VIA_MAX).map(SmolStr::from).collect()
}

/// What `grpc-timeout` says: up to eight digits and a unit. What is no timeout is none.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let n: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().unwrap());
            timeout(&headers)
        };
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(of("3M"), Some(Duration::from_secs(180)));
        assert_eq!(of("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(of("7u"), Some(Duration::from_micros(7)));
        for bad in ["", "S", "100000000S", "-1S", "1", "1s"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        assert_eq!(timeout(&HeaderMap::new()), None);
    }
}
