//! The coat: every request has a deadline, those that may be repeated are, and each try is counted.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use tokio::time::Instant;

use crate::BucketMetrics;
use crate::error::{TimedOut, code, passing};
use crate::multipart::CoatedUpload;

/// Keys of one listing request, and of one bulk delete, as S3 has it.
const PAGE: usize = 1000;
/// A body up to this length is read within the try, so that one that breaks off is read again.
const WHOLE_BODY_MAX: u64 = 64 << 20;

/// How long a request is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one try, or for the next bytes of a long body.
    pub attempt: Duration,
    /// For all tries: none begins after it.
    pub total: Duration,
    /// Tries after the first.
    pub retries: u32,
    /// Pause before the first repetition; the next ones double. A random half of it is left out.
    pub backoff: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            attempt: Duration::from_secs(30),
            total: Duration::from_secs(60),
            retries: 4,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(3),
        }
    }
}

/// Why a request is made, for the metrics: goes into `GetOptions::extensions`, `PutOptions::extensions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause(pub &'static str);

/// A store in its coat.
pub(crate) struct Coat {
    inner: Arc<dyn ObjectStore>,
    parts: Arc<dyn ObjectStore>,
    patience: Patience,
    cause: &'static str,
    metrics: BucketMetrics,
}

/// One request, for the counters and for errors.
#[derive(Clone)]
pub(crate) struct Doing {
    pub op: &'static str,
    pub cause: &'static str,
    pub what: String,
    pub metrics: BucketMetrics,
}

impl Doing {
    pub fn count<T>(&self, begin: Instant, done: &Result<T>) {
        let code = done.as_ref().map_or_else(code, |_| "200".to_owned());
        self.metrics.request(self.op, self.cause, code, begin.elapsed());
    }
}

/// Waits for a request no longer than `limit`.
pub(crate) async fn within<T>(
    doing: &Doing,
    limit: Duration,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, request).await {
        Ok(done) => done,
        Err(_) => {
            Err(TimedOut { op: doing.op, what: doing.what.clone(), seconds: limit.as_secs_f64() }.into())
        }
    }
}

/// A request's tries: when it began and how many there were.
struct Tries {
    patience: Patience,
    begin: Instant,
    made: u32,
}

impl Tries {
    fn new(patience: Patience) -> Tries {
        Tries { patience, begin: Instant::now(), made: 0 }
    }

    /// Time for the next try: at least a tenth of a full one, so that the last is no mere formality.
    fn limit(&self) -> Duration {
        let left = self.patience.total.saturating_sub(self.begin.elapsed());
        left.clamp(self.patience.attempt / 10, self.patience.attempt)
    }

    /// Pauses, and says whether there is another try.
    async fn again(&mut self, e: &object_store::Error) -> bool {
        if !passing(e) || self.made >= self.patience.retries {
            return false;
        }
        let pause = (self.patience.backoff * 2u32.saturating_pow(self.made)).min(self.patience.backoff_max);
        let pause = pause.mul_f64(0.5 + 0.5 * chance());
        if self.begin.elapsed() + pause >= self.patience.total {
            return false;
        }
        self.made += 1;
        tokio::time::sleep(pause).await;
        true
    }
}

/// A number in [0, 1). Where the machine has no chance to give, all pauses are long.
fn chance() -> f64 {
    getrandom::u32().map_or(1.0, |n| f64::from(n) / (f64::from(u32::MAX) + 1.0))
}

impl Coat {
    pub fn put_on(
        inner: Arc<dyn ObjectStore>,
        parts: Arc<dyn ObjectStore>,
        patience: Patience,
        cause: &'static str,
        metrics: &BucketMetrics,
    ) -> Arc<dyn ObjectStore> {
        Arc::new(Coat { inner, parts, patience, cause, metrics: metrics.clone() })
    }

    fn doing(&self, op: &'static str, what: &impl fmt::Display, cause: Option<&Cause>) -> Doing {
        let cause = cause.map_or(self.cause, |c| c.0);
        Doing { op, cause, what: what.to_string(), metrics: self.metrics.clone() }
    }

    /// Makes a request, again and again where `repeat` allows it.
    async fn request<T, F: Future<Output = Result<T>>>(
        &self,
        doing: &Doing,
        repeat: bool,
        mut request: impl FnMut() -> F,
    ) -> Result<T> {
        let mut tries = Tries::new(self.patience);
        loop {
            let begin = Instant::now();
            let done = within(doing, tries.limit(), request()).await;
            doing.count(begin, &done);
            match done {
                Err(e) if repeat && tries.again(&e).await => {}
                done => return done,
            }
        }
    }
}

#[async_trait]
impl ObjectStore for Coat {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let doing = self.doing("put", location, opts.extensions.get());
        let bytes = payload.content_length() as u64;
        // A conditional write that is sent twice may meet itself.
        let repeat = matches!(opts.mode, PutMode::Overwrite);
        let put = || self.inner.put_opts(location, payload.clone(), opts.clone());
        let done = self.request(&doing, repeat, put).await?;
        self.metrics.bytes("put", "out", bytes);
        Ok(done)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let doing = self.doing("put", location, opts.extensions.get());
        // A repetition may leave an upload without parts behind, which the first failure did anyway.
        let begin = || self.parts.put_multipart_opts(location, opts.clone());
        let inner = self.request(&doing, true, begin).await?;
        let (location, metrics) = (location.clone(), self.metrics.clone());
        Ok(Box::new(CoatedUpload {
            inner,
            location,
            cause: doing.cause,
            total: self.patience.total,
            metrics,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let op = match (options.head, &options.range) {
            (true, _) => "head",
            (false, Some(_)) => "get_range",
            (false, None) => "get",
        };
        let doing = self.doing(op, location, options.extensions.get());
        let get = || async {
            let got = self.inner.get_opts(location, options.clone()).await?;
            if op == "head" { Ok(got) } else { whole(got).await }
        };
        let mut got = self.request(&doing, true, get).await?;
        if op == "head" {
            return Ok(got);
        }
        let length = got.range.end - got.range.start;
        match got.payload {
            GetResultPayload::Stream(body) if length > WHOLE_BODY_MAX => {
                got.payload = GetResultPayload::Stream(watched(doing, self.patience.attempt, body));
            }
            _ => self.metrics.bytes(op, "in", length),
        }
        Ok(got)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, patience) = (self.inner.clone(), self.patience);
        let doing = self.doing("delete", &"objects", None);
        locations
            .try_chunks(PAGE)
            .then(move |page| {
                let (inner, doing) = (inner.clone(), doing.clone());
                async move {
                    match page {
                        Ok(page) => delete(&*inner, patience, &doing, page).await,
                        Err(e) => vec![Err(e.1)],
                    }
                }
            })
            .flat_map(stream::iter)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_from(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let doing = self.doing("list", &prefix.map_or("", |p| p.as_ref()), None);
        self.request(&doing, true, || self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let doing = self.doing("put", to, options.extensions.get());
        let repeat = matches!(options.mode, CopyMode::Overwrite);
        self.request(&doing, repeat, || self.inner.copy_opts(from, to, options.clone())).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let doing = self.doing("put", to, options.extensions.get());
        self.request(&doing, false, || self.inner.rename_opts(from, to, options.clone())).await
    }
}

/// Reads a body that is not too long into memory; a file stays a file.
async fn whole(mut got: GetResult) -> Result<GetResult> {
    let length = got.range.end - got.range.start;
    let GetResultPayload::Stream(mut body) = got.payload else { return Ok(got) };
    if length <= WHOLE_BODY_MAX {
        let mut bytes = BytesMut::with_capacity(length as usize);
        while let Some(piece) = body.try_next().await? {
            bytes.extend_from_slice(&piece);
        }
        body = stream::iter([Ok(bytes.freeze())]).boxed();
    }
    got.payload = GetResultPayload::Stream(body);
    Ok(got)
}

/// A long body: each of its pieces has to come within `limit`.
fn watched(
    doing: Doing,
    limit: Duration,
    body: BoxStream<'static, Result<bytes::Bytes>>,
) -> BoxStream<'static, Result<bytes::Bytes>> {
    stream::try_unfold((body, doing), move |(mut body, doing)| async move {
        let piece = within(&doing, limit, body.try_next()).await?;
        Ok(piece.map(|piece| {
            doing.metrics.bytes(doing.op, "in", piece.len() as u64);
            (piece, (body, doing))
        }))
    })
    .boxed()
}

/// Deletes up to a page of objects. One that is not there is deleted.
async fn delete(
    inner: &dyn ObjectStore,
    patience: Patience,
    doing: &Doing,
    page: Vec<Path>,
) -> Vec<Result<Path>> {
    let mut tries = Tries::new(patience);
    loop {
        let begin = Instant::now();
        let paths: Vec<_> = page.iter().cloned().map(Ok).collect();
        let request = inner.delete_stream(stream::iter(paths).boxed()).collect::<Vec<_>>();
        let done = within(doing, tries.limit(), async { Ok(request.await) }).await;
        let failed = match &done {
            Err(e) => Some(e),
            Ok(each) => each.iter().filter_map(|d| d.as_ref().err()).find(|e| !is_missing(e)),
        };
        let code = failed.map_or_else(|| "200".to_owned(), code);
        doing.metrics.request(doing.op, doing.cause, code, begin.elapsed());
        match failed {
            Some(e) if tries.again(e).await => {}
            _ => return settle(page, done),
        }
    }
}

fn is_missing(e: &object_store::Error) -> bool {
    matches!(e, object_store::Error::NotFound { .. }) && !e.to_string().contains("NoSuchBucket")
}

fn settle(page: Vec<Path>, done: Result<Vec<Result<Path>>>) -> Vec<Result<Path>> {
    match done {
        Err(e) => vec![Err(e)],
        // Answers stand in the order of the request.
        Ok(each) => each
            .into_iter()
            .zip(page)
            .map(|(one, path)| match one {
                Err(e) if is_missing(&e) => Ok(path),
                one => one,
            })
            .collect(),
    }
}

/// A listing under way.
struct Listing {
    inner: Arc<dyn ObjectStore>,
    prefix: Option<Path>,
    after: Option<Path>,
    body: Option<BoxStream<'static, Result<ObjectMeta>>>,
    tries: Tries,
    page_begin: Instant,
    in_page: usize,
    doing: Doing,
}

impl Coat {
    fn list_from(
        &self,
        prefix: Option<&Path>,
        after: Option<Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listing = Listing {
            inner: self.inner.clone(),
            prefix: prefix.cloned(),
            after,
            body: None,
            tries: Tries::new(self.patience),
            page_begin: Instant::now(),
            in_page: 0,
            doing: self.doing("list", &prefix.map_or("", |p| p.as_ref()), None),
        };
        stream::try_unfold(Some(listing), |listing| async move {
            match listing {
                None => Ok(None),
                Some(listing) => listing.next().await,
            }
        })
        .boxed()
    }
}

impl Listing {
    /// The next object. After a failure that may pass, the listing goes on behind the last one.
    async fn next(mut self) -> Result<Option<(ObjectMeta, Option<Listing>)>> {
        loop {
            let body = self.body.get_or_insert_with(|| match &self.after {
                Some(after) => self.inner.list_with_offset(self.prefix.as_ref(), after),
                None => self.inner.list(self.prefix.as_ref()),
            });
            match within(&self.doing, self.tries.patience.attempt, body.try_next()).await {
                Ok(Some(object)) => {
                    self.in_page += 1;
                    if self.in_page == PAGE {
                        self.page::<()>(&Ok(()));
                    }
                    self.after = Some(object.location.clone());
                    return Ok(Some((object, Some(self))));
                }
                Ok(None) => {
                    self.page::<()>(&Ok(()));
                    return Ok(None);
                }
                Err(e) => {
                    let failed = Err(e);
                    self.page::<()>(&failed);
                    self.body = None;
                    let Err(e) = failed else { continue };
                    if !self.tries.again(&e).await {
                        return Err(e);
                    }
                }
            }
        }
    }

    /// Counts a page; one that came whole gives the next its full patience.
    fn page<T>(&mut self, done: &Result<T>) {
        self.doing.count(self.page_begin, done);
        if done.is_ok() {
            self.tries = Tries::new(self.tries.patience);
        }
        self.page_begin = Instant::now();
        self.in_page = 0;
    }
}

impl fmt::Display for Coat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Coat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Coat({})", self.inner)
    }
}
