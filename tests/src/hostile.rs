//! A store that speaks the StoreAPI and does what no store may, one trick after the other.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::serve::ListenerExt;
use bytes::{BufMut, Bytes, BytesMut};
use dolmen_proto::thanos::info::{DolmenInfo, InfoResponse, StoreInfo};
use dolmen_proto::thanos::series_response::Result as Item;
use dolmen_proto::thanos::{
    AggrChunk, Chunk, Label, LabelNamesResponse, LabelSet, Series, SeriesEnd, SeriesResponse,
};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;
use prost::Message;

/// The site that it claims to be.
pub const SITE: &str = "dc-x";
/// Time from frame to frame of one that drips.
const DRIP: Duration = Duration::from_millis(100);
/// What it announces as one frame.
const GIANT: usize = 1 << 30;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// Nothing: it answers as it should.
    Honest,
    /// A series that should have come before.
    Unsorted,
    /// Series of another site, with values of its own.
    Foreign,
    /// A series that was not asked for.
    NotAsked,
    /// Chunks whose bytes are none.
    BrokenChunks,
    /// Chunks whose times run backwards.
    BackwardTimes,
    /// Frames that are no messages.
    Garbage,
    /// New series without end.
    EndlessSeries,
    /// Pieces of one series without end.
    EndlessPieces,
    /// Warnings without end.
    EndlessWarnings,
    /// A frame of 1 GiB, sent whole.
    Giant,
    /// A frame now and then, always in time, without end.
    Drip,
    /// A good status before all is said.
    WrongEnd,
}

/// A running store.
pub struct HostileStore {
    /// Its address.
    pub address: String,
    trick: Arc<Mutex<Trick>>,
    asked: Arc<AtomicU64>,
    // Dropped last: with it all that runs ends.
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Store {
    trick: Arc<Mutex<Trick>>,
    asked: Arc<AtomicU64>,
    /// Whether it claims to be a Dolmen, which tells whose parts are whose.
    parts: bool,
    /// The other site's, and a metric of it.
    victim: &'static str,
    metric: &'static str,
    /// Time of its samples.
    at: i64,
}

type Frames = BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>;

impl HostileStore {
    /// Starts one. It has series of `metric`, with samples around `at`.
    pub fn start(parts: bool, victim: &'static str, metric: &'static str, at: i64) -> Result<HostileStore> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (trick, asked) = (Arc::new(Mutex::new(Trick::Honest)), Arc::new(AtomicU64::new(0)));
        let store = Store { trick: trick.clone(), asked: asked.clone(), parts, victim, metric, at };
        let listener = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?.to_string();
        let listener = listener.tap_io(|tcp| {
            // It is slower without, and nothing else.
            let _slower = tcp.set_nodelay(true);
        });
        let router = Router::new().fallback(move |request: Request| store.clone().answer(request));
        runtime.spawn(axum::serve(listener, router).into_future());
        Ok(HostileStore { address, trick, asked, _runtime: runtime })
    }

    /// From now on it does this.
    pub fn play(&self, trick: Trick) {
        *self.trick.lock() = trick;
    }

    /// Calls that it was asked for data.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Store {
    async fn answer(self, request: Request) -> Response<Body> {
        let path = request.uri().path().to_owned();
        // A request that broke off is answered like any other.
        let _whole = request.into_body().collect().await;
        let frames = match path.as_str() {
            "/thanos.info.Info/Info" => whole([self.info().encode_to_vec()]),
            "/thanos.Store/Series" => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                self.series()
            }
            _ => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                self.strings(path.ends_with("LabelNames"))
            }
        };
        let mut response = Response::new(Body::new(StreamBody::new(frames)));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
        response
    }

    fn info(&self) -> InfoResponse {
        let store =
            StoreInfo { max_time: i64::MAX, supports_without_replica_labels: true, ..StoreInfo::default() };
        InfoResponse {
            label_sets: vec![LabelSet { labels: vec![label("site", SITE)] }],
            component_type: "store".to_owned(),
            store: Some(store),
            dolmen: self.parts.then(|| DolmenInfo {
                version: "0".to_owned(),
                parts: true,
                ..DolmenInfo::default()
            }),
            ..InfoResponse::default()
        }
    }

    fn named(&self, i: &str) -> Series {
        let labels = vec![label("__name__", self.metric), label("i", i), label("site", SITE)];
        Series { labels, chunks: vec![floats(self.at)], runs: Vec::new() }
    }

    fn series(&self) -> Frames {
        let good = ["h1", "h2"].map(|i| frame(self.named(i)));
        let end = self.parts.then(|| SeriesResponse { result: None, end: Some(SeriesEnd::default()) });
        let with = |bad: Series| {
            let all = good.clone().into_iter().chain([frame(bad)]).chain(end.clone());
            whole(all.map(|f| f.encode_to_vec()).collect::<Vec<_>>())
        };
        let chunk = |data: Vec<u8>| {
            let raw = Chunk { data: data.into(), ..Chunk::default() };
            let one = AggrChunk { raw: Some(raw), ..floats(self.at) };
            Series { chunks: vec![one], ..self.named("h3") }
        };
        let store = self.clone();
        match *self.trick.lock() {
            Trick::Honest => with(self.named("h3")),
            Trick::Unsorted => with(self.named("h0")),
            Trick::Foreign => {
                let mut foreign = self.named("00");
                foreign.labels[2].value = self.victim.to_owned();
                let all = [frame(foreign)].into_iter().chain(end);
                whole(all.map(|f| f.encode_to_vec()).collect::<Vec<_>>())
            }
            Trick::NotAsked => {
                let mut other = self.named("h3");
                other.labels[0].value = format!("{}x", self.metric);
                with(other)
            }
            Trick::BrokenChunks => with(chunk(vec![0xff; 64])),
            Trick::BackwardTimes => with(chunk(backwards(self.at))),
            Trick::Garbage => whole([vec![0xff; 1000]]),
            Trick::EndlessSeries => {
                endless(move |n| frame(store.named(&format!("h{n:012}"))).encode_to_vec())
            }
            Trick::EndlessPieces => endless(move |_| frame(store.named("h1")).encode_to_vec()),
            Trick::EndlessWarnings => endless(|n| {
                let text = Item::Warning(format!("{n} {}", "x".repeat(200)));
                SeriesResponse { result: Some(text), end: None }.encode_to_vec()
            }),
            Trick::Giant => giant(),
            Trick::Drip => drip(frame(store.named("h1")).encode_to_vec()),
            Trick::WrongEnd if self.parts => whole(good.map(|f| f.encode_to_vec())),
            // Toward others the status is all that tells an end.
            Trick::WrongEnd => {
                let all = good.map(|f| Ok(Frame::data(framed(&f.encode_to_vec()))));
                stream::iter(all).boxed()
            }
        }
    }

    fn strings(&self, names: bool) -> Frames {
        let mut all = match names {
            true => ["__name__", "i", "site"].map(str::to_owned).to_vec(),
            false => ["h1", "h2", "h3"].map(str::to_owned).to_vec(),
        };
        let answer = |names: Vec<String>| LabelNamesResponse { names, ..Default::default() }.encode_to_vec();
        match *self.trick.lock() {
            Trick::Honest => whole([answer(all)]),
            Trick::EndlessSeries | Trick::EndlessPieces | Trick::EndlessWarnings => {
                endless(move |_| answer(all.clone()))
            }
            Trick::Giant => giant(),
            Trick::Drip => drip(Vec::new()),
            Trick::WrongEnd => stream::iter([Ok(Frame::data(framed(&answer(all))))]).boxed(),
            // Of an answer that is a list, nothing can be out of order; it can be no message, or none at all.
            Trick::Unsorted | Trick::Garbage | Trick::BrokenChunks => whole([vec![0xff; 1000]]),
            Trick::Foreign | Trick::NotAsked | Trick::BackwardTimes => {
                all.clear();
                whole(Vec::<Vec<u8>>::new())
            }
        }
    }
}

fn label(name: &str, value: &str) -> Label {
    Label { name: name.to_owned(), value: value.to_owned() }
}

fn frame(series: Series) -> SeriesResponse {
    SeriesResponse { result: Some(Item::Series(series)), end: None }
}

/// Four minutes of samples.
fn floats(at: i64) -> AggrChunk {
    let t: Vec<i64> = (0..16).map(|k| at - 15_000 * (16 - k)).collect();
    let v: Vec<f64> = (0..16).map(f64::from).collect();
    let mut chunks = Vec::new();
    dolmen_chunk::encode_floats(&t, &v, 120, &mut chunks);
    let raw = Chunk { data: chunks[0].data.to_vec().into(), ..Chunk::default() };
    AggrChunk { min_time: t[0], max_time: t[15], raw: Some(raw), ..AggrChunk::default() }
}

/// Two samples, the second before the first: its distance is the largest number there is, less a few.
fn backwards(at: i64) -> Vec<u8> {
    let mut out = vec![0, 2];
    put_varint(&mut out, ((at << 1) ^ (at >> 63)) as u64);
    out.extend(1f64.to_bits().to_be_bytes());
    put_varint(&mut out, 1000u64.wrapping_neg());
    // The value did not change.
    out.push(0);
    out
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

/// Messages, and a good end.
fn whole(messages: impl IntoIterator<Item = Vec<u8>>) -> Frames {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames: Vec<_> = messages.into_iter().map(|m| Ok(Frame::data(framed(&m)))).collect();
    stream::iter(frames).chain(stream::iter([Ok(Frame::trailers(trailers))])).boxed()
}

/// Some hundred messages at a time: as fast as it can.
fn endless(message: impl Fn(u64) -> Vec<u8> + Send + 'static) -> Frames {
    let some = move |n: u64| {
        let mut out = BytesMut::new();
        (n * 300..(n + 1) * 300).for_each(|i| out.extend_from_slice(&framed(&message(i))));
        Ok(Frame::data(out.freeze()))
    };
    stream::iter((0..).map(some)).boxed()
}

fn giant() -> Frames {
    let mut head = BytesMut::new();
    head.put_u8(0);
    head.put_u32(GIANT as u32);
    let zeros = Bytes::from(vec![0; 1 << 20]);
    let body = std::iter::repeat_n(zeros, GIANT >> 20);
    stream::iter([head.freeze()].into_iter().chain(body).map(|b| Ok(Frame::data(b)))).boxed()
}

fn drip(message: Vec<u8>) -> Frames {
    let drop = move |_| {
        let frame = Frame::data(framed(&message));
        tokio::time::sleep(DRIP).map(|()| Ok(frame))
    };
    stream::iter(0u64..).then(drop).boxed()
}
