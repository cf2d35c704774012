//! PromQL plan -> step batches, operator by operator.
