//! Windows of floats that slide over a series.
//!
//! Sums are never undone by subtraction: what leaves a window is left behind by starting over, or by a queue.

use dolmen_model::Columns;

use super::{Edges, WindowJob};
use crate::function::extended::Reach;
use crate::function::kernel::{Hists, Window};
use crate::function::rate::{Change, change_of_floats};
use crate::function::{Slide, over_time};
use crate::scan::Work;

/// Fills a row with the values of all windows of a series without histograms.
pub fn slide(
    how: Slide,
    job: &WindowJob,
    samples: &Columns,
    cells: &mut [f64],
    valid: &mut [u64],
    work: &mut Work,
) {
    let v = &samples.v[..];
    match how {
        Slide::Change(what) => change(what, job, samples, cells, valid, work),
        Slide::Sum => windows(job, samples, cells, valid, |a, b| Some(over_time::sum(&v[a..b]))),
        Slide::Avg => windows(job, samples, cells, valid, |a, b| Some(over_time::avg(&v[a..b]))),
        Slide::Count => windows(job, samples, cells, valid, |a, b| Some((b - a) as f64)),
        Slide::Last => windows(job, samples, cells, valid, |_, b| Some(v[b - 1])),
        Slide::Min => extreme(job, samples, cells, valid, &mut work.places, |new, old| new < old),
        Slide::Max => extreme(job, samples, cells, valid, &mut work.places, |new, old| new > old),
    }
}

#[inline]
fn windows(
    job: &WindowJob,
    samples: &Columns,
    cells: &mut [f64],
    valid: &mut [u64],
    mut f: impl FnMut(usize, usize) -> Option<f64>,
) {
    let mut edges = Edges::default();
    for (i, step) in job.grid.times().enumerate() {
        let end = job.reference.time(step);
        let (a, b) = edges.slide(&samples.t, end - job.range, end);
        if a == b {
            continue;
        }
        if let Some(v) = f(a, b) {
            cells[i] = v;
            valid[i / 64] |= 1 << (i % 64);
        }
    }
}

/// Resets are listed once; a window sees those whose both samples it holds.
fn change(
    what: Change,
    job: &WindowJob,
    samples: &Columns,
    cells: &mut [f64],
    valid: &mut [u64],
    work: &mut Work,
) {
    let resets = &mut work.places;
    resets.clear();
    if what.of_counter() {
        let decreases = samples.v.windows(2).zip(1u32..).filter(|(pair, _)| pair[1] < pair[0]);
        resets.extend(decreases.map(|(_, i)| i));
    }
    let (mut from, mut to) = (0, 0);
    let mut edges = Edges::default();
    for (i, step) in job.grid.times().enumerate() {
        let end = job.reference.time(step);
        let start = end - job.range;
        let (a, b) = edges.slide(&samples.t, start, end);
        if b < a + 2 {
            continue;
        }
        while from < resets.len() && resets[from] as usize <= a {
            from += 1;
        }
        to = to.max(from);
        while to < resets.len() && (resets[to] as usize) < b {
            to += 1;
        }
        let window = Window {
            t: &samples.t[a..b],
            v: &samples.v[a..b],
            h: Hists::new(&samples.h, 0, 0),
            start,
            end,
            at: step,
            seconds: job.range as f64 / 1000.0,
            reach: Reach::Plain,
        };
        let within = resets[from..to].iter().map(|r| *r as usize - a);
        if let Some(v) = change_of_floats(what, &window, within) {
            cells[i] = v;
            valid[i / 64] |= 1 << (i % 64);
        }
    }
}

/// A queue of places whose values only get worse: the front is the window's best. NaN is never queued; where
/// the queue is empty and the window is not, all its values are NaN.
fn extreme(
    job: &WindowJob,
    samples: &Columns,
    cells: &mut [f64],
    valid: &mut [u64],
    queue: &mut Vec<u32>,
    beats: impl Fn(f64, f64) -> bool,
) {
    queue.clear();
    let v = &samples.v[..];
    let (mut front, mut seen) = (0, 0);
    windows(job, samples, cells, valid, |a, b| {
        for i in seen.max(a)..b {
            if v[i].is_nan() {
                continue;
            }
            while queue.len() > front && beats(v[i], v[queue[queue.len() - 1] as usize]) {
                queue.pop();
            }
            queue.push(i as u32);
        }
        seen = seen.max(b);
        while front < queue.len() && (queue[front] as usize) < a {
            front += 1;
        }
        Some(queue.get(front).map_or(v[b - 1], |i| v[*i as usize]))
    });
}
