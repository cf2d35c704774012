//! The router, asked as clients ask it, over an engine and a store that are made up.

mod fake;
mod golden;
mod limits;
mod requests;
mod stores;
mod values;
