//! The walk over frames says what prost says, and stands any bytes.

use bytes::Bytes;
use dolmen_model::Encoding;
use dolmen_proto::thanos::{Missing, SeriesBatch};
use dolmen_storeapi::frame::{Item as Seen, Items, Lack, Piece};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;

fn labels() -> impl Strategy<Value = Vec<Label>> {
    vec(("[a-zé]{0,9}", ".{0,20}").prop_map(|(name, value)| Label { name, value }), 0..6)
}

fn chunk() -> impl Strategy<Value = Option<Chunk>> {
    let chunk = (-1..8i32, vec(any::<u8>(), 0..40), any::<u64>()).prop_map(|(r#type, data, hash)| Chunk {
        r#type,
        data: data.into(),
        hash,
    });
    proptest::option::weighted(0.9, chunk)
}

fn aggr_chunk() -> impl Strategy<Value = AggrChunk> {
    (any::<i64>(), 0..1000i64, chunk(), chunk(), chunk()).prop_map(|(min_time, len, raw, count, max)| {
        AggrChunk {
            min_time,
            max_time: min_time.saturating_add(len),
            raw,
            count,
            max,
            ..AggrChunk::default()
        }
    })
}

fn a_series() -> impl Strategy<Value = Series> {
    let run = ("[a-z\u{1f}]{0,5}", any::<u32>()).prop_map(|(source, chunks)| Run { source, chunks });
    (labels(), vec(aggr_chunk(), 0..5), vec(run, 0..3)).prop_map(|(labels, chunks, runs)| Series {
        labels,
        chunks,
        runs,
    })
}

fn response() -> impl Strategy<Value = SeriesResponse> {
    let missing = ("[a-z]{0,4}", "[a-z:]{0,9}", any::<i64>(), 0..1000i64, ".{0,20}").prop_map(
        |(site, store, t, n, cause)| Missing {
            site,
            store,
            min_time: t,
            max_time: t.saturating_add(n),
            cause,
        },
    );
    let hints = vec(any::<u8>(), 0..20)
        .prop_map(|value| Item::Hints(prost_types::Any { type_url: "type.googleapis.com/x".into(), value }));
    let result = prop_oneof![
        a_series().prop_map(Item::Series),
        ".{0,50}".prop_map(Item::Warning),
        hints,
        vec(a_series(), 0..5).prop_map(|series| Item::Batch(SeriesBatch { series })),
    ];
    let end = vec(missing, 0..3).prop_map(|missing| SeriesEnd { missing });
    (proptest::option::of(result), proptest::option::of(end))
        .prop_map(|(result, end)| SeriesResponse { result, end })
}

/// What prost's message says of chunks; an error where one cannot be a chunk.
fn chunks_of(s: &Series) -> Result<Vec<(i64, i64, Encoding, Bytes)>, ()> {
    let one = |c: &AggrChunk| {
        let raw = c.raw.as_ref().filter(|raw| !raw.data.is_empty())?;
        let encoding = Encoding::from_u8(u8::try_from(raw.r#type + 1).ok()?)?;
        (c.min_time <= c.max_time).then(|| (c.min_time, c.max_time, encoding, raw.data.clone()))
    };
    s.chunks.iter().map(|c| one(c).ok_or(())).collect()
}

fn equal_series(frame: &Bytes, walked: &[u8], s: &Series) {
    let mut piece = Piece::default();
    let read = piece.read(frame, walked, true);
    let want = chunks_of(s);
    assert_eq!(read.is_ok(), want.is_ok(), "{read:?}");
    let Ok(want) = want else { return };
    let labels: Vec<_> = s.labels.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect();
    assert_eq!(piece.labels.iter().collect::<Vec<_>>(), labels);
    let chunks: Vec<_> = piece.chunks.iter().map(|c| (c.mint, c.maxt, c.encoding, c.data.clone())).collect();
    assert_eq!(chunks, want);
    let runs: Vec<_> = s.runs.iter().map(|r| (Bytes::from(r.source.clone()), r.chunks)).collect();
    assert_eq!(piece.runs, runs);
    assert_eq!(Piece::count(walked).unwrap(), (s.chunks.len(), s.runs.len()));
    piece.read(frame, walked, false).unwrap();
    assert!(piece.chunks.is_empty() && piece.labels.iter().eq(labels));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_walk_says_what_prost_says(message in response()) {
        let frame = Bytes::from(message.encode_to_vec());
        let mut items = Items::of(&frame);
        let mut series = Vec::new();
        match &message.result {
            Some(Item::Series(s)) => series.push(s),
            Some(Item::Batch(b)) => series.extend(&b.series),
            _ => {}
        }
        let mut series = series.into_iter();
        let (mut warning, mut hints, mut end) = (None, false, None);
        while let Some(item) = items.next_item().unwrap() {
            match item {
                Seen::Series(walked) => equal_series(&frame, walked, series.next().unwrap()),
                Seen::Warning(text) => warning = Some(text.to_owned()),
                Seen::Hints => hints = true,
                Seen::End(walked) => {
                    let mut missing = Vec::new();
                    let read = Lack::all(walked, 1, |lack| {
                        missing.push(Missing {
                            site: lack.site.into(),
                            store: lack.store.into(),
                            min_time: lack.range.mint(),
                            max_time: lack.range.maxt() - 1,
                            cause: lack.cause.into(),
                        });
                        Ok(())
                    });
                    end = read.ok().map(|()| SeriesEnd { missing });
                }
            }
        }
        prop_assert!(series.next().is_none());
        match &message.result {
            Some(Item::Warning(text)) => prop_assert_eq!(warning.as_ref(), Some(text)),
            other => {
                prop_assert!(warning.is_none());
                prop_assert_eq!(hints, matches!(other, Some(Item::Hints(_))));
            }
        }
        // The last millisecond there is cannot be told in half-open time.
        let can = |end: &SeriesEnd| end.missing.iter().all(|m| m.max_time < i64::MAX);
        match &message.end {
            Some(told) if can(told) => prop_assert_eq!(end.as_ref(), Some(told)),
            Some(_) => {}
            None => prop_assert!(end.is_none()),
        }
    }

    #[test]
    fn any_bytes_are_stood(mut bytes in response().prop_map(|m| m.encode_to_vec()), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        for (at, byte) in flips {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let frame = Bytes::from(bytes);
        let mut items = Items::of(&frame);
        let mut piece = Piece::default();
        while let Ok(Some(item)) = items.next_item() {
            match item {
                Seen::Series(series) => {
                    let counted = Piece::count(series);
                    if piece.read(&frame, series, true).is_ok() {
                        let (chunks, runs) = counted.unwrap();
                        prop_assert!(piece.chunks.len() <= chunks && piece.runs.len() <= runs);
                    }
                }
                Seen::End(end) => drop(Lack::all(end, 1, |_| Ok(()))),
                Seen::Warning(_) | Seen::Hints => {}
            }
        }
    }
}
