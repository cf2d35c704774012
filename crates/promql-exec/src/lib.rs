//! PromQL plan -> step batches, operator by operator.

pub mod annotation;
pub mod batch;
pub mod error;
pub mod function;
pub mod histogram;
