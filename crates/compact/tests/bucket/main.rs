//! Whole runs over a bucket: against what Thanos made of the same blocks, and against faults.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod faults;
mod golden;
#[path = "../../../shipper/tests/ship/hook.rs"]
mod hook;
mod promtool;
mod races;
mod random;
mod world;
