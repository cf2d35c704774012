//! PromQL plan -> step batches, operator by operator.

pub mod aggregate;
pub mod annotation;
pub mod batch;
pub mod binary;
pub mod element;
pub mod env;
pub mod error;
pub mod eval;
pub mod function;
pub mod histogram;
pub mod info;
pub mod instant;
pub mod plan;
pub mod scan;
pub mod window;
