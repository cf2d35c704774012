//! Bodies framed anew, in any pieces; limits; broken bytes; bytes of a real Thanos.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body, Frame};
use http_body_util::BodyExt;
use proptest::collection::vec;
use proptest::prelude::*;
use tonic::Code;

use super::*;

/// A body that comes in these pieces, with trailers behind.
struct Pieces(VecDeque<Frame<Bytes>>);

impl Pieces {
    fn new(bytes: &[u8], size: usize) -> Pieces {
        let mut all: VecDeque<_> =
            bytes.chunks(size).map(|c| Frame::data(Bytes::copy_from_slice(c))).collect();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        all.push_back(Frame::trailers(trailers));
        Pieces(all)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

/// All bytes, and whether trailers stood behind.
async fn turned(bytes: &[u8], size: usize, turn: Turn, max: usize) -> Result<(Vec<u8>, bool), Status> {
    let all = Reframed::new(Pieces::new(bytes, size), turn, max).collect().await?;
    let trailers = all.trailers().is_some();
    Ok((all.to_bytes().to_vec(), trailers))
}

fn block<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

proptest! {
    #[test]
    fn there_and_back_in_any_pieces(
        messages in vec(vec(0u8..4, 0..5000), 0..5), there in 1usize..700, back in 1usize..700,
    ) {
        let plain: Vec<u8> = messages.iter().flat_map(|m| framed(false, m).unwrap()).collect();
        let (sent, trailers) = block(turned(&plain, there, Turn::Snappy, usize::MAX)).unwrap();
        prop_assert!(trailers);
        prop_assert!(messages.is_empty() || sent[0] == 1);
        prop_assert_eq!(block(turned(&sent, back, Turn::Plain, 8 << 10)).unwrap(), (plain, true));
    }

    #[test]
    fn broken_bytes_are_an_error_or_other_bytes_and_never_more_than_allowed(
        mut message in vec(0u8..4, 0..900), at in any::<prop::sample::Index>(), with in any::<u8>(),
    ) {
        message = compressed(&message).unwrap().to_vec();
        let at = at.index(message.len());
        message[at] ^= with;
        if let Ok((out, _)) = block(turned(&message, 64, Turn::Plain, 1000)) {
            prop_assert!(out.len() <= HEAD + 1000 + HEAD);
        }
    }
}

#[test]
fn limits_hold_for_what_is_sent_and_for_what_comes_out() {
    let bomb = compressed(&vec![0; 1 << 20]).unwrap();
    let code =
        |max| block(turned(&bomb, 9000, Turn::Plain, max)).map(|(out, _)| out.len()).map_err(|s| s.code());
    assert_eq!(code(1 << 20), Ok(HEAD + (1 << 20)));
    assert_eq!(code((1 << 20) - 1), Err(Code::ResourceExhausted));
    assert_eq!(code(1000), Err(Code::ResourceExhausted));
    let torn = block(turned(&bomb[..100], 9000, Turn::Plain, 1 << 20)).unwrap_err();
    assert_eq!(torn.code(), Code::DataLoss);
}
