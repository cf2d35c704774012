//! Real binaries, real Prometheus, real Ceph: starters, scenarios, proofs.
