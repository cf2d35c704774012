//! A gRPC server that does as it is told: any bytes, any pause, any end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::serve::ListenerExt;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;

/// What an answer does next.
pub enum Step {
    /// Sends a message.
    Message(Vec<u8>),
    /// Sends bytes that need not be a message.
    Raw(Bytes),
    /// Is silent.
    Sleep(Duration),
    /// Sends so many more messages, each made when it is sent.
    Repeat(u64, Box<dyn Fn(u64) -> Vec<u8> + Send>),
    /// Ends with a status.
    Status(u32, &'static str),
    /// Breaks off.
    Break,
}

/// The end of an answer that is whole.
pub const OK: Step = Step::Status(0, "");

/// What a call is answered with: by its path and its message.
pub type Answers = dyn Fn(&str, &[u8]) -> Vec<Step> + Send + Sync;

/// A server. It lives as long as the runtime.
pub struct Server {
    pub address: String,
    /// Bytes that were taken from it.
    pub sent: Arc<AtomicU64>,
    /// Answers that have ended, or were dropped by who asked.
    pub over: Arc<AtomicU64>,
}

impl Server {
    pub async fn start(answers: impl Fn(&str, &[u8]) -> Vec<Step> + Send + Sync + 'static) -> Server {
        let answers: Arc<Answers> = Arc::new(answers);
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let listener = listener.tap_io(|tcp| tcp.set_nodelay(true).unwrap());
        let (sent, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counts = (sent.clone(), over.clone());
        let router = Router::new().fallback(move |request: Request| {
            let (answers, counts) = (answers.clone(), counts.clone());
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let steps = answers(&path, &body[5..]);
                let body = Body::new(StreamBody::new(frames(steps, counts)));
                Response::builder().header("content-type", "application/grpc").body(body).unwrap()
            }
        });
        tokio::spawn(axum::serve(listener, router).into_future());
        Server { address, sent, over }
    }
}

/// A message with its prefix.
pub fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

/// Messages of one kind, and a good end.
pub fn messages<M: Message>(all: impl IntoIterator<Item = M>) -> Vec<Step> {
    all.into_iter().map(|m| Step::Message(m.encode_to_vec())).chain([OK]).collect()
}

struct Over(Arc<AtomicU64>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

type Counts = (Arc<AtomicU64>, Arc<AtomicU64>);

fn frames(
    steps: Vec<Step>,
    (sent, over): Counts,
) -> BoxStream<'static, Result<Frame<Bytes>, std::io::Error>> {
    let over = Over(over);
    stream::iter(steps)
        .flat_map(|step| match step {
            Step::Message(message) => one(Frame::data(framed(&message))),
            Step::Raw(bytes) => one(Frame::data(bytes)),
            Step::Sleep(time) => {
                let none = tokio::time::sleep(time).map(|()| Ok(Frame::data(Bytes::new())));
                none.into_stream().boxed()
            }
            Step::Repeat(n, message) => {
                stream::iter((0..n).map(move |i| Ok(Frame::data(framed(&message(i)))))).boxed()
            }
            Step::Status(code, text) => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", code.into());
                trailers.insert("grpc-message", text.parse().unwrap());
                one(Frame::trailers(trailers))
            }
            Step::Break => stream::iter([Err(std::io::Error::other("broken off"))]).boxed(),
        })
        .inspect(move |frame: &Result<Frame<Bytes>, std::io::Error>| {
            let _lives_as_long = &over;
            if let Ok(Some(data)) = frame.as_ref().map(Frame::data_ref) {
                sent.fetch_add(data.len() as u64, Ordering::SeqCst);
            }
        })
        .boxed()
}

fn one(frame: Frame<Bytes>) -> BoxStream<'static, Result<Frame<Bytes>, std::io::Error>> {
    stream::iter([Ok(frame)]).boxed()
}
