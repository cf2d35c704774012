//! Real binaries on loopback: starters for Dolmen, Prometheus, exporters and Ceph, a remote-write load
//! with a ledger, and the proofs that `./prove` runs.
//!
//! Everything here looks at Dolmen from outside its process. Every port is picked by the system; what is
//! started is stopped when its value is dropped.

pub mod ceph;
pub mod demo;
pub mod dolmen;
pub mod exporter;
pub mod hostile;
pub mod http;
pub mod ledger;
pub mod load;
pub mod place;
pub mod process;
pub mod prometheus;
pub mod proof;
pub mod proxy;
