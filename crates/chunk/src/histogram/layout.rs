//! Which buckets a chunk's histograms have, in bits.
//!
//! ```text
//! zero threshold   u8: 0 is 0.0 | 1…254: 2^(u8 - 244) | 255: 64 bits follow
//! schema           vb
//! spans, twice     vbu n, n × (vbu length, vb offset)
//! custom bounds    only with schema -53: vbu n, n × (vbu: 0, then 64 bits | 1000 × bound + 1)
//! ```

use dolmen_model::{CUSTOM_BUCKETS_SCHEMA, HistLayout, Span};

use super::MAX_BUCKETS;
use crate::bits::{BitReader, BitWriter};
use crate::error::Corrupt;
use crate::varbit::{put_signed, put_unsigned, take_signed, take_unsigned};

/// Largest 1000-fold of a bound that is written short.
const MAX_SHORT_BOUND: f64 = 33_554_430.0;

/// Reads a layout and checks that spans do not overlap and stay within the bounds.
pub(super) fn take_layout(r: &mut BitReader<'_>) -> Result<HistLayout, Corrupt> {
    let zero_threshold = match r.take(8) {
        0 => 0.0,
        255 => f64::from_bits(r.take(64)),
        exponent => 2f64.powi(exponent as i32 - 244),
    };
    let schema = i32::try_from(take_signed(r)).map_err(|_| UNKNOWN_SCHEMA)?;
    if !(-4..=52).contains(&schema) && schema != CUSTOM_BUCKETS_SCHEMA {
        return Err(UNKNOWN_SCHEMA);
    }
    let positive_spans = take_spans(r)?;
    let negative_spans = take_spans(r)?;
    let mut custom_values = Vec::new();
    if schema == CUSTOM_BUCKETS_SCHEMA {
        // Each bound takes eight bits or more.
        let n = bounded(take_unsigned(r), r.left() / 8)?;
        custom_values.reserve_exact(n);
        for _ in 0..n {
            custom_values.push(match take_unsigned(r) {
                0 => f64::from_bits(r.take(64)),
                thousandths => (thousandths - 1) as f64 / 1000.0,
            });
        }
    }
    r.check()?;
    let layout = HistLayout { schema, zero_threshold, positive_spans, negative_spans, custom_values };
    check_layout(&layout)?;
    Ok(layout)
}

const UNKNOWN_SCHEMA: Corrupt = Corrupt("histogram of an unknown schema");
const TOO_MANY: Corrupt = Corrupt("histogram of more spans, bounds or buckets than the chunk can hold");
const BAD_SPANS: Corrupt = Corrupt("histogram spans overlap or lie outside of the bounds");

fn bounded(n: u64, most: usize) -> Result<usize, Corrupt> {
    usize::try_from(n).ok().filter(|n| *n <= most).ok_or(TOO_MANY)
}

fn take_spans(r: &mut BitReader<'_>) -> Result<Vec<Span>, Corrupt> {
    // A span takes two bits or more.
    let n = bounded(take_unsigned(r), (r.left() / 2).min(MAX_BUCKETS))?;
    let mut spans = Vec::with_capacity(n);
    for _ in 0..n {
        let length = u32::try_from(take_unsigned(r)).map_err(|_| TOO_MANY)?;
        let offset = i32::try_from(take_signed(r)).map_err(|_| BAD_SPANS)?;
        spans.push(Span { offset, length });
    }
    r.check()?;
    Ok(spans)
}

/// That spans rise, stay in 32 bits, and hold at most [`MAX_BUCKETS`].
fn check_layout(l: &HistLayout) -> Result<(), Corrupt> {
    let mut buckets = 0u64;
    for spans in [&l.positive_spans, &l.negative_spans] {
        let mut next = 0i64;
        for (i, span) in spans.iter().enumerate() {
            let start = next + i64::from(span.offset);
            if (i > 0 || l.is_custom()) && span.offset < 0 {
                return Err(BAD_SPANS);
            }
            next = start + i64::from(span.length);
            buckets += u64::from(span.length);
            if next > i64::from(i32::MAX) || start < i64::from(i32::MIN) {
                return Err(BAD_SPANS);
            }
        }
        // The last bucket reaches from the last bound to infinity.
        if l.is_custom() && next > l.custom_values.len() as i64 + 1 {
            return Err(BAD_SPANS);
        }
    }
    if buckets > MAX_BUCKETS as u64 { Err(TOO_MANY) } else { Ok(()) }
}

/// Most bytes that a layout can take.
pub(super) fn most_bytes(l: &HistLayout) -> usize {
    let spans = l.positive_spans.len() + l.negative_spans.len();
    9 + 9 + 3 * 9 + spans * 18 + l.custom_values.len() * 9
}

/// Writes a layout.
pub(super) fn put_layout(w: &mut BitWriter<'_>, l: &HistLayout) {
    put_zero_threshold(w, l.zero_threshold);
    put_signed(w, i64::from(l.schema));
    for spans in [&l.positive_spans, &l.negative_spans] {
        put_unsigned(w, spans.len() as u64);
        for span in spans {
            put_unsigned(w, u64::from(span.length));
            put_signed(w, i64::from(span.offset));
        }
    }
    if l.is_custom() {
        put_unsigned(w, l.custom_values.len() as u64);
        for bound in &l.custom_values {
            put_bound(w, *bound);
        }
    }
}

fn put_zero_threshold(w: &mut BitWriter<'_>, threshold: f64) {
    if threshold == 0.0 {
        w.put(0, 8);
        return;
    }
    // A power of two has no bit set behind its exponent.
    let bits = threshold.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    if threshold > 0.0 && bits & ((1 << 52) - 1) == 0 && (-243..=10).contains(&exponent) {
        w.put((exponent + 244) as u64, 8);
    } else {
        w.put(255, 8);
        w.put(bits, 64);
    }
}

fn put_bound(w: &mut BitWriter<'_>, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole = thousandths.round();
    if (0.0..=MAX_SHORT_BOUND).contains(&thousandths) && whole / 1000.0 == bound {
        put_unsigned(w, whole as u64 + 1);
    } else {
        w.put(0, 1);
        w.put(bound.to_bits(), 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(l: &HistLayout) -> Result<HistLayout, Corrupt> {
        let mut data = vec![0; most_bytes(l) + 16];
        put_layout(&mut BitWriter::new(&mut data, 0), l);
        take_layout(&mut BitReader::new(&data))
    }

    #[test]
    fn layouts_come_back() {
        for zero_threshold in [0.0, 2f64.powi(-243), 2f64.powi(-244), 2f64.powi(-128), 0.001, 1024.0, 2048.0]
        {
            for custom_values in
                [vec![], vec![-1.5, 0.0, 0.005, 0.25, 1.0, 33554.43, 33554.431, 1e9, 1.0 / 3.0]]
            {
                let schema = if custom_values.is_empty() { -4 } else { CUSTOM_BUCKETS_SCHEMA };
                let span = |offset, length| Span { offset, length };
                let l = HistLayout {
                    schema,
                    zero_threshold,
                    positive_spans: vec![span(0, 0), span(2, 2), span(1, 3)],
                    negative_spans: if custom_values.is_empty() { vec![span(-9, 5)] } else { vec![] },
                    custom_values,
                };
                assert_eq!(back(&l).unwrap(), l);
            }
        }
    }

    #[test]
    fn bad_layouts_are_refused() {
        let good = HistLayout { schema: 3, ..HistLayout::default() };
        let spans = |s: &[(i32, u32)]| {
            s.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
        };
        for bad in [
            HistLayout { schema: 53, ..good.clone() },
            HistLayout { schema: -5, ..good.clone() },
            HistLayout { positive_spans: spans(&[(0, 2), (-1, 2)]), ..good.clone() },
            HistLayout { positive_spans: spans(&[(i32::MAX, 2)]), ..good.clone() },
            HistLayout { negative_spans: spans(&[(0, MAX_BUCKETS as u32 + 1)]), ..good.clone() },
            HistLayout {
                schema: CUSTOM_BUCKETS_SCHEMA,
                positive_spans: spans(&[(0, 3)]),
                custom_values: vec![1.0],
                ..good
            },
        ] {
            assert!(back(&bad).is_err(), "{bad:?}");
        }
    }
}
