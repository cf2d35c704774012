//! The gateway role: serves the blocks of a bucket.
