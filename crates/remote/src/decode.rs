//! A remote-write 1.0 request, walked in place.
//!
//! ```text
//! request  1 series*   3 metadata*
//! series   1 label*    2 sample*    3 exemplar*    4 histogram*
//! sample   1 double value   2 int64 ms
//! ```
//!
//! Bytes that break the format refuse the whole request; what is wrong within one series refuses that series.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dolmen_model::{Error, HistLayout, Kind, Result};
use dolmen_storage::{AppendReport, HistogramSample, KeyHasher, RejectCause, WriteBatch, WriteSeries};

use crate::histogram::{HistogramFields, memory};
use crate::labels::{LabelRules, LabelSet};
use crate::wire::{BYTES, FIXED64, Reader, VARINT};

/// Samples of one series between two looks at the memory.
const SAMPLES_PER_LOOK: usize = 4096;

/// A request as a batch, and what became of the rest of it.
#[derive(Debug, Default)]
pub struct Decoded {
    /// What can be stored.
    pub batch: WriteBatch,
    /// All samples of the request, floats and histograms, refused ones among them.
    pub samples: u64,
    /// What is refused at the door. `accepted` is not used.
    pub refused: AppendReport,
    /// Exemplars, which are not kept.
    pub exemplars: u64,
    /// Metadata entries, which are not kept.
    pub metadata: u64,
    /// Labels renamed because they bear the name of one of the receiver's own.
    pub renamed: u64,
}

/// Reads a decompressed request. `memory` is told the bytes that the batch takes beside `body`, ever more, and may
/// refuse; the batch never takes much more than twice what was told last.
pub fn decode(
    body: Bytes,
    rules: &LabelRules,
    hasher: &KeyHasher,
    memory: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Decoded> {
    if u32::try_from(body.len()).is_err() {
        return Err(Error::new(Kind::Limit, "write request: more than 4 GiB"));
    }
    let mut walk = Walk {
        body: &body,
        rules,
        hasher,
        memory,
        out: Decoded::default(),
        side: Vec::new(),
        labels: LabelSet::default(),
        fields: HistogramFields::default(),
        layout: None,
        histogram_bytes: 0,
    };
    let mut r = Reader::new(&body, 0..body.len());
    while let Some((number, wire)) = r.field()? {
        match (number, wire) {
            (1, BYTES) => walk.series(r.bytes()?)?,
            (3, BYTES) => {
                r.bytes()?;
                walk.out.metadata += 1;
            }
            _ => r.skip(wire)?,
        }
    }
    walk.look()?;
    let Walk { mut out, side, .. } = walk;
    out.batch.side = Bytes::from(side);
    out.batch.body = body;
    Ok(out)
}

struct Walk<'a> {
    body: &'a [u8],
    rules: &'a LabelRules,
    hasher: &'a KeyHasher,
    memory: &'a mut dyn FnMut(u64) -> Result<()>,
    out: Decoded,
    side: Vec<u8>,
    labels: LabelSet,
    fields: HistogramFields,
    layout: Option<Arc<HistLayout>>,
    histogram_bytes: u64,
}

impl Walk<'_> {
    fn series(&mut self, range: Range<usize>) -> Result<()> {
        let (floats, histograms) = (self.out.batch.t.len(), self.out.batch.histograms.len());
        let mut bad_histograms = 0u64;
        let mut bad_histogram = "";
        self.labels.clear();
        let mut r = Reader::new(self.body, range);
        loop {
            let field = r.position();
            let Some((number, wire)) = r.field()? else { break };
            match (number, wire) {
                (1, BYTES) => self.labels.push(self.body, field, r.bytes()?)?,
                (2, BYTES) => self.sample(r.message()?)?,
                (3, BYTES) => {
                    r.bytes()?;
                    self.out.exemplars += 1;
                }
                (4, BYTES) => {
                    if let Err(what) = self.histogram(r.message()?)? {
                        (bad_histograms, bad_histogram) = (bad_histograms + 1, what);
                    }
                }
                _ => r.skip(wire)?,
            }
        }
        let batch = &mut self.out.batch;
        let samples = floats as u32..batch.t.len() as u32;
        let histograms = histograms as u32..batch.histograms.len() as u32;
        let stored = (samples.len() + histograms.len()) as u64;
        self.out.samples += stored + bad_histograms;
        match self.labels.settle(self.body, self.rules, &mut self.side, &mut self.out.renamed) {
            Ok(labels) => {
                let key = match &labels {
                    dolmen_storage::LabelBytes::Body(r) => &self.body[r.start as usize..r.end as usize],
                    dolmen_storage::LabelBytes::Side(r) => &self.side[r.start as usize..r.end as usize],
                };
                if stored > 0 {
                    let key = self.hasher.key(key);
                    batch.series.push(WriteSeries { key, labels, samples, histograms });
                }
                if bad_histograms > 0 {
                    let first = || format!("{}: {bad_histogram}", self.labels.text(self.body)).into();
                    self.out.refused.reject(RejectCause::BadHistogram, bad_histograms, first);
                }
            }
            Err(what) => {
                batch.t.truncate(samples.start as usize);
                batch.v.truncate(samples.start as usize);
                batch.histograms.truncate(histograms.start as usize);
                let first = || format!("{}: {what}", self.labels.text(self.body)).into();
                self.out.refused.reject(RejectCause::BadLabel, stored + bad_histograms, first);
            }
        }
        self.look()
    }

    fn sample(&mut self, mut r: Reader<'_>) -> Result<()> {
        let (mut t, mut v) = (0i64, 0f64);
        while let Some((number, wire)) = r.field()? {
            match (number, wire) {
                (1, FIXED64) => v = r.double()?,
                (2, VARINT) => t = r.varint()? as i64,
                _ => r.skip(wire)?,
            }
        }
        self.out.batch.t.push(t);
        self.out.batch.v.push(v);
        if self.out.batch.t.len().is_multiple_of(SAMPLES_PER_LOOK) { self.look() } else { Ok(()) }
    }

    fn histogram(&mut self, r: Reader<'_>) -> Result<std::result::Result<(), &'static str>> {
        self.fields.read(r)?;
        match self.fields.finish(&mut self.layout) {
            Ok((t, h)) => {
                self.histogram_bytes += memory(&h);
                self.out.batch.histograms.push(HistogramSample { t, h });
                self.look()?;
                Ok(Ok(()))
            }
            Err(what) => Ok(Err(what)),
        }
    }

    /// Tells how much memory the batch takes by now.
    fn look(&mut self) -> Result<()> {
        let batch = &self.out.batch;
        let columns = 8 * (batch.t.capacity() + batch.v.capacity())
            + size_of::<WriteSeries>() * batch.series.capacity()
            + size_of::<HistogramSample>() * batch.histograms.capacity()
            + self.side.capacity();
        (self.memory)(columns as u64 + self.histogram_bytes)
    }
}
