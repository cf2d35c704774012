//! Who gives samples.

use async_trait::async_trait;
use dolmen_ctx::Ctx;
use dolmen_model::{Answer, Cover, Result};
use futures::stream::BoxStream;
use smol_str::SmolStr;

use crate::{Frame, LabelAsk, Select};

/// The answer of a select, piece by piece.
pub type FrameStream = BoxStream<'static, Result<Frame>>;

/// Holds series. Never deduplicates: it gives the parts of a series, the reader combines them.
#[async_trait]
pub trait Queryable: Send + Sync {
    /// What it may hold of that; no I/O.
    fn cover(&self, select: &Select) -> Cover;

    /// Streams the series that match. Every label set comes once.
    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream>;

    /// Label names, or the values of a label, of the series that match: sorted, each once.
    async fn labels(&self, ctx: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>>;
}
