//! Cut blocks that are held here: how long they stay, and what is said of those that cannot be read.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dolmen_block::{BlockWriter, ChunkIn, Meta, MetaSeed, Ulid};
use dolmen_ctx::{Ctx, RealDisk};
use dolmen_fanout::Fanout;
use dolmen_model::{Completeness, Encoding, Labels, TimeRange};
use dolmen_receiver::{LocalBlocks, Seen};
use dolmen_storage::{LabelAsk, Queryable, Select};

fn block(dir: &Path, n: u64) -> Meta {
    let ulid = Ulid::from_parts(n, 1);
    let mut w = BlockWriter::create(Arc::new(RealDisk), dir, ulid, ["a", "x"]).unwrap();
    let chunk = ChunkIn { mint: 0, maxt: 0, encoding: Encoding::Xor, data: &[0, 1, 7] };
    w.add_series(Labels::from_pairs([("a", "x")]).as_ref(), &[chunk]).unwrap();
    w.finish(MetaSeed { min_time: 0, max_time: 10, ..MetaSeed::default() }).unwrap()
}

async fn opened(dir: &Path) -> LocalBlocks {
    LocalBlocks::open(&Ctx::unbounded(), Arc::new(RealDisk), dir).await.unwrap().0
}

/// What a query over these times lacks.
async fn lacks(local: &LocalBlocks, from: i64, to: i64) -> Completeness {
    let all: Vec<Arc<dyn Queryable>> = local.queryables().collect();
    let select = Select::new(TimeRange::new(from, to).unwrap(), []);
    Fanout::new(all).labels(&Ctx::unbounded(), &select, LabelAsk::Names).await.unwrap().completeness
}

#[tokio::test]
async fn a_block_stays_until_it_was_seen_in_the_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let meta = block(dir.path(), 1);
    let local = opened(dir.path()).await;
    let before = Instant::now();
    local.forget(Duration::ZERO, &Seen::Unknown).unwrap();
    assert_eq!(local.len(), 1, "it is not in the bucket");
    local.shipped(|ulid| ulid == meta.ulid);
    for seen in [None, Some(before)] {
        local.forget(Duration::ZERO, &Seen::Last(seen)).unwrap();
        assert_eq!(local.len(), 1, "nobody has seen it there");
    }
    local.forget(Duration::from_secs(3600), &Seen::Unknown).unwrap();
    assert_eq!(local.len(), 1, "it has not been there for long enough");
    let after = Instant::now() + Duration::from_millis(1);
    local.forget(Duration::ZERO, &Seen::Last(Some(after))).unwrap();
    assert!(local.is_empty() && !dir.path().join(meta.ulid.to_string()).exists());
}

#[tokio::test]
async fn a_block_that_cannot_be_read_is_told_to_who_asks_for_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (block(dir.path(), 1), block(dir.path(), 2));
    std::fs::write(dir.path().join(bad.ulid.to_string()).join("index"), b"no index").unwrap();
    let local = opened(dir.path()).await;
    assert_eq!((local.len(), local.unshipped()), (1, vec![good.ulid]));
    let missing = lacks(&local, 5, 20).await.missing;
    assert_eq!(missing.len(), 1);
    assert!(missing[0].cause.contains(&bad.ulid.to_string()), "{}", missing[0].cause);
    assert_eq!(Some(missing[0].range), TimeRange::new(5, 10));
    assert!(lacks(&local, 10, 20).await.is_complete(), "it holds nothing of that time");
}
