//! Chunks that cannot be read: they are left out, and the answer says what it lacks without them.

use std::sync::Arc;

use dolmen_model::{Completeness, LabelsRef, Missing, TimeRange};
use dolmen_storage::Origin;

/// Most entries about broken chunks in an answer; beyond it ranges of one store and cause are told as one.
const ENTRIES_MAX: usize = 20;
/// Characters of a series that are logged.
const SERIES_CHARS_MAX: usize = 200;

/// The broken chunks that were met.
#[derive(Debug, Default)]
pub struct Broken {
    lacks: Completeness,
    /// The first series that has one.
    series: String,
}

impl Broken {
    /// A chunk of a series is broken, and with it this time.
    pub fn add(&mut self, labels: LabelsRef<'_>, origin: Option<&Arc<Origin>>, range: TimeRange, why: &str) {
        if self.is_empty() {
            self.series = labels.to_labels().to_string().chars().take(SERIES_CHARS_MAX).collect();
        }
        let Origin { site, store } = origin.map(|o| (**o).clone()).unwrap_or_default();
        self.keep(Missing { site, store, range, cause: format!("broken chunk: {why}") });
    }

    /// Takes over others that were met.
    pub fn merge(&mut self, other: Broken) {
        if self.is_empty() {
            self.series = other.series;
        }
        for m in other.lacks.missing {
            self.keep(m);
        }
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.lacks.is_complete()
    }

    /// What an answer lacks without them.
    pub fn lacks(&self) -> &Completeness {
        &self.lacks
    }

    /// Tells the operator.
    pub fn log(&self) {
        if let Some(first) = self.lacks.missing.first() {
            tracing::warn!(series = self.series, "left out of an answer: {first}");
        }
    }

    fn keep(&mut self, new: Missing) {
        self.lacks.add(new);
        let all = &mut self.lacks.missing;
        if all.len() <= ENTRIES_MAX {
            return;
        }
        let Some(last) = all.pop() else { return };
        let same = |m: &Missing| (&m.site, &m.store, &m.cause) == (&last.site, &last.store, &last.cause);
        // Stores and causes are few; where all entries differ in them, one more does no harm.
        let Some(at) = all.iter().position(same) else { return all.push(last) };
        let other = all.remove(at).range;
        let (mint, maxt) = (other.mint().min(last.range.mint()), other.maxt().max(last.range.maxt()));
        let range = TimeRange::new(mint, maxt).unwrap_or(last.range);
        self.lacks.add(Missing { range, ..last });
    }
}

#[cfg(test)]
mod tests {
    use dolmen_model::{LabelBlock, Labels};

    use super::*;

    #[test]
    fn entries_are_bounded_and_hold_all_that_was_added() {
        let labels = Labels::from_pairs([("a", "x".repeat(1000).as_str())]);
        let block = LabelBlock::single(&labels);
        let store = |name: &str| Arc::new(Origin { site: "s".into(), store: name.into() });
        let stores = [store("a"), store("b"), store("c")];
        let (mut one, mut all) = (Broken::default(), Broken::default());
        let mut added = Vec::new();
        for i in 0..3000i64 {
            let range = TimeRange::new(i * 7919 % 100_003, i * 7919 % 100_003 + 2).unwrap();
            let origin = &stores[i as usize % 3];
            one.add(block.get(0), Some(origin), range, "why");
            added.push((origin.store.clone(), range));
            assert!(one.lacks.missing.len() <= ENTRIES_MAX);
            if i % 100 == 99 {
                all.merge(std::mem::take(&mut one));
                assert!(all.lacks.missing.len() <= ENTRIES_MAX);
            }
        }
        assert_eq!(all.series.chars().count(), SERIES_CHARS_MAX);
        for (store, range) in added {
            let holds = |m: &Missing| m.store == store && m.range.intersect(range) == Some(range);
            assert!(all.lacks.missing.iter().any(holds), "{store} {range:?}");
        }
    }
}
