//! One `eval`: as it is written, and in the other ways that must give the same.

use std::sync::Arc;

use dolmen_ctx::Ctx;
use dolmen_model::Timestamp;
use dolmen_promql::{Engine, PromqlError, QueryOpts, QueryResult, Value};
use dolmen_storage::Queryable;
use futures::executor::block_on;

use crate::compare;
use crate::pin::pinned;
use crate::script::{Eval, When};

const MINUTE: i64 = 60_000;

/// What a case is evaluated with.
pub struct Bench<'a> {
    pub engine: &'a Engine,
    pub source: &'a Arc<dyn Queryable>,
}

/// Evaluates and compares; the error says what is not as the script says.
pub fn check(bench: &Bench<'_>, eval: &Eval) -> Result<(), String> {
    match eval.when {
        When::Range { start, end, step } => {
            let got = bench.range(&eval.expr, (start, end, step));
            let Some(got) = succeeded(got, eval)? else { return Ok(()) };
            compare::annotations(&got.warnings, &got.infos, &eval.expect)?;
            compare::value(&got.value, &eval.expect, eval.when)
        }
        When::Instant(t) => {
            instant(bench, eval, &eval.expr, t)?;
            let tree = bench.engine.parse(&eval.expr).map_err(|e| e.text)?;
            let Some(tree) = pinned(tree, t) else { return Ok(()) };
            let text = tree.to_string();
            let times = if t == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t, 0, t / 5, t, 10 * t] };
            for at in times {
                instant(bench, eval, &text, at).map_err(|e| format!("{text} at {at}: {e}"))?;
            }
            Ok(())
        }
    }
}

fn instant(bench: &Bench<'_>, eval: &Eval, expr: &str, t: Timestamp) -> Result<(), String> {
    let got = bench.instant(expr, t);
    let Some(got) = succeeded(got, eval)? else { return Ok(()) };
    compare::annotations(&got.warnings, &got.infos, &eval.expect)?;
    compare::value(&got.value, &eval.expect, eval.when)?;
    let only_instant = eval.expect.range_vector.is_some()
        || eval.expect.string.is_some()
        || ["start()", "end()", "range()", "step()"].iter().any(|call| eval.expr.contains(call));
    if only_instant {
        return Ok(());
    }
    as_step(bench, eval, expr, t, matches!(got.value, Value::Scalar(..)))
        .map_err(|e| format!("as a range query: {e}"))
}

/// The same as the middle of three steps.
fn as_step(bench: &Bench<'_>, eval: &Eval, expr: &str, t: Timestamp, is_scalar: bool) -> Result<(), String> {
    let got = bench.range(expr, (t - MINUTE, t + MINUTE, MINUTE)).map_err(|e| e.text)?;
    match got.value {
        _ if eval.expect.ordered => Ok(()),
        Value::Matrix(all) => compare::step(&all, t, &eval.expect, is_scalar),
        other => Err(format!("got {other:?}")),
    }
}

/// The answer, or `None` where the failure is the expected one.
fn succeeded(got: Result<QueryResult, PromqlError>, eval: &Eval) -> Result<Option<QueryResult>, String> {
    match (got, &eval.expect.fail) {
        (Ok(got), None) => Ok(Some(got)),
        (Ok(_), Some(want)) => Err(format!("expected a failure: {want:?}")),
        (Err(e), None) => Err(format!("failed: {e}")),
        (Err(e), Some(want)) if compare::text_is(&e.text, want)? => Ok(None),
        (Err(e), Some(want)) => Err(format!("failed with {:?}, expected {want:?}", e.text)),
    }
}

impl Bench<'_> {
    fn instant(&self, expr: &str, t: Timestamp) -> Result<QueryResult, PromqlError> {
        let (ctx, opts) = (Ctx::unbounded(), QueryOpts::default());
        block_on(self.engine.instant(&ctx, self.source, expr, t, &opts))
    }

    fn range(&self, expr: &str, times: (i64, i64, i64)) -> Result<QueryResult, PromqlError> {
        let (start, end, step) = times;
        let (ctx, opts) = (Ctx::unbounded(), QueryOpts::default());
        block_on(self.engine.range(&ctx, self.source, expr, start, end, step, &opts))
    }
}
