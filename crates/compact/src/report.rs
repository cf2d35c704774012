//! What a run found and did.

use std::collections::BTreeMap;

use dolmen_block::{Meta, Ulid};
use dolmen_model::Error;
use dolmen_shipper::Cleaned;

/// What a run found in a group of blocks. The later one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// Nothing to do.
    Idle,
    /// Blocks were merged, and nothing more is to do.
    Compacted,
    /// Blocks that overlap in time wait; the others are merged.
    Overlapping,
    /// Downsampled blocks: the group waits.
    Downsampled,
    /// It failed, or one of its blocks turned out to be broken.
    Failed,
}

impl GroupState {
    /// All of them.
    pub const ALL: [GroupState; 5] = [
        GroupState::Idle,
        GroupState::Compacted,
        GroupState::Overlapping,
        GroupState::Downsampled,
        GroupState::Failed,
    ];

    /// The value of the label `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupState::Idle => "idle",
            GroupState::Compacted => "compacted",
            GroupState::Overlapping => "overlapping",
            GroupState::Downsampled => "downsampled",
            GroupState::Failed => "failed",
        }
    }
}

/// A merge that was done.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// Its group.
    pub group: String,
    /// What was merged.
    pub parents: Vec<Ulid>,
    /// What came out and is in the bucket; `None` where no sample was left.
    pub result: Option<Meta>,
}

/// Why a block is not compacted although it is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// It overlaps others in time.
    Overlap,
    /// It carries a no-compact mark: a person has to look.
    NoCompactMark,
}

impl Waiting {
    /// All of them.
    pub const ALL: [Waiting; 2] = [Waiting::Overlap, Waiting::NoCompactMark];

    /// The value of the label `reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Waiting::Overlap => "overlap",
            Waiting::NoCompactMark => "no-compact-mark",
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// State by group.
    pub groups: BTreeMap<String, GroupState>,
    /// Merges, in their order.
    pub compactions: Vec<Compaction>,
    /// Deletion marks that were put, with their reason.
    pub marked: Vec<(Ulid, &'static str)>,
    /// Blocks and unfinished uploads that were deleted.
    pub deleted: Vec<Ulid>,
    /// What became of own unfinished uploads.
    pub cleaned: Cleaned,
    /// Whole blocks that are not compacted, with why.
    pub waiting: BTreeMap<Ulid, Waiting>,
    /// Blocks whose bytes are broken, found by this run: from now on they carry a no-compact mark.
    pub quarantined: Vec<Ulid>,
    /// What failed, and was passed over.
    pub failures: Vec<Error>,
}

impl RunReport {
    /// How many groups are in a state.
    pub fn groups_in(&self, state: GroupState) -> usize {
        self.groups.values().filter(|s| **s == state).count()
    }
}
