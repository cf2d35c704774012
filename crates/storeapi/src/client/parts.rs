//! Chunks of one series, by whose they are -> parts.

use std::sync::Arc;

use dolmen_model::{Error, Result, SourceId};
use dolmen_storage::{Origin, Part, RawChunk};
use smallvec::SmallVec;

/// Sources of one series: replicas are a few.
const SOURCES_MAX: usize = 128;
/// Chunks of one source over each other: blocks overlap a few times.
const OVER_EACH_OTHER_MAX: usize = 64;

/// What parts take beside their chunks' bytes.
pub(super) fn bytes_of(chunks: usize, runs: usize) -> u64 {
    if chunks == 0 {
        return 0;
    }
    let each = chunks * size_of::<RawChunk>() + runs.max(1) * size_of::<Part>();
    // A vector that grows holds up to twice what is in it.
    2 * each as u64
}

/// Chunks of one series, as they come.
#[derive(Default)]
pub(super) struct Gathered(SmallVec<[(SourceId, Vec<RawChunk>); 1]>);

impl Gathered {
    /// Takes chunks over, if there are some.
    pub fn add(&mut self, source: SourceId, chunks: impl IntoIterator<Item = RawChunk>) -> Result<()> {
        let mut chunks = chunks.into_iter().peekable();
        if chunks.peek().is_none() {
            return Ok(());
        }
        if let Some((_, known)) = self.0.iter_mut().rev().find(|(s, _)| *s == source) {
            known.extend(chunks);
            return Ok(());
        }
        if self.0.len() == SOURCES_MAX {
            return Err(Error::corrupt(format!("series of more than {SOURCES_MAX} sources")));
        }
        self.0.push((source, chunks.collect()));
        Ok(())
    }

    /// Parts whose chunks stand behind one another.
    pub fn parts(self, origin: &Arc<Origin>) -> Result<SmallVec<[Part; 1]>> {
        let mut parts = SmallVec::new();
        let masked: Arc<[dolmen_model::TimeRange]> = Arc::from([]);
        for (source, mut chunks) in self.0 {
            // Of equal chunks, which several stores behind this one may hold, one is enough.
            if !chunks.is_sorted_by(|a, b| a.maxt < b.mint) {
                chunks.sort_by(|a, b| (a.mint, a.maxt, &a.data).cmp(&(b.mint, b.maxt, &b.data)));
                chunks.dedup_by(|a, b| {
                    (a.mint, a.maxt, a.encoding, &a.data) == (b.mint, b.maxt, b.encoding, &b.data)
                });
            }
            let part = |chunks| Part {
                source: source.clone(),
                origin: Some(origin.clone()),
                masked: masked.clone(),
                chunks,
            };
            if chunks.is_sorted_by(|a, b| a.maxt < b.mint) {
                parts.push(part(chunks));
            } else {
                parts.extend(apart(chunks)?.into_iter().map(part));
            }
        }
        Ok(parts)
    }
}

/// Splits sorted chunks into as few rows as it takes for none to lie over another.
fn apart(chunks: Vec<RawChunk>) -> Result<Vec<Vec<RawChunk>>> {
    let mut rows: Vec<Vec<RawChunk>> = Vec::new();
    for chunk in chunks {
        let fits = |row: &&mut Vec<RawChunk>| row.last().is_none_or(|last| last.maxt < chunk.mint);
        if let Some(row) = rows.iter_mut().find(fits) {
            row.push(chunk);
            continue;
        }
        if rows.len() == OVER_EACH_OTHER_MAX {
            let text = format!("more than {OVER_EACH_OTHER_MAX} chunks of one series over each other");
            return Err(Error::corrupt(text));
        }
        rows.push(vec![chunk]);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use dolmen_model::Encoding;

    use super::*;

    fn chunk(mint: i64, maxt: i64, data: &'static str) -> RawChunk {
        RawChunk { mint, maxt, encoding: Encoding::Xor, data: Bytes::from_static(data.as_bytes()) }
    }

    #[test]
    fn chunks_stand_behind_one_another() {
        let origin = Arc::new(Origin::default());
        let mut gathered = Gathered::default();
        let (a, b) = (SourceId::new(["a"]), SourceId::new(["b"]));
        gathered.add(a.clone(), [chunk(10, 19, "2"), chunk(0, 9, "1")]).unwrap();
        gathered.add(b.clone(), [chunk(0, 19, "4")]).unwrap();
        gathered.add(a.clone(), [chunk(10, 19, "2"), chunk(5, 12, "3"), chunk(20, 29, "5")]).unwrap();
        let parts = gathered.parts(&origin).unwrap();
        let shown: Vec<(&str, Vec<&[u8]>)> = parts
            .iter()
            .map(|p| (p.source.as_str(), p.chunks.iter().map(|c| &c.data[..]).collect()))
            .collect();
        assert_eq!(
            shown,
            [("a", vec![&b"1"[..], b"2", b"5"]), ("a", vec![&b"3"[..]]), ("b", vec![&b"4"[..]])]
        );
    }

    #[test]
    fn what_lies_over_each_other_without_end_is_refused() {
        let origin = Arc::new(Origin::default());
        let mut gathered = Gathered::default();
        gathered.add(SourceId::default(), (0..100).map(|i| chunk(i, 1000 + i, "x"))).unwrap();
        let e = gathered.parts(&origin).unwrap_err();
        assert_eq!(e.to_string(), "more than 64 chunks of one series over each other");
    }
}
