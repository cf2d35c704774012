//! `thanos.Series`, from labels and encoded chunks.
//!
//! ```text
//! Series     1 labels Label   2 chunks AggrChunk   1000 runs Run
//! Label      1 name           2 value
//! AggrChunk  1 min_time       2 max_time           3 raw Chunk
//! Chunk      1 type           2 data               3 hash
//! Run        1 source         2 chunks
//! ```

use bytes::Bytes;
use dolmen_model::{Encoding, LabelsRef, SourceId, Timestamp};

use super::write::{bytes_len, number_len, put_key, put_number, put_text, text_len};

/// A chunk that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub mint: Timestamp,
    pub maxt: Timestamp,
    pub encoding: Encoding,
    pub data: Bytes,
    /// 0: not computed.
    pub hash: u64,
}

impl Outgoing {
    /// `Chunk.type`: the encoding byte of Prometheus, less one.
    fn kind(&self) -> u64 {
        self.encoding as u64 - 1
    }

    fn chunk_len(&self) -> usize {
        number_len(1, self.kind()) + text_len(2, self.data.len()) + number_len(3, self.hash)
    }

    fn len(&self) -> usize {
        number_len(1, self.mint as u64) + number_len(2, self.maxt as u64) + bytes_len(3, self.chunk_len())
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_number(out, 1, self.mint as u64);
        put_number(out, 2, self.maxt as u64);
        put_key(out, 3, self.chunk_len());
        put_number(out, 1, self.kind());
        put_text(out, 2, &self.data);
        put_number(out, 3, self.hash);
    }
}

/// A series, or a piece of one.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub labels: LabelsRef<'a>,
    pub chunks: &'a [Outgoing],
    /// Whose the chunks are, run by run; empty where nobody asked.
    pub runs: &'a [(SourceId, u32)],
}

impl Piece<'_> {
    /// Bytes of the message.
    pub fn len(&self) -> usize {
        let labels = self.labels.iter().map(|(name, value)| bytes_len(1, label_len(name, value)));
        let chunks = self.chunks.iter().map(|c| bytes_len(2, c.len()));
        let runs = self.runs.iter().map(|r| bytes_len(1000, run_len(r)));
        labels.chain(chunks).chain(runs).sum()
    }

    /// Writes the message.
    pub fn put(&self, out: &mut Vec<u8>) {
        for (name, value) in self.labels.iter() {
            put_key(out, 1, label_len(name, value));
            put_text(out, 1, name.as_bytes());
            put_text(out, 2, value.as_bytes());
        }
        for chunk in self.chunks {
            put_key(out, 2, chunk.len());
            chunk.put(out);
        }
        for run in self.runs {
            put_key(out, 1000, run_len(run));
            put_text(out, 1, run.0.as_str().as_bytes());
            put_number(out, 2, u64::from(run.1));
        }
    }

    /// Writes the message as field `field` of another.
    pub fn put_field(&self, out: &mut Vec<u8>, field: u32) {
        let len = self.len();
        out.reserve(bytes_len(field, len));
        put_key(out, field, len);
        self.put(out);
    }
}

fn label_len(name: &str, value: &str) -> usize {
    text_len(1, name.len()) + text_len(2, value.len())
}

fn run_len(run: &(SourceId, u32)) -> usize {
    text_len(1, run.0.as_str().len()) + number_len(2, u64::from(run.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dolmen_model::Labels;
    use dolmen_proto::thanos;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use prost::Message;

    fn chunk() -> impl Strategy<Value = Outgoing> {
        let data = vec(any::<u8>(), 0..300);
        (any::<i64>(), any::<i64>(), 1u8..=6, data, any::<u64>()).prop_map(
            |(mint, maxt, encoding, data, hash)| {
                let encoding = Encoding::from_u8(encoding).unwrap();
                Outgoing { mint, maxt, encoding, data: data.into(), hash }
            },
        )
    }

    proptest! {
        #[test]
        fn prost_reads_what_is_written_and_writes_the_same(
            labels in btree_map("[a-zé_]{1,9}", "[ -~é]{1,200}", 0..6),
            chunks in vec(chunk(), 0..5),
            runs in vec(("[a-z\u{1f}]{0,150}", any::<u32>()), 0..3),
        ) {
            let labels = Labels::from_pairs(&labels);
            let runs: Vec<_> = runs.into_iter().map(|(s, n)| (SourceId::new([s.as_str()]), n)).collect();
            let piece = Piece { labels: labels.as_ref(), chunks: &chunks, runs: &runs };
            let mut out = Vec::new();
            piece.put(&mut out);
            prop_assert_eq!(out.len(), piece.len());

            let read = thanos::Series::decode(out.as_slice()).unwrap();
            prop_assert_eq!(read.encode_to_vec(), out);
            let label = |l: &thanos::Label| (l.name.clone(), l.value.clone());
            let pairs: Vec<_> = labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(read.labels.iter().map(label).collect::<Vec<_>>(), pairs);
            prop_assert_eq!(read.chunks.len(), chunks.len());
            for (read, sent) in read.chunks.iter().zip(&chunks) {
                let raw = read.raw.as_ref().unwrap();
                prop_assert_eq!((read.min_time, read.max_time), (sent.mint, sent.maxt));
                prop_assert_eq!((raw.r#type as u8 + 1, &raw.data, raw.hash), (sent.encoding as u8, &sent.data, sent.hash));
            }
            let run = |r: &thanos::Run| (r.source.clone(), r.chunks);
            let sent: Vec<_> = runs.iter().map(|(s, n)| (s.as_str().to_owned(), *n)).collect();
            prop_assert_eq!(read.runs.iter().map(run).collect::<Vec<_>>(), sent);
        }
    }
}
