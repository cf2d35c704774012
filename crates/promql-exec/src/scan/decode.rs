//! Chunks of a series' parts -> one run of samples.

use dolmen_dedup::Class;
use dolmen_model::{Columns, HistColumns, LabelsRef, METRIC_NAME, ResetHint, TimeRange};
use dolmen_storage::{FuncClass, Part, RawChunk};
use smallvec::SmallVec;

use crate::error::{PromqlError, PromqlErrorKind, Result};

/// Decodes series after series into the same memory.
pub struct Decoder {
    func: FuncClass,
    out: Columns,
    replicas: Vec<Columns>,
    scratch: Scratch,
}

/// Memory for merging parts.
#[derive(Default)]
struct Scratch {
    one: Columns,
    merged: Columns,
}

impl Decoder {
    /// A decoder for samples that a class of functions will see.
    pub fn new(func: FuncClass) -> Decoder {
        Decoder { func, out: Columns::default(), replicas: Vec::new(), scratch: Scratch::default() }
    }

    /// The samples of a series in a range of time, replicas deduplicated.
    pub fn decode(
        &mut self,
        labels: LabelsRef<'_>,
        parts: &[Part],
        range: TimeRange,
    ) -> Result<&mut Columns> {
        self.out.clear();
        if let [part] = parts {
            append(part.chunks.iter(), &part.masked, range, &mut self.out)?;
            return Ok(&mut self.out);
        }
        let mut sorted: SmallVec<[&Part; 8]> = parts.iter().collect();
        sorted.sort_by(|a, b| a.source.cmp(&b.source));
        let mut sources = sorted.chunk_by(|a, b| a.source == b.source);
        if sources.clone().count() <= 1 {
            self.scratch.one_source(&sorted, range, &mut self.out)?;
            return Ok(&mut self.out);
        }
        let mut n = 0;
        for of_source in &mut sources {
            if self.replicas.len() == n {
                self.replicas.push(Columns::default());
            }
            self.scratch.one_source(of_source, range, &mut self.replicas[n])?;
            n += 1;
        }
        let class = class(self.func, labels);
        dolmen_dedup::combine(class, &self.replicas[..n], range.maxt(), &mut self.out);
        Ok(&mut self.out)
    }
}

impl Scratch {
    /// Parts of one replica: the same samples may stand in several of them.
    fn one_source(&mut self, parts: &[&Part], range: TimeRange, out: &mut Columns) -> Result<()> {
        out.clear();
        let mut chunks: SmallVec<[&RawChunk; 32]> = parts.iter().flat_map(|p| &p.chunks).collect();
        chunks.sort_by_key(|c| (c.mint, c.maxt));
        let masked = parts.iter().any(|p| !p.masked.is_empty());
        if !masked && chunks.windows(2).all(|pair| pair[0].maxt < pair[1].mint) {
            return append(chunks.into_iter(), &[], range, out);
        }
        for part in parts {
            self.one.clear();
            append(part.chunks.iter(), &part.masked, range, &mut self.one)?;
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

fn append<'a>(
    chunks: impl Iterator<Item = &'a RawChunk>,
    masked: &[TimeRange],
    range: TimeRange,
    out: &mut Columns,
) -> Result<()> {
    for chunk in chunks {
        if chunk.maxt < range.mint() || chunk.mint >= range.maxt() {
            continue;
        }
        dolmen_chunk::decode(chunk.encoding, &chunk.data, range.mint(), range.maxt(), out).map_err(|e| {
            let e = dolmen_model::Error::from(e);
            PromqlError { kind: PromqlErrorKind::Internal, text: format!("expanding series: {e}") }
        })?;
    }
    if !masked.is_empty() {
        mask(masked, out);
    }
    Ok(())
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
