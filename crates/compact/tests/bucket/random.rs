//! Random blocks: whatever is merged, the samples are those of the blocks less what is deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use dolmen_block::{Meta, TOMBSTONES, Ulid};
use dolmen_compact::verify::verify_block;
use dolmen_compact::{LOCAL_STEP, LocalSource, Walk, merge_blocks};
use dolmen_ctx::{Ctx, Disk, RealDisk};
use dolmen_index::wire::{put_uvarint, put_varint};
use proptest::prelude::*;

use crate::world::{FloatSamples, Samples, read_block, write_block};

const LEN: i64 = 1000;

type Labels = Vec<(String, String)>;

/// Bits of values by labels and time within the block.
type Given = BTreeMap<Labels, BTreeMap<i64, u64>>;

/// Place of a series, first and last millisecond.
type Stone = (usize, i64, i64);

/// Series by a few labels; times and values within one block.
fn block() -> impl Strategy<Value = Given> {
    let label = (0u8..3, 0u8..4).prop_map(|(n, v)| (format!("n{n}"), format!("v{v}")));
    let labels = prop::collection::btree_map(Just("__name__".to_owned()), "[ab]{1,2}", 1..2).prop_flat_map(
        move |name| {
            let more = prop::collection::vec(label.clone(), 0..3);
            more.prop_map(move |more| {
                let mut all: BTreeMap<String, String> = name.clone();
                all.extend(more);
                all.into_iter().collect::<Labels>()
            })
        },
    );
    let value =
        prop_oneof![any::<u64>(), Just(f64::NAN.to_bits()), (0u64..50).prop_map(|n| (n as f64).to_bits())];
    let samples = prop::collection::btree_map(0..LEN, value, 1..40);
    prop::collection::btree_map(labels, samples, 0..8)
}

/// Deleted time: which series (by its place), first and last millisecond.
fn deletions() -> impl Strategy<Value = Vec<Stone>> {
    prop::collection::vec((0usize..8, 0..LEN, 0i64..400).prop_map(|(s, t, n)| (s, t, t + n)), 0..4)
}

/// Writes the tombstones file of a block and takes what it deletes out of `want`.
async fn delete(dir: &std::path::Path, start: i64, stones: &[Stone], want: &mut Samples) {
    let ctx = Ctx::unbounded();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let source = Arc::new(LocalSource::open(disk, dir).unwrap());
    let mut walk = Walk::open(&ctx, source, 64).await.unwrap();
    let mut ids = Vec::new();
    while walk.advance().await.unwrap() {
        ids.push((walk.id(), walk.labels().unwrap().to_string()));
    }
    let mut body = Vec::new();
    for (place, first, last) in stones {
        let Some((id, labels)) = ids.get(*place) else { continue };
        put_uvarint(&mut body, *id);
        put_varint(&mut body, start + first);
        put_varint(&mut body, start + last);
        want.get_mut(labels).unwrap().retain(|t, _| *t < start + first || *t > start + last);
    }
    let mut file = dolmen_block::tombstones::TOMBSTONES_MAGIC.to_be_bytes().to_vec();
    file.push(1);
    file.extend_from_slice(&body);
    file.extend_from_slice(&crc32c(&body).to_be_bytes());
    std::fs::write(dir.join(TOMBSTONES), file).unwrap();
}

/// Bit by bit: the slow form that needs no table.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, b| (0..8).fold(crc ^ u32::from(*b), step))
}

async fn check(blocks: Vec<(Given, Vec<Stone>)>) {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let ctx = Ctx::unbounded();
    let mut want = Samples::new();
    let mut metas: Vec<Meta> = Vec::new();
    for (i, (series, stones)) in blocks.into_iter().enumerate() {
        let start = i as i64 * LEN;
        let shift = |s: &BTreeMap<i64, u64>| s.iter().map(|(t, v)| (t + start, f64::from_bits(*v))).collect();
        let samples: FloatSamples = series.iter().map(|(l, s)| (l.clone(), shift(s))).collect();
        let range = (start, start + LEN);
        let ulid = Ulid::from_parts(i as u64 + 1, 7);
        let meta = write_block(&disk, dir.path(), ulid, range, &samples, "a");
        let path = dir.path().join(ulid.to_string());
        let mut all = read_block(&ctx, &disk, &path, &meta).await;
        delete(&path, start, &stones, &mut all).await;
        for (labels, samples) in all {
            want.entry(labels).or_default().extend(samples);
        }
        metas.push(meta);
    }
    want.retain(|_, samples| !samples.is_empty());
    let ulid = Ulid::from_parts(99, 9);
    let parents: Vec<&Meta> = metas.iter().collect();
    let merged = merge_blocks(&ctx, &disk, dir.path(), &parents, ulid).await.unwrap();
    let Some(meta) = merged else {
        assert!(want.is_empty());
        assert!(!dir.path().join(ulid.to_string()).exists());
        return;
    };
    let path = dir.path().join(ulid.to_string());
    assert_eq!(read_block(&ctx, &disk, &path, &meta).await, want);
    assert_eq!(meta.stats.num_samples, want.values().map(|s| s.len() as u64).sum::<u64>());
    assert_eq!(meta.stats.num_series, want.len() as u64);
    let source = Arc::new(LocalSource::open(disk, &path).unwrap());
    let found = verify_block(&ctx, source, &meta, LOCAL_STEP).await.unwrap();
    assert!(found.faults.is_empty(), "{:?}", found.faults);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn merged_blocks_hold_the_same_samples(blocks in prop::collection::vec((block(), deletions()), 1..5)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(blocks));
    }
}
