//! Object storage: configuration -> ObjectStore, and its coats.
