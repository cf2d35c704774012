//! Values -> records.
//!
//! ```text
//! series       1 | ref be64 | n uvarint | n × (name, value) | …
//! samples      2 | ref0 be64 | t0 be64 | Δref varint | Δt varint | v be64 | …      Δ to the first
//! histograms   7–10 | ref0 be64 | t0 be64 | Δref varint | Δt varint | histogram | …
//! ```

use std::ops::Range;

use dolmen_model::{HistLayout, Histogram, ResetHint, Span, Timestamp};

use crate::record::{HistogramRec, SampleRec, kind};
use crate::wire::{put_f64, put_text, put_u64, put_uvarint, put_varint};

/// Begins a record of series.
pub fn series_begin(out: &mut Vec<u8>) {
    out.push(kind::SERIES);
}

/// Adds a series to a record of series; its labels come sorted by name.
pub fn series<'a>(
    out: &mut Vec<u8>,
    reference: u64,
    labels: impl Iterator<Item = (&'a str, &'a str)> + Clone,
) {
    put_u64(out, reference);
    put_uvarint(out, labels.clone().count() as u64);
    for (name, value) in labels {
        put_text(out, name);
        put_text(out, value);
    }
}

/// A record of float samples; nothing where there are none.
pub fn samples(out: &mut Vec<u8>, samples: &[SampleRec]) {
    let Some(first) = samples.first() else { return };
    out.reserve(17 + samples.len() * 14);
    begin(out, kind::SAMPLES, first.reference, first.t);
    for s in samples {
        deltas(out, first.reference, first.t, s.reference, s.t);
        put_f64(out, s.v);
    }
}

/// Which record a histogram goes into: records of a group are written in the order of these numbers.
pub fn histogram_kind(h: &Histogram) -> u8 {
    match (h, h.layout().is_custom()) {
        (Histogram::Int(_), false) => kind::HISTOGRAMS,
        (Histogram::Float(_), false) => kind::FLOAT_HISTOGRAMS,
        (Histogram::Int(_), true) => kind::CUSTOM_HISTOGRAMS,
        (Histogram::Float(_), true) => kind::CUSTOM_FLOAT_HISTOGRAMS,
    }
}

/// Records of histogram samples, one for each kind that occurs; `records` gets where each stands in `out`.
pub fn histograms(out: &mut Vec<u8>, all: &[HistogramRec], records: &mut Vec<Range<usize>>) {
    for kind in kind::HISTOGRAMS..=kind::CUSTOM_FLOAT_HISTOGRAMS {
        let mut of_kind = all.iter().filter(|h| histogram_kind(&h.histogram) == kind).peekable();
        let Some(first) = of_kind.peek().map(|h| (h.reference, h.t)) else { continue };
        let from = out.len();
        begin(out, kind, first.0, first.1);
        for h in of_kind {
            deltas(out, first.0, first.1, h.reference, h.t);
            histogram(out, &h.histogram);
        }
        records.push(from..out.len());
    }
}

fn begin(out: &mut Vec<u8>, kind: u8, reference: u64, t: Timestamp) {
    out.push(kind);
    put_u64(out, reference);
    put_u64(out, t as u64);
}

fn deltas(out: &mut Vec<u8>, reference0: u64, t0: Timestamp, reference: u64, t: Timestamp) {
    put_varint(out, reference.wrapping_sub(reference0) as i64);
    put_varint(out, t.wrapping_sub(t0));
}

fn histogram(out: &mut Vec<u8>, h: &Histogram) {
    match h {
        Histogram::Int(h) => {
            head(out, h.hint, &h.layout);
            put_uvarint(out, h.zero_count);
            put_uvarint(out, h.count);
            put_f64(out, h.sum);
            spans(out, &h.layout);
            for buckets in [&h.positive_deltas, &h.negative_deltas] {
                put_uvarint(out, buckets.len() as u64);
                buckets.iter().for_each(|d| put_varint(out, *d));
            }
        }
        Histogram::Float(h) => {
            head(out, h.hint, &h.layout);
            put_f64(out, h.zero_count);
            put_f64(out, h.count);
            put_f64(out, h.sum);
            spans(out, &h.layout);
            for buckets in [&h.positive, &h.negative] {
                put_uvarint(out, buckets.len() as u64);
                buckets.iter().for_each(|v| put_f64(out, *v));
            }
        }
    }
    let layout = h.layout();
    if layout.is_custom() {
        put_uvarint(out, layout.custom_values.len() as u64);
        layout.custom_values.iter().for_each(|v| put_f64(out, *v));
    }
}

fn head(out: &mut Vec<u8>, hint: ResetHint, layout: &HistLayout) {
    out.push(hint as u8);
    put_varint(out, i64::from(layout.schema));
    put_f64(out, layout.zero_threshold);
}

fn spans(out: &mut Vec<u8>, layout: &HistLayout) {
    for spans in [&layout.positive_spans, &layout.negative_spans] {
        put_uvarint(out, spans.len() as u64);
        for Span { offset, length } in spans {
            put_varint(out, i64::from(*offset));
            put_uvarint(out, u64::from(*length));
        }
    }
}
