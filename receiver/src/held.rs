//! Whether a block that is still held here has a sample: then the sender only says again what it said before.

use std::sync::Arc;

use async_trait::async_trait;
use dolmen_ctx::Ctx;
use dolmen_head::{Ask, Held, Outcome, holds};
use dolmen_model::{Labels, Matcher, Result, TimeRange};
use dolmen_storage::{Frame, Queryable, RawChunk, Select};
use futures::StreamExt;

use crate::local::LocalBlocks;

/// Looks samples up in local blocks.
pub(crate) struct HeldBlocks {
    pub local: Arc<LocalBlocks>,
}

#[async_trait]
impl Held for HeldBlocks {
    async fn look(&self, ctx: &Ctx, asks: &[Ask]) -> Result<Vec<Outcome>> {
        let mut out = vec![Outcome::Older; asks.len()];
        let mut order: Vec<usize> = (0..asks.len()).collect();
        order.sort_by(|a, b| asks[*a].labels.cmp(&asks[*b].labels));
        // A sender that says a batch again asks for many samples of each series: each series is read once.
        for run in order.chunk_by(|a, b| asks[*a].labels == asks[*b].labels) {
            self.series(ctx, asks, run, &mut out).await?;
        }
        Ok(out)
    }
}

impl HeldBlocks {
    /// Looks up the samples at these places, all of one series.
    async fn series(&self, ctx: &Ctx, asks: &[Ask], run: &[usize], out: &mut [Outcome]) -> Result<()> {
        let labels = &asks[run[0]].labels;
        let times = || run.iter().map(|i| asks[*i].t);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
        let Some(range) = TimeRange::inclusive(first, last) else { return Ok(()) };
        let matchers: Vec<Matcher> = labels.iter().map(|(name, value)| Matcher::eq(name, value)).collect();
        for block in self.local.within(labels, range) {
            // What a block gives has its external labels, but for `dolmen`.
            let mut expected = labels.edit();
            for (name, value) in block.meta.external_labels().iter() {
                expected.set(name, value);
            }
            let expected: Labels = expected.remove("dolmen").build();
            let mut frames = block.reader.select(ctx, &Select::new(range, matchers.clone())).await?;
            while let Some(frame) = frames.next().await {
                let Frame::Batch(batch) = frame? else { break };
                let same = |label| batch.labels.get(label).iter().eq(expected.iter());
                let parts = batch.series.iter().filter(|s| same(s.label)).flat_map(|s| &s.parts);
                let chunks: Vec<&RawChunk> = parts.flat_map(|part| &part.chunks).collect();
                for i in run {
                    out[*i] = better(out[*i], within(&chunks, &asks[*i]));
                }
            }
        }
        Ok(())
    }
}

/// What is stored at the time that is asked for.
fn within(chunks: &[&RawChunk], ask: &Ask) -> Outcome {
    let at = chunks.iter().filter(|c| c.mint <= ask.t && ask.t <= c.maxt);
    at.map(|chunk| holds(chunk, ask.t, ask.value.value())).fold(Outcome::Older, better)
}

/// A duplicate anywhere is one, whatever else is stored at its time.
fn better(a: Outcome, b: Outcome) -> Outcome {
    match (a, b) {
        (Outcome::Duplicate, _) | (_, Outcome::Duplicate) => Outcome::Duplicate,
        (Outcome::Conflict, _) | (_, Outcome::Conflict) => Outcome::Conflict,
        _ => Outcome::Older,
    }
}
