//! Protobuf messages of Prometheus remote write, as plain prost types.
