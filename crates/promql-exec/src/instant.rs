//! Instant selectors: at each step the newest sample that is not older than the lookback.

use std::sync::Arc;

use dolmen_model::{Columns, FloatHistogram, Labels, Matcher, is_stale};
use dolmen_storage::FuncClass;

use crate::batch::{Grid, StepBatch};
use crate::env::{Batches, Env, need};
use crate::error::Result;
use crate::function::drop_name;
use crate::function::extended::{self, Reach};
use crate::function::kernel::{Hists, Value, Window};
use crate::plan::Selector;
use crate::scan::{Job, Work, scan, scan_frames};

/// What of a sample becomes the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Its value.
    Value,
    /// Its time, in seconds; the name is dropped.
    Time,
    /// Its time, in seconds; the name stays.
    NamedTime,
}

struct InstantJob {
    selector: Arc<Selector>,
    grid: Grid,
    lookback: i64,
    take: Take,
    delayed_names: bool,
}

/// The elements of an instant selector.
pub fn instant<'a>(env: &'a Env, selector: &Arc<Selector>, grid: Grid, take: Take) -> Result<Batches<'a>> {
    let Some(need) = need(selector, grid, env.settings.lookback, &env.settings, FuncClass::Other) else {
        return Ok(Box::pin(futures::stream::empty()));
    };
    let job = InstantJob::new(env, selector, grid, take);
    scan(env, selector.slot, FuncClass::Other, need.select.range, Arc::new(job))
}

/// The times of the newest samples, in seconds and with names, of series that pass `matchers` as well.
pub async fn times_of<'a>(
    env: &'a Env,
    selector: &Arc<Selector>,
    matchers: Arc<[Matcher]>,
    grid: Grid,
) -> Result<Batches<'a>> {
    let Some(mut need) = need(selector, grid, env.settings.lookback, &env.settings, FuncClass::Other) else {
        return Ok(Box::pin(futures::stream::empty()));
    };
    need.select.matchers = matchers;
    let frames = env.source.select(&env.ctx, &need.select).await?;
    let job = InstantJob::new(env, selector, grid, Take::NamedTime);
    Ok(scan_frames(env, frames, FuncClass::Other, need.select.range, Arc::new(job)))
}

impl Job for InstantJob {
    fn steps(&self) -> usize {
        self.grid.steps
    }

    fn stats(&self) -> bool {
        self.selector.stats
    }

    fn labels(&self, labels: Labels) -> (Labels, bool) {
        match self.take {
            Take::Time if self.delayed_names => (labels, true),
            Take::Time => (drop_name(&labels), false),
            _ => (labels, false),
        }
    }

    fn run(
        &self,
        labels: &Labels,
        samples: &mut Columns,
        out: &mut StepBatch,
        work: &mut Work,
    ) -> Result<()> {
        if self.selector.reach == Reach::Smoothed {
            self.smoothed(labels, samples, out, work);
        } else if samples.h.is_empty() {
            self.floats(samples, out);
        } else {
            self.both(samples, out);
        }
        Ok(())
    }
}

impl InstantJob {
    fn new(env: &Env, selector: &Arc<Selector>, grid: Grid, take: Take) -> InstantJob {
        InstantJob {
            selector: selector.clone(),
            grid,
            lookback: env.settings.lookback,
            take,
            delayed_names: env.settings.delayed_names,
        }
    }

    fn value(&self, t: i64, v: f64) -> f64 {
        match self.take {
            Take::Value => v,
            Take::Time | Take::NamedTime => t as f64 / 1000.0,
        }
    }

    fn floats(&self, samples: &Columns, out: &mut StepBatch) {
        let row = out.len() - 1;
        let (times, values) = (&samples.t[..], &samples.v[..]);
        let (cells, valid) = out.row_mut(row);
        let mut next = 0;
        for (i, step) in self.grid.times().enumerate() {
            let at = self.selector.time(step);
            while next < times.len() && times[next] <= at {
                next += 1;
            }
            let Some(newest) = next.checked_sub(1) else { continue };
            let (t, v) = (times[newest], values[newest]);
            if t > at - self.lookback && !is_stale(v) {
                cells[i] = self.value(t, v);
                valid[i / 64] |= 1 << (i % 64);
            }
        }
    }

    fn both(&self, samples: &Columns, out: &mut StepBatch) {
        let row = out.len() - 1;
        let (mut f, mut h) = (0, 0);
        let mut shared: Option<(usize, Arc<FloatHistogram>)> = None;
        for (i, step) in self.grid.times().enumerate() {
            let at = self.selector.time(step);
            while f < samples.t.len() && samples.t[f] <= at {
                f += 1;
            }
            while h < samples.h.len() && samples.h.t[h] <= at {
                h += 1;
            }
            let float = f.checked_sub(1).map(|f| samples.t[f]);
            let hist = h.checked_sub(1).map(|h| samples.h.t[h]);
            let Some(t) = float.max(hist).filter(|t| *t > at - self.lookback) else { continue };
            if float >= hist {
                if !is_stale(samples.v[f - 1]) {
                    out.set(row, i, self.value(t, samples.v[f - 1]));
                }
            } else if !is_stale(samples.h.sum[h - 1]) {
                if self.take != Take::Value {
                    out.set(row, i, self.value(t, 0.0));
                    continue;
                }
                // One sample is often the newest for several steps.
                let value = match &shared {
                    Some((at, value)) if *at == h - 1 => value.clone(),
                    _ => Arc::new(samples.h.get(h - 1)),
                };
                shared = Some((h - 1, value.clone()));
                out.set_hist(row, i, value);
            }
        }
    }

    fn smoothed(&self, labels: &Labels, samples: &mut Columns, out: &mut StepBatch, work: &mut Work) {
        crate::scan::drop_stale(samples);
        let row = out.len() - 1;
        let name = labels.get(dolmen_model::METRIC_NAME).unwrap_or_default();
        for (i, step) in self.grid.times().enumerate() {
            let at = self.selector.time(step);
            let (from, to) = (at - self.lookback, at + self.lookback);
            let (a, b) = bounds(&samples.t, from, to);
            let (c, d) = bounds(&samples.h.t, from, to);
            let window = Window {
                t: &samples.t[a..b],
                v: &samples.v[a..b],
                h: Hists::new(&samples.h, c, d),
                start: from,
                end: to,
                at: step,
                seconds: 0.0,
                reach: Reach::Smoothed,
            };
            let pos = self.selector.pos;
            let notes = &mut work.notes;
            let mut tell = |note| crate::function::annotate(note, name, pos, notes);
            match extended::smooth_instant(&window, at, &mut tell) {
                Value::None => {}
                Value::Float(v) => out.set(row, i, v),
                Value::Histogram(h) => out.set_hist(row, i, Arc::from(h)),
            }
        }
    }
}

/// Places of the times in `(from, to]`.
pub fn bounds(times: &[i64], from: i64, to: i64) -> (usize, usize) {
    let a = times.partition_point(|t| *t <= from);
    (a, a + times[a..].partition_point(|t| *t <= to))
}
