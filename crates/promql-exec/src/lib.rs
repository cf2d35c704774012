//! PromQL plan -> step batches, operator by operator.

pub mod function;
pub mod histogram;
