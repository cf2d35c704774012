//! All blocks of a bucket, some at a time.

use std::sync::Arc;

use dolmen_block::{META, Meta, Ulid};
use dolmen_bucket::{block_path, from_store};
use dolmen_ctx::Ctx;
use dolmen_fetcher::Fetched;
use dolmen_model::{Error, Kind, Result, Timestamp};
use dolmen_source::{BucketSource, ObjectPart, ReadCounts, ReadLimits};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::task::JoinSet;

use crate::verify::{Checked, verify_block};
use crate::walk::REMOTE_STEP;

/// Something that a check of a bucket has to tell.
#[derive(Clone, Debug)]
pub enum Finding {
    /// Something is wrong.
    Problem {
        /// The block.
        ulid: Ulid,
        /// Path of the file within the block.
        file: String,
        /// Offset in it.
        offset: u64,
        /// What is wrong.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// A folder without meta.json: an upload that is under way or was given up, or a deletion.
    Unfinished {
        /// Its name.
        ulid: Ulid,
        /// How many objects are in it.
        objects: usize,
        /// When the youngest was written, in milliseconds since the Unix epoch.
        newest: Timestamp,
    },
}

/// Sums over a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Blocks with a meta.json.
    pub blocks: u64,
    /// Samples in them.
    pub samples: u64,
    /// Problems.
    pub problems: u64,
}

/// Checks all blocks that a fetch has found, `at_once` at a time, and tells what it finds. A block that is
/// deleted meanwhile is none. An error: the bucket could not be read.
pub async fn verify_bucket(
    ctx: &Ctx,
    store: &Arc<dyn ObjectStore>,
    fetched: &Fetched,
    at_once: usize,
    mut tell: impl FnMut(Finding),
) -> Result<Survey> {
    let mut survey = Survey::default();
    for (ulid, partial) in &fetched.partial {
        let (objects, newest) = (partial.objects.len(), partial.newest_mtime);
        tell(Finding::Unfinished { ulid: *ulid, objects, newest });
    }
    for (ulid, corrupt) in &fetched.corrupt {
        survey.blocks += 1;
        survey.problems += 1;
        tell(Finding::Problem {
            ulid: *ulid,
            file: META.to_owned(),
            offset: 0,
            what: corrupt.why.clone(),
            advice: "restore the missing files or meta.json from a copy; nothing of this block is read",
        });
    }
    let mut left = fetched.blocks.values();
    let mut running = JoinSet::new();
    loop {
        while running.len() < at_once.max(1)
            && let Some(block) = left.next()
        {
            let (ctx, store, meta) = (ctx.clone(), store.clone(), block.meta.clone());
            running.spawn(async move {
                let found = check(&ctx, &store, &meta).await;
                (meta, found)
            });
        }
        let Some(done) = running.join_next().await else { return Ok(survey) };
        let (meta, found) = done.map_err(|e| Error::wrap(Kind::Halt, "check a block", e))?;
        let Some(found) = found? else { continue };
        survey.blocks += 1;
        survey.samples += found.samples;
        survey.problems += found.faults.len() as u64 + found.more;
        report(&meta, &found, &mut tell);
    }
}

/// `None`: the block is gone.
async fn check(ctx: &Ctx, store: &Arc<dyn ObjectStore>, meta: &Meta) -> Result<Option<Checked>> {
    let counts = Arc::new(ReadCounts::default());
    let prefix = Path::from(meta.ulid.to_string());
    let source = BucketSource::open(store.clone(), prefix, meta, ReadLimits::default(), counts).await?;
    let found = verify_block(ctx, Arc::new(source), meta, REMOTE_STEP).await?;
    let lost = |f: &crate::Fault| f.error.kind() == Kind::NotFound;
    if found.faults.iter().any(lost) {
        let path = block_path(meta.ulid, META);
        match store.head(&path).await.map_err(|e| from_store(format!("look for {path}"), e)) {
            Ok(_) => {}
            Err(e) if e.kind() == Kind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        }
    }
    Ok(Some(found))
}

fn report(meta: &Meta, found: &Checked, tell: &mut impl FnMut(Finding)) {
    for fault in &found.faults {
        tell(Finding::Problem {
            ulid: meta.ulid,
            file: fault.part.path(),
            offset: fault.offset,
            what: fault.error.to_string(),
            advice: advice(fault.part),
        });
    }
    if found.more > 0 {
        tell(Finding::Problem {
            ulid: meta.ulid,
            file: String::new(),
            offset: 0,
            what: format!("{} more of the like", found.more),
            advice: "see those above",
        });
    }
}

fn advice(part: ObjectPart) -> &'static str {
    match part {
        ObjectPart::Index => {
            "restore the index from a copy; without one, put a deletion-mark.json if another block or replica holds this time"
        }
        ObjectPart::Chunks(_) => {
            "restore the file from a copy; without one, queries that touch this place fail: put a deletion-mark.json if another block or replica holds this time"
        }
        ObjectPart::Tombstones => {
            "remove the tombstones object: compaction applies deletions before it uploads"
        }
        ObjectPart::Meta => "compare the block with a copy or a replica: samples may be missing",
    }
}
