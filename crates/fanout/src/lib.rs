//! Many Queryables as one: choose those that can match, ask them, merge what they give.
//!
//! Equal label sets of several members become one series that has the parts of all of them. Parts keep
//! their source, so the reader can tell one replica's samples in two places from two replicas.

mod merge;

use std::sync::Arc;

use async_trait::async_trait;
use dolmen_ctx::Ctx;
use dolmen_model::{Answer, Completeness, Cover, Result, TimeRange};
use dolmen_storage::{FrameStream, LabelAsk, Order, Queryable, Select};
use futures::future::try_join_all;
use smol_str::SmolStr;

/// Who is asked: read anew for every query, so members may come and go.
pub trait Members: Send + Sync {
    /// The members as of now.
    fn members(&self) -> Vec<Arc<dyn Queryable>>;
}

impl Members for Vec<Arc<dyn Queryable>> {
    fn members(&self) -> Vec<Arc<dyn Queryable>> {
        self.clone()
    }
}

/// Many Queryables as one.
pub struct Fanout<M> {
    members: M,
}

impl<M: Members> Fanout<M> {
    /// Over these members.
    pub fn new(members: M) -> Fanout<M> {
        Fanout { members }
    }

    fn choose(&self, select: &Select) -> Vec<Arc<dyn Queryable>> {
        let mut members = self.members.members();
        members.retain(|m| m.cover(select).range.is_some());
        members
    }
}

#[async_trait]
impl<M: Members> Queryable for Fanout<M> {
    fn cover(&self, select: &Select) -> Cover {
        let mut all = Cover::default();
        for cover in self.members.members().iter().map(|m| m.cover(select)) {
            all.labels.extend(cover.labels);
            all.range = match (all.range, cover.range) {
                (Some(a), Some(b)) => TimeRange::new(a.mint().min(b.mint()), a.maxt().max(b.maxt())),
                (a, b) => a.or(b),
            };
        }
        all
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        let members = self.choose(select);
        if let [only] = members.as_slice() {
            return only.select(ctx, select).await;
        }
        // Merging needs order, whatever the reader needs.
        let ordered = Select { order: Order::Labels, ..select.clone() };
        let streams = try_join_all(members.iter().map(|m| m.select(ctx, &ordered))).await?;
        merge::merge(ctx, streams, select.limit)
    }

    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        let members = self.choose(select);
        let answers = try_join_all(members.iter().map(|m| m.labels(ctx, select, ask.clone()))).await?;
        let mut completeness = Completeness::complete();
        let mut value = Vec::new();
        for answer in answers {
            value.extend(answer.value);
            completeness.merge(answer.completeness);
        }
        value.sort_unstable();
        value.dedup();
        if let Some(limit) = select.limit {
            value.truncate(usize::try_from(limit.get()).unwrap_or(usize::MAX));
        }
        Ok(Answer { value, completeness })
    }
}

#[cfg(test)]
mod tests;
