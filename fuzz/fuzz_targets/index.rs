//! Index, index-header, chunk records, tombstones: readers stand any bytes, and what is read means what it says.
//!
//! Input: a byte that chooses the part, then its bytes. Checksums are put right first, since no fuzzer
//! guesses a CRC.

#![no_main]

use bytes::Bytes;
use dolmen_block::{segment, tombstones};
use dolmen_index::{
    IndexHeader, Plan, Postings, PostingsTable, Series, Split, Symbols, Toc, filter, header, put_series,
    split_entry, union, wire::put_uvarint,
};
use dolmen_model::{Labels, MatchOp, Matcher, TimeRange};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((part, data)) = input.split_first() else { return };
    match part % 8 {
        0 => whole(data),
        1 => index_header(data),
        2 => symbols(data),
        3 => table(data),
        4 => postings(data),
        5 => series(data),
        6 => record(data),
        _ => stones(data),
    }
});

fn crc(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).to_be_bytes()
}

/// `be32 length | body | CRC`, as sections and lists stand in an index.
fn framed(body: &[u8]) -> Bytes {
    [&(body.len() as u32).to_be_bytes()[..], body, &crc(body)].concat().into()
}

/// Puts the checksum of the section right that begins at `at`, if it ends within the bytes.
fn mend(bytes: &mut [u8], at: u64) {
    let Some(rest) = usize::try_from(at).ok().and_then(|at| bytes.get_mut(at..)) else { return };
    let Some((len, rest)) = rest.split_first_chunk_mut::<4>() else { return };
    let n = u32::from_be_bytes(*len) as usize;
    let Some((body, rest)) = rest.split_at_mut_checked(n) else { return };
    if let Some(sum) = rest.first_chunk_mut::<4>() {
        *sum = crc(body);
    }
}

fn mend_tail(bytes: &mut [u8], body: usize) {
    let Some(tail) = bytes.len().checked_sub(body + 4).map(|at| &mut bytes[at..]) else { return };
    let sum = crc(&tail[..body]);
    tail[body..].copy_from_slice(&sum);
}

fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk::<8>()?))
}

fn whole(data: &[u8]) {
    let mut index = data.to_vec();
    mend_tail(&mut index, 48);
    let toc = index.len().saturating_sub(Toc::LEN as usize);
    for field in [0, 5] {
        if let Some(at) = be64(&index, toc + 8 * field) {
            mend(&mut index, at);
        }
    }
    let index = Bytes::from(index);
    let Ok(h) = IndexHeader::from_index(&index) else { return };
    walk(&h, &index);
    // The index-header that is made of it says the same.
    let tail = &index[index.len() - Toc::LEN as usize..];
    let (toc, [symbols, table]) = header::plan(index.len() as u64, tail).expect("it could be read");
    let cut = |r: std::ops::Range<u64>| &index[r.start as usize..r.end as usize];
    let file = header::build(&index[..5], toc, cut(symbols), cut(table)).expect("it could be read");
    let again = IndexHeader::from_header(&file.into()).expect("our own index-header");
    assert_eq!(again.toc(), h.toc());
    assert!(again.symbols().iter().flatten().eq(h.symbols().iter().flatten()));
    assert!(again.postings().names().flatten().eq(h.postings().names().flatten()));
}

/// Follows every list to its series, as a query would.
fn walk(h: &IndexHeader, index: &[u8]) {
    let mut series = Series::default();
    let table = h.postings();
    for name in table.names().flatten() {
        assert!(table.has_name(name));
        assert_eq!(table.values(name).count(), table.values_len(name));
        for (value, range) in table.values(name) {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            assert_eq!(table.list(name, value), Some(range.clone()));
            let Some(bytes) = index.get(range.start as usize..range.end as usize) else { continue };
            let mut bytes = bytes.to_vec();
            mend(&mut bytes, 0);
            let Ok(list) = Postings::parse(bytes.into()) else { continue };
            for id in list.iter().take(8) {
                let Ok(range) = h.series_from(id) else { continue };
                let Some(bytes) = index.get(range.start as usize..range.end as usize) else { continue };
                if let Ok(Split::Whole(body, _)) = split_entry(bytes)
                    && series.decode(body, TimeRange::ALL).is_ok()
                {
                    for (name, value) in &series.labels {
                        let _texts = (h.symbols().get(*name), h.symbols().get(*value));
                    }
                }
            }
        }
        for (op, value) in
            [(MatchOp::Eq, "a"), (MatchOp::Ne, ""), (MatchOp::Re, "a.*|b"), (MatchOp::Nre, "x?")]
        {
            if let Ok(matcher) = Matcher::new(op, name, value)
                && let Ok(plan) = Plan::new(table, &[matcher])
            {
                let _ranges = plan.lists().count();
            }
        }
    }
    let _memory = h.memory();
}

fn index_header(data: &[u8]) {
    let mut file = data.to_vec();
    mend_tail(&mut file, 16);
    let end = file.len().saturating_sub(20);
    for field in [0, 1] {
        if let Some(at) = be64(&file, end + 8 * field) {
            mend(&mut file, at);
        }
    }
    // The copied part ends with the index' own table of contents.
    mend_tail(&mut file[..end], 48);
    if let Ok(h) = IndexHeader::from_header(&file.into()) {
        walk(&h, &[]);
    }
}

fn symbols(data: &[u8]) {
    let Ok(symbols) = Symbols::parse(framed(data)) else { return };
    planted(&symbols);
    let mut sorted = true;
    let mut last: Option<&str> = None;
    for (i, text) in symbols.iter().enumerate() {
        assert_eq!(text.is_ok(), symbols.get(i as u32).is_ok());
        let Ok(text) = text else { return };
        assert_eq!(symbols.get(i as u32).ok(), Some(text));
        sorted &= last.is_none_or(|l| l < text);
        last = Some(text);
    }
    assert!(symbols.get(symbols.len()).is_err());
    for (i, text) in symbols.iter().flatten().enumerate() {
        let found = symbols.find(text);
        assert!(!sorted || found == Some(i as u32), "{text:?} at {i}: found {found:?}");
    }
}

fn table(data: &[u8]) {
    let Ok(table) = PostingsTable::parse(framed(data), 1 << 40) else { return };
    let _all = table.all();
    for name in table.names().flatten() {
        let values: Vec<_> = table.values(name).collect();
        assert_eq!(values.len(), table.values_len(name));
        assert!(values.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1.end <= w[1].1.start));
        for (value, range) in &values {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            assert_eq!(table.list(name, value).as_ref(), Some(range));
            let from: Vec<_> = table.values_from(name, value).collect();
            assert_eq!(from.first().map(|(v, _)| *v), Some(value.as_bytes()));
        }
    }
}

fn postings(data: &[u8]) {
    let lists: Vec<Postings> = data
        .chunks(64)
        .filter_map(|ids| {
            let ids = &ids[..ids.len() / 4 * 4];
            Postings::parse(framed(&[&(ids.len() as u32 / 4).to_be_bytes()[..], ids].concat())).ok()
        })
        .collect();
    let _raw = Postings::parse(framed(data));
    let Some((first, rest)) = lists.split_first() else { return };
    let mut ids: Vec<u32> = first.iter().collect();
    let sorted = |ids: &[u32]| ids.windows(2).all(|w| w[0] < w[1]);
    let all = union(rest);
    // Lists out of order give nonsense, but no panic.
    let in_order = sorted(&ids) && rest.iter().all(|l| sorted(&l.iter().collect::<Vec<_>>()));
    let want: Vec<u32> = ids.iter().copied().filter(|id| all.binary_search(id).is_ok()).collect();
    filter(&mut ids, rest, true);
    assert!(!in_order || ids == want);
}

fn series(data: &[u8]) {
    let mut entry = Vec::new();
    put_uvarint(&mut entry, data.len() as u64);
    entry.extend_from_slice(data);
    entry.extend_from_slice(&crc(data));
    let Ok(Split::Whole(body, n)) = split_entry(&entry) else { panic!("an entry with its checksum") };
    assert_eq!((body, n), (data, entry.len()));
    let mut series = Series::default();
    if series.decode(body, TimeRange::ALL).is_err() {
        return;
    }
    let mut only_labels = Series::default();
    only_labels.decode_labels(body).expect("the whole could be decoded");
    assert_eq!(only_labels.labels, series.labels);
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    let none = Labels::empty();
    put_series(&mut out, &mut scratch, none.as_ref(), &series.chunks, |_| Ok(0)).expect("no symbols");
    let Ok(Split::Whole(body, _)) = split_entry(&out) else { panic!("our own entry") };
    let mut again = Series::default();
    again.decode(body, TimeRange::ALL).expect("our own entry");
    assert_eq!(again.chunks, series.chunks);
}

fn record(data: &[u8]) {
    let _any = segment::record(data);
    let _header = segment::check_header(data);
    let Some((_, body)) = data.split_first() else { return };
    let mut record = Vec::new();
    put_uvarint(&mut record, body.len() as u64);
    record.extend_from_slice(data);
    record.extend_from_slice(&crc(data));
    let whole = segment::Record::Whole(data[0], body, record.len());
    assert_eq!(segment::record(&record).ok(), Some(whole));
    for cut in [1, record.len() / 2, record.len() - 1] {
        assert!(matches!(segment::record(&record[..cut]), Ok(segment::Record::Need(n)) if n > cut));
    }
}

fn stones(data: &[u8]) {
    let _any = tombstones::read(data);
    let magic = tombstones::TOMBSTONES_MAGIC.to_be_bytes();
    let file = [&magic[..], &[1], data, &crc(data)].concat();
    for ranges in tombstones::read(&file).into_iter().flatten().map(|(_, ranges)| ranges) {
        assert!(ranges.windows(2).all(|w| w[0].maxt() < w[1].mint()), "ranges overlap: {ranges:?}");
    }
}

/// A bug for the fuzzer to find: a symbol that stands twice.
fn planted(symbols: &Symbols) {
    if cfg!(feature = "planted") {
        let all: Vec<&str> = symbols.iter().flatten().collect();
        if all.windows(2).any(|w| w[0] == w[1] && !w[0].is_empty()) {
            panic!("planted bug");
        }
    }
}
