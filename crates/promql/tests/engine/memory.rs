//! Series in memory, given as a select would: encoded, sorted by labels.

use std::sync::Arc;

use async_trait::async_trait;
use dolmen_chunk::{Encoded, encode_floats};
use dolmen_ctx::Ctx;
use dolmen_model::{Answer, Completeness, Cover, Labels, Missing, Result, SourceId, TimeRange, Timestamp};
use dolmen_model::{LabelBlock, Matcher};
use dolmen_storage::{Frame, FrameStream, LabelAsk, Part, Queryable, RawBatch, RawChunk, RawSeries, Select};
use futures::stream::{self, StreamExt};
use smol_str::SmolStr;

/// Samples of one chunk; small, so that windows span several.
const SAMPLES_PER_CHUNK: usize = 7;

/// What one replica has of a series.
struct Replica {
    name: &'static str,
    chunks: Vec<RawChunk>,
}

impl Replica {
    fn new(name: &'static str, t: &[Timestamp], v: &[f64]) -> Replica {
        let mut encoded = Vec::new();
        encode_floats(t, v, SAMPLES_PER_CHUNK, &mut encoded);
        let chunk = |c: Encoded| RawChunk { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: c.data };
        Replica { name, chunks: encoded.into_iter().map(chunk).collect() }
    }
}

/// Float series.
#[derive(Default)]
pub struct Memory {
    series: Vec<(Labels, Vec<Replica>)>,
    missing: Completeness,
}

impl Memory {
    /// Adds a series `name{label="value",…}` whose samples are `step` seconds apart, from 0.
    pub fn series(mut self, name: &str, labels: &[(&str, &str)], step: i64, values: &[f64]) -> Memory {
        let t: Vec<_> = (0..values.len() as i64).map(|i| i * step * 1000).collect();
        self.add(name, labels, Replica::new("", &t, values));
        self
    }

    /// Adds to a series what a replica has of it: times in seconds, and values.
    pub fn replica(mut self, name: &str, replica: &'static str, samples: &[(i64, f64)]) -> Memory {
        let (t, v): (Vec<_>, Vec<_>) = samples.iter().map(|(t, v)| (t * 1000, *v)).unzip();
        self.add(name, &[], Replica::new(replica, &t, &v));
        self
    }

    /// Adds a series of one label whose chunks are given.
    pub fn chunks(mut self, name: &str, label: (&str, &str), chunks: Vec<RawChunk>) -> Memory {
        self.add(name, &[label], Replica { name: "", chunks });
        self
    }

    fn add(&mut self, name: &str, labels: &[(&str, &str)], replica: Replica) {
        let labels = Labels::from_pairs(labels.iter().copied().chain([("__name__", name)]));
        match self.series.iter_mut().find(|(l, _)| *l == labels) {
            Some((_, replicas)) => replicas.push(replica),
            None => self.series.push((labels, vec![replica])),
        }
        self.series.sort_by(|a, b| a.0.iter().cmp(b.0.iter()));
    }

    /// Lets every answer lack something.
    pub fn lacking(mut self, store: &str) -> Memory {
        self.missing.missing.push(Missing {
            site: SmolStr::default(),
            store: store.into(),
            range: TimeRange::ALL,
            cause: "down".to_owned(),
        });
        self
    }

    /// As a source of queries.
    pub fn source(self) -> Arc<dyn Queryable> {
        Arc::new(self)
    }
}

fn matches(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
}

#[async_trait]
impl Queryable for Memory {
    fn cover(&self, select: &Select) -> Cover {
        Cover { range: Some(select.range), ..Cover::default() }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        let mut frames = Vec::new();
        let found = self.series.iter().filter(|(labels, _)| matches(labels, &select.matchers));
        for (ord, (labels, replicas)) in found.enumerate() {
            let wanted = |c: &&RawChunk| c.maxt >= select.range.mint() && c.mint < select.range.maxt();
            let part = |r: &Replica| Part {
                source: SourceId::new([r.name]),
                origin: None,
                masked: Arc::from([]),
                chunks: r.chunks.iter().filter(wanted).cloned().collect(),
            };
            frames.push(Ok(Frame::Batch(RawBatch {
                ord: ord as u64,
                labels: LabelBlock::single(labels),
                series: vec![RawSeries { label: 0, parts: replicas.iter().map(part).collect() }],
                held: ctx.budget.reserve(0)?,
            })));
        }
        frames.push(Ok(Frame::End(self.missing.clone())));
        Ok(stream::iter(frames).boxed())
    }

    async fn labels(&self, _: &Ctx, _: &Select, _: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        Ok(Answer::whole(Vec::new()))
    }
}
