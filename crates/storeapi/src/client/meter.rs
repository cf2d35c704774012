//! Counts the bytes of an answer as they arrive: against the query's budget, and against the limit of an answer.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use dolmen_ctx::{Ctx, Reservation};
use dolmen_model::{Error, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;
use tower::Service;

use super::text;

/// The count of one call.
#[derive(Clone)]
pub(super) struct Meter {
    count: Arc<Mutex<Count>>,
    max: u64,
}

struct Count {
    held: Reservation,
    total: u64,
    /// Why the count was ended.
    refused: Option<Error>,
}

impl Meter {
    pub fn new(ctx: &Ctx, max: u64) -> Result<Meter> {
        let held = ctx.budget.reserve(0)?;
        let count = Count { held, total: 0, refused: None };
        Ok(Meter { count: Arc::new(Mutex::new(count)), max })
    }

    /// Why no more is taken, once that is so.
    pub fn refused(&self) -> Option<Error> {
        self.lock().refused.take()
    }

    /// Bytes of a message that has begun and was not taken.
    pub fn left(&self) -> u64 {
        self.lock().held.bytes()
    }

    /// The memory of a message of so many bytes, which goes on in other hands.
    pub fn take(&self, bytes: usize, prefix: usize) -> Reservation {
        let mut count = self.lock();
        drop(count.held.split(prefix as u64));
        count.held.split(bytes as u64)
    }

    fn add(&self, bytes: usize) -> Result<(), Status> {
        let mut count = self.lock();
        count.total += bytes as u64;
        let refused = match count.total > self.max {
            true => text::too_much(self.max),
            false => match count.held.grow(bytes as u64) {
                Ok(()) => return Ok(()),
                Err(e) => e,
            },
        };
        let status = Status::resource_exhausted(refused.to_string());
        count.refused = Some(refused);
        Err(status)
    }

    fn lock(&self) -> MutexGuard<'_, Count> {
        // Counts hold whatever else a thread did that died.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A service whose answers are counted.
pub(super) struct Metered<S> {
    pub inner: S,
    pub meter: Meter,
}

impl<S, B, R> Service<Request<R>> for Metered<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: 'static,
{
    type Response = Response<MeteredBody<B>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let (meter, answer) = (self.meter.clone(), self.inner.call(request));
        async move {
            let answer = answer.await?;
            Ok(answer.map(|inner| MeteredBody { inner, meter }))
        }
        .boxed()
    }
}

/// A body that is counted.
pub(super) struct MeteredBody<B> {
    inner: B,
    meter: Meter,
}

impl<B> Body for MeteredBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
{
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(frame)) => frame.map_err(Into::into),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        let counted = frame.and_then(|frame| {
            if let Some(data) = frame.data_ref() {
                this.meter.add(data.len())?;
            }
            Ok(frame)
        });
        Poll::Ready(Some(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
