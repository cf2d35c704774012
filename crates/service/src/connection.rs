//! Watches one connection: a head that does not come to its end, and a connection on which nothing moves.
//!
//! On HTTP/2 only the connection's own preface is such a head: later on bytes come between requests, too (pings,
//! settings), and tell nothing of a request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The connection began otherwise.
const NO_PREFACE: u8 = u8::MAX;

/// Why a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// A head took too long.
    Head,
    /// Nothing moved for too long.
    Idle,
}

/// What happens on a connection. Times are milliseconds since it was opened, plus one; 0 is never.
#[derive(Debug)]
pub(crate) struct Watch {
    opened: Instant,
    moved: AtomicU64,
    head_began: AtomicU64,
    requests: AtomicU32,
    /// So many bytes came that are those of the preface, all from the beginning on.
    preface: AtomicU8,
}

impl Watch {
    pub(crate) fn new() -> Arc<Watch> {
        Arc::new(Watch {
            opened: Instant::now(),
            moved: AtomicU64::new(1),
            head_began: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            preface: AtomicU8::new(0),
        })
    }

    fn now(&self) -> u64 {
        self.opened.elapsed().as_millis() as u64 + 1
    }

    fn read(&self, bytes: &[u8]) {
        let now = self.now();
        self.moved.store(now, Ordering::Relaxed);
        if self.is_http2(bytes) {
            self.head_began.store(0, Ordering::Relaxed);
        } else if self.requests.load(Ordering::Relaxed) == 0 {
            // Only the first byte of a head starts its time.
            let _began = self.head_began.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether the preface is complete, now that these bytes have come.
    fn is_http2(&self, bytes: &[u8]) -> bool {
        // Only the task that reads writes it.
        let known = self.preface.load(Ordering::Relaxed);
        if known == NO_PREFACE || usize::from(known) == PREFACE.len() {
            return known != NO_PREFACE;
        }
        let rest = &PREFACE[usize::from(known)..];
        let n = rest.len().min(bytes.len());
        let now = if bytes[..n] == rest[..n] { known + n as u8 } else { NO_PREFACE };
        self.preface.store(now, Ordering::Relaxed);
        usize::from(now) == PREFACE.len()
    }

    fn wrote(&self) {
        self.moved.store(self.now(), Ordering::Relaxed);
    }

    /// A request's head is complete.
    pub(crate) fn begin(self: &Arc<Watch>) -> InRequest {
        self.head_began.store(0, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        InRequest(self.clone())
    }

    /// Returns once a head has taken longer than `head`, or nothing has moved for `idle`; says which.
    pub(crate) async fn expired(&self, head: Duration, idle: Duration) -> Expired {
        loop {
            let now = self.now();
            let left = |since: u64, limit: Duration| {
                (limit.as_millis() as u64).checked_sub(now.saturating_sub(since))
            };
            let Some(idle_left) = left(self.moved.load(Ordering::Relaxed), idle) else {
                return Expired::Idle;
            };
            let began = self.head_began.load(Ordering::Relaxed);
            let head_left = if began == 0 {
                head.as_millis() as u64
            } else {
                match left(began, head) {
                    Some(ms) => ms,
                    None => return Expired::Head,
                }
            };
            tokio::time::sleep(Duration::from_millis(idle_left.min(head_left) + 1)).await;
        }
    }
}

/// A request that is being answered; dropped when the answer has been sent.
#[derive(Debug)]
pub(crate) struct InRequest(Arc<Watch>);

impl Drop for InRequest {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.wrote();
    }
}

/// A stream whose bytes are noticed.
pub(crate) struct Watched<S> {
    pub(crate) stream: S,
    pub(crate) watch: Arc<Watch>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.watch.read(&buf.filled()[before..]);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, buf);
        if matches!(polled, Poll::Ready(Ok(n)) if n > 0) {
            this.watch.wrote();
        }
        polled
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        if matches!(polled, Poll::Ready(Ok(n)) if n > 0) {
            this.watch.wrote();
        }
        polled
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// An answer's body; its request ends when it is dropped.
pub(crate) struct WatchedBody<B> {
    pub(crate) body: B,
    pub(crate) _request: InRequest,
}

impl<B: Body<Data = Bytes> + Unpin> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_is_known_however_it_is_torn() {
        for size in 1..=PREFACE.len() {
            let watch = Watch::new();
            let pieces: Vec<_> = PREFACE.chunks(size).collect();
            for (i, piece) in pieces.iter().enumerate() {
                watch.read(piece);
                let whole = i + 1 == pieces.len();
                assert_eq!(watch.head_began.load(Ordering::Relaxed) == 0, whole, "{size}");
            }
            watch.read(b"whatever");
            assert_eq!(watch.head_began.load(Ordering::Relaxed), 0);
        }
        let watch = Watch::new();
        watch.read(b"PRI * HTTP/1.1\r\n");
        watch.read(PREFACE);
        assert_ne!(watch.head_began.load(Ordering::Relaxed), 0);
    }
}
