//! Whether a block that is still held here has a sample: then the sender only says again what it said before.

use std::sync::Arc;

use async_trait::async_trait;
use dolmen_ctx::Ctx;
use dolmen_head::{Ask, Held, Outcome, holds};
use dolmen_model::{Labels, Matcher, Result, TimeRange};
use dolmen_storage::{Frame, Queryable, Select};
use futures::StreamExt;

use crate::local::LocalBlocks;

/// Looks samples up in local blocks.
pub(crate) struct HeldBlocks {
    pub local: Arc<LocalBlocks>,
}

#[async_trait]
impl Held for HeldBlocks {
    async fn look(&self, ctx: &Ctx, asks: &[Ask]) -> Result<Vec<Outcome>> {
        let mut out = Vec::with_capacity(asks.len());
        for ask in asks {
            out.push(self.one(ctx, ask).await?);
        }
        Ok(out)
    }
}

impl HeldBlocks {
    async fn one(&self, ctx: &Ctx, ask: &Ask) -> Result<Outcome> {
        let Some(at) = TimeRange::inclusive(ask.t, ask.t) else { return Ok(Outcome::Older) };
        let matchers: Vec<Matcher> = ask.labels.iter().map(|(name, value)| Matcher::eq(name, value)).collect();
        let mut seen = Outcome::Older;
        for block in self.local.at(&ask.labels, ask.t) {
            // What a block gives has its external labels, but for `dolmen`.
            let mut expected = ask.labels.edit();
            block.meta.external_labels().iter().for_each(|(name, value)| drop(expected.set(name, value)));
            let expected: Labels = expected.remove("dolmen").build();
            let mut frames = block.reader.select(ctx, &Select::new(at, matchers.clone())).await?;
            while let Some(frame) = frames.next().await {
                let Frame::Batch(batch) = frame? else { break };
                let same = |label| batch.labels.get(label).iter().eq(expected.iter());
                let parts = batch.series.iter().filter(|s| same(s.label)).flat_map(|s| &s.parts);
                for chunk in parts.flat_map(|part| &part.chunks) {
                    match holds(chunk, ask.t, ask.value.value()) {
                        Outcome::Duplicate => return Ok(Outcome::Duplicate),
                        Outcome::Conflict => seen = Outcome::Conflict,
                        Outcome::Stored | Outcome::Older => {}
                    }
                }
            }
        }
        Ok(seen)
    }
}
