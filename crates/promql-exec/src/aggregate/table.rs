//! The state of groups × steps for aggregations that take one value in after the other.

use std::collections::HashMap;
use std::sync::Arc;

use dolmen_model::{FloatHistogram, Labels, ResetHint};

use crate::annotation::{Annotations, Pos};
use crate::batch::{StepBatch, ones};
use crate::function::over_time;
use crate::histogram::{self, Exact, HistogramMean, HistogramSum};
use crate::plan::Aggregation;

const SEEN: u8 = 1;
const FLOAT: u8 = 2;
const HISTOGRAM: u8 = 4;
/// Exponential and custom buckets met: nothing more is taken in.
const INCOMPATIBLE: u8 = 8;
const RESET: u8 = 16;
const NOT_RESET: u8 = 32;
/// The sum would overflow: a running mean instead.
const RUNNING: u8 = 64;

/// A sum or a mean of histograms.
enum Hist {
    Sum(Box<HistogramSum>),
    Mean(Box<HistogramMean>),
}

/// Groups × steps.
pub struct Table {
    op: Aggregation,
    steps: usize,
    pos: Pos,
    flags: Vec<u8>,
    /// Sum, least, largest, mean: what the operation needs.
    a: Vec<f64>,
    /// Compensation, or sum of squares.
    b: Vec<f64>,
    /// Number of members.
    n: Vec<f64>,
    hists: HashMap<u64, Hist>,
    members: Vec<Vec<f64>>,
    member_bytes: usize,
    /// Last step at which each group was seen, and whether its name is to be dropped.
    last: Vec<(Option<usize>, bool)>,
}

impl Table {
    /// An empty table; `pos` is where the argument stands.
    pub fn new(op: Aggregation, steps: usize, pos: Pos) -> Table {
        Table {
            op,
            steps,
            pos,
            flags: Vec::new(),
            a: Vec::new(),
            b: Vec::new(),
            n: Vec::new(),
            hists: HashMap::new(),
            members: Vec::new(),
            member_bytes: 0,
            last: Vec::new(),
        }
    }

    /// Bytes of the backing buffers.
    pub fn bytes(&self) -> usize {
        self.flags.capacity()
            + 8 * (self.a.capacity() + self.b.capacity() + self.n.capacity())
            + 24 * self.members.capacity()
            + self.member_bytes
            + 2048 * self.hists.len()
    }

    fn grow(&mut self, group: usize) {
        let cells = (group + 1) * self.steps;
        if self.flags.len() >= cells {
            return;
        }
        self.flags.resize(cells, 0);
        self.a.resize(cells, 0.0);
        match self.op {
            Aggregation::Sum => self.b.resize(cells, 0.0),
            Aggregation::Avg | Aggregation::Stddev | Aggregation::Stdvar => {
                self.b.resize(cells, 0.0);
                self.n.resize(cells, 0.0);
            }
            Aggregation::Quantile => self.members.resize_with(cells, Vec::new),
            _ => {}
        }
        self.last.resize(group + 1, (None, false));
    }

    /// Takes a row into a group.
    pub fn add(&mut self, group: u32, batch: &StepBatch, row: usize, notes: &mut Annotations) {
        let group = group as usize;
        self.grow(group);
        let base = group * self.steps;
        let (floats, valid) = (batch.floats(row), batch.valid(row));
        let hists = batch.hists(row);
        self.remember(group, batch, row);
        if hists.is_empty() {
            self.add_floats(base, floats, valid);
            return;
        }
        self.add_floats(base, floats, valid);
        for (step, h) in hists {
            self.add_histogram(base + *step as usize, h, batch, row, notes);
        }
    }

    /// The name's fate is decided by those who were there last.
    fn remember(&mut self, group: usize, batch: &StepBatch, row: usize) {
        let newest = batch.valid(row).iter().enumerate().rev().find(|(_, w)| **w != 0);
        let float = newest.map(|(i, w)| i * 64 + 63 - w.leading_zeros() as usize);
        let hist = batch.hists(row).last().map(|(step, _)| *step as usize);
        let step = float.max(hist);
        let drop_name = batch.heads[row].drop_name;
        let (last, dropped) = &mut self.last[group];
        if step > *last {
            (*last, *dropped) = (step, drop_name);
        } else if step == *last {
            *dropped |= drop_name;
        }
    }

    fn add_floats(&mut self, base: usize, floats: &[f64], valid: &[u64]) {
        let full = |i: usize| (i + 1) * 64 <= floats.len();
        for (i, word) in valid.iter().enumerate() {
            let at = i * 64;
            if *word == u64::MAX && full(i) && self.op == Aggregation::Sum {
                self.add_sums(base + at, &floats[at..at + 64]);
                continue;
            }
            let mut word = *word;
            while word != 0 {
                let step = at + word.trailing_zeros() as usize;
                word &= word - 1;
                self.add_float(base + step, floats[step]);
            }
        }
    }

    /// Sums of consecutive steps: a loop without branches on kinds.
    fn add_sums(&mut self, base: usize, floats: &[f64]) {
        let n = floats.len();
        let (a, b) = (&mut self.a[base..base + n], &mut self.b[base..base + n]);
        let flags = &mut self.flags[base..base + n];
        for i in 0..n {
            let (sum, v) = (a[i], floats[i]);
            let first = flags[i] & SEEN == 0;
            let t = sum + v;
            let lost = if sum.abs() >= v.abs() { (sum - t) + v } else { (v - t) + sum };
            let c = if t.is_infinite() { 0.0 } else { b[i] + lost };
            // The first is taken as it is: minus zero stays.
            a[i] = if first { v } else { t };
            b[i] = if first { 0.0 } else { c };
            flags[i] |= SEEN | FLOAT;
        }
    }

    #[inline]
    fn add_float(&mut self, at: usize, v: f64) {
        let first = self.flags[at] & SEEN == 0;
        if self.flags[at] & INCOMPATIBLE != 0 {
            return;
        }
        self.flags[at] |= SEEN | FLOAT;
        match self.op {
            Aggregation::Sum if first => self.a[at] = v,
            Aggregation::Sum => {
                let mut sum = Exact { sum: self.a[at], lost: self.b[at] };
                sum.add(v);
                (self.a[at], self.b[at]) = (sum.sum, sum.lost);
            }
            Aggregation::Avg => self.add_mean(at, v),
            Aggregation::Min => {
                let old = self.a[at];
                self.a[at] = if first || old > v || old.is_nan() { v } else { old };
            }
            Aggregation::Max => {
                let old = self.a[at];
                self.a[at] = if first || old < v || old.is_nan() { v } else { old };
            }
            Aggregation::Count => self.a[at] += 1.0,
            Aggregation::Group => self.a[at] = 1.0,
            Aggregation::Stddev | Aggregation::Stdvar if first => {
                self.n[at] = 1.0;
                self.a[at] = v;
                self.b[at] = if v.is_finite() { 0.0 } else { f64::NAN };
            }
            Aggregation::Stddev | Aggregation::Stdvar => {
                self.n[at] += 1.0;
                let delta = v - self.a[at];
                self.a[at] += delta / self.n[at];
                self.b[at] += delta * (v - self.a[at]);
            }
            Aggregation::Quantile => {
                self.members[at].push(v);
                self.member_bytes += 8;
            }
            _ => {}
        }
    }

    fn add_mean(&mut self, at: usize, v: f64) {
        self.n[at] += 1.0;
        let n = self.n[at];
        if n == 1.0 {
            self.a[at] = v;
            return;
        }
        let before = Exact { sum: self.a[at], lost: self.b[at] };
        if self.flags[at] & RUNNING == 0 {
            let mut sum = before;
            sum.add(v);
            if !sum.sum.is_infinite() {
                (self.a[at], self.b[at]) = (sum.sum, sum.lost);
                return;
            }
            self.flags[at] |= RUNNING;
            (self.a[at], self.b[at]) = (before.sum / (n - 1.0), before.lost / (n - 1.0));
        }
        let q = (n - 1.0) / n;
        let mut mean = Exact { sum: q * self.a[at], lost: q * self.b[at] };
        mean.add(v / n);
        (self.a[at], self.b[at]) = (mean.sum, mean.lost);
    }

    fn add_histogram(
        &mut self,
        at: usize,
        h: &Arc<FloatHistogram>,
        batch: &StepBatch,
        row: usize,
        notes: &mut Annotations,
    ) {
        match self.op {
            Aggregation::Count => {
                self.flags[at] |= SEEN;
                self.a[at] += 1.0;
            }
            Aggregation::Group => {
                self.flags[at] |= SEEN;
                self.a[at] = 1.0;
            }
            Aggregation::Sum | Aggregation::Avg => self.add_to_histogram(at, h, batch, row, notes),
            op => {
                let name = match op {
                    Aggregation::Min => "min",
                    Aggregation::Max => "max",
                    Aggregation::Stddev => "stddev",
                    Aggregation::Stdvar => "stdvar",
                    _ => "quantile",
                };
                notes.info(format!("ignored histogram in {name} aggregation"), self.pos);
            }
        }
    }

    fn add_to_histogram(
        &mut self,
        at: usize,
        h: &Arc<FloatHistogram>,
        batch: &StepBatch,
        row: usize,
        notes: &mut Annotations,
    ) {
        if self.flags[at] & INCOMPATIBLE != 0 {
            return;
        }
        let first = self.flags[at] & SEEN == 0;
        self.flags[at] |= SEEN | HISTOGRAM;
        let key = at as u64;
        if first {
            let hist = match self.op {
                Aggregation::Sum => Hist::Sum(Box::new(HistogramSum::new(&**h))),
                _ => Hist::Mean(Box::new(HistogramMean::new(&**h))),
            };
            self.hists.insert(key, hist);
            self.flags[at] |= hint(h.hint);
            return;
        }
        // Floats came before: the group is lost anyway.
        let Some(hist) = self.hists.get_mut(&key) else { return };
        self.flags[at] |= hint(h.hint);
        let done = match hist {
            Hist::Sum(sum) => sum.add(&**h),
            Hist::Mean(mean) => mean.add(&**h),
        };
        match done {
            Ok(done) if done.bounds_reconciled => {
                notes.info("mismatched custom buckets were reconciled during aggregation", self.pos);
            }
            Ok(_) => {}
            Err(_) => {
                self.flags[at] |= INCOMPATIBLE;
                let name = batch.heads[row].labels.get(dolmen_model::METRIC_NAME).unwrap_or_default();
                notes.warn(
                    format!(
                        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name {name:?}"
                    ),
                    self.pos,
                );
            }
        }
    }

    /// The groups as rows.
    pub fn finish(mut self, labels: Vec<Labels>, param: &[f64], notes: &mut Annotations) -> StepBatch {
        let mut out = StepBatch::with_capacity(self.steps, labels.len());
        for (group, labels) in labels.into_iter().enumerate() {
            let row = out.push(labels, self.last.get(group).is_some_and(|l| l.1));
            for step in 0..self.steps {
                let at = group * self.steps + step;
                if self.flags.get(at).is_none_or(|f| f & SEEN == 0) {
                    continue;
                }
                self.finish_cell(at, param.get(step).copied(), &mut out, row, step, notes);
            }
        }
        out.drop_blank();
        out
    }

    fn finish_cell(
        &mut self,
        at: usize,
        param: Option<f64>,
        out: &mut StepBatch,
        row: usize,
        step: usize,
        notes: &mut Annotations,
    ) {
        let flags = self.flags[at];
        let v = match self.op {
            Aggregation::Sum | Aggregation::Avg => {
                if flags & (FLOAT | HISTOGRAM) == FLOAT | HISTOGRAM {
                    notes.warn("encountered a mix of histograms and floats for aggregation", self.pos);
                    return;
                }
                if flags & INCOMPATIBLE != 0 {
                    return;
                }
                if flags & (RESET | NOT_RESET) == RESET | NOT_RESET {
                    notes.warn("conflicting counter resets during histogram aggregation", self.pos);
                }
                if let Some(hist) = self.hists.remove(&(at as u64)) {
                    let mut h = match hist {
                        Hist::Sum(sum) => sum.finish(),
                        Hist::Mean(mean) => mean.finish(),
                    };
                    histogram::compact(&mut h);
                    out.set_hist(row, step, Arc::new(h));
                    return;
                }
                match self.op {
                    Aggregation::Sum => self.a[at] + self.b[at],
                    _ if flags & RUNNING != 0 => self.a[at] + self.b[at],
                    _ => self.a[at] / self.n[at] + self.b[at] / self.n[at],
                }
            }
            Aggregation::Stdvar => self.b[at] / self.n[at],
            Aggregation::Stddev => (self.b[at] / self.n[at]).sqrt(),
            Aggregation::Quantile => over_time::quantile(param.unwrap_or(f64::NAN), &mut self.members[at]),
            _ => self.a[at],
        };
        out.set(row, step, v);
    }
}

fn hint(h: ResetHint) -> u8 {
    match h {
        ResetHint::Reset => RESET,
        ResetHint::NotReset => NOT_RESET,
        _ => 0,
    }
}

/// Steps at which a row has a value of either kind.
pub fn present(batch: &StepBatch, row: usize) -> impl Iterator<Item = usize> + '_ {
    ones(batch.valid(row)).chain(batch.hists(row).iter().map(|(step, _)| *step as usize))
}
