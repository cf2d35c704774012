//! `series`: label sets of the series that match.

use std::num::NonZeroU64;
use std::sync::Arc;

use dolmen_ctx::offload;
use dolmen_model::{Completeness, LabelsRef};
use dolmen_storage::{Frame, Queryable, RawBatch, Select};
use futures::StreamExt;

use crate::answer::{Answer, Feed};
use crate::call::Call;
use crate::error::ApiError;
use crate::form::Form;
use crate::json::Json;
use crate::metadata::Asked;
use crate::query::TRUNCATED;
use crate::state::Api;

/// Label sets as they came, and the order in which they go out. The batches keep their memory reserved.
struct LabelSets {
    batches: Vec<RawBatch>,
    /// Batch and place in it.
    order: Vec<(u32, u32)>,
    at: usize,
}

impl LabelSets {
    fn new(batches: Vec<RawBatch>) -> LabelSets {
        let places =
            |(b, batch): (usize, &RawBatch)| (0..batch.series.len()).map(move |i| (b as u32, i as u32));
        let order = batches.iter().enumerate().flat_map(places).collect();
        LabelSets { batches, order, at: 0 }
    }

    /// In label order, each once.
    fn sorted(mut self) -> LabelSets {
        let mut order = std::mem::take(&mut self.order);
        order.sort_unstable_by(|a, b| self.labels(*a).iter().cmp(self.labels(*b).iter()));
        order.dedup_by(|a, b| self.labels(*a).iter().eq(self.labels(*b).iter()));
        LabelSets { order, ..self }
    }

    fn labels(&self, (batch, place): (u32, u32)) -> LabelsRef<'_> {
        let batch = &self.batches[batch as usize];
        batch.labels.get(batch.series[place as usize].label)
    }
}

impl Feed for LabelSets {
    fn feed(&mut self, out: &mut Json, until: usize) -> bool {
        if self.at == 0 {
            out.raw("[");
        }
        while out.len() < until && self.at < self.order.len() {
            out.comma(self.at);
            out.labels(self.labels(self.order[self.at]).iter());
            self.at += 1;
        }
        let more = self.at < self.order.len();
        out.raw(if more { "" } else { "]" });
        more
    }
}

/// Label sets of the series that match one of `match[]`.
pub(crate) async fn series(api: &Api, form: Form) -> Result<Answer, ApiError> {
    if form.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let asked = Asked::read(api, &form, |e| ApiError::parameter("match[]", e))?;
    let call = Call::begin(api, None).await?;
    let mut lacks = Completeness::complete();
    let mut batches = Vec::new();
    if let Some(range) = asked.range {
        for matchers in &asked.sets {
            // One more than wanted tells that there is more.
            let limit = asked.limit.and_then(|n| NonZeroU64::new(n as u64 + 1));
            let select = Select { limit, ..asked.select(range, matchers) };
            lacks.merge(call.run(collect(&asked.terms.queryable, &call, &select, &mut batches)).await?);
        }
    }
    asked.terms.check(&lacks)?;
    let mut sets = LabelSets::new(batches);
    if asked.sets.len() > 1 {
        sets = offload(&call.ctx.cpu, move || sets.sorted()).await?;
    }
    let cut = asked.limit.filter(|limit| sets.order.len() > *limit);
    sets.order.truncate(cut.unwrap_or(sets.order.len()));
    let mut answer = Answer::new(sets);
    answer.warnings.extend(cut.map(|_| TRUNCATED.to_owned()));
    Ok(answer.lacks(&lacks))
}

async fn collect(
    queryable: &Arc<dyn Queryable>,
    call: &Call,
    select: &Select,
    batches: &mut Vec<RawBatch>,
) -> Result<Completeness, ApiError> {
    let mut stream = queryable.select(&call.ctx, select).await?;
    let wanted = select.limit.map_or(u64::MAX, NonZeroU64::get);
    let mut found = 0;
    while let Some(frame) = stream.next().await {
        call.ctx.check()?;
        match frame? {
            Frame::End(lacks) => return Ok(lacks),
            // Past the limit nothing is kept, but the end is waited for: it alone tells whether a store lacks
            // series that would stand among those wanted.
            Frame::Batch(_) if found >= wanted => {}
            Frame::Batch(batch) => {
                found += batch.series.len() as u64;
                batches.push(batch);
            }
        }
    }
    Err(dolmen_model::Error::new(dolmen_model::Kind::Retry, "a store broke off its answer").into())
}
