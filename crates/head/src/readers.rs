//! Who reads: what was cut is forgotten only when all who began before have ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Readers under way, by when they began.
#[derive(Clone, Default)]
pub struct Readers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    epoch: u64,
    active: BTreeMap<u64, usize>,
}

/// A reader; it ends when this and its clones are dropped.
pub struct Reading {
    readers: Readers,
    epoch: u64,
}

impl Readers {
    /// A reader begins.
    pub fn begin(&self) -> Reading {
        let mut state = self.0.state.lock();
        let epoch = state.epoch;
        *state.active.entry(epoch).or_default() += 1;
        Reading { readers: self.clone(), epoch }
    }

    /// Waits until all who have begun by now have ended; whether they did within `patience`.
    pub async fn drained(&self, patience: Duration) -> bool {
        let now = {
            let mut state = self.0.state.lock();
            state.epoch += 1;
            state.epoch
        };
        let all_ended = async {
            loop {
                let ended = self.0.ended.notified();
                if self.0.state.lock().active.keys().next().is_none_or(|oldest| *oldest >= now) {
                    return;
                }
                ended.await;
            }
        };
        tokio::time::timeout(patience, all_ended).await.is_ok()
    }
}

impl Clone for Reading {
    /// Began when this one began.
    fn clone(&self) -> Reading {
        *self.readers.0.state.lock().active.entry(self.epoch).or_default() += 1;
        Reading { readers: self.readers.clone(), epoch: self.epoch }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut state = self.readers.0.state.lock();
        if let Some(count) = state.active.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                state.active.remove(&self.epoch);
                self.readers.0.ended.notify_waiters();
            }
        }
    }
}
