//! `topk`, `bottomk`, `limitk`, `limit_ratio`: some of each group's elements stay, with their labels.

use dolmen_model::Labels;

use super::Groups;
use crate::annotation::Annotations;
use crate::batch::{Cell, StepBatch};
use crate::env::Env;
use crate::error::{PromqlError, Result};
use crate::plan::{Aggregate, Aggregation};

/// Bounds of what becomes a 64-bit integer without surprise.
const LARGEST: f64 = 9_223_372_036_854_774_784.0;

/// Whether the parameters leave nothing over; refuses those that make no sense.
pub fn nothing(node: &Aggregate, param: &[f64], env: &Env) -> Result<bool> {
    let most = param.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let least = param.iter().copied().fold(f64::INFINITY, f64::min);
    let nan = param.iter().any(|p| p.is_nan());
    if node.op == Aggregation::LimitRatio {
        if most == 0.0 && least == 0.0 && !nan {
            return Ok(true);
        }
        if nan {
            return Err(PromqlError::execution("Ratio value is NaN"));
        }
        let mut notes = Annotations::default();
        for (v, to) in [(most.max(1.0), 1.0), (least.min(-1.0), -1.0)] {
            if v != to {
                let v = dolmen_model::format_float_general(v);
                notes.warn(
                    format!("ratio value should be between -1 and 1, got {v}, capping to {to}"),
                    node.param_pos,
                );
            }
        }
        env.note(notes);
        return Ok(false);
    }
    if nan {
        return Err(PromqlError::execution("Parameter value is NaN"));
    }
    if most < 1.0 {
        return Ok(true);
    }
    let number = dolmen_model::format_float_general;
    if least <= -LARGEST {
        return Err(PromqlError::execution(format!("Scalar value {} underflows int64", number(least))));
    }
    if most >= LARGEST {
        return Err(PromqlError::execution(format!("Scalar value {} overflows int64", number(most))));
    }
    Ok(false)
}

/// A heap's entry: value and row.
type Entry = (f64, usize);

/// The elements that stay.
pub fn pick(node: &Aggregate, param: &[f64], input: StepBatch) -> (StepBatch, Annotations) {
    let mut groups = Groups::new(node);
    let group_of: Vec<u32> = input.heads.iter().map(|h| groups.of(&h.labels)).collect();
    let mut notes = Annotations::default();
    let mut out = StepBatch::with_capacity(input.steps(), 0);
    let mut rows: Vec<Option<usize>> = vec![None; input.len()];
    let mut kept: Vec<Vec<Entry>> = vec![Vec::new(); groups.labels.len()];
    for (step, param) in param.iter().copied().enumerate().take(input.steps()) {
        for heap in &mut kept {
            heap.clear();
        }
        match node.op {
            Aggregation::Topk | Aggregation::Bottomk => {
                let top = node.op == Aggregation::Topk;
                best(&input, step, &group_of, top, param, &mut kept, node, &mut notes);
            }
            Aggregation::Limitk => {
                let k = (param as i64).max(0) as usize;
                for row in 0..input.len() {
                    let heap = &mut kept[group_of[row] as usize];
                    if heap.len() < k && input.cell(row, step).is_some() {
                        heap.push((0.0, row));
                    }
                }
            }
            _ => {
                for row in 0..input.len() {
                    if input.cell(row, step).is_some() && sampled(param, &input.heads[row].labels) {
                        kept[group_of[row] as usize].push((0.0, row));
                    }
                }
            }
        }
        for (_, row) in kept.iter().flatten() {
            let to = *rows[*row].get_or_insert_with(|| {
                let head = &input.heads[*row];
                out.push(head.labels.clone(), head.drop_name)
            });
            match input.cell(*row, step) {
                Some(Cell::Float(v)) => out.set(to, step, v),
                Some(Cell::Histogram(h)) => out.set_hist(to, step, h.clone()),
                None => {}
            }
        }
    }
    (out, notes)
}

#[allow(clippy::too_many_arguments, reason = "the state of one loop")]
fn best(
    input: &StepBatch,
    step: usize,
    group_of: &[u32],
    top: bool,
    k: f64,
    kept: &mut [Vec<Entry>],
    node: &Aggregate,
    notes: &mut Annotations,
) {
    let k = (k as i64).clamp(0, input.len() as i64) as usize;
    if k == 0 {
        return;
    }
    let less = |a: f64, b: f64| worse(top, a, b);
    for row in 0..input.len() {
        let v = match input.cell(row, step) {
            Some(Cell::Float(v)) => v,
            Some(Cell::Histogram(_)) => {
                let name = if top { "topk" } else { "bottomk" };
                notes.info(format!("ignored histogram in {name} aggregation"), node.pos);
                continue;
            }
            None => continue,
        };
        let heap = &mut kept[group_of[row] as usize];
        if heap.is_empty() {
            heap.push((v, row));
        } else if heap.len() < k {
            heap.push((v, row));
            up(heap, less);
        } else {
            let worst = heap[0].0;
            let better = if top { worst < v } else { worst > v };
            if better || (worst.is_nan() && !v.is_nan()) {
                heap[0] = (v, row);
                down(heap, 0, less);
            }
        }
    }
    for heap in kept {
        // Best first.
        heap.sort_by(|a, b| match (less(b.0, a.0), less(a.0, b.0)) {
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            _ => std::cmp::Ordering::Equal,
        });
    }
}

/// Whether `a` is to be thrown out before `b`; NaN first.
fn worse(top: bool, a: f64, b: f64) -> bool {
    if a.is_nan() {
        return true;
    }
    if top { a < b } else { a > b }
}

/// The last entry rises to its place: the worst stands at the front. As Go's container/heap does it, since
/// among equal values the order decides who stays.
fn up(heap: &mut [Entry], less: impl Fn(f64, f64) -> bool) {
    let mut j = heap.len() - 1;
    while j > 0 {
        let i = (j - 1) / 2;
        if !less(heap[j].0, heap[i].0) {
            break;
        }
        heap.swap(i, j);
        j = i;
    }
}

fn down(heap: &mut [Entry], mut i: usize, less: impl Fn(f64, f64) -> bool) {
    loop {
        let left = 2 * i + 1;
        if left >= heap.len() {
            break;
        }
        let right = left + 1;
        let child = if right < heap.len() && less(heap[right].0, heap[left].0) { right } else { left };
        if !less(heap[child].0, heap[i].0) {
            break;
        }
        heap.swap(i, child);
        i = child;
    }
}

/// Whether a series belongs to a share of all; the shares `r` and `r - 1` make a whole.
fn sampled(ratio: f64, labels: &Labels) -> bool {
    let ratio = ratio.clamp(-1.0, 1.0);
    let offset = label_hash(labels) as f64 / u64::MAX as f64;
    if ratio == 0.0 {
        false
    } else if ratio > 0.0 {
        offset < ratio
    } else {
        offset >= 1.0 + ratio
    }
}

/// Prometheus' hash of a label set: xxhash64 over names and values, each behind its length: one byte, or 255 and
/// three bytes, least significant first.
fn label_hash(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(labels.bytes() + 16);
    for (name, value) in labels.iter() {
        for text in [name, value] {
            if text.len() < 255 {
                bytes.push(text.len() as u8);
            } else {
                bytes.push(255);
                bytes.extend_from_slice(&(text.len() as u32).to_le_bytes()[..3]);
            }
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    xxhash_rust::xxh64::xxh64(&bytes, 0)
}
