//! Runner of Prometheus' PromQL test scripts.
//!
//! A script loads series and says what expressions give at some time or over some range. Every `eval` is a case.
//! An instant one is evaluated in more ways than written: with `@` in its selectors at other times, and as the
//! middle step of a range query; all must agree.

mod script;

mod series;

mod histogram;

mod nhcb;

mod store;

mod compare;

mod pin;

mod case;

mod report;
pub use report::{Case, ExpectFail, Outcome, Report, Verdict};

mod run;
pub use run::run;

#[cfg(test)]
mod tests;
