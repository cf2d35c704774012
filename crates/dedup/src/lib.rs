//! Replicas -> one series: pure functions over columns.
