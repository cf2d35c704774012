//! Stored series -> step batches: chunks are decoded, a batch of series at a time, on the CPU threads.

use std::sync::Arc;

use dolmen_model::{Columns, Labels, TimeRange};
use dolmen_storage::{Frame, FrameStream, FuncClass, RawBatch};
use futures::stream::{self, StreamExt};

use crate::annotation::Annotations;
use crate::batch::StepBatch;
use crate::env::{Batches, Env};
use crate::error::{PromqlError, Result};

mod broken;
mod decode;
mod stats;
pub use broken::Broken;
pub use decode::{Decoder, counts};

/// Turns the samples of one series into a row.
pub trait Job: Send + Sync {
    /// How many steps a row has.
    fn steps(&self) -> usize;
    /// Whether counts and sums of histograms are enough.
    fn stats(&self) -> bool {
        false
    }
    /// The labels that a row gets.
    fn labels(&self, labels: Labels) -> (Labels, bool);
    /// Fills the last row of `out`. The samples are ascending in time and may be changed.
    fn run(&self, labels: &Labels, samples: &mut Columns, out: &mut StepBatch, work: &mut Work)
    -> Result<()>;
}

/// Memory that is used for series after series, and what is worth telling.
#[derive(Default)]
pub struct Work {
    /// Floats.
    pub scratch: Vec<f64>,
    /// Places.
    pub places: Vec<u32>,
    /// Annotations.
    pub notes: Annotations,
}

/// Runs a job over the series of a selector.
pub fn scan<'a>(
    env: &'a Env,
    slot: usize,
    func: FuncClass,
    range: TimeRange,
    job: Arc<dyn Job>,
) -> Result<Batches<'a>> {
    let Some(frames) = env.stream(slot) else { return Ok(stream::empty().boxed()) };
    Ok(scan_frames(env, frames, func, range, job))
}

/// Runs a job over the series of a stream.
pub fn scan_frames<'a>(
    env: &'a Env,
    frames: FrameStream,
    func: FuncClass,
    range: TimeRange,
    job: Arc<dyn Job>,
) -> Batches<'a> {
    let width = env.ctx.cpu.width().max(1) * 2;
    // A stream that stops without an end has failed.
    let raw = stream::try_unfold(frames, move |mut frames| async move {
        match frames.next().await {
            Some(Ok(Frame::Batch(batch))) => Ok(Some((batch, frames))),
            Some(Ok(Frame::End(completeness))) => {
                env.missing(completeness);
                Ok(None)
            }
            Some(Err(e)) => Err(PromqlError::from(e)),
            None => Err(PromqlError {
                kind: crate::error::PromqlErrorKind::Internal,
                text: "expanding series: the stream of series broke off".to_owned(),
            }),
        }
    });
    let batches = raw.map(move |batch| {
        let job = job.clone();
        let max = env.settings.max_samples;
        async move {
            let batch = batch?;
            let (out, notes, broken) = env.offload(move || morsel(batch, func, range, &*job, max)).await??;
            env.broken(broken);
            env.hold(out.samples())?;
            Ok((out, notes))
        }
    });
    // Annotations are told in the order of batches, however the work was shared out.
    let batches = batches.buffered(width).map(|done: Result<_>| {
        let (out, notes): (StepBatch, Annotations) = done?;
        env.note(notes);
        Ok(out)
    });
    batches.boxed()
}

fn morsel(
    batch: RawBatch,
    func: FuncClass,
    range: TimeRange,
    job: &dyn Job,
    max_samples: usize,
) -> Result<(StepBatch, Annotations, Broken)> {
    let mut out = StepBatch::with_capacity(job.steps(), batch.series.len());
    let mut decoder = Decoder::new(func);
    let mut work = Work::default();
    for series in &batch.series {
        let labels = batch.labels.get(series.label);
        let samples = decoder.decode(labels, &series.parts, range)?;
        if samples.is_empty() {
            continue;
        }
        if job.stats() {
            stats::only(&mut samples.h);
        }
        if samples.len() > max_samples {
            return Err(PromqlError::too_many_samples());
        }
        run_series(job, labels.to_labels(), samples, &mut out, &mut work)?;
    }
    Ok((out, work.notes, decoder.broken))
}

/// One series into one row, where it gives any value.
pub fn run_series(
    job: &dyn Job,
    stored: Labels,
    samples: &mut Columns,
    out: &mut StepBatch,
    work: &mut Work,
) -> Result<()> {
    let (labels, drop_name) = job.labels(stored.clone());
    let row = out.push(labels, drop_name);
    job.run(&stored, samples, out, work)?;
    if out.is_blank(row) {
        out.pop();
    }
    Ok(())
}

/// Takes stale markers away: windows never hold them.
pub fn drop_stale(samples: &mut Columns) {
    use dolmen_model::is_stale;
    if samples.v.iter().chain(&samples.h.sum).any(|v| is_stale(*v)) {
        decode::retain(samples, |_, v| !is_stale(v));
    }
}
