//! `info`: which info series there are is known only when the elements are.

use std::sync::Arc;

use dolmen_model::Matcher;
use futures::stream::{self, StreamExt};

use crate::batch::{Grid, StepBatch};
use crate::env::{Batches, Env};
use crate::error::Result;
use crate::function::info::{join, metric_names, wanted};
use crate::instant::times_of;
use crate::plan::InfoNode;

/// The elements with the labels of their info series.
pub async fn info<'a>(env: &'a Env, node: &'a Arc<InfoNode>, grid: Grid) -> Result<Batches<'a>> {
    let (base, _held) = env.collect(crate::eval::vector(env, &node.of, grid).await?, grid).await?;
    let names = metric_names(&node.names)?;
    let (infos, _held_infos) = match wanted(&base, &names)? {
        Some(mut matchers) => {
            matchers.extend(names.iter().chain(&node.matchers).cloned());
            let matchers: Arc<[Matcher]> = matchers.into();
            env.collect(times_of(env, &node.selector, matchers, grid).await?, grid).await?
        }
        None => (StepBatch::new(grid.steps), env.ctx.budget.reserve(0)?),
    };
    let node = node.clone();
    let work = move || {
        let mut out = join(&base, &infos, &names, &node.matchers)?;
        out.drop_blank();
        crate::eval::merged(out)
    };
    let out = env.offload(work).await??;
    env.hold(out.samples())?;
    Ok(stream::once(async { Ok(out) }).boxed())
}
