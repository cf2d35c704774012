//! Broken blocks: an error that names the block, never a panic.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dolmen_block::Meta;
use dolmen_ctx::Ctx;
use dolmen_model::{Kind, Labels, Result, TimeRange};
use dolmen_source::{BlockReader, ObjectPart};
use dolmen_storage::{LabelAsk, Queryable, Select};
use proptest::prelude::*;

use crate::common::*;

fn block(dir: &Path) -> (FarSource, Meta) {
    let series: Vec<(Labels, Vec<i64>)> = (0..60)
        .map(|i| {
            (Labels::from_pairs([("a", format!("{i:02}")), ("b", format!("{}", i % 4))]), vec![0, 10, 20])
        })
        .collect();
    let (path, meta) = write(dir, &series, &[("m", "w")]);
    (FarSource::open(&path), meta)
}

async fn read_all(source: FarSource, meta: Meta) -> Result<usize> {
    let ctx = Ctx::unbounded();
    let reader = BlockReader::open(&ctx, Arc::new(source), meta).await?;
    let m = dolmen_model::Matcher::new(dolmen_model::MatchOp::Re, "b", "0|1|2|3").unwrap();
    let select = Select::new(TimeRange::ALL, [m]);
    reader.labels(&ctx, &select, LabelAsk::Names).await?;
    reader.labels(&ctx, &select, LabelAsk::Values("a".into())).await?;
    let (got, _) = collect(&reader, &ctx, &select).await?;
    assert_eq!(ctx.budget.used(), 0);
    Ok(got.len())
}

fn change(source: &mut FarSource, part: ObjectPart, f: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = source.parts[&part].to_vec();
    f(&mut bytes);
    source.parts.insert(part, Bytes::from(bytes));
}

#[test]
fn a_broken_chunk_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut source, meta) = block(dir.path());
    let (ulid, place) = (meta.ulid, 12);
    change(&mut source, ObjectPart::Chunks(1), |b| b[place] ^= 0x10);
    let e = run(read_all(source, meta)).unwrap_err();
    assert_eq!(e.kind(), Kind::Corrupt);
    assert_eq!(
        e.to_string(),
        format!("block {ulid}: chunks/000002: chunk at byte 8: chunk fails its checksum")
    );
}

#[test]
fn a_missing_segment_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut source, meta) = block(dir.path());
    source.parts.remove(&ObjectPart::Chunks(1));
    let e = run(read_all(source, meta)).unwrap_err();
    assert_eq!(e.kind(), Kind::Corrupt);
    assert!(e.to_string().ends_with("chunks/000002: chunk at byte 8: there is no such segment"), "{e}");
}

#[test]
fn every_cut_of_the_index_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (source, meta) = block(dir.path());
    let len = source.parts[&ObjectPart::Index].len();
    for n in (0..len).step_by(37).chain(len - 60..len) {
        let (mut source, meta) = (
            FarSource { parts: source.parts.clone(), waves: 0.into(), whys: Default::default() },
            meta.clone(),
        );
        change(&mut source, ObjectPart::Index, |b| b.truncate(n));
        assert_eq!(run(read_all(source, meta)).unwrap_err().kind(), Kind::Corrupt, "cut at {n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn changed_bytes_never_panic(
        index in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        chunks in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        told in any::<bool>(),
    ) {
        thread_local! {
            static BLOCK: (tempfile::TempDir, FarSource, Meta) = {
                let dir = tempfile::tempdir().unwrap();
                let (source, meta) = block(dir.path());
                (dir, source, meta)
            };
        }
        BLOCK.with(|(_, source, meta)| {
            let mut copy = FarSource { parts: source.parts.clone(), waves: 0.into(), whys: Default::default() };
            let mut meta = meta.clone();
            if !told {
                meta.thanos.as_mut().unwrap().index_stats = Default::default();
            }
            for (part, changes) in [(ObjectPart::Index, &index), (ObjectPart::Chunks(0), &chunks)] {
                change(&mut copy, part, |b| changes.iter().for_each(|(i, v)| { let n = b.len(); b[i.index(n)] = *v }));
            }
            match run(read_all(copy, meta)) {
                Ok(n) => assert_eq!(n, 60),
                Err(e) => assert_eq!(e.kind(), Kind::Corrupt, "{e}"),
            }
        });
    }
}
