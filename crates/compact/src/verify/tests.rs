//! Broken blocks are found out, whole ones are not blamed.

use std::path::Path;
use std::sync::Arc;

use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed, Ulid};
use dolmen_chunk::encode_floats;
use dolmen_ctx::{Ctx, Disk, RealDisk};
use dolmen_model::{Encoding, Labels};

use super::*;
use crate::local::LocalSource;

/// First and last time as the index is told, and the samples.
type Chunk = (i64, i64, &'static [(i64, f64)]);

fn block(dir: &Path, chunks: &[Chunk]) -> Meta {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let symbols = ["__name__", "a", "b", "up", "x"];
    let mut w = BlockWriter::create(disk, dir, Ulid::from_parts(1, 1), symbols).unwrap();
    for value in ["a", "b"] {
        let labels = Labels::from_pairs([("__name__", "up"), ("x", value)]);
        let mut encoded = Vec::new();
        for (mint, maxt, samples) in chunks {
            let (t, v): (Vec<_>, Vec<_>) = samples.iter().copied().unzip();
            encode_floats(&t, &v, 100, &mut encoded);
            let last = encoded.last_mut().unwrap();
            (last.mint, last.maxt) = (*mint, *maxt);
        }
        let view = encoded.iter().map(|c| ChunkIn {
            mint: c.mint,
            maxt: c.maxt,
            encoding: Encoding::Xor,
            data: &c.data,
        });
        w.add_series(labels.as_ref(), &view.collect::<Vec<_>>()).unwrap();
    }
    w.finish(MetaSeed { min_time: 0, max_time: 100, ..MetaSeed::default() }).unwrap()
}

async fn found(dir: &Path, meta: &Meta, step: u64) -> Checked {
    let path = dir.join(meta.ulid.to_string());
    let source = Arc::new(LocalSource::open(Arc::new(RealDisk), &path).unwrap());
    verify_block(&Ctx::unbounded(), source, meta, step).await.unwrap()
}

const GOOD: &[Chunk] = &[(1, 3, &[(1, 1.0), (3, 2.5)]), (5, 9, &[(5, 7.0), (6, f64::NAN), (9, -1.0)])];

#[tokio::test]
async fn a_whole_block_in_pieces_of_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let meta = block(dir.path(), GOOD);
    for step in [1, 7, 64, 1 << 20] {
        let found = found(dir.path(), &meta, step).await;
        assert!(found.faults.is_empty(), "{:?}", found.faults);
        assert_eq!((found.series, found.chunks, found.samples), (2, 4, 10));
    }
}

#[tokio::test]
async fn every_flipped_bit_that_means_something_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let meta = block(dir.path(), GOOD);
    let toc = {
        let path = dir.path().join(meta.ulid.to_string());
        let source = Arc::new(LocalSource::open(Arc::new(RealDisk), &path).unwrap());
        Walk::open(&Ctx::unbounded(), source, 64).await.unwrap().toc()
    };
    let path = dir.path().join(meta.ulid.to_string());
    for name in ["index", "chunks/000001"] {
        let whole = std::fs::read(path.join(name)).unwrap();
        let mut unseen = Vec::new();
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 1 << (at % 8);
            std::fs::write(path.join(name), &broken).unwrap();
            if found(dir.path(), &meta, 64).await.faults.is_empty() {
                unseen.push(at as u64);
            }
        }
        std::fs::write(path.join(name), &whole).unwrap();
        // Zeros between entries, and the reserved bytes of a segment's header.
        let padding = |at: &u64| match name {
            "index" => *at >= toc.series && *at < toc.postings_table && whole[*at as usize] == 0,
            _ => (5..8).contains(at),
        };
        assert!(unseen.iter().all(padding), "{name}: {unseen:?}");
        assert!(unseen.len() < 40, "{unseen:?}");
    }
}

#[tokio::test]
async fn what_no_checksum_tells() {
    let cases: &[(&[Chunk], &str)] = &[
        (&[(1, 4, &[(1, 1.0), (3, 2.5)])], "the index says 1 to 4"),
        (&[(0, 3, &[(1, 1.0), (3, 2.5)])], "the index says 0 to 3"),
        (&[(100, 101, &[(100, 1.0), (101, 2.5)])], "out of the block"),
        (&[(99, 100, &[(99, 1.0), (100, 2.5)])], "out of the block"),
    ];
    for (chunks, want) in cases {
        let dir = tempfile::tempdir().unwrap();
        let meta = block(dir.path(), chunks);
        let found = found(dir.path(), &meta, 64).await;
        assert!(found.faults[0].to_string().contains(want), "{:?}", found.faults);
        // One of each of the two series.
        assert_eq!(found.faults.len(), 2);
    }
}

#[tokio::test]
async fn counts_of_the_meta() {
    let dir = tempfile::tempdir().unwrap();
    let mut meta = block(dir.path(), GOOD);
    meta.stats.num_samples += 1;
    meta.stats.num_series += 1;
    let faults = found(dir.path(), &meta, 64).await.faults;
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 2, "{text:?}");
    assert!(text[0].contains("numSeries is 3, the block holds 2") && text[1].contains("numSamples is 11"));
}

#[tokio::test]
async fn a_missing_file_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let meta = block(dir.path(), GOOD);
    std::fs::remove_file(dir.path().join(meta.ulid.to_string()).join("chunks/000001")).unwrap();
    let found = found(dir.path(), &meta, 64).await;
    assert_eq!((found.faults.len(), found.samples), (4, 0));
    assert!(found.faults[0].to_string().contains("chunks/000001"));
}
