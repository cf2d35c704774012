//! Takes deleted time out of chunks.

use dolmen_chunk::{Encoded, SAMPLES_PER_CHUNK, decode, decode_histograms, encode_floats, encode_histograms};
use dolmen_model::{Columns, Encoding, Result, TimeRange, Timestamp};
use dolmen_storage::RawChunk;

/// Takes deleted time out of chunks; its buffers are reused from chunk to chunk.
#[derive(Default)]
pub(crate) struct Mask {
    columns: Columns,
    encoded: Vec<Encoded>,
}

impl Mask {
    /// Appends what is left of a chunk of so many samples; gives how many samples went. A chunk that
    /// `masked` does not touch is passed on as it is.
    pub fn push(
        &mut self,
        chunk: RawChunk,
        samples: u64,
        masked: &[TimeRange],
        out: &mut Vec<RawChunk>,
    ) -> Result<u64> {
        // Sorted and apart: those that touch the chunk are neighbours.
        let from = masked.partition_point(|m| m.maxt() <= chunk.mint);
        let to = masked.partition_point(|m| m.mint() <= chunk.maxt);
        let masked = masked.get(from..to).unwrap_or_default();
        match masked {
            [] => {
                out.push(chunk);
                return Ok(0);
            }
            [all] if all.mint() <= chunk.mint && all.maxt() > chunk.maxt => return Ok(samples),
            _ => {}
        }
        let kept = |t: Timestamp| !masked.iter().any(|m| m.contains(t));
        if chunk.encoding == Encoding::Xor {
            self.floats(&chunk, kept)?;
        } else {
            let mut all = decode_histograms(chunk.encoding, &chunk.data)?;
            all.retain(|(t, _)| kept(*t));
            encode_histograms(all, SAMPLES_PER_CHUNK, &mut self.encoded);
        }
        let mut left = 0;
        for Encoded { mint, maxt, encoding, data, samples } in self.encoded.drain(..) {
            left += u64::from(samples);
            out.push(RawChunk { mint, maxt, encoding, data });
        }
        Ok(samples.saturating_sub(left))
    }

    fn floats(&mut self, chunk: &RawChunk, kept: impl Fn(Timestamp) -> bool) -> Result<()> {
        let Columns { t, v, .. } = &mut self.columns;
        t.clear();
        v.clear();
        decode(chunk.encoding, &chunk.data, Timestamp::MIN, Timestamp::MAX, &mut self.columns)?;
        let Columns { t, v, .. } = &mut self.columns;
        let mut n = 0;
        for i in 0..t.len() {
            if kept(t[i]) {
                (t[n], v[n]) = (t[i], v[i]);
                n += 1;
            }
        }
        encode_floats(&t[..n], &v[..n], SAMPLES_PER_CHUNK, &mut self.encoded);
        Ok(())
    }
}
