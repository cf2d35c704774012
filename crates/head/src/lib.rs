//! The newest samples: in memory, durable by a write-ahead log, readable while they are written.
//!
//! Series are spread over stripes by the hash of their labels; a write locks one stripe at a time. What a
//! stripe accepts is enqueued to the log under the stripe's lock, so the log's order is the order of
//! appending. [`Head::cut`] writes full block ranges of a stream as blocks, [`Head::settle`] forgets them
//! once readers find them elsewhere.

mod append;
mod canonical;
mod cut;
mod floors;
mod forget;
mod found;
mod head;
mod index;
mod metrics;
mod postings;
mod readers;
mod records;
mod replay;
mod select;
mod series;
mod settings;
mod slab;
mod stream;
mod stripe;
mod symbols;
mod value;

pub use append::{Ask, Asked, Held};
pub use cut::{Cut, How};
pub use head::Head;
pub use metrics::HeadMetrics;
pub use select::HeadReader;
pub use settings::HeadSettings;
pub use stream::STREAMS_MAX;
pub use value::{Outcome, Value, holds};
