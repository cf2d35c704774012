//! What an answer lacks, and what a store may hold.

use smol_str::SmolStr;

use crate::{Labels, TimeRange};

/// Data that an answer should have held and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The datacenter; empty where it is not known.
    pub site: SmolStr,
    /// The store, by address or by path.
    pub store: SmolStr,
    /// The time that is affected.
    pub range: TimeRange,
    /// Why.
    pub cause: String,
}

/// Whether an answer is whole. Empty means complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// What is missing.
    pub missing: Vec<Missing>,
}

impl Completeness {
    /// A whole answer.
    pub fn complete() -> Completeness {
        Completeness::default()
    }

    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Takes over what another part of the answer lacks.
    pub fn merge(&mut self, other: Completeness) {
        for m in other.missing {
            if !self.missing.contains(&m) {
                self.missing.push(m);
            }
        }
    }
}

/// A value and what it lacks.
#[derive(Clone, Debug, Default)]
pub struct Answer<T> {
    /// The value.
    pub value: T,
    /// What it lacks.
    pub completeness: Completeness,
}

impl<T> Answer<T> {
    /// A whole answer.
    pub fn whole(value: T) -> Answer<T> {
        Answer { value, completeness: Completeness::complete() }
    }
}

/// What a store may hold for a select: known without I/O.
#[derive(Clone, Debug, Default)]
pub struct Cover {
    /// The datacenter; empty where it is not known.
    pub site: SmolStr,
    /// External label sets.
    pub labels: Vec<Labels>,
    /// Time that it may hold; `None`: nothing that the select asks for.
    pub range: Option<TimeRange>,
}
