//! The roles: each parses nothing and owns nothing, it puts parts together and runs them.

pub mod compact;
pub mod gateway;
pub mod open;
pub mod query;
pub mod receive;
pub mod serve;

mod answers;
mod blocks;
pub mod bucket;
mod compaction;
mod door;
mod members;
mod stage;
mod store_api;
mod stores;
mod writes;
