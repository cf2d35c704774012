//! Whether the process can do its work, and if not, why.

use std::sync::Arc;

use parking_lot::Mutex;

/// What still stands between the process and its work. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<Vec<(u64, String)>>>);

impl Readiness {
    /// Ready, until a gate is set up.
    pub fn new() -> Readiness {
        Readiness::default()
    }

    /// Not ready, for this reason, until the gate is opened or dropped.
    pub fn gate(&self, reason: impl Into<String>) -> Gate {
        let mut closed = self.0.lock();
        let id = closed.last().map_or(0, |(id, _)| id + 1);
        closed.push((id, reason.into()));
        Gate { readiness: self.clone(), id }
    }

    /// Not ready any more, for good: the process is ending.
    pub fn close(&self, reason: impl Into<String>) {
        // A gate that is forgotten is never opened.
        std::mem::forget(self.gate(reason));
    }

    /// Why not; empty when ready.
    pub fn reasons(&self) -> Vec<String> {
        self.0.lock().iter().map(|(_, reason)| reason.clone()).collect()
    }

    /// Whether no gate is closed.
    pub fn is_ready(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// A closed gate.
#[derive(Debug)]
pub struct Gate {
    readiness: Readiness,
    id: u64,
}

impl Gate {
    /// Tells how far it is: another reason.
    pub fn update(&self, reason: impl Into<String>) {
        let mut closed = self.readiness.0.lock();
        if let Some(mine) = closed.iter_mut().find(|(id, _)| *id == self.id) {
            mine.1 = reason.into();
        }
    }

    /// Opens it.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.readiness.0.lock().retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_all_gates_are_open() {
        let ready = Readiness::new();
        assert!(ready.is_ready());
        let (a, b) = (ready.gate("replaying the WAL"), ready.gate("first sync"));
        a.update("replaying the WAL: segment 3 of 9");
        assert_eq!(ready.reasons(), ["replaying the WAL: segment 3 of 9", "first sync"]);
        a.open();
        drop(b);
        assert!(ready.is_ready());
        ready.close("shutting down");
        assert_eq!(ready.reasons(), ["shutting down"]);
    }
}
