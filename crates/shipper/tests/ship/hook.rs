//! A store that calls back before each listing and each put, so that a test can do something in between.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Told `list` or `put` and the path; an error is the request's answer.
type Call = Box<dyn Fn(&str, &str) -> Result<()> + Send + Sync>;

pub struct Hook(Arc<dyn ObjectStore>, Call);

impl Hook {
    pub fn around(
        store: Arc<dyn ObjectStore>,
        call: impl Fn(&str, &str) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<Hook> {
        Arc::new(Hook(store, Box::new(call)))
    }
}

#[async_trait]
impl ObjectStore for Hook {
    async fn put_opts(&self, to: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        (self.1)("put", to.as_ref())?;
        self.0.put_opts(to, payload, opts).await
    }
    async fn put_multipart_opts(
        &self,
        to: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(to, opts).await
    }
    async fn get_opts(&self, from: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(from, options).await
    }
    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match (self.1)("list", prefix.map_or("", |p| p.as_ref())) {
            Ok(()) => self.0.list(prefix),
            Err(e) => stream::iter([Err(e)]).boxed(),
        }
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({})", self.0)
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
