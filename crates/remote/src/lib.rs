//! Remote write -> Appender.
//!
//! ```text
//! body, snappy      size limits before memory is taken         body.rs
//!   -> protobuf     walked in place, nothing copied            wire.rs, decode.rs
//!   -> series       label rules, then the key                  labels.rs
//!   -> WriteBatch   float columns, checked histograms          histogram.rs
//!   -> Appender     one call a request; then 204, or 400 with counts by cause
//! ```

mod wire;

mod labels;
pub use labels::{LABEL_SET_BYTES_MAX, LabelRules};

mod histogram;

mod decode;
pub use decode::{Decoded, decode};

mod body;
pub use body::{BodyError, decoded_len, decompress};

mod encode;
pub use encode::{WriteSample, encode_write_request};

mod metrics;
pub use metrics::RemoteMetrics;

mod handler;
pub use handler::{RemoteSettings, RemoteState, router};

mod exposition;
pub use exposition::{ExposedSample, parse_exposition};

mod self_scrape;
pub use self_scrape::SelfScrape;

#[cfg(test)]
mod tests;
