//! The PromQL engine: text in, value out.
