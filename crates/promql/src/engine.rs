//! The engine: text is parsed, typed and lowered to a plan; the plan's selectors are opened together, and the
//! plan evaluated step batch by step batch.

use std::sync::Arc;
use std::time::Instant;

use dolmen_ctx::Ctx;
use dolmen_model::{Matcher, Timestamp};
use dolmen_promql_exec::batch::Grid;
use dolmen_promql_exec::env::{Env, Settings};
use dolmen_promql_exec::error::{PromqlError, Result};
use dolmen_promql_exec::plan::{Plan, Root};
use dolmen_promql_exec::{eval, window};
use dolmen_promql_parser::{Expr, Options, ValueType, parse, parse_selector, pretty};
use dolmen_storage::Queryable;

use crate::answer;
use crate::lower::{Times, lower};
use crate::result::{QueryOpts, QueryResult, Value};
use crate::settings::EngineSettings;

/// Evaluates PromQL.
#[derive(Clone, Debug)]
pub struct Engine {
    settings: EngineSettings,
}

impl Engine {
    /// An engine; it holds nothing between queries.
    pub fn new(settings: EngineSettings) -> Engine {
        Engine { settings }
    }

    /// The value of `expr` at `t`.
    pub async fn instant(
        &self,
        ctx: &Ctx,
        source: &Arc<dyn Queryable>,
        expr: &str,
        t: Timestamp,
        opts: &QueryOpts,
    ) -> Result<QueryResult> {
        let tree = self.parse(expr)?;
        let times = self.times(t, t, 0);
        self.run(ctx, source, expr, lower(&tree, times)?, Grid::instant(t), true, opts).await
    }

    /// The values of `expr` from `start` to no later than `end`, every `step` milliseconds.
    #[allow(clippy::too_many_arguments, reason = "they are the parameters of query_range")]
    pub async fn range(
        &self,
        ctx: &Ctx,
        source: &Arc<dyn Queryable>,
        expr: &str,
        start: Timestamp,
        end: Timestamp,
        step: i64,
        opts: &QueryOpts,
    ) -> Result<QueryResult> {
        if step <= 0 {
            return Err(PromqlError::bad_data(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        if end < start {
            return Err(PromqlError::bad_data("end timestamp must not be before start time"));
        }
        let tree = self.parse(expr)?;
        if !matches!(tree.value_type(), ValueType::Scalar | ValueType::Vector) {
            return Err(PromqlError::bad_data(format!(
                "invalid expression type {:?} for range query, must be Scalar or instant Vector",
                type_name(tree.value_type())
            )));
        }
        let plan = lower(&tree, self.times(start, end, step))?;
        self.run(ctx, source, expr, plan, Grid::range(start, end, step), false, opts).await
    }

    /// `expr` laid out over lines, as Prometheus does it.
    pub fn format(&self, expr: &str) -> Result<String> {
        Ok(pretty(&self.parse(expr)?))
    }

    /// The matchers of a series selector: what `match[]` holds.
    pub fn selector(&self, text: &str) -> Result<Vec<Matcher>> {
        parse_selector(text, &self.options()).map_err(|e| PromqlError::bad_data(e.to_string()))
    }

    /// The tree of an expression.
    pub fn parse(&self, text: &str) -> Result<Expr> {
        parse(text, &self.options()).map_err(|e| PromqlError::bad_data(e.to_string()))
    }

    fn options(&self) -> Options {
        let f = self.settings.features;
        Options {
            experimental_functions: f.experimental_functions,
            extended_range_selectors: f.extended_range_selectors,
            fill_modifiers: f.fill_modifiers,
            duration_expressions: f.duration_expressions,
        }
    }

    fn times(&self, start: i64, end: i64, step: i64) -> Times {
        Times { start, end, step, subquery_step: self.settings.subquery_step_ms.max(1) }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one query")]
    async fn run(
        &self,
        ctx: &Ctx,
        source: &Arc<dyn Queryable>,
        text: &str,
        plan: Plan,
        grid: Grid,
        instant: bool,
        opts: &QueryOpts,
    ) -> Result<QueryResult> {
        let mut ctx = ctx.clone();
        let deadline = Instant::now() + self.settings.timeout;
        ctx.deadline = Some(ctx.deadline.map_or(deadline, |d| d.min(deadline)));
        ctx.check()?;
        let settings = Settings {
            lookback: if opts.lookback_ms > 0 { opts.lookback_ms } else { self.settings.lookback_ms },
            max_samples: self.settings.max_samples,
            delayed_names: self.settings.features.delayed_name_removal,
            type_labels: self.settings.features.type_and_unit_labels,
            without: opts.without.clone(),
        };
        let needs = eval::needs(&plan, grid, &settings);
        let env = Env::open(ctx, source.clone(), settings, plan.slots, needs).await?;
        let value = value(&env, &plan, grid, instant).await?;
        let (warnings, infos) = env.take_notes().render(text, 0);
        Ok(QueryResult { value, warnings, infos, completeness: env.completeness() })
    }
}

async fn value(env: &Env, plan: &Plan, grid: Grid, instant: bool) -> Result<Value> {
    match &plan.root {
        Root::String(s) => Ok(Value::String(grid.start, s.clone())),
        Root::Scalar(s) => {
            let values = eval::scalar(env, s, grid).await?;
            match values[..] {
                [v] if instant => Ok(Value::Scalar(grid.start, v)),
                _ => Ok(answer::scalar_matrix(&values, grid)),
            }
        }
        Root::Range(r) => Ok(answer::samples(window::samples(env, r, grid.start).await?)),
        Root::Vector(v) => {
            let batches = eval::vector(env, v, grid).await?;
            let (all, held) = env.collect(batches, grid).await?;
            let value = env.offload(move || {
                let all = eval::clean(all)?;
                Ok(if instant { answer::vector(&all, grid.start) } else { answer::matrix(&all, grid) })
            });
            let value = value.await?;
            drop(held);
            value
        }
    }
}

/// As error texts name them.
fn type_name(t: ValueType) -> &'static str {
    match t {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "instant vector",
        ValueType::Matrix => "range vector",
    }
}
