//! Frames of the StoreAPI: the walk stands any bytes, keeps no more than they hold, and says what prost says of
//! a message that prost wrote.
//!
//! Input: the frame.

#![no_main]

use bytes::Bytes;
use dolmen_proto::thanos::{Series, SeriesResponse, series_response};
use dolmen_storeapi::frame::{Item, Items, Lack, Piece};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|input: &[u8]| {
    let frame = Bytes::copy_from_slice(input);
    stand(&frame);
    let Ok(message) = SeriesResponse::decode(input) else { return };
    let frame = Bytes::from(message.encode_to_vec());
    equal(&frame, &message);
});

/// Reads all of it, whatever it is.
fn stand(frame: &Bytes) {
    let mut items = Items::of(frame);
    let mut piece = Piece::default();
    while let Ok(Some(item)) = items.next_item() {
        match item {
            Item::Series(series) => {
                let counted = Piece::count(series);
                if piece.read(frame, series, true).is_err() {
                    continue;
                }
                // The memory that was taken for the chunks is enough.
                let (chunks, runs) = counted.expect("it could be read");
                assert!(piece.chunks.len() <= chunks && piece.runs.len() <= runs);
                let data: usize = piece.chunks.iter().map(|c| c.data.len()).sum();
                assert!(data <= series.len(), "chunks of {data} bytes in {}", series.len());
                assert!(piece.chunks.iter().all(|c| c.mint <= c.maxt && !c.data.is_empty()));
                let text: usize = piece.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
                assert!(text <= series.len());
            }
            Item::End(end) => {
                let mut lacks = 0;
                let read = Lack::all(end, 1, |lack| {
                    lacks += 1;
                    assert!(lack.range.mint() < lack.range.maxt());
                    Ok(())
                });
                assert!(lacks <= end.len() / 2 || read.is_err());
            }
            Item::Warning(_) | Item::Hints => {}
        }
    }
}

fn equal(frame: &Bytes, message: &SeriesResponse) {
    let series: Vec<&Series> = match &message.result {
        Some(series_response::Result::Series(series)) => vec![series],
        Some(series_response::Result::Batch(batch)) => batch.series.iter().collect(),
        _ => Vec::new(),
    };
    let mut of_prost = series.into_iter();
    let mut items = Items::of(frame);
    let mut piece = Piece::default();
    while let Some(item) = items.next_item().expect("prost wrote it") {
        let Item::Series(walked) = item else { continue };
        let s = of_prost.next().expect("prost sees as many series");
        if piece.read(frame, walked, true).is_err() {
            continue;
        }
        planted(&piece);
        let labels = s.labels.iter().map(|l| (l.name.as_str(), l.value.as_str()));
        assert!(piece.labels.iter().eq(labels));
        assert_eq!(piece.chunks.len(), s.chunks.len());
        for (walked, chunk) in piece.chunks.iter().zip(&s.chunks) {
            let raw = chunk.raw.as_ref().expect("a chunk that was read has samples");
            assert_eq!((walked.mint, walked.maxt), (chunk.min_time, chunk.max_time));
            assert_eq!((i32::from(walked.encoding as u8), &walked.data), (raw.r#type + 1, &raw.data));
        }
        let runs = s.runs.iter().map(|r| (r.source.as_bytes(), r.chunks));
        assert!(piece.runs.iter().map(|(source, n)| (&source[..], *n)).eq(runs));
    }
    assert!(of_prost.next().is_none(), "the walk sees fewer series");
}

/// A bug for the fuzzer to find: a series that has chunks and a single run; seeds have two runs or none.
fn planted(piece: &Piece) {
    if cfg!(feature = "planted") && piece.runs.len() == 1 && !piece.chunks.is_empty() {
        panic!("planted bug");
    }
}
