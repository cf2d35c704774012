//! A store that fails on demand, for tests of whatever stands above one.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An answer with this HTTP status; nothing was done.
    Status(u16),
    /// The connection breaks before anything was done.
    Reset,
    /// It was done, but the answer got lost.
    LostAnswer,
    /// No answer, ever; nothing was done.
    Silence,
    /// No answer, and the write is carried out that much later: a stopped gateway that goes on.
    Ghost(Duration),
}

#[derive(Clone, Debug)]
struct Rule {
    op: &'static str,
    part_of_path: String,
    fault: Fault,
    times: usize,
}

/// A store that fails on demand. Operations are `put`, `put_part`, `complete`, `get`, `head`, `list`, `delete`.
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct Plan {
    rules: Mutex<Vec<Rule>>,
    log: Mutex<VecDeque<String>>,
}

impl Faulty {
    /// A coat around `inner` that lets all pass until it is told otherwise.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Faulty> {
        Arc::new(Faulty { inner, plan: Arc::default() })
    }

    /// The next `times` requests of `op` whose path contains `part_of_path` fail.
    pub fn fail(&self, op: &'static str, part_of_path: &str, fault: Fault, times: usize) {
        held(&self.plan.rules).push(Rule { op, part_of_path: part_of_path.to_owned(), fault, times });
    }

    /// All goes well from here on.
    pub fn heal(&self) {
        held(&self.plan.rules).clear();
    }

    /// What was asked since the last call, as `op path`, failures included.
    pub fn log(&self) -> Vec<String> {
        held(&self.plan.log).drain(..).collect()
    }
}

impl Plan {
    fn fault(&self, op: &'static str, path: &str) -> Option<Fault> {
        held(&self.log).push_back(format!("{op} {path}"));
        let mut rules = held(&self.rules);
        let hit = |r: &&mut Rule| r.op == op && r.times > 0 && path.contains(&r.part_of_path);
        let rule = rules.iter_mut().find(hit)?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    /// Lets the request happen, or what stands in for it.
    async fn apply<T: Send + 'static>(
        &self,
        op: &'static str,
        path: &str,
        request: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match self.fault(op, path) {
            None => request.await,
            Some(Fault::Status(status)) => Err(answer(status, path)),
            Some(Fault::Reset) => Err(reset()),
            Some(Fault::LostAnswer) => {
                drop(request.await);
                Err(reset())
            }
            Some(Fault::Silence) => futures::future::pending().await,
            Some(Fault::Ghost(after)) => {
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    // Nobody waits for what it says.
                    drop(request.await);
                });
                futures::future::pending().await
            }
        }
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reset() -> Error {
    let source = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "connection reset");
    Error::Generic { store: "faulty", source: Box::new(source) }
}

fn answer(status: u16, path: &str) -> Error {
    let text = format!("Server returned non-2xx status code: {status} made up");
    match status {
        404 => Error::NotFound { path: path.to_owned(), source: text.into() },
        403 => Error::PermissionDenied { path: path.to_owned(), source: text.into() },
        _ => Error::Generic { store: "faulty", source: text.into() },
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let (inner, to) = (self.inner.clone(), location.clone());
        let put = async move { inner.put_opts(&to, payload, opts).await };
        self.plan.apply("put", location.as_ref(), put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        let inner = Arc::new(tokio::sync::Mutex::new(upload));
        Ok(Box::new(FaultyUpload { inner, plan: self.plan.clone(), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let (inner, from) = (self.inner.clone(), location.clone());
        let op = if options.head { "head" } else { "get" };
        let get = async move { inner.get_opts(&from, options).await };
        self.plan.apply(op, location.as_ref(), get).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, plan) = (self.inner.clone(), self.plan.clone());
        locations
            .then(move |location| {
                let (inner, plan) = (inner.clone(), plan.clone());
                async move {
                    let location = location?;
                    let one = stream::iter([Ok(location.clone())]).boxed();
                    let delete = async move { inner.delete_stream(one).next().await.unwrap_or(Err(reset())) };
                    plan.apply("delete", location.as_ref(), delete).await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let all = self.inner.list(prefix);
        self.listed(prefix, all)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let all = self.inner.list_with_offset(prefix, offset);
        self.listed(prefix, all)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (inner, under) = (self.inner.clone(), prefix.cloned());
        let list = async move { inner.list_with_delimiter(under.as_ref()).await };
        self.plan.apply("list", prefix.map_or("", |p| p.as_ref()), list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

impl Faulty {
    /// A listing fails after its first object, so that what goes on has to skip what it had.
    fn listed(
        &self,
        prefix: Option<&Path>,
        all: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let path = prefix.map_or("", |p| p.as_ref());
        match self.plan.fault("list", path) {
            None => all,
            Some(Fault::Silence | Fault::Ghost(_)) => all.take(1).chain(stream::pending()).boxed(),
            Some(Fault::Status(status)) => {
                all.take(1).chain(stream::iter([Err(answer(status, path))])).boxed()
            }
            Some(Fault::Reset | Fault::LostAnswer) => all.take(1).chain(stream::iter([Err(reset())])).boxed(),
        }
    }
}

struct FaultyUpload {
    inner: Arc<tokio::sync::Mutex<Box<dyn MultipartUpload>>>,
    plan: Arc<Plan>,
    location: Path,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (plan, location) = (self.plan.clone(), self.location.clone());
        // Part numbers are given by the order of the calls, so the call happens now.
        let part = match self.inner.try_lock() {
            Ok(mut inner) => inner.put_part(data),
            Err(_) => futures::future::ready(Err(reset())).boxed(),
        };
        Box::pin(async move { plan.apply("put_part", location.as_ref(), part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let inner = self.inner.clone();
        let complete = async move { inner.lock().await.complete().await };
        self.plan.apply("complete", self.location.as_ref(), complete).await
    }

    async fn abort(&mut self) -> Result<()> {
        let inner = self.inner.clone();
        let abort = async move { inner.lock().await.abort().await };
        self.plan.apply("abort", self.location.as_ref(), abort).await
    }
}

impl fmt::Debug for FaultyUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyUpload({})", self.location)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
