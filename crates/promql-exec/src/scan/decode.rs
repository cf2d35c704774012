//! Chunks of a series' parts -> one run of samples.

use dolmen_dedup::Class;
use dolmen_model::{Columns, Encoding, HistColumns, LabelsRef, METRIC_NAME, ResetHint, TimeRange};
use dolmen_storage::{FuncClass, Part, RawChunk};
use smallvec::SmallVec;

use super::Broken;
use crate::error::{PromqlError, PromqlErrorKind, Result};

/// Decodes series after series into the same memory.
pub struct Decoder {
    func: FuncClass,
    out: Columns,
    replicas: Vec<Columns>,
    scratch: Scratch,
    /// Chunks that were left out.
    pub broken: Broken,
}

/// Memory for merging parts.
#[derive(Default)]
struct Scratch {
    one: Columns,
    merged: Columns,
}

/// What is read of a series.
struct Reading<'a> {
    labels: LabelsRef<'a>,
    range: TimeRange,
    broken: &'a mut Broken,
}

impl Decoder {
    /// A decoder for samples that a class of functions will see.
    pub fn new(func: FuncClass) -> Decoder {
        Decoder {
            func,
            out: Columns::default(),
            replicas: Vec::new(),
            scratch: Scratch::default(),
            broken: Broken::default(),
        }
    }

    /// The samples of a series in a range of time, replicas deduplicated. A broken chunk is left out and told in
    /// `broken`.
    pub fn decode(
        &mut self,
        labels: LabelsRef<'_>,
        parts: &[Part],
        range: TimeRange,
    ) -> Result<&mut Columns> {
        self.out.clear();
        let mut reading = Reading { labels, range, broken: &mut self.broken };
        if let [part] = parts {
            reading.part(part, &mut self.out)?;
            return Ok(&mut self.out);
        }
        let mut sorted: SmallVec<[&Part; 8]> = parts.iter().collect();
        sorted.sort_by(|a, b| a.source.cmp(&b.source));
        let mut sources = sorted.chunk_by(|a, b| a.source == b.source);
        if sources.clone().count() <= 1 {
            self.scratch.one_source(&sorted, &mut reading, &mut self.out)?;
            return Ok(&mut self.out);
        }
        let mut n = 0;
        for of_source in &mut sources {
            if self.replicas.len() == n {
                self.replicas.push(Columns::default());
            }
            self.scratch.one_source(of_source, &mut reading, &mut self.replicas[n])?;
            n += 1;
        }
        let class = class(self.func, labels);
        dolmen_dedup::combine(class, &self.replicas[..n], range.maxt(), &mut self.out);
        Ok(&mut self.out)
    }
}

impl Scratch {
    /// Parts of one replica: the same samples may stand in several of them.
    fn one_source(&mut self, parts: &[&Part], reading: &mut Reading<'_>, out: &mut Columns) -> Result<()> {
        out.clear();
        let mut chunks: SmallVec<[&RawChunk; 32]> = parts.iter().flat_map(|p| &p.chunks).collect();
        chunks.sort_by_key(|c| (c.mint, c.maxt));
        let masked = parts.iter().any(|p| !p.masked.is_empty());
        if !masked && chunks.windows(2).all(|pair| pair[0].maxt < pair[1].mint) {
            let range = reading.range;
            if chunks.iter().filter(|c| overlaps(c, range)).all(|c| append(c, range, out).is_ok()) {
                return Ok(());
            }
            // Part by part it shows whose chunk is broken, or lies about its time.
            out.clear();
        }
        for part in parts {
            self.one.clear();
            reading.part(part, &mut self.one)?;
            if out.is_empty() {
                std::mem::swap(out, &mut self.one);
            } else {
                self.merged.clear();
                merge_by_time(out, &self.one, &mut self.merged);
                std::mem::swap(out, &mut self.merged);
            }
        }
        Ok(())
    }
}

impl Reading<'_> {
    /// The samples of a part that can be read.
    fn part(&mut self, part: &Part, out: &mut Columns) -> Result<()> {
        let range = self.range;
        for chunk in part.chunks.iter().filter(|c| overlaps(c, range)) {
            let Err(why) = append(chunk, range, out) else { continue };
            // That these are not read yet is our lack, not the chunk's.
            if let Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt = chunk.encoding {
                let text = format!("expanding series: {why}");
                return Err(PromqlError { kind: PromqlErrorKind::Internal, text });
            }
            let (first, last) = (chunk.mint.min(chunk.maxt), chunk.mint.max(chunk.maxt));
            let lost = TimeRange::inclusive(first, last).and_then(|r| r.intersect(range));
            self.broken.add(self.labels, part.origin.as_ref(), lost.unwrap_or(range), &why);
        }
        if !part.masked.is_empty() {
            mask(&part.masked, out);
        }
        Ok(())
    }
}

/// Whether a chunk says that it reaches into a range.
fn overlaps(chunk: &RawChunk, range: TimeRange) -> bool {
    chunk.maxt >= range.mint() && chunk.mint < range.maxt()
}

/// Adds the samples of a chunk behind earlier ones; `out` is as before where that cannot be, and it is told why.
fn append(chunk: &RawChunk, range: TimeRange, out: &mut Columns) -> Result<(), String> {
    let (floats, histograms) = (out.t.len(), out.h.len());
    dolmen_chunk::decode(chunk.encoding, &chunk.data, range.mint(), range.maxt(), out)
        .map_err(|e| e.to_string())?;
    // Within a chunk times rise, else it is not decoded.
    let rise = |times: &[i64], n: usize| n == 0 || times.get(n).is_none_or(|t| times[n - 1] < *t);
    if rise(&out.t, floats) && rise(&out.h.t, histograms) {
        return Ok(());
    }
    out.truncate(floats, histograms);
    Err("its times do not come after those of the chunk before".to_owned())
}

/// Takes deleted samples away.
fn mask(masked: &[TimeRange], out: &mut Columns) {
    let deleted = |t: i64| masked.iter().any(|m| m.contains(t));
    if out.t.iter().chain(&out.h.t).any(|t| deleted(*t)) {
        retain(out, |t, _| !deleted(t));
    }
}

/// Keeps the samples that pass; of a histogram the sum is shown.
pub fn retain(out: &mut Columns, keep: impl Fn(i64, f64) -> bool) {
    let mut n = 0;
    for i in 0..out.t.len() {
        if keep(out.t[i], out.v[i]) {
            (out.t[n], out.v[n]) = (out.t[i], out.v[i]);
            n += 1;
        }
    }
    out.t.truncate(n);
    out.v.truncate(n);
    if (0..out.h.len()).any(|i| !keep(out.h.t[i], out.h.sum[i])) {
        let all = std::mem::take(&mut out.h);
        for i in 0..all.len() {
            if keep(all.t[i], all.sum[i]) {
                out.h.push_from(&all, i, all.hint[i]);
            }
        }
    }
}

/// Samples of two parts in the order of time; of samples with the same time the first part's stays.
pub fn merge_by_time(a: &Columns, b: &Columns, out: &mut Columns) {
    let (mut i, mut j) = (0, 0);
    while i < a.t.len() || j < b.t.len() {
        let first = j >= b.t.len() || (i < a.t.len() && a.t[i] <= b.t[j]);
        if first {
            if j < b.t.len() && a.t[i] == b.t[j] {
                j += 1;
            }
            out.t.push(a.t[i]);
            out.v.push(a.v[i]);
            i += 1;
        } else {
            out.t.push(b.t[j]);
            out.v.push(b.v[j]);
            j += 1;
        }
    }
    merge_histograms(&a.h, &b.h, &mut out.h);
}

fn merge_histograms(a: &HistColumns, b: &HistColumns, out: &mut HistColumns) {
    let (mut i, mut j) = (0, 0);
    // Where the side changes, what a hint says about the sample before is true no longer.
    let mut side = None;
    while i < a.len() || j < b.len() {
        let first = j >= b.len() || (i < a.len() && a.t[i] <= b.t[j]);
        let (from, at) = if first { (a, i) } else { (b, j) };
        let same = first && j < b.len() && a.t[i] == b.t[j];
        let hint = from.hint[at];
        let kept = side == Some(first) || hint == ResetHint::Gauge;
        out.push_from(from, at, if kept { hint } else { ResetHint::Unknown });
        side = Some(first);
        if first {
            i += 1;
            j += usize::from(same);
        } else {
            j += 1;
        }
    }
}

/// How the replicas of a series are combined: by what reads it, else by what its name says it is.
fn class(func: FuncClass, labels: LabelsRef<'_>) -> Class {
    let name = labels.get(METRIC_NAME).unwrap_or_default();
    match func {
        FuncClass::Counter => Class::Counter,
        FuncClass::Other if counts(name) => Class::Named,
        FuncClass::Other => Class::Other,
    }
}

/// Whether a name is a counter's.
pub fn counts(name: &str) -> bool {
    ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests;
