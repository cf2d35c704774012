//! Protobuf messages of Prometheus remote write and of Thanos' gRPC services, as plain prost types.
//!
//! The write path and the store client read with walks of their own; these types write, and judge the walks in
//! tests.

#![allow(missing_docs, reason = "generated; what oneof types mean stands in the .proto files")]
#![allow(clippy::all, reason = "generated")]

/// Package `prometheus`: remote write 1.0.
pub mod prometheus {
    include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));
}

/// Package `thanos`: the StoreAPI.
pub mod thanos {
    include!(concat!(env!("OUT_DIR"), "/thanos.rs"));

    /// Package `thanos.info`: what a component says of itself.
    pub mod info {
        include!(concat!(env!("OUT_DIR"), "/thanos.info.rs"));
    }
}

/// Package `hintspb`: what travels in the hints of the StoreAPI.
pub mod hintspb {
    include!(concat!(env!("OUT_DIR"), "/hintspb.rs"));
}
