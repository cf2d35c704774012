//! What flows between operators: values of many series at the steps of a query, in columns.
//!
//! ```text
//!              step 0   step 1   step 2
//! series 0      f f f   f f f    f f f      one slice of floats a row, and one bit a cell that says
//! series 1      f f f   f f f    f f f      whether there is a float; histograms are few and stand
//! series 2      f f f   f f f    f f f      beside, sorted by step
//! ```
//!
//! A cell holds a float, a histogram or nothing.

use std::sync::Arc;

use dolmen_model::{FloatHistogram, Labels, Timestamp};

/// The steps of an evaluation: `start`, `start + step`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Time of the first step.
    pub start: Timestamp,
    /// Milliseconds from step to step; at least one.
    pub step: i64,
    /// How many steps there are.
    pub steps: usize,
}

impl Grid {
    /// A single step.
    pub fn instant(t: Timestamp) -> Grid {
        Grid { start: t, step: 1, steps: 1 }
    }

    /// From `start` to no later than `end`; without steps where `end` comes before `start`.
    pub fn range(start: Timestamp, end: Timestamp, step: i64) -> Grid {
        let step = step.max(1);
        let steps = if end < start { 0 } else { ((end - start) / step) as usize + 1 };
        Grid { start, step, steps }
    }

    /// Time of step `i`.
    pub fn at(self, i: usize) -> Timestamp {
        self.start + self.step * i as i64
    }

    /// Time of the last step.
    pub fn last(self) -> Timestamp {
        self.at(self.steps.saturating_sub(1))
    }

    /// Times of all steps.
    pub fn times(self) -> impl Iterator<Item = Timestamp> {
        (0..self.steps).map(move |i| self.at(i))
    }
}

/// Histograms of one row: step and value, ascending by step.
pub type HistCells = Vec<(u32, Arc<FloatHistogram>)>;

/// One series of a batch, but for its values.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its label set.
    pub labels: Labels,
    /// Whether the metric's name is to be dropped at the end of the query (delayed name removal).
    pub drop_name: bool,
}

/// What stands in a cell.
#[derive(Clone, Debug)]
pub enum Cell<'a> {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(&'a Arc<FloatHistogram>),
}

/// Series × steps.
#[derive(Clone, Debug, Default)]
pub struct StepBatch {
    steps: usize,
    words: usize,
    /// The series.
    pub heads: Vec<Head>,
    f: Vec<f64>,
    valid: Vec<u64>,
    /// As many as series, or none at all where there is no histogram.
    hists: Vec<HistCells>,
}

impl StepBatch {
    /// A batch without series.
    pub fn new(steps: usize) -> StepBatch {
        StepBatch { steps, words: steps.div_ceil(64), ..StepBatch::default() }
    }

    /// The same, with memory for so many series.
    pub fn with_capacity(steps: usize, series: usize) -> StepBatch {
        let mut batch = StepBatch::new(steps);
        batch.heads.reserve(series);
        batch.f.reserve(series * steps);
        batch.valid.reserve(series * batch.words);
        batch
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// How many steps a row has.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Words of the bitmap of a row.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Adds a series without values; gives its row.
    pub fn push(&mut self, labels: Labels, drop_name: bool) -> usize {
        self.heads.push(Head { labels, drop_name });
        self.f.resize(self.heads.len() * self.steps, 0.0);
        self.valid.resize(self.heads.len() * self.words, 0);
        if !self.hists.is_empty() {
            self.hists.push(HistCells::new());
        }
        self.heads.len() - 1
    }

    /// Takes the last series away.
    pub fn pop(&mut self) {
        self.heads.pop();
        self.f.truncate(self.heads.len() * self.steps);
        self.valid.truncate(self.heads.len() * self.words);
        self.hists.truncate(self.heads.len());
    }

    /// The floats of a row; where the bitmap has no bit they mean nothing.
    pub fn floats(&self, row: usize) -> &[f64] {
        &self.f[row * self.steps..][..self.steps]
    }

    /// The bitmap of a row's floats.
    pub fn valid(&self, row: usize) -> &[u64] {
        &self.valid[row * self.words..][..self.words]
    }

    /// Both, to be written.
    pub fn row_mut(&mut self, row: usize) -> (&mut [f64], &mut [u64]) {
        (&mut self.f[row * self.steps..][..self.steps], &mut self.valid[row * self.words..][..self.words])
    }

    /// The histograms of a row.
    pub fn hists(&self, row: usize) -> &[(u32, Arc<FloatHistogram>)] {
        self.hists.get(row).map_or(&[], |h| h)
    }

    /// The histograms of a row, to be written: keep them sorted.
    pub fn hists_mut(&mut self, row: usize) -> &mut HistCells {
        if self.hists.is_empty() {
            self.hists.resize(self.heads.len(), HistCells::new());
        }
        &mut self.hists[row]
    }

    /// Whether any cell holds a histogram.
    pub fn has_hists(&self) -> bool {
        self.hists.iter().any(|h| !h.is_empty())
    }

    /// What stands at a step of a row.
    pub fn cell(&self, row: usize, step: usize) -> Option<Cell<'_>> {
        if self.valid[row * self.words + step / 64] >> (step % 64) & 1 == 1 {
            return Some(Cell::Float(self.f[row * self.steps + step]));
        }
        let hists = self.hists.get(row)?;
        let at = hists.binary_search_by_key(&(step as u32), |(s, _)| *s).ok()?;
        Some(Cell::Histogram(&hists[at].1))
    }

    /// Sets a float.
    pub fn set(&mut self, row: usize, step: usize, v: f64) {
        self.f[row * self.steps + step] = v;
        self.valid[row * self.words + step / 64] |= 1 << (step % 64);
    }

    /// Sets a histogram; steps of a row come ascending.
    pub fn set_hist(&mut self, row: usize, step: usize, h: Arc<FloatHistogram>) {
        self.hists_mut(row).push((step as u32, h));
    }

    /// Takes the float of a cell away.
    pub fn clear(&mut self, row: usize, step: usize) {
        self.valid[row * self.words + step / 64] &= !(1 << (step % 64));
    }

    /// Whether a row has no value at all.
    pub fn is_blank(&self, row: usize) -> bool {
        self.hists(row).is_empty() && self.valid(row).iter().all(|w| *w == 0)
    }

    /// Keeps the rows that have a value.
    pub fn drop_blank(&mut self) {
        let keep: Vec<bool> = (0..self.len()).map(|row| !self.is_blank(row)).collect();
        if keep.iter().all(|k| *k) {
            return;
        }
        let order: Vec<usize> = (0..self.len()).filter(|row| keep[*row]).collect();
        self.select_rows(&order);
    }

    /// Keeps these rows, in this order.
    pub fn select_rows(&mut self, order: &[usize]) {
        let mut out = StepBatch::with_capacity(self.steps, order.len());
        for &row in order {
            out.copy_row(self, row);
        }
        *self = out;
    }

    /// Adds a copy of a row of another batch with as many steps.
    pub fn copy_row(&mut self, from: &StepBatch, row: usize) {
        self.heads.push(from.heads[row].clone());
        self.f.extend_from_slice(from.floats(row));
        self.valid.extend_from_slice(from.valid(row));
        let hists = from.hists(row);
        if !self.hists.is_empty() {
            self.hists.push(hists.to_vec());
        } else if !hists.is_empty() {
            self.hists.resize(self.heads.len() - 1, HistCells::new());
            self.hists.push(hists.to_vec());
        }
    }

    /// Adds all rows of another batch.
    pub fn append(&mut self, mut other: StepBatch) {
        if self.heads.is_empty() && self.steps == other.steps {
            *self = other;
            return;
        }
        if !self.hists.is_empty() || !other.hists.is_empty() {
            self.hists.resize(self.heads.len(), HistCells::new());
            other.hists.resize(other.heads.len(), HistCells::new());
        }
        self.heads.append(&mut other.heads);
        self.f.append(&mut other.f);
        self.valid.append(&mut other.valid);
        self.hists.append(&mut other.hists);
    }

    /// Moves the values of row `b` into row `a`. `false`, and a half-done row, where both have one at a step.
    pub fn merge_rows(&mut self, a: usize, b: usize) -> bool {
        for step in 0..self.steps {
            if self.cell(b, step).is_some() && self.cell(a, step).is_some() {
                return false;
            }
        }
        for step in ones(self.valid(b)).collect::<Vec<_>>() {
            let v = self.floats(b)[step];
            self.set(a, step, v);
        }
        if !self.hists.is_empty() {
            let mut moved = std::mem::take(&mut self.hists[b]);
            self.hists[a].append(&mut moved);
            self.hists[a].sort_by_key(|(step, _)| *step);
        }
        true
    }

    /// How many cells hold something; a histogram counts for its size, as the limit on samples wants it.
    pub fn samples(&self) -> usize {
        let floats: u32 = self.valid.iter().map(|w| w.count_ones()).sum();
        let hists = self.hists.iter().flatten();
        floats as usize + hists.map(|(_, h)| crate::histogram::sample_weight(&**h)).sum::<usize>()
    }

    /// Bytes of the backing buffers.
    pub fn bytes(&self) -> usize {
        let labels: usize = self.heads.iter().map(|h| h.labels.bytes() + std::mem::size_of::<Head>()).sum();
        let hists = self.hists.iter().flatten();
        let hists: usize =
            hists.map(|(_, h)| 160 + 8 * (h.positive.capacity() + h.negative.capacity())).sum();
        labels + hists + 8 * (self.f.capacity() + self.valid.capacity())
    }

    /// A batch of one step becomes one of many that all have its values.
    pub fn spread(self, steps: usize) -> StepBatch {
        if steps == self.steps {
            return self;
        }
        let mut out = StepBatch::with_capacity(steps, self.len());
        for row in 0..self.len() {
            let to = out.push(self.heads[row].labels.clone(), self.heads[row].drop_name);
            match self.cell(row, 0) {
                Some(Cell::Float(v)) => {
                    let (f, valid) = out.row_mut(to);
                    f.fill(v);
                    set_all(valid, steps);
                }
                Some(Cell::Histogram(h)) => {
                    let cells = (0..steps as u32).map(|s| (s, h.clone())).collect();
                    *out.hists_mut(to) = cells;
                }
                None => {}
            }
        }
        out
    }
}

/// Sets the first `n` bits.
pub fn set_all(bits: &mut [u64], n: usize) {
    for (i, word) in bits.iter_mut().enumerate() {
        let left = n.saturating_sub(i * 64);
        *word = if left >= 64 { u64::MAX } else { (1 << left) - 1 };
    }
}

/// Places of the bits that are set.
pub fn ones(bits: &[u64]) -> impl Iterator<Item = usize> + '_ {
    bits.iter().enumerate().flat_map(|(i, word)| {
        let mut word = *word;
        std::iter::from_fn(move || {
            (word != 0).then(|| {
                let at = word.trailing_zeros() as usize;
                word &= word - 1;
                i * 64 + at
            })
        })
    })
}
