//! Protobuf messages of Prometheus remote write, as plain prost types.
//!
//! The write path reads requests with a walk of its own; these types write requests, and judge the walk in tests.

/// Package `prometheus`: remote write 1.0.
pub mod prometheus {
    #![allow(missing_docs, reason = "generated; what oneof types mean stands in the .proto file")]
    include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));
}
