//! Finished blocks -> bucket, meta.json last.
