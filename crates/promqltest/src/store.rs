//! Series in memory, given as a select would: encoded, sorted by labels.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use dolmen_chunk::{Encoded, SAMPLES_PER_CHUNK, encode_floats, encode_histograms};
use dolmen_ctx::Ctx;
use dolmen_model::{
    Answer, Columns, Completeness, Cover, Histogram, LabelBlockBuilder, Labels, Result, SourceId, Timestamp,
    is_stale,
};
use dolmen_storage::{
    Frame, FrameStream, LabelAsk, Part, Queryable, RawBatch, RawChunk, RawSeries, SERIES_PER_BATCH_MAX,
    Select,
};
use futures::stream::{self, StreamExt};
use smallvec::smallvec;
use smol_str::SmolStr;

use crate::nhcb;
use crate::script::Load;
use crate::series::Written;

/// What a script has loaded.
#[derive(Clone, Default)]
pub struct Store {
    series: BTreeMap<Labels, Columns>,
    chunks: BTreeMap<Labels, Vec<RawChunk>>,
}

impl Store {
    /// Adds series.
    pub fn load(&mut self, load: &Load) -> std::result::Result<(), String> {
        // Of two lines for one series the later counts.
        let lines: BTreeMap<_, _> = load.series.iter().map(|line| (&line.labels, line)).collect();
        for line in lines.values() {
            for (i, value) in line.values.iter().enumerate() {
                let Some(value) = value else { continue };
                self.add(&line.labels, i as i64 * load.step, value)?;
            }
        }
        if load.nhcb {
            for (labels, t, h) in nhcb::convert(load)? {
                self.add(&labels, t, &Written::Histogram(Box::new(h), false))?;
            }
        }
        self.chunks = self.series.iter().map(|(labels, all)| (labels.clone(), encoded(all))).collect();
        Ok(())
    }

    fn add(&mut self, labels: &Labels, t: Timestamp, value: &Written) -> std::result::Result<(), String> {
        let columns = self.series.entry(labels.clone()).or_default();
        if columns.t.last().is_some_and(|last| *last >= t)
            || columns.h.t.last().is_some_and(|last| *last >= t)
        {
            return Err(format!("{labels}: the sample at {t} is not later than the one before"));
        }
        match value {
            Written::Float(v) => {
                columns.t.push(t);
                columns.v.push(*v);
            }
            Written::Histogram(h, _) => columns.h.push(t, h),
        }
        Ok(())
    }
}

/// Chunks of a series; each holds a run of one kind.
fn encoded(all: &Columns) -> Vec<RawChunk> {
    let mut out = Vec::new();
    let (mut f, mut h) = (0, 0);
    while f < all.t.len() || h < all.h.len() {
        let next = all.h.t.get(h).copied().unwrap_or(i64::MAX);
        let floats = all.t[f..].iter().take_while(|t| **t < next).count();
        encode_floats(&all.t[f..f + floats], &all.v[f..f + floats], SAMPLES_PER_CHUNK, &mut out);
        f += floats;
        let next = all.t.get(f).copied().unwrap_or(i64::MAX);
        let histograms = all.h.t[h..].iter().take_while(|t| **t < next).count();
        let run = (h..h + histograms).map(|i| (all.h.t[i], Histogram::Float(all.h.get(i))));
        encode_histograms(run, SAMPLES_PER_CHUNK, &mut out);
        h += histograms;
    }
    let raw = |c: Encoded| RawChunk { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: c.data };
    out.into_iter().map(raw).collect()
}

#[async_trait]
impl Queryable for Store {
    fn cover(&self, select: &Select) -> Cover {
        Cover { range: Some(select.range), ..Cover::default() }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        let matches = |labels: &Labels| {
            select.matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        let in_range = |c: &RawChunk| c.maxt >= select.range.mint() && c.mint < select.range.maxt();
        let found: Vec<_> = self.chunks.iter().filter(|(labels, _)| matches(labels)).collect();
        let mut frames = Vec::new();
        for (ord, series) in found.chunks(SERIES_PER_BATCH_MAX).enumerate() {
            let mut labels = LabelBlockBuilder::default();
            let mut raw = Vec::with_capacity(series.len());
            for (set, chunks) in series {
                let part = Part {
                    source: SourceId::default(),
                    origin: None,
                    masked: Arc::from([]),
                    chunks: chunks.iter().filter(|c| in_range(c)).cloned().collect(),
                };
                raw.push(RawSeries { label: labels.push(set.iter()), parts: smallvec![part] });
            }
            frames.push(Ok(Frame::Batch(RawBatch {
                ord: ord as u64,
                labels: labels.build(),
                series: raw,
                held: ctx.budget.reserve(0)?,
            })));
        }
        frames.push(Ok(Frame::End(Completeness::default())));
        Ok(stream::iter(frames).boxed())
    }

    async fn labels(&self, _: &Ctx, _: &Select, _: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        Ok(Answer::whole(Vec::new()))
    }
}

/// Whether a written value is a stale marker.
pub fn is_marker(value: &Written) -> bool {
    match value {
        Written::Float(v) => is_stale(*v),
        Written::Histogram(h, _) => is_stale(h.sum),
    }
}
