//! One block into the bucket.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use dolmen_block::meta::BlockFile;
use dolmen_block::{CHUNKS, INDEX, META, Meta, Ulid, segment};
use dolmen_bucket::{Object, PART_SIZE, block_path, from_store, list_block};
use dolmen_ctx::{Ctx, Disk};
use dolmen_model::{Context, Error, Kind, Result, Timestamp};
use futures::{StreamExt, TryStreamExt};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use crate::delete::delete_objects;
use crate::journal::{Active, Journal, Unfinished};

/// Objects of an earlier try that are older than this go up once more, since a compactor deletes folders without
/// meta.json that nobody wrote to for two days.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// How files go up.
#[derive(Clone, Copy, Debug)]
pub struct UploadSettings {
    /// Longer files go up in parts of this many bytes.
    pub part_size: u64,
    /// Parts of a file that go up at once.
    pub parts_at_once: usize,
}

impl Default for UploadSettings {
    fn default() -> UploadSettings {
        UploadSettings { part_size: PART_SIZE, parts_at_once: 4 }
    }
}

/// Uploads blocks, and looks after uploads that broke off.
pub struct Uploader {
    store: Arc<dyn ObjectStore>,
    disk: Arc<dyn Disk>,
    journal: Arc<Journal>,
    settings: UploadSettings,
}

/// What became of unfinished uploads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Blocks that lacked nothing but meta.json, and have it now.
    pub finished: Vec<Ulid>,
    /// Folders whose objects were deleted.
    pub deleted: Vec<Ulid>,
}

impl Uploader {
    /// An uploader; uploads are named in `journal`.
    pub fn new(store: Arc<dyn ObjectStore>, disk: Arc<dyn Disk>, journal: Arc<Journal>) -> Uploader {
        Uploader { store, disk, journal, settings: UploadSettings::default() }
    }

    /// The same with other settings.
    pub fn with_settings(self, settings: UploadSettings) -> Uploader {
        Uploader { settings, ..self }
    }

    /// Where uploads are named.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Uploads the block in `dir` as `meta`, which needs external labels: chunks, index, meta.json last, and a
    /// look whether all of it is there. `files` and `upload_time` are filled in. Returns the meta that is in the
    /// bucket. A block that is there already is a success; fresh objects of an earlier try that have the right
    /// length are kept.
    ///
    /// After an error the block may still become whole, by a request that is carried out late: the same
    /// upload may be tried again, or left to [`Uploader::clean_unfinished`].
    pub async fn upload(&self, ctx: &Ctx, dir: &Path, meta: &Meta) -> Result<Meta> {
        let ulid = meta.ulid;
        let doing = || format!("upload block {ulid}");
        let Some(_active) = self.journal.activate(ulid) else {
            return Err(Error::new(Kind::Retry, format!("{}: it is being uploaded already", doing())));
        };
        self.upload_alone(ctx, dir, meta).await.context(doing())
    }

    async fn upload_alone(&self, ctx: &Ctx, dir: &Path, meta: &Meta) -> Result<Meta> {
        let ulid = meta.ulid;
        if meta.thanos.as_ref().is_none_or(|t| t.labels.is_empty()) {
            return Err(Error::invalid("it has no external labels, expected at least one"));
        }
        if let Some(there) = self.meta_of(ulid).await? {
            let Some(lack) = lacking(files_in(&there), &list_block(&*self.store, ulid).await?) else {
                self.journal.done(ulid)?;
                return Ok(there);
            };
            tracing::warn!(block = %ulid, lack, "its meta.json is in the bucket, other objects are not: put again");
        }
        let files = files_of(&*self.disk, dir)?;
        ctx.check()?;
        self.journal.begin(ulid)?;
        let stale = i64::try_from(STALE.as_millis()).unwrap_or(i64::MAX);
        self.fill(ctx, dir, ulid, &files, ctx.clock.now().saturating_sub(stale)).await?;
        let meta = as_uploaded(meta, files.clone(), ctx)?;
        ctx.check()?;
        self.put_meta(&meta).await?;
        // Who took the folder for given up may have deleted in between. What is gone is put again rather than
        // meta.json deleted: a late delete would hit the next try.
        self.fill(ctx, dir, ulid, &files, Timestamp::MIN).await?;
        self.journal.done(ulid)?;
        Ok(meta)
    }

    /// Puts the files that the bucket lacks, or has from before `since`, and looks whether all are there.
    async fn fill(
        &self,
        ctx: &Ctx,
        dir: &Path,
        ulid: Ulid,
        files: &[BlockFile],
        since: Timestamp,
    ) -> Result<()> {
        let there = list_block(&*self.store, ulid).await?;
        let kept = |f: &BlockFile| {
            let found = there.iter().find(|o| o.path == f.rel_path);
            found.is_some_and(|o| o.size == f.size_bytes && o.mtime >= since)
        };
        let mut put = false;
        for file in files.iter().filter(|f| !kept(f)) {
            ctx.check()?;
            self.put_file(ctx, ulid, dir, file).await?;
            put = true;
        }
        if put && let Some(lack) = lacking(files, &list_block(&*self.store, ulid).await?) {
            return Err(Error::new(Kind::Retry, lack));
        }
        Ok(())
    }

    /// The meta.json that is in the bucket.
    async fn meta_of(&self, ulid: Ulid) -> Result<Option<Meta>> {
        let path = block_path(ulid, META);
        let doing = || format!("look for {path}");
        let got = match self.store.get(&path).await {
            Ok(got) => got.bytes().await,
            Err(e) => Err(e),
        };
        match got.map_err(|e| from_store(doing(), e)) {
            Ok(bytes) => Meta::parse(&bytes).context(doing()).map(Some),
            Err(e) if e.kind() == Kind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn put_file(&self, ctx: &Ctx, ulid: Ulid, dir: &Path, file: &BlockFile) -> Result<()> {
        let from = dir.join(&file.rel_path);
        let bytes = self.disk.map(&from).context(format_args!("read {}", from.display()))?;
        let path = block_path(ulid, &file.rel_path);
        if file.size_bytes <= self.settings.part_size {
            let put = self.store.put(&path, PutPayload::from(bytes)).await;
            return put.map(drop).map_err(|e| from_store(format!("put {path}"), e));
        }
        let doing = |what: &str| format!("{what} of {path}");
        let upload = self.store.put_multipart(&path).await;
        let mut upload = upload.map_err(|e| from_store(doing("begin the upload"), e))?;
        if let Err(e) = self.put_parts(ctx, &mut *upload, bytes, &doing("put a part")).await {
            // The error to tell is the first one; parts that stay are invisible.
            if let Err(e) = upload.abort().await {
                tracing::warn!(%path, error = %e, "cannot abort a multipart upload, its parts stay");
            }
            return Err(e);
        }
        match upload.complete().await {
            Ok(_) => Ok(()),
            // It may have been carried out, with the answer lost: the listing before meta.json will tell.
            Err(e) => match self.store.head(&path).await {
                Ok(o) if o.size == file.size_bytes => Ok(()),
                _ => Err(from_store(doing("complete the upload"), e)),
            },
        }
    }

    async fn put_parts(
        &self,
        ctx: &Ctx,
        upload: &mut dyn MultipartUpload,
        bytes: Bytes,
        doing: &str,
    ) -> Result<()> {
        let size = self.settings.part_size.max(1) as usize;
        let cuts = (0..bytes.len()).step_by(size).map(|at| bytes.slice(at..bytes.len().min(at + size)));
        let parts = cuts.map(|part| {
            let put = upload.put_part(PutPayload::from(part));
            async move {
                ctx.check()?;
                put.await.map_err(|e| from_store(doing, e))
            }
        });
        let parts = futures::stream::iter(parts).buffer_unordered(self.settings.parts_at_once.max(1));
        parts.try_collect::<()>().await
    }

    async fn put_meta(&self, meta: &Meta) -> Result<()> {
        let json = meta.to_json();
        self.journal.ready(meta.ulid, &json)?;
        let path = block_path(meta.ulid, META);
        let put = self.store.put(&path, PutPayload::from(json)).await;
        put.map(drop).map_err(|e| from_store(format!("put {path}"), e))
    }

    /// Settles uploads that broke off, but for those that `keep` names, whose files are still at hand: where
    /// only meta.json is missing it is put, so that a late request cannot bring it to a folder that was
    /// emptied; else the objects are deleted. A block with meta.json stays. A folder is named until a look finds
    /// it empty, since a late request may fill it again.
    pub async fn clean_unfinished(&self, ctx: &Ctx, keep: impl Fn(Ulid) -> bool) -> Result<Cleaned> {
        let mut cleaned = Cleaned::default();
        for ulid in self.journal.unfinished() {
            if keep(ulid) {
                continue;
            }
            let Some(active) = self.journal.activate(ulid) else { continue };
            ctx.check()?;
            self.settle(&active, ulid, &mut cleaned)
                .await
                .context(format_args!("clean unfinished upload {ulid}"))?;
        }
        Ok(cleaned)
    }

    async fn settle(&self, _active: &Active<'_>, ulid: Ulid, cleaned: &mut Cleaned) -> Result<()> {
        let there = list_block(&*self.store, ulid).await?;
        if there.is_empty() {
            return self.journal.done(ulid);
        }
        let ready = match self.journal.state(ulid)? {
            Unfinished::Ready(meta) => Some(meta),
            Unfinished::Objects => None,
        };
        let lack = ready.as_ref().and_then(|meta| lacking(files_in(meta), &there));
        if there.iter().any(|o| o.path == META) {
            if let Some(lack) = lack {
                tracing::error!(block = %ulid, lack, "it has its meta.json and is not whole: a person has to look");
            }
            return self.journal.done(ulid);
        }
        if let (Some(meta), None) = (ready, lack) {
            self.put_meta(&meta).await?;
            if let Some(lack) = lacking(files_in(&meta), &list_block(&*self.store, ulid).await?) {
                return Err(Error::new(Kind::Retry, lack));
            }
            self.journal.done(ulid)?;
            cleaned.finished.push(ulid);
            return Ok(());
        }
        delete_objects(&*self.store, there.iter().map(|o| block_path(ulid, &o.path))).await?;
        cleaned.deleted.push(ulid);
        Ok(())
    }
}

/// Files that a meta names.
fn files_in(meta: &Meta) -> &[BlockFile] {
    meta.thanos.as_ref().map_or(&[], |t| &t.files)
}

/// The first of the files, meta.json aside, that is not there or has another length.
fn lacking(files: &[BlockFile], there: &[Object]) -> Option<String> {
    files.iter().filter(|f| f.rel_path != META).find_map(|f| {
        let found = there.iter().find(|o| o.path == f.rel_path).map(|o| o.size);
        let text = found.map_or_else(|| "nothing".to_owned(), |n| format!("{n} bytes"));
        let (path, expected) = (&f.rel_path, f.size_bytes);
        (found != Some(expected)).then(|| format!("{path} in the bucket: {text}, expected {expected} bytes"))
    })
}

/// A block's files with their lengths, in the order in which they go up; tombstones stay at home.
fn files_of(disk: &dyn Disk, dir: &Path) -> Result<Vec<BlockFile>> {
    let mut names = Vec::new();
    let chunks = dir.join(CHUNKS);
    if disk.is_dir(&chunks) {
        let all = disk.list(&chunks).context(format_args!("list {}", chunks.display()))?;
        names.extend(all.iter().filter(|n| segment::number(n).is_some()).map(|n| format!("{CHUNKS}/{n}")));
    }
    names.push(INDEX.to_owned());
    let sized = names.into_iter().map(|rel_path| {
        let path = dir.join(&rel_path);
        let size_bytes = disk.len(&path).context(format_args!("read {}", path.display()))?;
        Ok(BlockFile { rel_path, size_bytes, hash: None })
    });
    sized.collect()
}

/// The meta as it goes up. Thanos lists meta.json among the files, without a length.
fn as_uploaded(meta: &Meta, mut files: Vec<BlockFile>, ctx: &Ctx) -> Result<Meta> {
    let mut meta = meta.clone();
    files.push(BlockFile { rel_path: META.to_owned(), ..BlockFile::default() });
    files.sort_by(|a, b| a.rel_path.cmp(&b.rel_path));
    let now = ctx.clock.now();
    let thanos = meta.thanos.get_or_insert_default();
    thanos.files = files;
    thanos.upload_time = DateTime::from_timestamp_millis(now)
        .ok_or_else(|| Error::invalid(format!("the clock says {now} ms, which is no date")))?;
    Ok(meta)
}
