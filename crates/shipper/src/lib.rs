//! Finished blocks into the bucket, and whole blocks out of it.
//!
//! ```text
//! chunks/* ─▶ index ─▶ listing ─▶ journal: ready ─▶ meta.json ─▶ listing ─▶ journal: done   (upload)
//! meta.json ─▶ the rest ─▶ deletion-mark.json                                              (delete)
//! ```
//!
//! An upload that fails leaves its objects, and the [`Journal`] names it: the next run goes on where it broke
//! off. Nothing of it is deleted while the same ULID may be uploaded again, because a gateway that was stopped
//! carries out requests whose callers gave up: such a late delete would hit the second, whole upload.

mod delete;
mod download;
mod journal;
mod metrics;
mod ship;
mod upload;

pub use delete::{delete_abandoned, delete_block, write_mark};
pub use download::download_block;
pub use journal::{Journal, Unfinished};
pub use metrics::ShipperMetrics;
pub use ship::{SHIPPER_FILE, Shipper};
pub use upload::{Cleaned, UploadSettings, Uploader};
