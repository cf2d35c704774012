//! Whatever the shape: the frames hold what the batches held, in its order, and none is too large.

use bytes::Bytes;
use dolmen_ctx::Budget;
use dolmen_model::{Encoding, LabelBlockBuilder};
use dolmen_proto::thanos;
use dolmen_proto::thanos::series_response::Result as Answer;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;

/// Sizes of the chunks of each part of each series.
type Sizes = Vec<Vec<Vec<usize>>>;

fn batches(sizes: &Sizes) -> Vec<RawBatch> {
    let budget = Budget::new("test", u64::MAX / 2);
    let mut at = 0;
    let mut batch = |some: &[Vec<Vec<usize>>]| {
        let mut labels = LabelBlockBuilder::default();
        let mut series = Vec::new();
        for parts in some {
            at += 1;
            let name = format!("{at:05}");
            let label = labels.push([("__name__", name.as_str()), ("job", "x")]);
            let parts = parts.iter().enumerate().map(|(p, sizes)| Part {
                source: SourceId::new([format!("r{p}").as_str()]),
                origin: None,
                masked: std::sync::Arc::from([]),
                chunks: sizes.iter().enumerate().map(|(i, n)| chunk(p, i, *n)).collect(),
            });
            series.push(RawSeries { label, parts: parts.collect() });
        }
        let held = budget.reserve(0).unwrap();
        RawBatch { ord: 0, labels: labels.build(), series, held }
    };
    sizes.chunks(7).map(&mut batch).collect()
}

fn chunk(part: usize, i: usize, size: usize) -> RawChunk {
    let mint = (i * 10 + part) as i64;
    RawChunk { mint, maxt: mint + 5, encoding: Encoding::Xor, data: Bytes::from(vec![part as u8; size]) }
}

fn frames(shape: Shape, batches: &[RawBatch]) -> Vec<EncodedFrame> {
    let mut encoder = Encoder::new(shape);
    let mut out = Vec::new();
    for batch in batches {
        let mut at = 0;
        while at < batch.series.len() {
            at = encoder.encode(batch, at);
            let morsel = encoder.take();
            assert_eq!(morsel.bytes, morsel.frames.iter().map(|f| f.bytes.len()).sum::<usize>());
            out.extend(morsel.frames);
        }
    }
    encoder.flush();
    out.extend(encoder.take().frames);
    out
}

/// Time, size and source of each chunk, by series.
type Given = Vec<(String, Vec<(i64, usize, Option<String>)>)>;

fn given(frames: &[EncodedFrame], most: Option<usize>, largest: usize) -> Given {
    let mut out: Given = Vec::new();
    for frame in frames {
        assert!(frame.bytes.len() < FRAME_BYTES + largest + 8192, "{}", frame.bytes.len());
        let all = match thanos::SeriesResponse::decode(frame.bytes.clone()).unwrap().result {
            Some(Answer::Series(s)) if most.is_none() => vec![s],
            Some(Answer::Batch(b)) if b.series.len() <= most.unwrap() => b.series,
            other => panic!("{other:?}"),
        };
        for s in all {
            let mut sources: Vec<Option<String>> = Vec::new();
            for r in &s.runs {
                sources.extend((0..r.chunks).map(|_| Some(r.source.clone())));
            }
            assert!(s.runs.is_empty() || sources.len() == s.chunks.len());
            sources.resize(s.chunks.len(), None);
            let chunks = s.chunks.iter().zip(sources);
            let chunks = chunks.map(|(c, of)| (c.min_time, c.raw.as_ref().unwrap().data.len(), of));
            let name = s.labels[0].value.clone();
            match out.last_mut() {
                Some((last, all)) if *last == name => all.extend(chunks),
                _ => out.push((name, chunks.collect())),
            }
        }
    }
    out
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1usize..200, 1 => 100_000usize..400_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn frames_hold_what_batches_held(
        sizes in vec(vec(vec(size(), 0..12), 1..4), 0..40),
        most in prop_oneof![Just(None), (1usize..70).prop_map(Some)],
        runs in any::<bool>(),
        limit in prop_oneof![3 => Just(u64::MAX), 1 => 0u64..40],
    ) {
        let shape = Shape { chunks: true, batch: most, runs, shard: None, left: limit };
        let got = given(&frames(shape, &batches(&sizes)), most, 400_000);
        let mut want: Given = Vec::new();
        for (i, parts) in sizes.iter().enumerate() {
            let mut chunks = Vec::new();
            for (p, sizes) in parts.iter().enumerate() {
                let source = runs.then(|| format!("r{p}"));
                chunks.extend(sizes.iter().enumerate().map(|(i, n)| (chunk(p, i, *n).mint, *n, source.clone())));
            }
            if !runs {
                chunks.sort();
            }
            if !chunks.is_empty() && (want.len() as u64) < limit {
                want.push((format!("{:05}", i + 1), chunks));
            }
        }
        prop_assert_eq!(got, want);
    }
}
