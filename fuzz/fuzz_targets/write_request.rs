//! A remote write: decompression and decoding stand any bytes, take no memory that is only claimed, and agree
//! with a plain protobuf decoder on what both accept.
//!
//! Input: a byte that chooses compressed or not and the label rules, then the body.

#![no_main]

use bytes::Bytes;
use dolmen_model::Labels;
use dolmen_proto::prometheus::WriteRequest;
use dolmen_remote::{Decoded, LabelRules, decode, decompress};
use dolmen_storage::{KeyHasher, RejectCause};
use libfuzzer_sys::fuzz_target;
use prost::Message;

/// Decompressed bytes that are taken.
const LIMIT: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((choice, data)) = input.split_first() else { return };
    let body = if choice & 1 == 0 {
        Bytes::copy_from_slice(data)
    } else {
        match decompress(data, LIMIT) {
            Ok(body) => body,
            Err(_) => return,
        }
    };
    let own = match choice & 2 {
        0 => Labels::empty(),
        _ => Labels::from_pairs([("site", "a")]),
    };
    let hasher = KeyHasher::new([7; 192]);
    let mut told = 0;
    let mut memory = |bytes| {
        told = bytes;
        Ok(())
    };
    let decoded = decode(body.clone(), &LabelRules::new(&own), &hasher, &mut memory);
    // A sample takes two bytes and becomes sixteen; a series takes four, its record some fifty.
    assert!(told <= 256 * body.len() as u64 + 65536, "{told} bytes for a body of {}", body.len());
    let Ok(decoded) = decoded else { return };
    planted(&decoded);
    consistent(&decoded, &hasher);
    agrees(&decoded, &body, choice & 2 == 0);
});

fn consistent(d: &Decoded, hasher: &KeyHasher) {
    let batch = &d.batch;
    assert_eq!(batch.t.len(), batch.v.len());
    let (mut floats, mut histograms) = (0, 0);
    for s in &batch.series {
        assert_eq!((s.samples.start, s.histograms.start), (floats, histograms), "samples of nobody");
        (floats, histograms) = (s.samples.end, s.histograms.end);
        let bytes = batch.labels(s);
        assert_eq!(s.key, hasher.key(bytes));
        canonical(bytes);
    }
    assert_eq!((floats as usize, histograms as usize), (batch.t.len(), batch.histograms.len()));
    let refused: u64 = d.refused.rejected.iter().map(|r| r.samples).sum();
    assert_eq!(d.samples, (batch.t.len() + batch.histograms.len()) as u64 + refused);
}

/// Label bytes are sorted, without repeats or empty texts, and what an encoder would write.
fn canonical(bytes: &[u8]) {
    let series = dolmen_proto::prometheus::TimeSeries::decode(bytes).expect("label messages");
    assert!(series.labels.windows(2).all(|w| w[0].name < w[1].name), "{:?}", series.labels);
    assert!(series.labels.iter().all(|l| !l.name.is_empty() && !l.value.is_empty()));
    assert!(series.labels.iter().any(|l| l.name == "__name__"));
    assert_eq!(series.encode_to_vec(), bytes);
}

/// What a plain decoder accepts too has as many samples, and the same floats where no series was refused.
fn agrees(d: &Decoded, body: &[u8], plain_rules: bool) {
    let Ok(request) = WriteRequest::decode(body) else { return };
    let floats = || request.timeseries.iter().flat_map(|s| &s.samples);
    let histograms: usize = request.timeseries.iter().map(|s| s.histograms.len()).sum();
    assert_eq!(d.samples, (floats().count() + histograms) as u64);
    let refused = d.refused.rejected.iter().any(|r| r.cause == RejectCause::BadLabel);
    if refused {
        return;
    }
    assert!(d.batch.t.iter().eq(floats().map(|s| &s.timestamp)));
    assert!(d.batch.v.iter().map(|v| v.to_bits()).eq(floats().map(|s| s.value.to_bits())));
    if !plain_rules || histograms > 0 {
        return;
    }
    let with_samples = request.timeseries.iter().filter(|s| !s.samples.is_empty());
    for (ours, theirs) in d.batch.series.iter().zip(with_samples) {
        let bytes = d.batch.labels(ours);
        let ours = dolmen_proto::prometheus::TimeSeries::decode(bytes).expect("checked above").labels;
        let mut theirs: Vec<_> = theirs.labels.iter().filter(|l| !l.value.is_empty()).cloned().collect();
        theirs.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(ours, theirs);
    }
}

/// A bug for the fuzzer to find: an exemplar beside an entry of metadata.
fn planted(d: &Decoded) {
    if cfg!(feature = "planted") && d.exemplars > 0 && d.metadata > 0 {
        panic!("planted bug");
    }
}
