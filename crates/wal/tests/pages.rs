//! Pages: records come back in order; damage costs no record beyond its page.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use dolmen_wal::{Assembler, Event, PAGE, frame};
use proptest::prelude::*;

fn pages(records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let at = out.len() as u64;
        frame(record, at, &mut out);
    }
    out
}

/// Records, and where damage is.
fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<u64>) {
    let (mut records, mut damages) = (Vec::new(), Vec::new());
    let mut assembler = Assembler::default();
    let mut on = |event: Event<'_>| {
        match event {
            Event::Record(record, _) => records.push(record.to_vec()),
            Event::Damage(damage) => damages.push(damage.at),
        }
        Ok(())
    };
    bytes.chunks(PAGE).for_each(|page| assembler.page(page, &mut on).unwrap());
    assembler.end(&mut on).unwrap();
    (records, damages)
}

fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let len = prop_oneof![0usize..40, PAGE - 20..PAGE + 20, 1usize..100_000];
    prop::collection::vec((len, any::<u8>()).prop_map(|(len, b)| vec![b; len]), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(records in records(), zeros in 0usize..3) {
        let mut bytes = pages(&records);
        bytes.resize(bytes.len().next_multiple_of(PAGE) * usize::from(zeros > 0) + bytes.len() * usize::from(zeros == 0), 0);
        bytes.resize(bytes.len() + zeros * PAGE, 0);
        prop_assert_eq!(read(&bytes), (records, vec![]));
    }

    #[test]
    fn a_torn_end_costs_only_what_is_torn(records in records(), cut in any::<prop::sample::Index>()) {
        let bytes = pages(&records);
        let cut = cut.index(bytes.len() + 1);
        let (read, damages) = read(&bytes[..cut]);
        prop_assert_eq!(&records[..read.len()], &read[..]);
        let whole = pages(&records[..read.len()]).len();
        prop_assert!(whole <= cut);
        // Zeros that fill up a page are no record's.
        prop_assert_eq!(damages.len(), usize::from(bytes[whole..cut].iter().any(|b| *b != 0)));
        if read.len() < records.len() {
            prop_assert!(pages(&records[..=read.len()]).len() > cut);
        }
    }

    #[test]
    fn a_changed_byte_is_found_and_the_next_page_read(
        records in records(), at in any::<prop::sample::Index>(), flip in 1u8..=255,
    ) {
        let mut bytes = pages(&records);
        if bytes.is_empty() {
            return Ok(());
        }
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let (read, damages) = read(&bytes);
        // Each record lies whole outside the page, or may be lost.
        let page = at / PAGE;
        let (mut end, mut must) = (0usize, Vec::new());
        for i in 0..records.len() {
            let from = end;
            end = pages(&records[..=i]).len();
            if (end - 1) / PAGE < page || from / PAGE > page || from / PAGE == page && from % PAGE + 7 > PAGE {
                must.push(records[i].clone());
            }
        }
        let mut rest = read.iter();
        prop_assert!(must.iter().all(|record| rest.any(|r| r == record)), "damage at {}", at);
        let mut rest = records.iter();
        prop_assert!(read.iter().all(|record| rest.any(|r| r == record)), "nothing is made up");
        prop_assert!(!damages.is_empty() || read == records);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), zeros in 0usize..PAGE) {
        let mut all = vec![0; zeros];
        all.extend(bytes);
        read(&all);
    }
}

#[test]
fn compressed_records() {
    let record: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let put = |flag: u8, data: &[u8]| {
        let mut out = Vec::new();
        frame(data, 0, &mut out);
        // The flag goes into the type of every fragment.
        let mut at = 0;
        while at < out.len() {
            out[at] |= flag;
            let len = usize::from(u16::from_be_bytes([out[at + 1], out[at + 2]]));
            at += 7 + len;
        }
        out
    };
    let snappy = snap::raw::Encoder::new().compress_vec(&record).unwrap();
    assert_eq!(read(&put(8, &snappy)), (vec![record.clone()], vec![]));
    let zstd = zstd::stream::encode_all(&record[..], 1).unwrap();
    assert_eq!(read(&put(16, &zstd)), (vec![record], vec![]));
    assert_eq!(read(&put(16, &zstd[..100])).1.len(), 1, "ends early");
    assert_eq!(read(&put(8, &[0xff, 0xff, 0xff, 0x7f, 0])).1.len(), 1, "claims 256 MiB");
    assert_eq!(read(&put(32, b"x")).1.len(), 1, "a flag that nobody knows");
}
