//! Indexes that were written are read back, and matchers find what a walk over all series finds;
//! index-headers are those of Thanos, byte for byte.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dolmen_ctx::RealDisk;
use dolmen_index::header;
use dolmen_index::{ChunkMeta, IndexHeader, IndexWriter, Plan, Postings, Series, Split, Toc, split_entry};
use dolmen_model::{Labels, MatchOp, Matcher, TimeRange};
use proptest::prelude::*;

type Given = BTreeMap<Labels, Vec<ChunkMeta>>;

fn write(dir: &Path, series: &Given) -> Bytes {
    let mut symbols: Vec<&str> = series.keys().flat_map(|l| l.iter().flat_map(|(n, v)| [n, v])).collect();
    symbols.push("used by no series");
    symbols.sort_unstable();
    symbols.dedup();
    let path = dir.join("index");
    let mut w = IndexWriter::create(Arc::new(RealDisk), &path, symbols).unwrap();
    for (labels, chunks) in series {
        w.add_series(labels.as_ref(), chunks).unwrap();
    }
    let written = w.finish().unwrap();
    let bytes = Bytes::from(std::fs::read(&path).unwrap());
    assert_eq!((written.bytes, written.series), (bytes.len() as u64, series.len() as u64));
    bytes
}

fn read(header: &IndexHeader, index: &Bytes, id: u32) -> (Labels, Vec<ChunkMeta>) {
    let range = header.series_from(id).unwrap();
    let Split::Whole(body, _) = split_entry(&index[range.start as usize..range.end as usize]).unwrap() else {
        panic!("entry {id} ends early");
    };
    let mut entry = Series::default();
    entry.decode(body, TimeRange::ALL).unwrap();
    let symbol = |r: u32| header.symbols().get(r).unwrap();
    (Labels::from_pairs(entry.labels.iter().map(|(n, v)| (symbol(*n), symbol(*v)))), entry.chunks)
}

fn select(header: &IndexHeader, index: &Bytes, matchers: &[Matcher]) -> Vec<u32> {
    let plan = Plan::new(header.postings(), matchers).unwrap();
    let list =
        |r: std::ops::Range<u64>| Postings::parse(index.slice(r.start as usize..r.end as usize)).unwrap();
    let lists: Vec<Postings> = plan.lists().map(list).collect();
    if plan.is_nothing() { Vec::new() } else { plan.resolve(&lists) }
}

fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-c]", "[x-z]{1,2}", 1..4).prop_map(Labels::from_pairs)
}

/// Lengths of chunks and of the gaps before them.
fn chunks() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((1i64..100, 0i64..100), 1..6)
}

fn series() -> impl Strategy<Value = Given> {
    prop::collection::btree_map(labels(), chunks(), 1..40).prop_map(|all| {
        let mut reference = 8;
        let mut place = |spans: Vec<(i64, i64)>| {
            let mut t = -200;
            let one = |(gap, len): (i64, i64)| {
                let c = ChunkMeta { mint: t + gap, maxt: t + gap + len, reference };
                t = c.maxt;
                reference += 1000;
                c
            };
            spans.into_iter().map(one).collect::<Vec<_>>()
        };
        all.into_iter().map(|(l, c)| (l, place(c))).collect()
    })
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![Just(MatchOp::Eq), Just(MatchOp::Ne), Just(MatchOp::Re), Just(MatchOp::Nre)];
    let value =
        prop_oneof!["[x-z]{0,2}", Just("x|yz|".to_owned()), Just("x.*".to_owned()), Just(".+".to_owned())];
    (op, "[a-d]", value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

proptest! {
    #[test]
    fn what_was_written_is_found(
        series in series(),
        all in prop::collection::vec(prop::collection::vec(matcher(), 1..4), 8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let index = write(dir.path(), &series);
        let header = IndexHeader::from_index(&index).unwrap();
        for matchers in all {
            let ids = select(&header, &index, &matchers);
            let found: Vec<_> = ids.into_iter().map(|id| read(&header, &index, id)).collect();
            let pass = |l: &Labels| matchers.iter().all(|m| m.matches(l.get(m.name()).unwrap_or("")));
            let want: Vec<_> = series.iter().filter(|(l, _)| pass(l)).map(|(l, c)| (l.clone(), c.clone())).collect();
            prop_assert_eq!(found, want, "{:?}", matchers);
        }
    }

    #[test]
    fn a_flipped_bit_never_panics(series in series(), at: prop::sample::Index, bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = write(dir.path(), &series).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let index = Bytes::from(bytes);
        let Ok(header) = IndexHeader::from_index(&index) else { return Ok(()) };
        for name in header.postings().names() {
            let Ok(name) = name else { continue };
            for (_, range) in header.postings().values(name) {
                let bytes = index.get(range.start as usize..range.end as usize).map(|b| index.slice_ref(b));
                let Some(Ok(list)) = bytes.map(Postings::parse) else { continue };
                for id in list.iter() {
                    let Ok(range) = header.series_from(id) else { continue };
                    if let Ok(Split::Whole(body, _)) = split_entry(&index[range.start as usize..range.end as usize]) {
                        // Whatever it says.
                        let _read = Series::default().decode(body, TimeRange::ALL);
                    }
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_an_index_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let writer = |symbols: &[&str]| {
        IndexWriter::create(Arc::new(RealDisk), &dir.path().join("index"), symbols.iter().copied())
    };
    assert!(writer(&["b", "a"]).is_err() && writer(&["a", "a"]).is_err());
    let mut w = writer(&["a", "b", "c"]).unwrap();
    let chunk = |mint, maxt, reference| ChunkMeta { mint, maxt, reference };
    let one = |n, v| Labels::from_pairs([(n, v)]);
    assert!(w.add_series(one("a", "z").as_ref(), &[chunk(1, 2, 8)]).is_err(), "no such symbol");
    w.add_series(one("a", "b").as_ref(), &[chunk(1, 2, 8)]).unwrap();
    assert!(w.add_series(one("a", "b").as_ref(), &[chunk(1, 2, 9)]).is_err(), "comes twice");
    assert!(w.add_series(one("a", "a").as_ref(), &[chunk(1, 2, 9)]).is_err(), "out of order");
    for (chunks, why) in [
        (vec![chunk(2, 1, 9)], "runs backwards"),
        (vec![chunk(1, 3, 9), chunk(3, 4, 10)], "overlap"),
        (vec![chunk(1, 2, 7)], "refs run backwards"),
    ] {
        assert!(w.add_series(one("a", "c").as_ref(), &chunks).is_err(), "{why}");
    }
}

fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let all = std::env::var_os("DOLMEN_SHARED").map_or(beside, PathBuf::from).join("golden");
    if all.is_dir() {
        return Some(all);
    }
    eprintln!("skipped: golden is not there");
    None
}

#[test]
fn index_headers_are_those_of_thanos() {
    let Some(golden) = shared() else { return };
    let mut same = 0;
    for bucket in ["compact/before/main", "downsample/bucket", "downsample/nhcb-bucket"] {
        for block in std::fs::read_dir(golden.join(bucket)).unwrap() {
            let block = block.unwrap();
            let name = format!("index-header/{}.index-header", block.file_name().to_str().unwrap());
            let Ok(theirs) = std::fs::read(golden.join(name)) else { continue };
            let index = Bytes::from(std::fs::read(block.path().join("index")).unwrap());
            let tail = &index[index.len() - Toc::LEN as usize..];
            let (toc, [symbols, table]) = header::plan(index.len() as u64, tail).unwrap();
            let cut = |r: std::ops::Range<u64>| &index[r.start as usize..r.end as usize];
            let ours = header::build(&index[..5], toc, cut(symbols), cut(table)).unwrap();
            assert!(ours == theirs, "{}", block.path().display());
            let (a, b) = (IndexHeader::from_header(&ours.into()), IndexHeader::from_index(&index));
            let (a, b) = (a.unwrap(), b.unwrap());
            let all = |h: &IndexHeader| h.symbols().iter().map(|s| s.unwrap().to_owned()).collect::<Vec<_>>();
            assert_eq!((all(&a), a.toc()), (all(&b), b.toc()));
            same += 1;
        }
    }
    assert!(same >= 20, "{same}");
}
