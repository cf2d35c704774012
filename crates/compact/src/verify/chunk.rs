//! One chunk: it can be decoded, and its times are those that the index gives it.

use dolmen_chunk::{decode, samples};
use dolmen_index::ChunkMeta;
use dolmen_index::wire::Dec;
use dolmen_model::{Columns, Encoding, Error, Result, Timestamp};

/// Encoding byte of the five aggregates of a downsampled block: count, sum, min, max, counter, each behind
/// its length; one that is missing has length 0, and no encoding byte.
const AGGREGATES: u8 = 0xff;

/// Decodes chunks; its buffers are reused from chunk to chunk.
pub(super) struct ChunkCheck {
    columns: Columns,
    downsampled: bool,
}

impl ChunkCheck {
    pub fn new(downsampled: bool) -> ChunkCheck {
        ChunkCheck { columns: Columns::default(), downsampled }
    }

    /// Samples of a chunk.
    pub fn run(&mut self, encoding: u8, data: &[u8], meta: &ChunkMeta) -> Result<u64> {
        if encoding == AGGREGATES && self.downsampled {
            return self.aggregates(data);
        }
        let told = self.decode(encoding, data)?;
        let Columns { t, h, .. } = &self.columns;
        let times = if t.is_empty() { &h.t } else { t };
        if self.columns.len() as u64 != told || times.len() as u64 != told {
            return Err(Error::corrupt(format!(
                "chunk holds {} samples, its header says {told}",
                times.len()
            )));
        }
        if !times.is_sorted_by(|a, b| a < b) {
            return Err(Error::corrupt("times of the chunk do not rise"));
        }
        let (first, last) = (times.first().copied(), times.last().copied());
        if (first, last) != (Some(meta.mint), Some(meta.maxt)) {
            let ChunkMeta { mint, maxt, .. } = meta;
            let text = format!("chunk reaches from {first:?} to {last:?}, the index says {mint} to {maxt}");
            return Err(Error::corrupt(text));
        }
        Ok(told)
    }

    fn decode(&mut self, encoding: u8, data: &[u8]) -> Result<u64> {
        let unknown = || Error::corrupt(format!("unknown chunk encoding {encoding}"));
        let encoding = Encoding::from_u8(encoding).ok_or_else(unknown)?;
        self.columns.clear();
        decode(encoding, data, Timestamp::MIN, Timestamp::MAX, &mut self.columns)?;
        Ok(u64::from(samples(encoding, data)?))
    }

    fn aggregates(&mut self, data: &[u8]) -> Result<u64> {
        let broken = || Error::corrupt("a chunk of aggregates is broken");
        let mut d = Dec::new(data);
        let mut count = 0;
        for aggregate in 0..5 {
            let len = d.uvarint().and_then(|n| usize::try_from(n).ok()).ok_or_else(broken)?;
            if len == 0 {
                continue;
            }
            let (encoding, data) = d.u8().zip(d.bytes(len)).ok_or_else(broken)?;
            let n = self.decode(encoding, data)?;
            if aggregate == 0 {
                count = n;
            }
        }
        if d.is_empty() { Ok(count) } else { Err(broken()) }
    }
}
