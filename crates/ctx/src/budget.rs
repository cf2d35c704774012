//! Memory budgets: taken before memory is, given back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dolmen_model::{Error, Kind, Result};

/// A ceiling in bytes, shared by all that works on one query, or by all queries.
#[derive(Debug)]
pub struct Budget {
    name: &'static str,
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    parent: Option<Arc<Budget>>,
}

impl Budget {
    /// A budget of its own; `name` is the limit's name in the error.
    pub fn new(name: &'static str, limit: u64) -> Arc<Budget> {
        Arc::new(Budget { name, limit, used: AtomicU64::new(0), peak: AtomicU64::new(0), parent: None })
    }

    /// A budget within this one: what it takes counts in both.
    pub fn child(self: &Arc<Budget>, name: &'static str, limit: u64) -> Arc<Budget> {
        Arc::new(Budget {
            name,
            limit,
            used: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            parent: Some(self.clone()),
        })
    }

    /// Takes `bytes`, or tells which limit stands in the way.
    pub fn reserve(self: &Arc<Budget>, bytes: u64) -> Result<Reservation> {
        let mut held = Reservation { budget: self.clone(), bytes: 0 };
        held.grow(bytes)?;
        Ok(held)
    }

    /// Bytes taken now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that was taken at once.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<()> {
        if let Some(parent) = &self.parent {
            parent.take(bytes)?;
        }
        // Both levels are taken by now; a refusal below gives both back.
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        if after > self.limit {
            self.give_back(bytes);
            return Err(Error::new(
                Kind::Limit,
                format!(
                    "{} of {} bytes would be passed: {before} in use, {bytes} more asked",
                    self.name, self.limit
                ),
            ));
        }
        self.peak.fetch_max(after, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.give_back(bytes);
        }
    }
}

/// Bytes taken from a budget; dropping it gives them back.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Reservation {
    /// Takes more.
    pub fn grow(&mut self, bytes: u64) -> Result<()> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Sets the size, up or down.
    pub fn resize(&mut self, bytes: u64) -> Result<()> {
        if bytes >= self.bytes {
            return self.grow(bytes - self.bytes);
        }
        self.budget.give_back(self.bytes - bytes);
        self.bytes = bytes;
        Ok(())
    }

    /// Gives up to `bytes` of it away as a reservation of their own.
    pub fn split(&mut self, bytes: u64) -> Reservation {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Reservation { budget: self.budget.clone(), bytes }
    }

    /// Takes over another reservation of the same budget.
    pub fn absorb(&mut self, mut other: Reservation) {
        debug_assert!(Arc::ptr_eq(&self.budget, &other.budget), "reservations of two budgets");
        self.bytes += other.bytes;
        other.bytes = 0;
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_child_leaves_the_parent_as_it_was() {
        let parent = Budget::new("all", 100);
        let child = parent.child("one", 50);
        let held = child.reserve(40).unwrap();
        assert!(child.reserve(20).is_err());
        assert_eq!((parent.used(), child.used()), (40, 40));
        drop(held);
        assert_eq!((parent.used(), child.used(), child.peak()), (0, 0, 40));
    }
}
