//! Which blocks become which: group, plan, merge, clean.

mod group;
pub use group::group_key;

mod planner;
pub use planner::{INDEX_SIZE_MAX, LeaveOut, Plan, PlanBlock, Planner};

#[cfg(test)]
mod golden;
