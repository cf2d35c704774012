//! Blocks in a bucket as one Queryable.
