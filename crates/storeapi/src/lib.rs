//! Thanos' StoreAPI over gRPC (`thanos.Store`, `thanos.info.Info`): a server over any Queryable, and a client.
//!
//! Both speak to Thanos and to each other. Two Dolmens tell each other more, in fields that Thanos skips: whose
//! the chunks of a series are, once replica labels are left out, and what exactly an answer lacks.

/// The header in which a Dolmen tells another through which processes a call came, with commas between.
const VIA: &str = "dolmen-via";

mod facts;
pub use facts::{StoreFacts, TsdbFacts};

mod client;
pub use client::{ClientSettings, StoreClient, frame};

mod server;
pub use server::{Describe, ServerSettings, StoreApiMetrics, StoreServer};

mod snappy;
pub use snappy::SnappyChannel;

mod wire;
