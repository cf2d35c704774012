//! Which blocks become which: group, plan, merge, clean.
//!
//! [`Planner`] and [`group_key`] decide as Thanos does, so that both can work on one bucket in turn.
//! [`Compactor`] carries it out. Blocks of a group that overlap in time wait.

mod group;
pub use group::group_key;

mod planner;
pub use planner::{INDEX_SIZE_MAX, LeaveOut, Plan, PlanBlock, Planner};

mod fault;
pub use fault::Fault;

mod local;
pub use local::LocalSource;

mod walk;
pub use walk::{LOCAL_STEP, REMOTE_STEP, Walk};

mod input;
pub use input::BlockInput;

mod mask;

mod merge;
pub use merge::{Input, MergeError, Merged, SeriesIn, merge};

pub mod verify;

mod seed;
pub use seed::seed;

mod job;
pub use job::merge_blocks;

pub mod clean;

mod metrics;
pub use metrics::CompactMetrics;

mod report;
pub use report::{Compaction, GroupState, RunReport, Waiting};

mod member;

mod run;
pub use run::{CompactSettings, Compactor};

#[cfg(test)]
mod golden;
