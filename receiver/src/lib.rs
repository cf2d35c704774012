//! The receive role: takes samples, keeps the newest in a head, cuts blocks, ships them.
//!
//! ```text
//! remote write -> head -> block in blocks/ -> bucket
//!                  |            |               after three sync intervals of a gateway: gone from here
//!                  +--- answers +
//! ```

mod held;
mod local;
mod metrics;
mod receiver;
mod scrape;

pub use local::{LocalBlocks, Seen};
pub use metrics::ReceiverMetrics;
pub use receiver::{BucketSeen, Receiver, ReceiverSettings, control};
pub use scrape::{ScrapeSettings, scrape_self};
