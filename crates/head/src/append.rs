//! How samples come in.
//!
//! ```text
//! by stripe: lock, find or create, check and append, encode what was accepted, enqueue, unlock
//! samples older than memory: asked of the blocks that are still held
//! wait until the log is on disk up to here
//! ```
//! A batch that comes again waits for the log too: its samples may be those of a batch that is not on disk yet.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use dolmen_ctx::Ctx;
use dolmen_model::{Histogram, Labels, Result, Timestamp};
use dolmen_storage::{AppendReport, Appender, KeyHasher, RejectCause, WriteBatch, WriteSeries};
use smol_str::{SmolStr, ToSmolStr};

use crate::canonical;
use crate::head::Head;
use crate::records::Records;
use crate::series::Hot;
use crate::stream::Stream;
use crate::stripe::Stripe;
use crate::value::{Outcome, Value};

/// Most samples of a batch that are looked for in blocks; senders send far smaller ones. With label sets and
/// histograms, of which each is copied at most once, asks take little more than the batch itself.
const ASKS_MAX: usize = 100_000;

/// A sample that may be stored in a block already.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its series, as received.
    pub labels: Labels,
    /// Its time.
    pub t: Timestamp,
    /// Its value.
    pub value: Asked,
}

/// A value that is looked for in blocks.
#[derive(Clone, Debug)]
pub enum Asked {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Box<Histogram>),
}

impl Asked {
    /// Read where it lies.
    pub fn value(&self) -> Value<'_> {
        match self {
            Asked::Float(v) => Value::Float(*v),
            Asked::Histogram(h) => Value::Histogram(h),
        }
    }
}

/// Knows what the cut blocks hold.
#[async_trait]
pub trait Held: Send + Sync {
    /// Of each sample: what is stored at its time; `Outcome::Older` where nothing is.
    async fn look(&self, ctx: &Ctx, asks: &[Ask]) -> Result<Vec<Outcome>>;
}

/// What appending to memory gave.
#[derive(Default)]
struct Applied {
    report: AppendReport,
    /// With the cause that applies if no block has the sample.
    asks: Vec<(Ask, RejectCause)>,
    /// The stream of the series before: most often that of the next as well.
    stream: Option<Arc<Stream>>,
}

#[async_trait]
impl Appender for Head {
    async fn append(&self, ctx: &Ctx, batch: WriteBatch) -> Result<AppendReport> {
        self.wal.check()?;
        let Applied { mut report, asks, .. } = self.apply(&batch)?;
        self.ask(ctx, asks, &mut report).await?;
        self.wal.durable(self.wal.last()).await?;
        Ok(report)
    }

    fn key_hasher(&self) -> KeyHasher {
        self.hasher.clone()
    }
}

impl Head {
    /// Samples older than memory: stored in a block, or refused.
    async fn ask(&self, ctx: &Ctx, asks: Vec<(Ask, RejectCause)>, report: &mut AppendReport) -> Result<()> {
        if asks.is_empty() {
            return Ok(());
        }
        let (asks, causes): (Vec<Ask>, Vec<RejectCause>) = asks.into_iter().unzip();
        let held = self.held.read().clone();
        let outcomes = match held {
            Some(held) => held.look(ctx, &asks).await?,
            None => vec![Outcome::Older; asks.len()],
        };
        for ((ask, cause), outcome) in asks.iter().zip(causes).zip(outcomes) {
            match outcome {
                Outcome::Duplicate | Outcome::Stored => {
                    report.accepted += 1;
                    report.duplicates += 1;
                }
                Outcome::Conflict | Outcome::Older => report.reject(cause, 1, || ask.labels.to_smolstr()),
            }
        }
        Ok(())
    }

    fn apply(&self, batch: &WriteBatch) -> Result<Applied> {
        let mut order: Vec<(u32, u32)> =
            (0u32..).zip(&batch.series).map(|(i, series)| (self.stripe_of(series.key) as u32, i)).collect();
        order.sort_unstable();
        let bounds = Bounds {
            block_ms: self.settings.block_ms,
            future: self.clock.now().saturating_add(self.settings.future_ms),
        };
        let mut applied = Applied::default();
        let mut writer = Records::default();
        for run in order.chunk_by(|a, b| a.0 == b.0) {
            let mut stripe = self.stripes[run[0].0 as usize].lock();
            for (_, i) in run {
                self.apply_series(
                    &mut stripe,
                    batch,
                    &batch.series[*i as usize],
                    &bounds,
                    &mut writer,
                    &mut applied,
                );
            }
            // Under the lock: the log's order is the order of appending.
            writer.enqueue(&self.wal)?;
        }
        Ok(applied)
    }

    fn apply_series(
        &self,
        stripe: &mut Stripe,
        batch: &WriteBatch,
        series: &WriteSeries,
        bounds: &Bounds,
        writer: &mut Records,
        applied: &mut Applied,
    ) {
        let bytes = batch.labels(series);
        let text = || canonical::labels(bytes).to_smolstr();
        let floats = series.samples.start as usize..series.samples.end as usize;
        let histograms = series.histograms.start as usize..series.histograms.end as usize;
        let samples = (floats.len() + histograms.len()) as u64;
        let found = stripe.find(series.key);
        let stream = match (found, applied.stream.take()) {
            (Some(local), Some(stream)) if stream.id == stripe.hot(local).stream => Some(stream),
            (Some(local), _) => self.streams.get(stripe.hot(local).stream),
            (None, _) => self.stream_of(canonical::decode(bytes)),
        };
        let Some(stream) = stream else {
            applied.report.reject(RejectCause::SeriesLimit, samples, || {
                SmolStr::from(format!("{}: more than {} replicas", text(), crate::STREAMS_MAX))
            });
            return;
        };
        let mut set: Option<Labels> = None;
        let mut labels = || set.get_or_insert_with(|| canonical::labels(bytes)).clone();
        let mut place = Place { found, stream, first: Timestamp::MAX, last: Timestamp::MIN };
        for i in floats {
            let (t, v) = (batch.t[i], batch.v[i]);
            let outcome = self.one(stripe, &mut place, series, bytes, bounds, t, Value::Float(v), writer);
            applied.count(outcome, || (Asked::Float(v), t), text, &mut labels);
        }
        for sample in &batch.histograms[histograms] {
            let value = Value::Histogram(&sample.h);
            let outcome = self.one(stripe, &mut place, series, bytes, bounds, sample.t, value, writer);
            let asked = || (Asked::Histogram(Box::new(sample.h.clone())), sample.t);
            applied.count(outcome, asked, text, &mut labels);
        }
        if place.first <= place.last {
            place.stream.saw(place.first, place.last);
        }
        applied.stream = Some(place.stream);
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one append, borrowed apart")]
    fn one(
        &self,
        stripe: &mut Stripe,
        place: &mut Place,
        series: &WriteSeries,
        bytes: &[u8],
        bounds: &Bounds,
        t: Timestamp,
        value: Value<'_>,
        writer: &mut Records,
    ) -> Verdict {
        if t > bounds.future {
            return Verdict::Refused(RejectCause::Future);
        }
        // Blocks hold what is below the stream's floor; above it memory holds all.
        let in_blocks = t < place.stream.floor();
        if t < place.stream.age_bound(bounds.block_ms) {
            let held = place.found.map_or(Outcome::Older, |local| stripe.older(local, t, value));
            return Verdict::of(held, in_blocks, RejectCause::TooOld);
        }
        let local = match place.found {
            Some(local) => local,
            None => {
                let limit = self.settings.series_limit;
                if limit > 0 && self.series() >= limit {
                    return Verdict::Refused(RejectCause::SeriesLimit);
                }
                let wal_ref = self.next_ref.fetch_add(1, Ordering::Relaxed);
                writer.series(wal_ref, bytes);
                let hot = Hot::new(series.key, wal_ref, place.stream.id);
                let local = self.create(stripe, hot, canonical::decode(bytes));
                place.found = Some(local);
                local
            }
        };
        let range = self.range_of(t);
        let outcome = match value {
            Value::Float(v) => stripe.append_float(local, t, v, range),
            Value::Histogram(h) => stripe.append_histogram(local, t, h, range),
        };
        if outcome == Outcome::Stored {
            writer.sample(stripe.hot(local).wal_ref, t, value);
            place.first = place.first.min(t);
            place.last = place.last.max(t);
        }
        Verdict::of(outcome, in_blocks, RejectCause::OutOfOrder)
    }
}

struct Bounds {
    block_ms: i64,
    future: Timestamp,
}

struct Place {
    found: Option<u32>,
    stream: Arc<Stream>,
    first: Timestamp,
    last: Timestamp,
}

enum Verdict {
    Stored,
    Duplicate,
    Refused(RejectCause),
    /// Memory does not have it; a block may.
    Unknown(RejectCause),
}

impl Verdict {
    fn of(outcome: Outcome, in_blocks: bool, cause: RejectCause) -> Verdict {
        match outcome {
            Outcome::Stored => Verdict::Stored,
            Outcome::Duplicate => Verdict::Duplicate,
            Outcome::Conflict => Verdict::Refused(RejectCause::DuplicateTimestamp),
            Outcome::Older if in_blocks => Verdict::Unknown(cause),
            Outcome::Older => Verdict::Refused(cause),
        }
    }
}

impl Applied {
    fn count(
        &mut self,
        verdict: Verdict,
        asked: impl FnOnce() -> (Asked, Timestamp),
        text: impl FnOnce() -> SmolStr,
        labels: impl FnOnce() -> Labels,
    ) {
        match verdict {
            Verdict::Stored => self.report.accepted += 1,
            Verdict::Duplicate => {
                self.report.accepted += 1;
                self.report.duplicates += 1;
            }
            Verdict::Refused(cause) => self.report.reject(cause, 1, text),
            Verdict::Unknown(cause) if self.asks.len() >= ASKS_MAX => self.report.reject(cause, 1, text),
            Verdict::Unknown(cause) => {
                let (value, t) = asked();
                self.asks.push((Ask { labels: labels(), t, value }, cause));
            }
        }
    }
}
