//! Label sets of a store that does not leave replica labels out itself: they are kept until the end, since without
//! a label any series may come before any other.

use std::iter::Peekable;
use std::sync::Arc;

use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Labels, Result, SourceId};
use dolmen_storage::{Origin, RawChunk};
use smol_str::SmolStr;

use super::emit::Emit;
use super::frame::LabelText;
use super::parts::Gathered;

/// The label that every Dolmen gives its blocks: `local` stands for no value.
const OWN_LABEL: &str = "dolmen";
const OWN_LOCAL: &str = "local";

/// Replica labels, by name.
pub(super) struct Strip(Vec<SmolStr>);

impl Strip {
    pub fn new(without: &[SmolStr]) -> Strip {
        let mut names: Vec<SmolStr> = without.iter().filter(|n| !n.is_empty()).cloned().collect();
        names.sort_unstable();
        names.dedup();
        Strip(names)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The set without replica labels.
    pub fn labels(&self, labels: &LabelText) -> Labels {
        Labels::from_sorted(labels.iter().filter(|(name, _)| !self.0.iter().any(|w| w == name)))
    }

    /// What the replica labels say.
    pub fn source(&self, labels: &LabelText) -> SourceId {
        SourceId::new(self.0.iter().map(|name| match labels.value(name) {
            OWN_LOCAL if name == OWN_LABEL => "",
            value => value,
        }))
    }
}

struct Kept {
    labels: Labels,
    source: SourceId,
    chunks: Vec<RawChunk>,
    bytes: u64,
}

/// Series that are kept.
pub(super) struct Collected {
    strip: Strip,
    kept: Vec<Kept>,
    held: Reservation,
}

impl Collected {
    pub fn new(ctx: &Ctx, strip: Strip) -> Result<Collected> {
        Ok(Collected { strip, kept: Vec::new(), held: ctx.budget.reserve(0)? })
    }

    /// Keeps a series, whose memory is `held`, that of its labels apart.
    pub fn push(&mut self, labels: &LabelText, chunks: Vec<RawChunk>, mut held: Reservation) -> Result<()> {
        held.grow(labels.bytes() + 2 * size_of::<Kept>() as u64)?;
        let bytes = held.bytes();
        self.held.absorb(held);
        let (labels, source) = (self.strip.labels(labels), self.strip.source(labels));
        self.kept.push(Kept { labels, source, chunks, bytes });
        Ok(())
    }

    /// All of them, by final label set.
    pub fn sort(mut self) -> Sorted {
        self.kept.sort_by(|a, b| a.labels.cmp(&b.labels));
        Sorted { kept: self.kept.into_iter().peekable(), held: self.held }
    }
}

/// Series that are passed on.
pub(super) struct Sorted {
    kept: Peekable<std::vec::IntoIter<Kept>>,
    held: Reservation,
}

impl Sorted {
    /// Passes on one series, all that have its final label set as one; whether there was one.
    pub fn pass(&mut self, samples: bool, origin: &Arc<Origin>, emit: &mut Emit) -> Result<bool> {
        let Some(first) = self.kept.next() else { return Ok(false) };
        let labels = first.labels;
        let mut held = self.held.split(first.bytes);
        let mut gathered = Gathered::default();
        gathered.add(first.source, first.chunks)?;
        while let Some(more) = self.kept.next_if(|k| k.labels == labels) {
            held.absorb(self.held.split(more.bytes));
            gathered.add(more.source, more.chunks)?;
        }
        let parts = gathered.parts(origin)?;
        if !samples || !parts.is_empty() {
            emit.push(labels.iter(), parts, held)?;
        }
        Ok(true)
    }
}
