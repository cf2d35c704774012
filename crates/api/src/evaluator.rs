//! What the API needs of an engine.

use std::sync::Arc;

use async_trait::async_trait;
use dolmen_ctx::Ctx;
use dolmen_model::{Matcher, Timestamp};
use dolmen_promql::{Engine, PromqlError, QueryOpts, QueryResult};
use dolmen_storage::Queryable;

/// Evaluates PromQL. `Engine` is the one that counts; tests bring their own.
#[async_trait]
pub trait Evaluator: Send + Sync {
    /// The value of `expr` at `t`.
    async fn instant(
        &self,
        ctx: &Ctx,
        queryable: &Arc<dyn Queryable>,
        expr: &str,
        t: Timestamp,
        opts: &QueryOpts,
    ) -> Result<QueryResult, PromqlError>;

    /// The values of `expr` from `start` to `end`, both inclusive, every `step` milliseconds.
    #[allow(clippy::too_many_arguments, reason = "they are the parameters of query_range")]
    async fn range(
        &self,
        ctx: &Ctx,
        queryable: &Arc<dyn Queryable>,
        expr: &str,
        start: Timestamp,
        end: Timestamp,
        step: i64,
        opts: &QueryOpts,
    ) -> Result<QueryResult, PromqlError>;

    /// `expr` laid out over lines, as Prometheus does it.
    fn format(&self, expr: &str) -> Result<String, PromqlError>;

    /// The matchers of a series selector: what `match[]` holds.
    fn selector(&self, text: &str) -> Result<Vec<Matcher>, PromqlError>;
}

#[async_trait]
impl Evaluator for Engine {
    async fn instant(
        &self,
        ctx: &Ctx,
        queryable: &Arc<dyn Queryable>,
        expr: &str,
        t: Timestamp,
        opts: &QueryOpts,
    ) -> Result<QueryResult, PromqlError> {
        Engine::instant(self, ctx, queryable, expr, t, opts).await
    }

    async fn range(
        &self,
        ctx: &Ctx,
        queryable: &Arc<dyn Queryable>,
        expr: &str,
        start: Timestamp,
        end: Timestamp,
        step: i64,
        opts: &QueryOpts,
    ) -> Result<QueryResult, PromqlError> {
        Engine::range(self, ctx, queryable, expr, start, end, step, opts).await
    }

    fn format(&self, expr: &str) -> Result<String, PromqlError> {
        Engine::format(self, expr)
    }

    fn selector(&self, text: &str) -> Result<Vec<Matcher>, PromqlError> {
        Engine::selector(self, text)
    }
}
