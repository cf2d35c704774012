//! Histograms without their buckets, for functions that ask for counts and sums only.

use std::sync::Arc;

use dolmen_model::{HistColumns, HistLayout, ResetHint, is_stale};

use crate::histogram::detect_reset;

/// Takes the buckets away. What they tell of counter resets is kept in the hints.
pub fn only(h: &mut HistColumns) {
    if h.is_empty() {
        return;
    }
    let mut before: Option<usize> = None;
    for i in 0..h.len() {
        if is_stale(h.sum[i]) {
            continue;
        }
        if let Some(before) = before.filter(|_| h.hint[i] == ResetHint::Unknown) {
            let reset = detect_reset(h.view(i), h.view(before));
            h.hint[i] = if reset { ResetHint::Reset } else { ResetHint::NotReset };
        }
        before = Some(i);
    }
    // Exponential and custom buckets still do not mix.
    for layout in &mut h.layouts {
        *layout = Arc::new(HistLayout { schema: layout.schema, ..HistLayout::default() });
    }
    h.zero_count.fill(0.0);
    h.buckets.clear();
    h.ends.fill(0);
}
