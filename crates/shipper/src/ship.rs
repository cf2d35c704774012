//! All finished blocks of a directory into the bucket, and the note of which are there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use dolmen_block::{META, Meta, Ulid};
use dolmen_ctx::Ctx;
use dolmen_model::{Context, Error, Kind, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::journal::replace;
use crate::{ShipperMetrics, Uploader};

/// The note, with Thanos' name: Prometheus can be told to compact no block that is not in it.
pub const SHIPPER_FILE: &str = "thanos.shipper.json";

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    version: u32,
    uploaded: Vec<Ulid>,
}

/// Ships the blocks of one directory.
pub struct Shipper {
    uploader: Uploader,
    dir: PathBuf,
    metrics: ShipperMetrics,
    /// Held while a sync runs.
    uploaded: Mutex<Option<BTreeSet<Ulid>>>,
}

impl Shipper {
    /// A shipper for the blocks in `dir`: folders named by a ULID whose meta.json has a thanos section.
    pub fn new(uploader: Uploader, dir: impl Into<PathBuf>, metrics: ShipperMetrics) -> Shipper {
        Shipper { uploader, dir: dir.into(), metrics, uploaded: Mutex::new(None) }
    }

    /// Uploads what is not in the bucket yet, oldest first, and returns it. The first failure for reasons
    /// that may pass ends the run; a block that cannot be uploaded for its own sake does not keep the others.
    /// What was uploaded is noted in either case: [`Shipper::uploaded`].
    pub async fn sync(&self, ctx: &Ctx) -> Result<Vec<Ulid>> {
        let mut held = self.uploaded.lock().await;
        let blocks = self.blocks()?;
        let local: BTreeSet<Ulid> = blocks.iter().map(|m| m.ulid).collect();
        let noted = match held.take() {
            Some(noted) => noted,
            None => self.read_note()?,
        };
        let uploaded = held.insert(noted.intersection(&local).copied().collect());
        self.uploader.clean_unfinished(ctx, |ulid| local.contains(&ulid)).await?;
        let mut pending: Vec<Meta> = blocks.into_iter().filter(|m| !uploaded.contains(&m.ulid)).collect();
        pending.sort_by_key(|m| (m.min_time, m.ulid));
        let mut left = pending.len() as i64;
        self.metrics.pending.set(left);
        let (mut shipped, mut failed) = (Vec::new(), None);
        for meta in &pending {
            match self.uploader.upload(ctx, &self.dir.join(meta.ulid.to_string()), meta).await {
                Ok(_) => {
                    uploaded.insert(meta.ulid);
                    self.write_note(uploaded)?;
                    shipped.push(meta.ulid);
                    left -= 1;
                    self.metrics.uploaded.inc();
                    self.metrics.pending.set(left);
                }
                Err(e) => {
                    tracing::warn!(block = %meta.ulid, error = %e, "upload failed, it will be tried again");
                    self.metrics.failures.inc();
                    let passing = matches!(e.kind(), Kind::Retry | Kind::Canceled | Kind::Timeout);
                    failed.get_or_insert(e);
                    if passing {
                        break;
                    }
                }
            }
        }
        failed.map_or(Ok(shipped), Err)
    }

    /// Local blocks that are known to be in the bucket, as of the last run.
    pub async fn uploaded(&self) -> Result<BTreeSet<Ulid>> {
        let mut held = self.uploaded.lock().await;
        match &*held {
            Some(uploaded) => Ok(uploaded.clone()),
            None => Ok(held.insert(self.read_note()?).clone()),
        }
    }

    /// Metas of the finished local blocks that have samples. A block without a thanos section is somebody
    /// else's.
    fn blocks(&self) -> Result<Vec<Meta>> {
        let disk = self.uploader.disk();
        let doing = || format!("list the blocks in {}", self.dir.display());
        let mut blocks = Vec::new();
        for name in disk.list(&self.dir).context(doing())? {
            let Ok(ulid) = Ulid::from_string(&name) else { continue };
            let path = self.dir.join(&name).join(META);
            if !disk.exists(&path) {
                continue;
            }
            let meta = disk.read(&path).map_err(Error::from).and_then(|bytes| Meta::parse(&bytes));
            match meta {
                Ok(meta) if meta.ulid != ulid => {
                    tracing::error!(block = %ulid, found = %meta.ulid, "meta.json of another block, passing over it");
                }
                Ok(meta) if meta.thanos.is_some() && meta.stats.num_samples > 0 => blocks.push(meta),
                Ok(_) => {}
                Err(e) => {
                    tracing::error!(block = %ulid, error = %e, "cannot read its meta.json, passing over it")
                }
            }
        }
        Ok(blocks)
    }

    /// The note of the last run; where it is missing or broken, the bucket is asked block by block.
    fn read_note(&self) -> Result<BTreeSet<Ulid>> {
        let disk = self.uploader.disk();
        let path = self.dir.join(SHIPPER_FILE);
        if !disk.exists(&path) {
            return Ok(BTreeSet::new());
        }
        let bytes = disk.read(&path).context(format_args!("read {}", path.display()))?;
        match serde_json::from_slice::<Note>(&bytes) {
            Ok(note) if note.version == 1 => Ok(note.uploaded.into_iter().collect()),
            Ok(note) => {
                tracing::warn!(version = note.version, "{SHIPPER_FILE} has another version, starting anew");
                Ok(BTreeSet::new())
            }
            Err(e) => {
                tracing::warn!(error = %e, "cannot read {SHIPPER_FILE}, starting anew");
                Ok(BTreeSet::new())
            }
        }
    }

    fn write_note(&self, uploaded: &BTreeSet<Ulid>) -> Result<()> {
        let note = Note { version: 1, uploaded: uploaded.iter().copied().collect() };
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut json = Vec::new();
        let mut ser = serde_json::Serializer::with_formatter(&mut json, format);
        let doing = || format!("write {SHIPPER_FILE}");
        note.serialize(&mut ser).map_err(|e| Error::wrap(Kind::Halt, doing(), e))?;
        replace(&**self.uploader.disk(), &self.dir.join(SHIPPER_FILE), &json).context(doing())
    }
}
