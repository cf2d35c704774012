//! One block into the bucket.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;
use dolmen_block::meta::BlockFile;
use dolmen_block::{CHUNKS, INDEX, META, Meta, Ulid, segment};
use dolmen_bucket::{Object, PART_SIZE, block_path, from_store, list_block};
use dolmen_ctx::{Ctx, Disk};
use dolmen_model::{Context, Error, Kind, Result};
use futures::{StreamExt, TryStreamExt};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use crate::delete::delete_objects;
use crate::journal::{Active, Journal, Unfinished};

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

    /// Uploads the block in `dir` as `meta`, which needs external labels: chunks, index, meta.json last.
    /// `files` and `upload_time` are filled in. Returns the meta that is in the bucket. A block that is there
    /// already is a success; objects of an earlier try that have the right length are kept.
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
        if let Some(there) = self.whole(ulid).await? {
            self.journal.done(ulid)?;
            return Ok(there);
        }
        let files = files_of(&*self.disk, dir)?;
        ctx.check()?;
        self.journal.begin(ulid)?;
        let there = list_block(&*self.store, ulid).await?;
        for file in &files {
            if len_of(&there, &file.rel_path) != Some(file.size_bytes) {
                ctx.check()?;
                self.put_file(ctx, ulid, dir, file).await?;
            }
        }
        self.check_sizes(ulid, &files).await?;
        let meta = as_uploaded(meta, files, ctx)?;
        ctx.check()?;
        self.put_meta(&meta).await?;
        Ok(meta)
    }

    /// The meta of a block that is in the bucket.
    async fn whole(&self, ulid: Ulid) -> Result<Option<Meta>> {
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

    async fn check_sizes(&self, ulid: Ulid, files: &[BlockFile]) -> Result<()> {
        let there = list_block(&*self.store, ulid).await?;
        for f in files.iter().filter(|f| f.rel_path != META) {
            let found = len_of(&there, &f.rel_path);
            if found != Some(f.size_bytes) {
                let found = found.map_or_else(|| "nothing".to_owned(), |n| format!("{n} bytes"));
                let text = format!("{} in the bucket: {found}, expected {} bytes", f.rel_path, f.size_bytes);
                return Err(Error::new(Kind::Retry, text));
            }
        }
        Ok(())
    }

    async fn put_meta(&self, meta: &Meta) -> Result<()> {
        let json = meta.to_json();
        self.journal.ready(meta.ulid, &json)?;
        let path = block_path(meta.ulid, META);
        let put = self.store.put(&path, PutPayload::from(json)).await;
        put.map_err(|e| from_store(format!("put {path}"), e))?;
        self.journal.done(meta.ulid)
    }

    /// Settles uploads that broke off, but for those that `keep` names, whose files are still at hand: where
    /// only meta.json is missing it is put, so that a late request cannot bring it to a folder that was
    /// emptied; else the objects are deleted. A block with meta.json is whole and stays. A folder is named
    /// until a look finds it empty, since a late request may fill it again.
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
        if there.is_empty() || len_of(&there, META).is_some() {
            return self.journal.done(ulid);
        }
        if let Unfinished::Ready(meta) = self.journal.state(ulid)? {
            let files = meta.thanos.as_ref().map_or(&[][..], |t| &t.files);
            if self.check_sizes(ulid, files).await.is_ok() {
                self.put_meta(&meta).await?;
                cleaned.finished.push(ulid);
                return Ok(());
            }
        }
        delete_objects(&*self.store, there.iter().map(|o| block_path(ulid, &o.path))).await?;
        cleaned.deleted.push(ulid);
        Ok(())
    }
}

fn len_of(objects: &[Object], path: &str) -> Option<u64> {
    objects.iter().find(|o| o.path == path).map(|o| o.size)
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
