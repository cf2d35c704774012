//! PromQL's functions.

pub mod calendar;
pub mod classic;
pub mod kernel;
pub mod math;
pub mod order;
pub mod over_time;
pub mod rate;
pub mod relabel;
pub mod transitions;
pub mod trend;

#[cfg(test)]
mod tests;
