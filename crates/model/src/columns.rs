//! Samples of one series in columns: floats and histograms are two streams, each ordered by time.

use std::sync::Arc;

use crate::{FloatHistogram, HistLayout, HistRef, ResetHint, Timestamp};

/// Samples of one series. Reused from series to series: `clear` keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Times of the float samples, ascending.
    pub t: Vec<Timestamp>,
    /// Values of the float samples; stale markers are still in them.
    pub v: Vec<f64>,
    /// Histogram samples.
    pub h: HistColumns,
}

impl Columns {
    /// Forgets the samples, keeps the memory.
    pub fn clear(&mut self) {
        self.t.clear();
        self.v.clear();
        self.h.clear();
    }

    /// Keeps the first samples of each kind.
    pub fn truncate(&mut self, floats: usize, histograms: usize) {
        self.t.truncate(floats);
        self.v.truncate(floats);
        self.h.truncate(histograms);
    }

    /// How many samples there are, of both kinds.
    pub fn len(&self) -> usize {
        self.t.len() + self.h.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the backing buffers.
    pub fn bytes(&self) -> usize {
        8 * (self.t.capacity() + self.v.capacity()) + self.h.bytes()
    }
}

/// Histogram samples in columns. Integer counts have become floats, deltas absolute counts.
#[derive(Clone, Debug, Default)]
pub struct HistColumns {
    /// Times, ascending.
    pub t: Vec<Timestamp>,
    /// The layouts that samples refer to; a run of equal layouts shares one.
    pub layouts: Vec<Arc<HistLayout>>,
    /// Layout of each sample, as a place in `layouts`.
    pub layout: Vec<u32>,
    /// Number of observations of each sample.
    pub count: Vec<f64>,
    /// Observations in each sample's zero bucket.
    pub zero_count: Vec<f64>,
    /// Sum of each sample's observations; stale markers are still in them.
    pub sum: Vec<f64>,
    /// Counter reset before each sample. The first of a chunk is `Unknown` unless it is a gauge.
    pub hint: Vec<ResetHint>,
    /// Bucket counts of all samples: positive, then negative.
    pub buckets: Vec<f64>,
    /// Where each sample's buckets end in `buckets`.
    pub ends: Vec<u32>,
}

impl HistColumns {
    /// Forgets the samples, keeps the memory.
    pub fn clear(&mut self) {
        self.t.clear();
        self.layouts.clear();
        self.layout.clear();
        self.count.clear();
        self.zero_count.clear();
        self.sum.clear();
        self.hint.clear();
        self.buckets.clear();
        self.ends.clear();
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.t.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.t.is_empty()
    }

    /// Keeps the first `n` samples.
    pub fn truncate(&mut self, n: usize) {
        self.t.truncate(n);
        self.layout.truncate(n);
        self.count.truncate(n);
        self.zero_count.truncate(n);
        self.sum.truncate(n);
        self.hint.truncate(n);
        self.ends.truncate(n);
        self.buckets.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    /// The buckets of sample `i`: positive, then negative.
    pub fn buckets_of(&self, i: usize) -> &[f64] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] as usize };
        &self.buckets[start..self.ends[i] as usize]
    }

    /// Adds a sample whose buckets the caller has appended to `buckets` just before.
    #[allow(clippy::too_many_arguments, reason = "one argument a column")]
    pub fn push_with_buckets(
        &mut self,
        t: Timestamp,
        layout: &Arc<HistLayout>,
        count: f64,
        zero_count: f64,
        sum: f64,
        hint: ResetHint,
    ) {
        let same = self.layouts.last().is_some_and(|l| Arc::ptr_eq(l, layout) || l == layout);
        if !same {
            self.layouts.push(layout.clone());
        }
        self.t.push(t);
        self.layout.push(self.layouts.len() as u32 - 1);
        self.count.push(count);
        self.zero_count.push(zero_count);
        self.sum.push(sum);
        self.hint.push(hint);
        self.ends.push(self.buckets.len() as u32);
    }

    /// Adds a sample.
    pub fn push(&mut self, t: Timestamp, h: &FloatHistogram) {
        self.buckets.extend_from_slice(&h.positive);
        self.buckets.extend_from_slice(&h.negative);
        self.push_with_buckets(t, &h.layout, h.count, h.zero_count, h.sum, h.hint);
    }

    /// Copies sample `i` of `other` to the end, with another hint.
    pub fn push_from(&mut self, other: &HistColumns, i: usize, hint: ResetHint) {
        self.buckets.extend_from_slice(other.buckets_of(i));
        let layout = &other.layouts[other.layout[i] as usize];
        self.push_with_buckets(other.t[i], layout, other.count[i], other.zero_count[i], other.sum[i], hint);
    }

    /// Sample `i`, read where it lies.
    pub fn view(&self, i: usize) -> HistRef<'_> {
        let layout = &self.layouts[self.layout[i] as usize];
        let buckets = self.buckets_of(i);
        let (positive, negative) = buckets.split_at(layout.buckets().0.min(buckets.len()));
        HistRef {
            layout,
            count: self.count[i],
            zero_count: self.zero_count[i],
            sum: self.sum[i],
            hint: self.hint[i],
            positive,
            negative,
        }
    }

    /// Sample `i` as a value of its own.
    pub fn get(&self, i: usize) -> FloatHistogram {
        self.view(i).to_owned()
    }

    /// Bytes of the backing buffers.
    pub fn bytes(&self) -> usize {
        8 * (self.t.capacity() + self.count.capacity() + self.zero_count.capacity() + self.sum.capacity())
            + 8 * self.buckets.capacity()
            + 4 * (self.layout.capacity() + self.ends.capacity())
            + self.hint.capacity()
            + self.layouts.len() * std::mem::size_of::<HistLayout>()
    }
}
