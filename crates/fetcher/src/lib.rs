//! Which blocks exist in the bucket: listing and filters.
