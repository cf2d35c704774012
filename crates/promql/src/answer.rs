//! Step batches -> the values that queries give.

use dolmen_model::{Columns, Timestamp};
use dolmen_promql_exec::batch::{Cell, Grid, StepBatch};
use dolmen_promql_exec::eval::cells;
use dolmen_promql_exec::window::Samples;

use crate::result::{Sample, Series, Value, VectorSample};

/// The elements at the only step, in their order.
pub fn vector(batch: &StepBatch, t: Timestamp) -> Value {
    let mut out = Vec::with_capacity(batch.len());
    for (row, head) in batch.heads.iter().enumerate() {
        let Some(cell) = batch.cell(row, 0) else { continue };
        let value = match cell {
            Cell::Float(v) => Sample::Float(v),
            Cell::Histogram(h) => Sample::Histogram(Box::new((**h).clone())),
        };
        out.push(VectorSample { labels: head.labels.clone(), t, value });
    }
    Value::Vector(out)
}

/// The elements at all steps, by label set.
pub fn matrix(batch: &StepBatch, grid: Grid) -> Value {
    let mut out = Vec::with_capacity(batch.len());
    for (row, head) in batch.heads.iter().enumerate() {
        let mut series = Series { labels: head.labels.clone(), floats: Vec::new(), histograms: Vec::new() };
        for (step, cell) in cells(batch, row) {
            let t = grid.at(step);
            match cell {
                Cell::Float(v) => series.floats.push((t, v)),
                Cell::Histogram(h) => series.histograms.push((t, (**h).clone())),
            }
        }
        if !series.floats.is_empty() || !series.histograms.is_empty() {
            out.push(series);
        }
    }
    sorted(out)
}

/// A scalar at all steps.
pub fn scalar_matrix(values: &[f64], grid: Grid) -> Value {
    let floats = grid.times().zip(values.iter().copied()).collect();
    Value::Matrix(vec![Series { labels: dolmen_model::Labels::empty(), floats, histograms: Vec::new() }])
}

/// Samples as they are stored, by label set.
pub fn samples(found: Vec<Samples>) -> Value {
    sorted(found.into_iter().map(|s| series(s.labels, &s.samples)).collect())
}

fn series(labels: dolmen_model::Labels, samples: &Columns) -> Series {
    Series {
        labels,
        floats: samples.t.iter().copied().zip(samples.v.iter().copied()).collect(),
        histograms: (0..samples.h.len()).map(|i| (samples.h.t[i], samples.h.get(i))).collect(),
    }
}

fn sorted(mut all: Vec<Series>) -> Value {
    all.sort_by(|a, b| a.labels.iter().cmp(b.labels.iter()));
    Value::Matrix(all)
}
