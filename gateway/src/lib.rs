//! The gateway role: serves the blocks of a bucket.
//!
//! ```text
//! every interval, or when a block turns out to be gone: look at the bucket -> which blocks are served
//! first look done -> ready
//! ```

mod gateway;
mod metrics;
mod settings;

pub use gateway::{FirstSync, Gateway};
pub use metrics::GatewayMetrics;
pub use settings::GatewaySettings;
