//! Micro benchmarks.
