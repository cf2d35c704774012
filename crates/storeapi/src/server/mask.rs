//! Takes deleted time out of chunks: the StoreAPI has no word for it.

use dolmen_chunk::{
    Corrupt, Encoded, SAMPLES_PER_CHUNK, decode, decode_histograms, encode_floats, encode_histograms,
};
use dolmen_model::{Columns, Encoding, TimeRange, Timestamp};
use dolmen_storage::RawChunk;

/// Appends what is left of a chunk to `out`; one that `masked` (sorted, apart) does not touch stays as it is.
/// On an error `out` is as before.
pub(crate) fn unmask(chunk: &RawChunk, masked: &[TimeRange], out: &mut Vec<RawChunk>) -> Result<(), Corrupt> {
    let from = masked.partition_point(|m| m.maxt() <= chunk.mint);
    let to = masked.partition_point(|m| m.mint() <= chunk.maxt);
    let masked = masked.get(from..to).unwrap_or_default();
    match masked {
        [] => {
            out.push(chunk.clone());
            return Ok(());
        }
        [all] if all.mint() <= chunk.mint && chunk.maxt < all.maxt() => return Ok(()),
        _ => {}
    }
    let kept = |t: Timestamp| !masked.iter().any(|m| m.contains(t));
    let mut encoded = Vec::new();
    match chunk.encoding {
        Encoding::Histogram | Encoding::FloatHistogram => {
            let mut all = decode_histograms(chunk.encoding, &chunk.data)?;
            all.retain(|(t, _)| kept(*t));
            encode_histograms(all, SAMPLES_PER_CHUNK, &mut encoded);
        }
        // Others are refused by the decoder.
        _ => {
            let mut all = Columns::default();
            decode(chunk.encoding, &chunk.data, Timestamp::MIN, Timestamp::MAX, &mut all)?;
            let samples = all.t.into_iter().zip(all.v).filter(|(t, _)| kept(*t));
            let (t, v): (Vec<_>, Vec<_>) = samples.unzip();
            encode_floats(&t, &v, SAMPLES_PER_CHUNK, &mut encoded);
        }
    }
    let raw = |Encoded { mint, maxt, encoding, data, .. }| RawChunk { mint, maxt, encoding, data };
    out.extend(encoded.into_iter().map(raw));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use dolmen_model::{HistLayout, Histogram, IntHistogram, ResetHint};

    fn range(mint: i64, maxt: i64) -> TimeRange {
        TimeRange::new(mint, maxt).unwrap()
    }

    fn times(chunks: &[RawChunk]) -> Vec<i64> {
        let mut all = Columns::default();
        for c in chunks {
            decode(c.encoding, &c.data, i64::MIN, i64::MAX, &mut all).unwrap();
            let (first, last) = (all.t.iter().chain(&all.h.t).min(), all.t.iter().chain(&all.h.t).max());
            assert!(first.unwrap() <= &c.mint && last.unwrap() == &c.maxt);
        }
        all.t.into_iter().chain(all.h.t).collect()
    }

    fn raw(encoded: Vec<Encoded>) -> RawChunk {
        let [Encoded { mint, maxt, encoding, data, .. }] = encoded.try_into().unwrap();
        RawChunk { mint, maxt, encoding, data }
    }

    #[test]
    fn floats_and_histograms_lose_deleted_samples_alone() {
        let t: Vec<i64> = (0..20).map(|i| i * 10).collect();
        let mut floats = Vec::new();
        encode_floats(&t, &[1.5; 20], 120, &mut floats);
        let mut histograms = Vec::new();
        let layout = Arc::new(HistLayout {
            schema: 0,
            zero_threshold: 0.1,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
        });
        let h = |t: &i64| {
            let (layout, hint) = (layout.clone(), ResetHint::Unknown);
            let (positive_deltas, negative_deltas) = (Vec::new(), Vec::new());
            let h = IntHistogram {
                layout,
                count: 3,
                zero_count: 3,
                sum: 0.1,
                hint,
                positive_deltas,
                negative_deltas,
            };
            (*t, Histogram::Int(h))
        };
        encode_histograms(t.iter().map(h), 120, &mut histograms);
        for chunk in [raw(floats), raw(histograms)] {
            let left = |masked: &[TimeRange]| {
                let mut out = Vec::new();
                unmask(&chunk, masked, &mut out).unwrap();
                out
            };
            assert_eq!(left(&[range(-50, 0), range(191, 500)])[0].data, chunk.data);
            assert!(left(&[range(0, 191)]).is_empty());
            assert!(left(&[range(-5, 100), range(100, 900)]).is_empty());
            assert_eq!(times(&left(&[range(15, 160), range(180, 185)])), [0, 10, 160, 170, 190]);
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error_only_where_it_is_touched() {
        let chunk = RawChunk { mint: 0, maxt: 10, encoding: Encoding::Xor2, data: vec![0, 1].into() };
        let mut out = Vec::new();
        assert!(unmask(&chunk, &[range(5, 8)], &mut out).is_err());
        unmask(&chunk, &[range(11, 12)], &mut out).unwrap();
        assert_eq!(out.len(), 1);
    }
}
