//! A member that has nothing and says so: data that is known to be somewhere and cannot be read now.

use async_trait::async_trait;
use dolmen_ctx::Ctx;
use dolmen_model::{Answer, Cover, Error, Labels, Result, TimeRange};
use dolmen_storage::{FrameStream, LabelAsk, Queryable, Select};
use smol_str::SmolStr;

/// Whoever asks for its time is told what is missing.
#[derive(Clone, Debug)]
pub struct Absent {
    /// Time that it may hold.
    pub range: TimeRange,
    /// Labels that all its series have; empty where they are not known.
    pub external: Labels,
    /// Why it cannot be read.
    pub error: Error,
}

#[async_trait]
impl Queryable for Absent {
    fn cover(&self, select: &Select) -> Cover {
        let pass = select.matchers.iter().all(|m| self.external.get(m.name()).is_none_or(|v| m.matches(v)));
        let range = self.range.intersect(select.range).filter(|_| pass);
        Cover { labels: vec![self.external.clone()], range, ..Cover::default() }
    }

    async fn select(&self, _: &Ctx, _: &Select) -> Result<FrameStream> {
        Err(self.error.clone())
    }

    async fn labels(&self, _: &Ctx, _: &Select, _: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        Err(self.error.clone())
    }
}
