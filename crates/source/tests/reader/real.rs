//! Blocks that Prometheus wrote: counts as meta.json tells them, selects as a naive scan.

use dolmen_ctx::Ctx;
use dolmen_model::{MatchOp, Matcher, TimeRange};
use dolmen_storage::{LabelAsk, Queryable, Select};

use crate::common::*;

fn samples(chunk: &(i64, i64, u8, bytes::Bytes)) -> u64 {
    let n = u64::from(u16::from_be_bytes([chunk.3[0], chunk.3[1]]));
    if chunk.2 >= 5 { n & 0x3fff } else { n }
}

#[test]
fn counts_are_those_of_meta_json() {
    for folder in ["real-blocks/A", "real-blocks/B", "oracle/blocks", "oracle/blocks-xor2"] {
        let Some(dir) = shared(folder) else { return };
        for block in blocks_in(&dir) {
            let meta = meta_of(&block);
            let reader = near(&block, meta.clone());
            let ctx = Ctx::unbounded();
            let (got, _) = run(collect(&reader, &ctx, &Select::new(TimeRange::ALL, []))).unwrap();
            assert!(got.windows(2).all(|w| w[0].0 < w[1].0), "{folder}: not sorted");
            assert!(got.iter().all(|(_, parts)| parts.len() == 1));
            let chunks = || got.iter().flat_map(|(_, parts)| &parts[0].1);
            assert_eq!(got.len() as u64, meta.stats.num_series);
            assert_eq!(chunks().count() as u64, meta.stats.num_chunks);
            assert_eq!(chunks().map(samples).sum::<u64>(), meta.stats.num_samples, "{}", block.display());
            assert_eq!(ctx.budget.used(), 0);
        }
    }
}

#[test]
fn selects_over_a_far_source_equal_a_scan_in_three_waves() {
    let Some(dir) = shared("real-blocks/A") else { return };
    let block = &blocks_in(&dir)[1];
    let all = scan(block);
    let meta = meta_of(block);
    let (source, reader) = far(block, meta.clone());
    let m = |op, n: &str, v: &str| Matcher::new(op, n, v).unwrap();
    let cases = [
        vec![m(MatchOp::Eq, "__name__", "up")],
        vec![m(MatchOp::Re, "__name__", "node_cpu.*"), m(MatchOp::Ne, "mode", "idle")],
        vec![m(MatchOp::Eq, "job", "node"), m(MatchOp::Re, "device", ".+")],
        vec![m(MatchOp::Nre, "job", "node|process"), m(MatchOp::Eq, "le", "")],
        vec![m(MatchOp::Eq, "groupname", "nobody")],
    ];
    let middle = (meta.min_time + meta.max_time) / 2;
    for matchers in cases {
        for range in [TimeRange::ALL, TimeRange::new(middle, middle + 1).unwrap()] {
            let select = Select::new(range, matchers.clone());
            let (got, _) = run(collect(&reader, &Ctx::unbounded(), &select)).unwrap();
            let waves = source.waves();
            assert!(waves <= 3, "{matchers:?}: {waves} waves");
            let mut want = Vec::new();
            for (labels, chunks) in &all {
                let pass = matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()));
                let in_range = |c: &&(i64, i64, u8, bytes::Bytes)| c.0 < range.maxt() && c.1 >= range.mint();
                let chunks: Vec<_> = chunks.iter().filter(in_range).cloned().collect();
                if pass && !chunks.is_empty() {
                    want.push((labels.clone(), vec![(String::new(), chunks)]));
                }
            }
            assert!(got == want, "{matchers:?}: {} series, expected {}", got.len(), want.len());
        }
    }
}

#[test]
fn label_answers_of_a_real_block() {
    let Some(dir) = shared("real-blocks/A") else { return };
    let block = &blocks_in(&dir)[1];
    let all = scan(block);
    let (source, reader) = far(block, meta_of(block));
    for matchers in [vec![], vec![Matcher::eq("job", "node")], vec![Matcher::eq("__name__", "up")]] {
        let pass = |l: &dolmen_model::Labels| {
            matchers.iter().all(|m| m.matches(l.get(m.name()).unwrap_or_default()))
        };
        let select = Select::new(TimeRange::ALL, matchers.clone());
        for name in ["__name__", "job", "mode", "device", "nothing"] {
            let mut want: Vec<&str> =
                all.iter().filter(|(l, _)| pass(l)).filter_map(|(l, _)| l.get(name)).collect();
            want.sort_unstable();
            want.dedup();
            let got = run(reader.labels(&Ctx::unbounded(), &select, LabelAsk::Values(name.into()))).unwrap();
            assert_eq!(got.value, want);
            assert!(source.waves() <= 2);
        }
    }
}
