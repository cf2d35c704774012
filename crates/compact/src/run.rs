//! One run over a bucket: clean, then compact every group until nothing is left to do.
//!
//! ```text
//! own unfinished uploads ─▶ fetch ─▶ delete what is due ─▶ mark what is replaced
//!    ─▶ for each group: plan ─▶ download ─▶ merge ─▶ verify ─▶ upload ─▶ mark the parents ─▶ plan …
//! ```
//!
//! A run may end at any line. What it leaves is a block without marks on its parents (the next run marks
//! them) or an upload that the journal names (the next run settles it).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dolmen_block::mark::NoCompactMark;
use dolmen_block::{Meta, Ulid};
use dolmen_ctx::{Ctx, Disk};
use dolmen_fetcher::Fetcher;
use dolmen_model::{Context, Error, Kind, Result};
use dolmen_shipper::{Uploader, download_block, write_mark};
use object_store::ObjectStore;

use crate::clean::{COMPACTED, EMPTY};
use crate::job::merge_blocks;
use crate::member::{self, Member};
use crate::{
    CompactMetrics, Compaction, GroupState, LeaveOut, MergeError, PlanBlock, Planner, RunReport, Waiting,
};

mod upkeep;

/// After so many failures in a row that may pass, the bucket is taken to be away and the run ends.
const FAILURES_MAX: u32 = 3;

/// Reason in the no-compact mark of a block whose bytes are broken.
const CORRUPT: &str = "corrupt-block";

/// How a bucket is compacted.
#[derive(Clone, Debug)]
pub struct CompactSettings {
    /// Where blocks are merged: a folder of this compactor alone, emptied by every run.
    pub work_dir: PathBuf,
    /// Lengths of blocks.
    pub planner: Planner,
    /// How long a marked block stays.
    pub delete_delay: Duration,
    /// How old a block must be before it is looked at.
    pub consistency_delay: Duration,
    /// How old somebody else's unfinished upload must be before it is deleted.
    pub partial_age: Duration,
    /// Upload journals beside this compactor's: what they name is not deleted, however old.
    pub also_ours: Vec<PathBuf>,
}

/// Compacts one bucket. Only one may work on a bucket at a time.
pub struct Compactor {
    store: Arc<dyn ObjectStore>,
    disk: Arc<dyn Disk>,
    fetcher: Fetcher,
    uploader: Uploader,
    settings: CompactSettings,
    metrics: CompactMetrics,
}

impl Compactor {
    /// Puts a compactor together. `uploader`: its journal must be outside the work folder.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        disk: Arc<dyn Disk>,
        fetcher: Fetcher,
        uploader: Uploader,
        settings: CompactSettings,
        metrics: CompactMetrics,
    ) -> Compactor {
        Compactor { store, disk, fetcher, uploader, settings, metrics }
    }

    /// One run. An error means that the bucket is away, or the caller has left; what concerns one group or
    /// one block alone is in the report's `failures`.
    pub async fn run_once(&self, ctx: &Ctx) -> Result<RunReport> {
        let mut run = Run { of: self, ctx, report: RunReport::default(), in_a_row: 0 };
        let done = run.all().await;
        let report = run.report;
        if done.is_ok() {
            // Of a run that broke off the figures would be too low.
            self.metrics.set(&report);
        }
        self.metrics.run(done.is_ok() && report.failures.is_empty(), ctx.clock.now());
        done.map(|()| report)
    }
}

/// A run under way.
struct Run<'a> {
    of: &'a Compactor,
    ctx: &'a Ctx,
    report: RunReport,
    in_a_row: u32,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<()> {
        self.empty_work_dir()?;
        self.settle().await?;
        // Asked before the fetch: an upload that ends while it runs still looks unfinished in what it found.
        let ours = self.ours()?;
        let mut view = self.of.fetcher.fetch(self.ctx).await?;
        self.delete_due(&mut view, &ours).await?;
        let whole = view.blocks.clone();
        view.hide_fresh(self.ctx.clock.now(), self.of.settings.consistency_delay);
        let fresh = member::fresh(&whole, &view);
        self.mark_replaced(&mut view).await?;
        let marked = view.no_compact_marks.keys().filter(|u| view.blocks.contains_key(u));
        self.report.waiting.extend(marked.map(|u| (*u, Waiting::NoCompactMark)));
        for (key, members) in member::groups(&view, &fresh) {
            self.ctx.check()?;
            let state = match self.group(&key, members).await {
                Ok(state) => {
                    self.in_a_row = 0;
                    state
                }
                Err(e) => {
                    tracing::error!(group = key, error = %e, "cannot compact this group, going on with others");
                    self.failed(e)?;
                    GroupState::Failed
                }
            };
            self.report.groups.insert(key, state);
        }
        // An upload that was given up is forgotten only once a look has found its folder empty.
        self.settle().await
    }

    /// Notes a failure; gives it back where the run cannot go on.
    fn failed(&mut self, e: Error) -> Result<()> {
        self.in_a_row += u32::from(matches!(e.kind(), Kind::Retry | Kind::Timeout));
        if e.kind() == Kind::Canceled || self.ctx.cancel.is_canceled() || self.in_a_row >= FAILURES_MAX {
            return Err(e);
        }
        self.report.failures.push(e);
        Ok(())
    }

    fn empty_work_dir(&self) -> Result<()> {
        let (disk, dir) = (&self.of.disk, &self.of.settings.work_dir);
        if disk.is_dir(dir) {
            disk.remove_dir_all(dir).context(format_args!("empty {}", dir.display()))?;
        }
        disk.create_dir_all(dir).context(format_args!("make {}", dir.display()))
    }

    /// Merges within a group until nothing is left to do.
    async fn group(&mut self, key: &str, mut members: Vec<Member>) -> Result<GroupState> {
        if members.first().is_some_and(|m| m.plan.resolution > 0) {
            return Ok(GroupState::Downsampled);
        }
        let mut state = GroupState::Idle;
        let mut doubted = BTreeSet::new();
        // A group of one block is never planned.
        while members.len() > 1 {
            self.ctx.check()?;
            members.sort_by_key(|m| (m.plan.min_time, m.plan.ulid));
            let blocks: Vec<PlanBlock> = members.iter().map(|m| m.plan.clone()).collect();
            let plan = self.of.settings.planner.plan(&blocks);
            for (ulid, why) in &plan.leave_out {
                self.leave_out(*ulid, *why).await?;
                part(&mut members, &[*ulid]);
            }
            if plan.merge.is_empty() {
                break;
            }
            if plan.overlap {
                let blocks: Vec<String> = plan.merge.iter().map(Ulid::to_string).collect();
                tracing::warn!(group = key, blocks = blocks.join(" "), "blocks overlap in time, they wait");
                self.report.waiting.extend(plan.merge.iter().map(|u| (*u, Waiting::Overlap)));
                part(&mut members, &plan.merge);
                state = state.max(GroupState::Overlapping);
                continue;
            }
            let chosen = plan.merge.iter().filter_map(|u| members.iter().find(|m| m.plan.ulid == *u));
            let parents: Vec<Arc<Meta>> = chosen.map(|m| m.meta.clone()).collect();
            match self.compact(key, &parents).await {
                Ok(result) => {
                    members.retain(|m| !plan.merge.contains(&m.plan.ulid));
                    members.extend(result.as_ref().map(|m| Member::new(Arc::new(m.clone()), &[], false)));
                    let group = key.to_owned();
                    self.report.compactions.push(Compaction { group, parents: plan.merge, result });
                    state = state.max(GroupState::Compacted);
                }
                Err(MergeError { input: Some(i), error }) if error.kind() == Kind::Corrupt => {
                    let ulid = parents[i].ulid;
                    if doubted.insert(ulid) {
                        // The bytes may have been broken on their way.
                        tracing::warn!(block = %ulid, %error, "block is broken, fetching it once more");
                        continue;
                    }
                    self.quarantine(ulid, error).await?;
                    part(&mut members, &[ulid]);
                    state = GroupState::Failed;
                }
                Err(e) => return Err(e.error),
            }
        }
        Ok(state)
    }

    /// A block whose bytes are broken is left out from now on, so that it stops no others.
    async fn quarantine(&mut self, ulid: Ulid, error: Error) -> Result<()> {
        tracing::error!(block = %ulid, %error, "block is broken, it is left out of compaction from now on");
        let mark = NoCompactMark {
            id: ulid,
            version: 1,
            details: error.to_string(),
            no_compact_time: self.ctx.clock.now().div_euclid(1000),
            reason: CORRUPT.to_owned(),
        };
        if write_mark(&*self.of.store, ulid, &mark).await? {
            self.of.metrics.marked(CORRUPT);
        }
        self.report.waiting.insert(ulid, Waiting::NoCompactMark);
        self.report.quarantined.push(ulid);
        self.report.failures.push(error);
        Ok(())
    }

    async fn leave_out(&mut self, ulid: Ulid, why: LeaveOut) -> Result<()> {
        let mark = NoCompactMark {
            id: ulid,
            version: 1,
            details: "left out of compaction by the planner".to_owned(),
            no_compact_time: self.ctx.clock.now().div_euclid(1000),
            reason: why.reason().to_owned(),
        };
        if write_mark(&*self.of.store, ulid, &mark).await? {
            tracing::warn!(block = %ulid, reason = why.reason(), "block is left out of compaction from now on");
            self.of.metrics.marked(why.reason());
        }
        Ok(())
    }

    /// One merge, from the bucket back into the bucket.
    async fn compact(&mut self, key: &str, parents: &[Arc<Meta>]) -> Result<Option<Meta>, MergeError> {
        let dir = self.of.settings.work_dir.join(key);
        let result = self.compact_in(&dir, parents).await;
        // One merge' worth of disk at a time, whatever became of it.
        let gone = match self.of.disk.is_dir(&dir) {
            true => self.of.disk.remove_dir_all(&dir).context(format_args!("remove {}", dir.display())),
            false => Ok(()),
        };
        let result = result?;
        gone?;
        let (details, reason) = match result {
            Some(_) => (COMPACTED, "compacted"),
            None => (EMPTY, "empty"),
        };
        for parent in parents {
            self.mark(parent.ulid, details, reason).await?;
        }
        Ok(result)
    }

    async fn compact_in(&self, dir: &Path, parents: &[Arc<Meta>]) -> Result<Option<Meta>, MergeError> {
        let (disk, ctx) = (self.of.disk.clone(), self.ctx.clone());
        disk.create_dir_all(dir).context(format_args!("make {}", dir.display()))?;
        for (place, parent) in parents.iter().enumerate() {
            ctx.check()?;
            let done = download_block(&ctx, &*self.of.store, parent.ulid, dir, &disk).await;
            let done = done.context(format_args!("fill {}", dir.display()));
            done.map_err(MergeError::of(place))?;
        }
        let ulid = Ulid::from_parts(u64::try_from(ctx.clock.now()).unwrap_or(0), random()?);
        let (at, metas) = (dir.to_owned(), parents.to_vec());
        let runtime = tokio::runtime::Handle::current();
        let work = tokio::task::spawn_blocking(move || {
            let metas: Vec<&Meta> = metas.iter().map(|m| &**m).collect();
            runtime.block_on(merge_blocks(&ctx, &disk, &at, &metas, ulid))
        });
        let merged = work.await.map_err(|e| Error::wrap(Kind::Halt, "merge blocks", e))?;
        let names = || parents.iter().map(|m| m.ulid.to_string()).collect::<Vec<_>>().join(" ");
        let doing = |e: MergeError| {
            let block = e.input.map_or_else(String::new, |i| format!(", block {}", parents[i].ulid));
            let doing = format!("merge blocks {} in {}{block}", names(), dir.display());
            MergeError { error: within(e.error, doing), ..e }
        };
        let Some(meta) = merged.map_err(doing)? else {
            tracing::info!(parents = names(), "merged blocks into nothing: all of them is deleted");
            return Ok(None);
        };
        let meta = self.of.uploader.upload(self.ctx, &dir.join(ulid.to_string()), &meta).await?;
        let bytes = meta.thanos.iter().flat_map(|t| &t.files).map(|f| f.size_bytes).sum();
        tracing::info!(
            block = %ulid, parents = names(), level = meta.compaction.level,
            series = meta.stats.num_series, samples = meta.stats.num_samples, bytes, "compacted"
        );
        self.of.metrics.compacted(bytes);
        Ok(Some(meta))
    }
}

/// These blocks are not merged any more, and part their neighbours.
fn part(members: &mut [Member], blocks: &[Ulid]) {
    let named = members.iter_mut().filter(|m| blocks.contains(&m.plan.ulid));
    named.for_each(|m| m.plan.no_compact = true);
}

fn within(error: Error, doing: String) -> Error {
    Err::<(), Error>(error).context(doing).expect_err("made from an error")
}

fn random() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::wrap(Kind::Halt, "ask the system for random bits", e))?;
    Ok(u128::from_ne_bytes(bytes))
}
