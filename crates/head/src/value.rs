//! Values, and whether one is stored already.

use dolmen_chunk::{decode, decode_histograms};
use dolmen_model::{Columns, Encoding, Histogram, Timestamp};
use dolmen_storage::RawChunk;

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored now.
    Stored,
    /// It was stored before.
    Duplicate,
    /// Another value is stored at its time.
    Conflict,
    /// It is older than the series' newest, and memory does not hold its time.
    Older,
}

/// A value that is looked for.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(&'a Histogram),
}

/// Whether a chunk holds a value at a time.
pub fn holds(chunk: &RawChunk, t: Timestamp, value: Value<'_>) -> Outcome {
    if let Value::Histogram(h) = value
        && matches!(chunk.encoding, Encoding::Histogram | Encoding::FloatHistogram)
    {
        // As it was written: the hint is decided by the chunk.
        let held = decode_histograms(chunk.encoding, &chunk.data).unwrap_or_default();
        return match held.iter().find(|(held, _)| *held == t) {
            Some((_, held)) if same_histogram(held, h) => Outcome::Duplicate,
            Some(_) => Outcome::Conflict,
            None => Outcome::Older,
        };
    }
    let mut columns = Columns::default();
    // A chunk of our own decodes; a broken one of a block holds nothing that could be a duplicate.
    if decode(chunk.encoding, &chunk.data, t, t.saturating_add(1), &mut columns).is_err()
        || columns.is_empty()
    {
        return Outcome::Older;
    }
    match (value, columns.v.first()) {
        (Value::Float(v), Some(held)) if same(v, *held) => Outcome::Duplicate,
        _ => Outcome::Conflict,
    }
}

/// Whether two floats are the same value, bit by bit.
pub fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

fn same_histogram(a: &Histogram, b: &Histogram) -> bool {
    if a.sum().to_bits() != b.sum().to_bits() {
        return false;
    }
    if dolmen_model::is_stale(a.sum()) {
        return true;
    }
    // A chunk may hold a layout widened by empty buckets: compared by bucket, not by layout.
    let (a, b) = (a.to_float(), b.to_float());
    let of = |f: &dolmen_model::FloatHistogram| {
        let mut buckets = Vec::new();
        for (spans, counts) in
            [(&f.layout.positive_spans, &f.positive), (&f.layout.negative_spans, &f.negative)]
        {
            let (mut index, mut counts) = (0i64, counts.iter());
            for span in spans {
                index += i64::from(span.offset);
                for _ in 0..span.length {
                    let count = counts.next().copied().unwrap_or_default();
                    if count != 0.0 {
                        buckets.push((index, count.to_bits()));
                    }
                    index += 1;
                }
            }
            buckets.push((i64::MAX, 0));
        }
        let bits = |v: f64| v.to_bits();
        let head = (f.layout.schema, bits(f.layout.zero_threshold), bits(f.count), bits(f.zero_count));
        (head, f.layout.custom_values.clone(), buckets)
    };
    of(&a) == of(&b)
}
