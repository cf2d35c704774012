//! One run over a bucket: clean, then compact every group until nothing is left to do.
//!
//! ```text
//! own unfinished uploads ─▶ fetch ─▶ delete what is due ─▶ mark what is replaced
//!    ─▶ for each group: plan ─▶ download ─▶ merge ─▶ verify ─▶ upload ─▶ mark the parents ─▶ plan …
//! ```
//!
//! A run may end at any line. What it leaves is a block without marks on its parents (the next run marks
//! them) or an upload that the journal names (the next run settles it).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dolmen_block::mark::{DeletionMark, NoCompactMark};
use dolmen_block::{INDEX, Meta, Ulid};
use dolmen_ctx::{Ctx, Disk};
use dolmen_fetcher::{BlockEntry, Fetched, Fetcher};
use dolmen_model::{Context, Error, Kind, Result};
use dolmen_shipper::{Cleaned, Uploader, delete_block, download_block, write_mark};
use object_store::ObjectStore;

use crate::clean::{self, COMPACTED, EMPTY, OUTDATED};
use crate::job::merge_blocks;
use crate::{CompactMetrics, LeaveOut, PlanBlock, Planner, group_key};

/// After so many failures in a row that may pass, the bucket is taken to be away and the run ends.
const FAILURES_MAX: u32 = 3;

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
}

/// What a run found in a group of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// Nothing to do.
    Idle,
    /// Blocks were merged, and nothing more is to do.
    Compacted,
    /// Blocks overlap in time: the group waits.
    Overlapping,
    /// Downsampled blocks: the group waits.
    Downsampled,
    /// It failed.
    Failed,
}

impl GroupState {
    /// All of them.
    pub const ALL: [GroupState; 5] = [
        GroupState::Idle,
        GroupState::Compacted,
        GroupState::Overlapping,
        GroupState::Downsampled,
        GroupState::Failed,
    ];

    /// The value of the label `state`.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupState::Idle => "idle",
            GroupState::Compacted => "compacted",
            GroupState::Overlapping => "overlapping",
            GroupState::Downsampled => "downsampled",
            GroupState::Failed => "failed",
        }
    }
}

/// A merge that was done.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// Its group.
    pub group: String,
    /// What was merged.
    pub parents: Vec<Ulid>,
    /// What came out and is in the bucket; `None` where no sample was left.
    pub result: Option<Meta>,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// State by group.
    pub groups: BTreeMap<String, GroupState>,
    /// Merges, in their order.
    pub compactions: Vec<Compaction>,
    /// Deletion marks that were put, with their reason.
    pub marked: Vec<(Ulid, &'static str)>,
    /// Blocks and unfinished uploads that were deleted.
    pub deleted: Vec<Ulid>,
    /// What became of own unfinished uploads.
    pub cleaned: Cleaned,
    /// What failed, and was passed over.
    pub failures: Vec<Error>,
}

impl RunReport {
    /// How many groups are in a state.
    pub fn groups_in(&self, state: GroupState) -> usize {
        self.groups.values().filter(|s| **s == state).count()
    }
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

/// A block of a group, and what the planner has to know of it.
struct Member {
    meta: Arc<Meta>,
    plan: PlanBlock,
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
        for state in GroupState::ALL {
            self.metrics.set_groups(state, report.groups_in(state));
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
        let mut view = self.of.fetcher.fetch(self.ctx).await?;
        self.delete_due(&mut view).await?;
        self.mark_replaced(&mut view).await?;
        for (key, members) in groups(&view) {
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

    /// Own uploads that broke off are finished or taken away.
    async fn settle(&mut self) -> Result<()> {
        let Cleaned { finished, deleted } = self.of.uploader.clean_unfinished(self.ctx, |_| false).await?;
        for ulid in &finished {
            tracing::info!(block = %ulid, "finished an upload that had broken off");
        }
        for ulid in &deleted {
            tracing::info!(block = %ulid, "deleted an upload that had broken off");
            self.of.metrics.deleted("unfinished");
        }
        self.report.cleaned.finished.extend(finished);
        self.report.cleaned.deleted.extend(deleted);
        Ok(())
    }

    async fn delete_due(&mut self, view: &mut Fetched) -> Result<()> {
        let (now, settings) = (self.ctx.clock.now(), &self.of.settings);
        let expired = clean::expired(view, now, settings.delete_delay);
        let ours = self.of.uploader.journal().unfinished();
        let abandoned = clean::abandoned(view, now, settings.partial_age, &ours);
        let all = expired.into_iter().map(|u| (u, "marked"));
        for (ulid, reason) in all.chain(abandoned.into_iter().map(|u| (u, "abandoned"))) {
            self.ctx.check()?;
            // Whether or not it worked: it is no block any more.
            view.blocks.remove(&ulid);
            match delete_block(&*self.of.store, ulid).await {
                Ok(()) => {
                    tracing::info!(block = %ulid, reason, "deleted");
                    self.of.metrics.deleted(reason);
                    self.report.deleted.push(ulid);
                    self.in_a_row = 0;
                }
                Err(e) => {
                    tracing::error!(block = %ulid, error = %e, "cannot delete a block");
                    self.failed(e)?;
                }
            }
        }
        Ok(())
    }

    /// Marks blocks that others replace, and leaves in `view` what may be planned with.
    async fn mark_replaced(&mut self, view: &mut Fetched) -> Result<()> {
        let (now, settings) = (self.ctx.clock.now(), &self.of.settings);
        view.hide_fresh(now, settings.consistency_delay);
        view.hide_marked(now, settings.delete_delay / 2);
        let replaced = clean::replaced(view);
        view.hide_superseded();
        for ulid in replaced {
            self.ctx.check()?;
            view.blocks.remove(&ulid);
            if let Err(e) = self.mark(ulid, OUTDATED, "outdated").await {
                tracing::error!(block = %ulid, error = %e, "cannot mark a block that another replaces");
                self.failed(e)?;
            }
        }
        Ok(())
    }

    async fn mark(&mut self, ulid: Ulid, details: &str, reason: &'static str) -> Result<()> {
        let deletion_time = self.ctx.clock.now().div_euclid(1000);
        let mark = DeletionMark { id: ulid, version: 1, details: details.to_owned(), deletion_time };
        if write_mark(&*self.of.store, ulid, &mark).await? {
            tracing::info!(block = %ulid, reason, "marked for deletion");
            self.of.metrics.marked(reason);
            self.report.marked.push((ulid, reason));
        }
        Ok(())
    }

    /// Merges within a group until nothing is left to do.
    async fn group(&mut self, key: &str, mut members: Vec<Member>) -> Result<GroupState> {
        if members.first().is_some_and(|m| m.plan.resolution > 0) {
            return Ok(GroupState::Downsampled);
        }
        let mut state = GroupState::Idle;
        // A group of one block is never planned.
        while members.len() > 1 {
            self.ctx.check()?;
            members.sort_by_key(|m| (m.plan.min_time, m.plan.ulid));
            let blocks: Vec<PlanBlock> = members.iter().map(|m| m.plan.clone()).collect();
            let plan = self.of.settings.planner.plan(&blocks);
            for (ulid, why) in &plan.leave_out {
                self.leave_out(*ulid, *why).await?;
                members.iter_mut().filter(|m| m.plan.ulid == *ulid).for_each(|m| m.plan.no_compact = true);
            }
            if plan.merge.is_empty() {
                break;
            }
            if plan.overlap {
                let blocks: Vec<String> = plan.merge.iter().map(Ulid::to_string).collect();
                let blocks = blocks.join(" ");
                tracing::warn!(group = key, blocks, "blocks overlap in time, the group waits");
                return Ok(GroupState::Overlapping);
            }
            let chosen = plan.merge.iter().filter_map(|u| members.iter().find(|m| m.plan.ulid == *u));
            let parents: Vec<Arc<Meta>> = chosen.map(|m| m.meta.clone()).collect();
            let result = self.compact(key, &parents).await?;
            members.retain(|m| !plan.merge.contains(&m.plan.ulid));
            members.extend(result.as_ref().map(|meta| Member::new(Arc::new(meta.clone()), 0, false)));
            self.report.compactions.push(Compaction { group: key.to_owned(), parents: plan.merge, result });
            state = GroupState::Compacted;
        }
        Ok(state)
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
    async fn compact(&mut self, key: &str, parents: &[Arc<Meta>]) -> Result<Option<Meta>> {
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

    async fn compact_in(&self, dir: &std::path::Path, parents: &[Arc<Meta>]) -> Result<Option<Meta>> {
        let (disk, ctx) = (self.of.disk.clone(), self.ctx.clone());
        disk.create_dir_all(dir).context(format_args!("make {}", dir.display()))?;
        for parent in parents {
            ctx.check()?;
            download_block(&ctx, &*self.of.store, parent.ulid, dir, &disk).await?;
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
        let Some(meta) = merged.context(format_args!("merge blocks {}", names()))? else {
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

impl Member {
    fn new(meta: Arc<Meta>, index_size: u64, no_compact: bool) -> Member {
        let plan = PlanBlock {
            ulid: meta.ulid,
            min_time: meta.min_time,
            max_time: meta.max_time,
            failed: meta.compaction.failed,
            series: meta.stats.num_series,
            tombstones: meta.stats.num_tombstones,
            resolution: meta.resolution(),
            index_size: meta.file_len(INDEX).unwrap_or(index_size),
            no_compact,
        };
        Member { meta, plan }
    }
}

/// The blocks that may be planned with, by group. A block with a deletion mark parts its neighbours as one
/// with a no-compact mark does: should the mark be taken back, nothing overlaps it.
fn groups(view: &Fetched) -> BTreeMap<String, Vec<Member>> {
    let mut groups: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    for (ulid, BlockEntry { meta, objects, .. }) in &view.blocks {
        let Some(thanos) = &meta.thanos else {
            tracing::debug!(block = %ulid, "meta.json has no thanos section, passing over the block");
            continue;
        };
        let labels = thanos.labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let key = group_key(thanos.downsample.resolution, labels);
        let index_size = objects.iter().find(|o| o.path == INDEX).map_or(0, |o| o.size);
        let left_out = view.no_compact_marks.contains_key(ulid) || view.deletion_marks.contains_key(ulid);
        groups.entry(key).or_default().push(Member::new(meta.clone(), index_size, left_out));
    }
    groups
}

fn random() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::wrap(Kind::Halt, "ask the system for random bits", e))?;
    Ok(u128::from_ne_bytes(bytes))
}
