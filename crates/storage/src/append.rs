//! Who takes samples.
//!
//! A write batch is columns, and ranges into the decoded request: labels are never copied on the way in.
//! A series' canonical label bytes are its `Label` messages as remote-write 1.0 encodes them: sorted by
//! name, minimal varints, each `0x0a len 0x0a n name 0x12 m value`. A series the appender knows is found
//! by a keyed hash of these bytes without parsing them.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use dolmen_ctx::Ctx;
use dolmen_model::{Histogram, Result, Timestamp};
use smol_str::SmolStr;

/// Takes samples; returns once they are as durable as configured.
#[async_trait]
pub trait Appender: Send + Sync {
    /// Appends one batch: what is refused is told sample by sample cause, the rest is stored.
    async fn append(&self, ctx: &Ctx, batch: WriteBatch) -> Result<AppendReport>;

    /// The hasher of series keys. It holds this appender's secret, so nobody can collide series on purpose.
    fn key_hasher(&self) -> KeyHasher;
}

/// Samples of many series.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// The decoded request; label bytes that came sorted are read in place.
    pub body: Bytes,
    /// Label bytes that had to be encoded anew.
    pub side: Bytes,
    /// The series.
    pub series: Vec<WriteSeries>,
    /// Times of all float samples.
    pub t: Vec<Timestamp>,
    /// Values of all float samples.
    pub v: Vec<f64>,
    /// Histogram samples of all series.
    pub histograms: Vec<HistogramSample>,
}

impl WriteBatch {
    /// The canonical label bytes of a series.
    pub fn labels(&self, series: &WriteSeries) -> &[u8] {
        match &series.labels {
            LabelBytes::Body(r) => &self.body[r.start as usize..r.end as usize],
            LabelBytes::Side(r) => &self.side[r.start as usize..r.end as usize],
        }
    }
}

/// Where label bytes stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelBytes {
    /// In the decoded request.
    Body(Range<u32>),
    /// In the side buffer.
    Side(Range<u32>),
}

/// One series of a batch. The same series may come more than once.
#[derive(Clone, Debug)]
pub struct WriteSeries {
    /// Keyed hash of the canonical label bytes.
    pub key: u128,
    /// The canonical label bytes.
    pub labels: LabelBytes,
    /// Its samples in `t` and `v`.
    pub samples: Range<u32>,
    /// Its samples in `histograms`.
    pub histograms: Range<u32>,
}

/// A histogram sample.
#[derive(Clone, Debug)]
pub struct HistogramSample {
    /// Its time.
    pub t: Timestamp,
    /// Its value.
    pub h: Histogram,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct AppendReport {
    /// Samples that are stored now, duplicates of stored ones among them.
    pub accepted: u64,
    /// Of these, samples that were stored already.
    pub duplicates: u64,
    /// Samples that are not stored, by cause.
    pub rejected: Vec<Reject>,
}

impl AppendReport {
    /// Counts refused samples; the first of each cause is named.
    pub fn reject(&mut self, cause: RejectCause, samples: u64, series: impl FnOnce() -> SmolStr) {
        match self.rejected.iter_mut().find(|r| r.cause == cause) {
            Some(r) => r.samples += samples,
            None => self.rejected.push(Reject { cause, samples, first: series() }),
        }
    }
}

/// Samples refused for one cause.
#[derive(Clone, Debug)]
pub struct Reject {
    /// Why.
    pub cause: RejectCause,
    /// How many.
    pub samples: u64,
    /// The first series concerned, as Prometheus prints it.
    pub first: SmolStr,
}

/// Why a sample is refused. The names are those of the `cause` label and of the error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectCause {
    /// Older than the series' newest sample.
    OutOfOrder,
    /// Below the stream's last cut, or too far behind its newest sample.
    TooOld,
    /// Same time as a stored sample, other value.
    DuplicateTimestamp,
    /// More than ten minutes ahead of the clock.
    Future,
    /// No name, a name twice, an empty name, no UTF-8.
    BadLabel,
    /// A histogram that contradicts itself.
    BadHistogram,
    /// More series than the limit allows.
    SeriesLimit,
}

impl RejectCause {
    /// The name in metrics and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectCause::OutOfOrder => "out_of_order",
            RejectCause::TooOld => "too_old",
            RejectCause::DuplicateTimestamp => "duplicate_timestamp",
            RejectCause::Future => "future",
            RejectCause::BadLabel => "bad_label",
            RejectCause::BadHistogram => "bad_histogram",
            RejectCause::SeriesLimit => "series_limit",
        }
    }
}

/// Hashes canonical label bytes with a secret.
#[derive(Clone)]
pub struct KeyHasher(std::sync::Arc<[u8; 192]>);

impl KeyHasher {
    /// With a secret of an appender's own.
    pub fn new(secret: [u8; 192]) -> KeyHasher {
        KeyHasher(std::sync::Arc::new(secret))
    }

    /// The key of a series.
    pub fn key(&self, label_bytes: &[u8]) -> u128 {
        xxhash_rust::xxh3::xxh3_128_with_secret(label_bytes, &self.0[..])
    }
}
