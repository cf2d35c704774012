//! A multipart upload in the coat: parts are counted and their time is bounded.

use std::time::Duration;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use tokio::time::Instant;

use crate::BucketMetrics;
use crate::coat::{Doing, within};

/// An upload whose requests are counted; the client under it repeats them.
#[derive(Debug)]
pub(crate) struct CoatedUpload {
    pub inner: Box<dyn MultipartUpload>,
    pub location: Path,
    pub cause: &'static str,
    pub total: Duration,
    pub metrics: BucketMetrics,
}

impl CoatedUpload {
    fn doing(&self, op: &'static str) -> Doing {
        Doing { op, cause: self.cause, what: self.location.to_string(), metrics: self.metrics.clone() }
    }
}

#[async_trait]
impl MultipartUpload for CoatedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let doing = self.doing("put_part");
        let (bytes, total) = (data.content_length() as u64, self.total);
        let part = self.inner.put_part(data);
        Box::pin(async move {
            let begin = Instant::now();
            let done = within(&doing, total, part).await;
            doing.count(begin, &done);
            if done.is_ok() {
                doing.metrics.bytes("put_part", "out", bytes);
            }
            done
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let doing = self.doing("put");
        let begin = Instant::now();
        let done = within(&doing, self.total, self.inner.complete()).await;
        doing.count(begin, &done);
        done
    }

    async fn abort(&mut self) -> Result<()> {
        let doing = self.doing("delete");
        let begin = Instant::now();
        let done = within(&doing, self.total, self.inner.abort()).await;
        doing.count(begin, &done);
        done
    }
}
