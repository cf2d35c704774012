//! The part of a run that merges nothing: settles uploads, deletes what is due, marks what is replaced.

use dolmen_block::Ulid;
use dolmen_block::mark::DeletionMark;
use dolmen_fetcher::Fetched;
use dolmen_model::Result;
use dolmen_shipper::{Cleaned, Journal, delete_abandoned, delete_block, write_mark};

use super::Run;
use crate::clean::{self, OUTDATED};

impl Run<'_> {
    /// Own uploads that broke off are finished or taken away.
    pub(super) async fn settle(&mut self) -> Result<()> {
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

    /// Uploads that their journals will bring to an end.
    pub(super) fn ours(&self) -> Result<Vec<Ulid>> {
        let mut all = self.of.uploader.journal().unfinished();
        for dir in &self.of.settings.also_ours {
            all.extend(Journal::peek(&*self.of.disk, dir)?);
        }
        Ok(all)
    }

    pub(super) async fn delete_due(&mut self, view: &mut Fetched, ours: &[Ulid]) -> Result<()> {
        let (store, now) = (&*self.of.store, self.ctx.clock.now());
        for ulid in clean::expired(view, now, self.of.settings.delete_delay) {
            self.ctx.check()?;
            // Whether or not it works: it is no block any more.
            view.blocks.remove(&ulid);
            let gone = delete_block(store, ulid).await.map(|()| true);
            self.deleted(ulid, "marked", gone)?;
        }
        let since = clean::given_up_since(now, self.of.settings.partial_age);
        for ulid in clean::abandoned(view, since, ours) {
            self.ctx.check()?;
            let gone = delete_abandoned(store, ulid, since).await;
            self.deleted(ulid, "abandoned", gone)?;
        }
        Ok(())
    }

    fn deleted(&mut self, ulid: Ulid, reason: &'static str, gone: Result<bool>) -> Result<()> {
        match gone {
            Ok(true) => {
                tracing::info!(block = %ulid, reason, "deleted");
                self.of.metrics.deleted(reason);
                self.report.deleted.push(ulid);
                self.in_a_row = 0;
            }
            Ok(false) => tracing::info!(block = %ulid, "its upload goes on, it stays"),
            Err(e) => {
                tracing::error!(block = %ulid, error = %e, "cannot delete a block");
                self.failed(e)?;
            }
        }
        Ok(())
    }

    /// Marks blocks that others replace, and leaves in `view` what may be planned with.
    pub(super) async fn mark_replaced(&mut self, view: &mut Fetched) -> Result<()> {
        let (now, settings) = (self.ctx.clock.now(), &self.of.settings);
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

    pub(super) async fn mark(&mut self, ulid: Ulid, details: &str, reason: &'static str) -> Result<()> {
        let deletion_time = self.ctx.clock.now().div_euclid(1000);
        let mark = DeletionMark { id: ulid, version: 1, details: details.to_owned(), deletion_time };
        if write_mark(&*self.of.store, ulid, &mark).await? {
            tracing::info!(block = %ulid, reason, "marked for deletion");
            self.of.metrics.marked(reason);
            self.report.marked.push((ulid, reason));
        }
        Ok(())
    }
}
