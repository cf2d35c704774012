//! The write-ahead log: pages and records stand any bytes, and what is read can be written and read again.
//!
//! Input: a byte that chooses a segment or a record, then its bytes. Checksums of fragments are put right
//! first.

#![no_main]

use std::ops::Range;

use dolmen_model::Result;
use dolmen_wal::{Assembler, Event, PAGE, Record, SampleRec, decode, encode, frame};
use libfuzzer_sys::fuzz_target;

/// Bytes before a fragment's data: type, length, checksum.
const HEADER: usize = 7;

fuzz_target!(|input: &[u8]| {
    let Some((choice, data)) = input.split_first() else { return };
    if choice & 1 == 1 {
        return record(data);
    }
    let mut segment = data.to_vec();
    mend(&mut segment);
    let records = assemble(&segment);
    for r in &records {
        record(r);
    }
    // Framed anew, they come back one by one.
    let mut framed = Vec::new();
    for r in &records {
        frame(r, framed.len() as u64, &mut framed);
    }
    assert_eq!(assemble(&framed), records);
});

fn assemble(segment: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut last = 0;
    let mut on = |event: Event<'_>| -> Result<()> {
        if let Event::Record(bytes, end) = event {
            assert!(last < end && end <= segment.len() as u64, "a record ends at {end} after one at {last}");
            last = end;
            records.push(bytes.to_vec());
        }
        Ok(())
    };
    let mut assembler = Assembler::default();
    for page in segment.chunks(PAGE) {
        assembler.page(page, &mut on).expect("nothing here gives an error");
    }
    assembler.end(&mut on).expect("nothing here gives an error");
    records
}

fn mend(segment: &mut [u8]) {
    for page in segment.chunks_mut(PAGE) {
        let mut at = 0;
        while let Some(head) = page.get(at..at + HEADER) {
            if head[0] & 7 == 0 {
                break;
            }
            let len = usize::from(u16::from_be_bytes([head[1], head[2]]));
            let Some(data) = page.get(at + HEADER..at + HEADER + len) else { break };
            let crc = crc32c::crc32c(data).to_be_bytes();
            page[at + 3..at + HEADER].copy_from_slice(&crc);
            at += HEADER + len;
        }
    }
}

fn record(bytes: &[u8]) {
    let Ok(record) = decode::record(bytes) else { return };
    planted(&record);
    for part in write(&record) {
        let again = decode::record(&part).expect("our own record");
        assert_eq!(write(&again), [part], "written and read again");
    }
}

/// As records of ours: several where histograms of several kinds stand in one.
fn write(record: &Record) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut parts: Vec<Range<usize>> = Vec::new();
    match record {
        Record::Series(all) => {
            encode::series_begin(&mut out);
            for s in all {
                encode::series(&mut out, s.reference, s.labels.iter());
            }
        }
        Record::Samples(all) => encode::samples(&mut out, all),
        Record::Histograms(all) => encode::histograms(&mut out, all, &mut parts),
        Record::Other(_) => {}
    }
    match record {
        Record::Histograms(_) => parts.into_iter().map(|p| out[p].to_vec()).collect(),
        _ if out.is_empty() => Vec::new(),
        _ => vec![out],
    }
}

/// A bug for the fuzzer to find: two samples of one series at one time, the second a NaN.
fn planted(record: &Record) {
    if cfg!(feature = "planted")
        && let Record::Samples(all) = record
        && all
            .windows(2)
            .any(|w: &[SampleRec]| w[0].reference == w[1].reference && w[0].t == w[1].t && w[1].v.is_nan())
    {
        panic!("planted bug");
    }
}
