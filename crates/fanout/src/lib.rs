//! Many Queryables as one: choose those that can match, ask them, merge what they give.
//!
//! Equal label sets of several members become one series that has the parts of all of them. Parts keep
//! their source, so the reader can tell one replica's samples in two places from two replicas.
//!
//! A member that is broken, gone or out of reach does not fail the answer: the answer says what it lacks.
//! Limits, deadlines and requests that make no sense do fail it.

mod absent;
mod lenient;
mod merge;
mod tree;

use std::sync::Arc;

use async_trait::async_trait;
use dolmen_ctx::Ctx;
use dolmen_model::{Answer, Completeness, Cover, Result, TimeRange};
use dolmen_storage::{FrameStream, LabelAsk, Order, Origin, Queryable, Select};
use futures::future::try_join_all;
use smol_str::SmolStr;

use lenient::Lack;

pub use absent::Absent;

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
    own: Origin,
}

impl<M: Members> Fanout<M> {
    /// Over these members.
    pub fn new(members: M) -> Fanout<M> {
        Fanout { members, own: Origin::default() }
    }

    /// What is lacking of members that are in this process is told under this name.
    pub fn named(self, own: Origin) -> Fanout<M> {
        Fanout { own, ..self }
    }

    /// The members that can match, and what an answer lacks without each.
    fn choose(&self, select: &Select) -> Vec<(Arc<dyn Queryable>, Lack)> {
        let choose = |m: Arc<dyn Queryable>| {
            let Cover { site, store, range, .. } = m.cover(select);
            let origin = if store.is_empty() { self.own.clone() } else { Origin { site, store } };
            let lack = Lack { origin, range: range? };
            Some((m, lack))
        };
        self.members.members().into_iter().filter_map(choose).collect()
    }
}

async fn ask(ctx: &Ctx, select: &Select, member: &Arc<dyn Queryable>, lack: Lack) -> Result<FrameStream> {
    match member.select(ctx, select).await {
        Ok(stream) => Ok(lenient::lenient(stream, lack)),
        Err(e) => Ok(lenient::only_lacks(lack.of(e)?)),
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
        if let [(only, lack)] = members.as_slice() {
            return ask(ctx, select, only, lack.clone()).await;
        }
        // Merging needs order, whatever the reader needs.
        let ordered = Select { order: Order::Labels, ..select.clone() };
        let streams = members.iter().map(|(m, lack)| ask(ctx, &ordered, m, lack.clone()));
        Ok(merge::merge(ctx, try_join_all(streams).await?, select.limit))
    }

    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        let members = self.choose(select);
        let answers = members.iter().map(|(m, lack)| {
            let answer = m.labels(ctx, select, ask.clone());
            async {
                match answer.await {
                    Ok(Answer { value, completeness }) => {
                        Ok(Answer { value, completeness: lack.named(completeness) })
                    }
                    Err(e) => lack.of(e).map(|completeness| Answer { value: Vec::new(), completeness }),
                }
            }
        });
        let mut completeness = Completeness::complete();
        let mut value = Vec::new();
        for answer in try_join_all(answers).await? {
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
