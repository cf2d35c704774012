//! A body whose messages are framed anew, one after the other.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame};
use tonic::Status;

use super::{HEAD, compressed, decompressed};

/// What becomes of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Compressed ones become plain.
    Plain,
    /// Plain ones become compressed.
    Snappy,
}

/// A body whose messages are framed anew.
pub(super) struct Reframed<B> {
    body: B,
    turn: Turn,
    /// Most bytes of a message that comes in, as it is sent and as it is plain.
    max: usize,
    buffer: BytesMut,
    trailers: Option<Frame<Bytes>>,
    ended: bool,
}

impl<B> Reframed<B> {
    pub fn new(body: B, turn: Turn, max: usize) -> Reframed<B> {
        Reframed { body, turn, max, buffer: BytesMut::new(), trailers: None, ended: false }
    }

    /// The next message, where all of it is there.
    fn message(&mut self) -> Result<Option<Bytes>, Status> {
        let Some((&[flag, a, b, c, d], _)) = self.buffer.split_first_chunk::<HEAD>() else { return Ok(None) };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if self.turn == Turn::Plain && len > self.max {
            let text = format!("a message of {len} bytes, more than {}", self.max);
            return Err(Status::resource_exhausted(text));
        }
        if self.buffer.len() < HEAD + len {
            // The buffer grows with what comes, not by what the head claims.
            return Ok(None);
        }
        let framed = self.buffer.split_to(HEAD + len).freeze();
        match (self.turn, flag) {
            (Turn::Plain, 0) | (Turn::Snappy, 1) => Ok(Some(framed)),
            (Turn::Plain, 1) => decompressed(&framed[HEAD..], self.max).map(Some),
            (Turn::Snappy, 0) => compressed(&framed[HEAD..]).map(Some),
            _ => Err(Status::data_loss(format!("a message whose compression flag is {flag}"))),
        }
    }
}

impl<B> Body for Reframed<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            match this.message() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
                Ok(None) => {}
                Err(status) => {
                    this.ended = true;
                    this.buffer.clear();
                    return Poll::Ready(Some(Err(status)));
                }
            }
            if this.ended {
                if this.buffer.has_remaining() {
                    this.buffer.clear();
                    return Poll::Ready(Some(Err(Status::data_loss("the body ends within a message"))));
                }
                return Poll::Ready(this.trailers.take().map(Ok));
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.buffer.extend_from_slice(&data),
                    Err(trailers) => (this.trailers, this.ended) = (Some(trailers), true),
                },
                Some(Err(e)) => {
                    this.ended = true;
                    this.buffer.clear();
                    return Poll::Ready(Some(Err(Status::from_error(e.into()))));
                }
                None => this.ended = true,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.buffer.is_empty() && self.trailers.is_none() && (self.ended || self.body.is_end_stream())
    }
}
