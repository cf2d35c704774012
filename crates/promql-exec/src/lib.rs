//! PromQL plan -> step batches, operator by operator.

pub mod histogram;
