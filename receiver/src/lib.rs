//! The receive role: takes remote write, keeps the head, ships blocks.
