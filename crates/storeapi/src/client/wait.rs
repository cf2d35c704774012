//! How long a store is waited for: from frame to frame, and in all.

use std::pin::pin;
use std::time::Duration;

use dolmen_ctx::{CancelToken, Ctx};
use dolmen_model::{Error, Kind, Result};
use tokio::time::Instant;

use super::text;

/// How often a caller that has left is looked for.
const CANCEL_EVERY: Duration = Duration::from_millis(50);

/// A store that says it works and sends nothing is waited for so many times as long as one that is silent.
const PATIENCE: u32 = 3;

/// Time that a store may still take. Only what is spent on it counts: a reader that is slow, perhaps because another
/// store is, takes nothing of it.
pub(super) struct Wait {
    cancel: CancelToken,
    each: Duration,
    /// Of `each`, for what is waited for now.
    step: Duration,
    /// How long it is waited while the store says that it works.
    alive: Duration,
    /// Of that, for what is waited for now.
    patience: Duration,
    /// 80 % of what the query has left, so that a store that drips does not take the answers of others with it.
    all: Option<Duration>,
    left: Duration,
}

impl Wait {
    pub fn new(ctx: &Ctx, each: Duration) -> Wait {
        let query_left = ctx.deadline.map(|d| d.saturating_duration_since(std::time::Instant::now()));
        let all = query_left.map(|left| left * 4 / 5);
        Wait {
            cancel: ctx.cancel.clone(),
            each,
            step: each,
            alive: each * PATIENCE,
            patience: each * PATIENCE,
            all,
            left: all.unwrap_or(Duration::MAX),
        }
    }

    /// The time from frame to frame.
    pub fn each(&self) -> Duration {
        self.each
    }

    /// A frame has come: the next one has the whole time again. One that only says that the store works takes of
    /// our patience.
    pub fn next_frame(&mut self, only_alive: bool) {
        self.step = self.each;
        if !only_alive {
            self.patience = self.alive;
        }
    }

    /// The store asks others, and waits for them as we would: it is waited for twice as long while it says that it
    /// works, and so it is where it cannot say so.
    pub fn for_asker(mut self, can_say_so: bool) -> Wait {
        self.alive *= 2;
        self.patience = self.alive;
        if !can_say_so {
            self.each *= 2;
            self.step = self.each;
        }
        self
    }

    /// Whether the store has taken all of its time.
    pub fn is_over(&self) -> bool {
        self.left.is_zero()
    }

    /// An error where the caller has left.
    pub fn check(&self) -> Result<()> {
        match self.cancel.is_canceled() {
            true => Err(Error::new(Kind::Canceled, "query was canceled")),
            false => Ok(()),
        }
    }

    /// The future's value, or an error that says how long it was waited for.
    pub async fn on<T>(&mut self, future: impl Future<Output = T>) -> Result<T> {
        let mut future = pin!(future);
        loop {
            self.check()?;
            // What is always ready must end too.
            if self.left.is_zero() {
                return Err(self.no_end());
            }
            let started = Instant::now();
            let slice = self.step.min(self.left).min(self.patience).min(CANCEL_EVERY);
            let done = tokio::time::timeout(slice, &mut future).await;
            let waited = started.elapsed();
            self.step = self.step.saturating_sub(waited);
            self.left = self.left.saturating_sub(waited);
            self.patience = self.patience.saturating_sub(waited);
            if let Ok(value) = done {
                return Ok(value);
            }
            if self.step.is_zero() {
                return Err(text::no_answer(self.each));
            }
            if self.patience.is_zero() {
                return Err(text::no_series(self.alive));
            }
        }
    }

    /// Reading what came takes of the time too.
    pub async fn spend<T>(&mut self, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let value = work.await;
        self.left = self.left.saturating_sub(started.elapsed());
        value
    }

    fn no_end(&self) -> Error {
        let all = self.all.unwrap_or_default();
        // Where the query had no time of its own, that is no fault of the store.
        let kind = if all >= self.each * PATIENCE { Kind::Retry } else { Kind::Refused };
        let unit = if all >= Duration::from_secs(10) { 1000 } else { 100 };
        let rounded = (all.as_millis() as u64 + unit / 2) / unit * unit;
        Error::new(kind, format!("no end in {}", text::duration(Duration::from_millis(rounded))))
    }
}
