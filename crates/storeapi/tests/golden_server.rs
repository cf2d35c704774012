//! Requests that were recorded before a real Thanos store, over the same blocks: the answers must say the same.
//!
//! Prints one line of figures, `golden-server: replayed=… equal=… decided=… left_out=…`. `decided` are answers
//! that differ by decision, beside those replayed; each is checked for what was decided. Where the recordings are not there, nothing is
//! tested.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

#[path = "common/blocks.rs"]
mod blocks;
#[path = "common/head.rs"]
mod head;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use dolmen_ctx::{InlineCpu, ManualClock, SystemClock};
use dolmen_fanout::Fanout;
use dolmen_head::{Head, HeadReader};
use dolmen_model::{Labels, TimeRange};
use dolmen_proto::thanos::info::InfoResponse;
use dolmen_proto::thanos::series_response::Result as Answer;
use dolmen_proto::thanos::{LabelNamesResponse, LabelValuesResponse, Series, SeriesRequest, SeriesResponse};
use dolmen_storage::Queryable;
use dolmen_storeapi::{Describe, ServerSettings, SnappyChannel, StoreApiMetrics, StoreFacts, StoreServer};
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use prometheus_client::registry::Registry;
use prost::Message;
use serde_json::Value;
use tower::{Service, ServiceExt};

/// When it was recorded: marks for deletion count from then.
const RECORDED: i64 = 1_795_382_460_000;

/// One recorded exchange.
struct Exchange {
    id: String,
    name: String,
    method: String,
    request: Bytes,
    answers: Vec<Bytes>,
    code: i32,
    row: Value,
}

/// What one exchange came to.
enum Outcome {
    Equal,
    /// Differs, and was decided so.
    Decided(&'static str),
    LeftOut(&'static str),
}

fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("DOLMEN_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    dir.join("golden").is_dir().then_some(dir)
}

/// The exchanges with one server for Store and Info, in the order of recording.
fn exchanges(golden: &Path, server: &str) -> Vec<Exchange> {
    let dir = golden.join("storeapi");
    let index = std::fs::read_to_string(dir.join("index.jsonl")).unwrap();
    let rows = index.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let ours = |r: &Value| {
        let method = r["method"].as_str().unwrap();
        r["server"] == server && (method.starts_with("/thanos.Store/") || method == "/thanos.info.Info/Info")
    };
    rows.filter(ours)
        .map(|row| {
            let read = |key: &str| Bytes::from(std::fs::read(dir.join(row[key].as_str().unwrap())).unwrap());
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            Exchange {
                id: row["id"].to_string(),
                name: text("name"),
                method: text("method"),
                request: read("request_file"),
                answers: messages(read("response_file"), 4),
                code: row["status"]["number"].as_i64().unwrap() as i32,
                row,
            }
        })
        .collect()
}

/// Messages behind their heads of `head` bytes, the last four of which are the length.
fn messages(mut all: Bytes, head: usize) -> Vec<Bytes> {
    let mut out = Vec::new();
    while !all.is_empty() {
        let before = all.split_to(head);
        let len = u32::from_be_bytes(before[head - 4..].try_into().unwrap());
        out.push(all.split_to(len as usize));
    }
    out
}

/// All raw blocks of the recorded store in one bucket.
fn bucket(golden: &Path, to: &Path) {
    for from in ["downsample/bucket", "downsample/nhcb-bucket", "compact/before/main"] {
        for block in std::fs::read_dir(golden.join(from)).unwrap() {
            let block = block.unwrap().path();
            let link = to.join(block.file_name().unwrap());
            std::os::unix::fs::symlink(std::fs::canonicalize(&block).unwrap(), link).unwrap();
        }
    }
}

struct Fixed(StoreFacts);

impl Describe for Fixed {
    fn facts(&self) -> StoreFacts {
        self.0.clone()
    }
}

/// One message behind its head.
fn framed(message: &[u8], compressed: bool) -> Bytes {
    let mut out = vec![u8::from(compressed)];
    out.extend((message.len() as u32).to_be_bytes());
    out.extend(message);
    out.into()
}

/// The answers' messages and the status.
async fn call<B>(
    mut service: impl Service<Request<tonic::body::Body>, Response = Response<B>, Error: std::fmt::Debug>,
    method: &str,
    body: Bytes,
    headers: &[(&'static str, &'static str)],
) -> (Vec<Bytes>, i32, String, HeaderMap)
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let mut request = Request::post(format!("http://x{method}")).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = tonic::body::Body::new(http_body_util::Full::new(body));
    let answer = service.ready().await.unwrap().call(request.body(body).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap();
    let mut trailers = body.trailers().cloned().unwrap_or_default();
    trailers.extend(parts.headers.clone());
    let text = |name: &str| trailers.get(name).map(|v| v.to_str().unwrap().to_owned());
    let code = text("grpc-status").expect("a status").parse().unwrap();
    (messages(body.to_bytes(), 5), code, text("grpc-message").unwrap_or_default(), parts.headers)
}

/// The router, for bodies of clients.
fn service(
    router: Router,
) -> impl Service<
    Request<tonic::body::Body>,
    Response = Response<Body>,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Clone {
    tower::util::MapRequest::new(router, |r: Request<tonic::body::Body>| r.map(Body::new))
}

/// What a frame says: series, or another thing as text.
fn said(frame: &SeriesResponse) -> Result<Vec<Series>, String> {
    match frame.result.clone() {
        Some(Answer::Series(s)) => Ok(vec![s]),
        Some(Answer::Batch(b)) => Ok(b.series),
        other => Err(format!("{other:?}")),
    }
}

fn decode<M: Message + Default>(answers: &[Bytes]) -> Vec<M> {
    answers.iter().map(|a| M::decode(a.clone()).unwrap()).collect()
}

/// Label sets and times of a store, in an order of our own; and what it says that it can.
fn facts(info: &InfoResponse) -> impl PartialEq + std::fmt::Debug + use<> {
    let labels = |l: &dolmen_proto::thanos::LabelSet| {
        l.labels.iter().map(|l| (l.name.clone(), l.value.clone())).collect::<Vec<_>>()
    };
    let mut sets: Vec<_> = info.label_sets.iter().map(labels).collect();
    sets.sort();
    let store = info.store.as_ref().unwrap();
    let tsdb =
        |t: &dolmen_proto::thanos::info::TsdbInfo| (t.labels.as_ref().map(labels), t.min_time, t.max_time);
    let mut tsdbs: Vec<_> = store.tsdb_infos.iter().map(tsdb).collect();
    tsdbs.sort();
    let can = (store.supports_sharding, store.supports_without_replica_labels, store.supports_projections);
    (info.component_type.clone(), sets, store.min_time, store.max_time, tsdbs, can)
}

async fn replay(
    service: impl Service<
        Request<tonic::body::Body>,
        Response = Response<Body>,
        Error = std::convert::Infallible,
        Future: Send + 'static,
    > + Clone,
    x: &Exchange,
) -> Outcome {
    let request = SeriesRequest::decode(x.request.clone());
    if x.method.ends_with("/Series") && request.unwrap().max_resolution_window >= 300_000 {
        return Outcome::LeftOut("downsampled blocks are not served yet");
    }
    let (got, code, message) = if x.row["compression"] == "snappy" {
        let channel = SnappyChannel::new(service, true, 64 << 20);
        let (got, code, message, _) = call(channel, &x.method, framed(&x.request, false), &[]).await;
        (got, code, message)
    } else {
        let (got, code, message, _) = call(service, &x.method, framed(&x.request, false), &[]).await;
        (got, code, message)
    };
    let place = format!("{} {}: {code} {message}", x.id, x.name);
    match x.name.as_str() {
        "series-only-external-matchers" | "series-no-matchers" => {
            let series: usize = decode(&got).iter().map(|f| said(f).unwrap().len()).sum();
            assert!(code == 0 && series > 20, "{place}: {series}");
            return Outcome::Decided("matchers of external labels alone, and none: all that matches");
        }
        "series-only-external" => {
            let series: usize = decode(&got).iter().map(|f| said(f).unwrap().len()).sum();
            assert!(code == 0 && series == 10, "{place}: {series}");
            return Outcome::Decided("matchers of external labels alone, and none: all that matches");
        }
        "series-batch-negative" => {
            let frames: Vec<SeriesResponse> = decode(&got);
            assert!(code == 0 && frames.len() == 1 && said(&frames[0]).unwrap().len() == 24, "{place}");
            return Outcome::Decided(
                "a negative batch size: all in one frame; Thanos warns of an error at run time",
            );
        }
        "labelnames-without-replica" => {
            // Thanos names the stored label `sensor`, though its series would be given without it.
            let (got, want) = (LabelNamesResponse::decode(got[0].clone()), x.answers[0].clone());
            let mut want = LabelNamesResponse::decode(want).unwrap().names;
            want.retain(|n| n != "sensor");
            assert_eq!(got.unwrap().names, want, "{place}");
            return Outcome::Decided(
                "labels that series are given without have no names, stored ones neither",
            );
        }
        "labelvalues-no-label" => {
            assert_eq!(code, 3, "{place}");
            return Outcome::Decided(
                "a label without a name is an invalid argument, as before a Thanos querier",
            );
        }
        "series-hints-block-matchers" => {
            let frames: Vec<SeriesResponse> = decode(&got);
            let warned = frames.iter().any(|f| said(f).is_err_and(|text| text.contains("block matchers")));
            assert!(warned && frames.len() > 1, "{place}");
            return Outcome::LeftOut("a store does not know its blocks' names: said in a warning");
        }
        _ => {}
    }
    assert_eq!(code, x.code, "{place}");
    match x.method.rsplit('/').next().unwrap() {
        "Series" => {
            let (got, want) = (decode(&got), decode(&x.answers));
            assert_eq!(got.len(), want.len(), "{place}");
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert_eq!(said(got), said(want), "{place}: frame {i}");
            }
        }
        "LabelNames" => {
            let (got, want) = (decode::<LabelNamesResponse>(&got), decode::<LabelNamesResponse>(&x.answers));
            let said = |all: &[LabelNamesResponse]| -> Vec<_> {
                all.iter().map(|a| (a.names.clone(), a.warnings.clone())).collect()
            };
            assert_eq!(said(&got), said(&want), "{place}");
        }
        "LabelValues" => {
            let (got, want) =
                (decode::<LabelValuesResponse>(&got), decode::<LabelValuesResponse>(&x.answers));
            let said = |all: &[LabelValuesResponse]| -> Vec<_> {
                all.iter().map(|a| (a.values.clone(), a.warnings.clone())).collect()
            };
            assert_eq!(said(&got), said(&want), "{place}");
        }
        "Info" => assert_eq!(facts(&decode(&got)[0]), facts(&decode(&x.answers)[0]), "{place}"),
        other => panic!("{other}"),
    }
    Outcome::Equal
}

fn server(queryable: Arc<dyn Queryable>, facts: StoreFacts) -> Router {
    let server = StoreServer {
        queryable,
        describe: Arc::new(Fixed(facts)),
        settings: ServerSettings::default(),
        clock: Arc::new(SystemClock),
        cpu: Arc::new(InlineCpu),
        metrics: StoreApiMetrics::new(&mut Registry::default()),
    };
    server.routes()
}

async fn store(golden: &Path, dir: &Path) -> Router {
    let blocks = dir.join("bucket");
    std::fs::create_dir(&blocks).unwrap();
    bucket(golden, &blocks);
    let now = Arc::new(ManualClock::new(RECORDED));
    let (queryable, facts) = blocks::open(&blocks, &dir.join("cache"), now).await;
    server(queryable, facts)
}

/// What the exchanges with all servers came to.
#[derive(Default)]
struct Figures {
    equal: usize,
    notes: BTreeMap<(&'static str, &'static str), Vec<String>>,
}

impl Figures {
    fn add(&mut self, x: &Exchange, outcome: Outcome) {
        match outcome {
            Outcome::Equal => self.equal += 1,
            Outcome::Decided(why) => self.notes.entry(("decided", why)).or_default().push(x.id.clone()),
            Outcome::LeftOut(why) => self.notes.entry(("left out", why)).or_default().push(x.id.clone()),
        }
    }

    fn count(&self, kind: &str) -> usize {
        self.notes.iter().filter(|((k, _), _)| *k == kind).map(|(_, ids)| ids.len()).sum()
    }

    fn print(&self) {
        let (equal, decided, left_out) = (self.equal, self.count("decided"), self.count("left out"));
        // On a line of its own, whatever the test's runner printed before. What is not equal has failed by now.
        println!("\ngolden-server: replayed={equal} equal={equal} decided={decided} left_out={left_out}");
        for ((kind, why), ids) in &self.notes {
            println!("golden-server: {kind}: {why}: {}", ids.join(" "));
        }
        println!("golden-server: left out of all: queried_blocks in the hints of label answers");
    }
}

/// The heads of a receiver's tenants: series are told apart by the tenant that they were recorded with.
struct Heads<'a> {
    replica: &'a str,
    dir: tempfile::TempDir,
    all: BTreeMap<String, Arc<Head>>,
}

impl Heads<'_> {
    async fn append(&mut self, series: Vec<Series>) {
        let mut by_tenant = BTreeMap::<String, Vec<Series>>::new();
        for one in series {
            let tenant = one.labels.iter().find(|l| l.name == "tenant_id").map(|l| l.value.clone());
            by_tenant.entry(tenant.unwrap_or_default()).or_default().push(one);
        }
        for (tenant, series) in by_tenant {
            let dir = self.dir.path().join(self.all.len().to_string());
            let external = [("cluster", "recv"), ("receive_replica", self.replica), ("tenant_id", &tenant)];
            let open = || head::open(&dir, Labels::from_pairs(external), RECORDED);
            head::append(self.all.entry(tenant.clone()).or_insert_with(open), &series).await;
        }
    }

    fn server(&self) -> Router {
        let holds = self.all.values().map(|head| {
            let range = TimeRange::new(head.range().unwrap().mint(), i64::MAX).unwrap();
            (head.settings().external_labels.clone(), range)
        });
        let facts = StoreFacts::of("receive", holds);
        let readers = self.all.values().map(|h| Arc::new(HeadReader::new(h.clone())) as Arc<dyn Queryable>);
        server(Arc::new(Fanout::new(readers.collect::<Vec<_>>())), facts)
    }
}

/// A receiver's exchanges, over heads that hold the samples of those that give all that it held: first what came
/// by remote write, then what came from other receivers.
async fn receiver(golden: &Path, name: &str, replica: &str, figures: &mut Figures) {
    let mut heads = Heads { replica, dir: tempfile::tempdir().unwrap(), all: BTreeMap::new() };
    let all = exchanges(golden, name);
    let held = |names: &[&str]| -> Vec<Series> {
        let those = all.iter().filter(|x| names.contains(&x.name.as_str()));
        those.flat_map(|x| decode(&x.answers)).flat_map(|f| said(&f).unwrap()).collect()
    };
    let (later, now): (Vec<_>, Vec<_>) = all.iter().partition(|x| x.name.starts_with("series-what-was"));
    heads.append(held(&["series-recv-counters", "series-recv-histograms"])).await;
    for x in now {
        figures.add(x, replay(service(heads.server()), x).await);
    }
    heads.append(held(&["series-what-was-written", "series-what-was-forwarded"])).await;
    for x in later {
        figures.add(x, replay(service(heads.server()), x).await);
    }
}

#[tokio::test]
async fn a_store_and_receivers_answer_as_thanos_does() {
    let Some(shared) = shared() else { return };
    let (golden, dir) = (shared.join("golden"), tempfile::tempdir().unwrap());
    let mut figures = Figures::default();
    let service = service(store(&golden, dir.path()).await);
    for x in exchanges(&golden, "store") {
        figures.add(&x, replay(service.clone(), &x).await);
    }
    receiver(&golden, "receive1", "rr1", &mut figures).await;
    receiver(&golden, "receive2", "rr2", &mut figures).await;
    figures.print();
    assert!(figures.equal > 60, "{}", figures.equal);
}

#[tokio::test]
async fn the_bytes_that_went_over_the_wire_in_snappy() {
    let Some(shared) = shared() else { return };
    let (golden, dir) = (shared.join("golden"), tempfile::tempdir().unwrap());
    let x = exchanges(&golden, "store").into_iter().find(|x| x.row["compression"] == "snappy").unwrap();
    let sent = base64(x.row["compressed_request_base64"].as_str().unwrap());
    let plain = service(store(&golden, dir.path()).await);
    let headers = [("grpc-encoding", "snappy"), ("grpc-accept-encoding", "snappy,gzip")];
    let (got, code, message, head) = call(plain.clone(), &x.method, framed(&sent, true), &headers).await;
    assert_eq!((code, head["grpc-encoding"].to_str().unwrap()), (0, "snappy"), "{message}");
    assert_eq!(got.len(), x.answers.len());
    // Who does not say that it reads snappy gets plain messages.
    let (got, _, _, head) = call(plain, &x.method, framed(&sent, true), &headers[..1]).await;
    assert!(!head.contains_key("grpc-encoding"));
    let said_all = |all: &[Bytes]| decode(all).iter().map(said).collect::<Vec<_>>();
    assert_eq!(said_all(&got), said_all(&x.answers));

    // And as a client: what Thanos sent, compressed.
    let frames = x.row["compressed_response_frames_base64"].as_array().unwrap();
    let wire: Vec<u8> = frames.iter().flat_map(|f| framed(&base64(f.as_str().unwrap()), true)).collect();
    let n = frames.len();
    let thanos = tower::service_fn(move |r: Request<tonic::body::Body>| {
        let answer = Response::builder()
            .header("grpc-encoding", "snappy")
            .header("grpc-status", "0")
            .body(http_body_util::Full::new(Bytes::from(wire.clone())))
            .unwrap();
        async move {
            assert_eq!(r.headers()["grpc-encoding"], "snappy");
            let asked = r.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(asked[0], 1);
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let channel = SnappyChannel::new(thanos, true, 64 << 20);
    let (got, ..) = call(channel, &x.method, framed(&x.request, false), &[]).await;
    assert_eq!(got, x.answers[..n]);
}

fn base64(text: &str) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|c| alphabet.iter().position(|a| *a == c));
    let (mut bits, mut n, mut out) = (0u32, 0, Vec::new());
    for digit in digits {
        (bits, n) = (bits << 6 | digit as u32, n + 6);
        if n >= 8 {
            n -= 8;
            out.push((bits >> n) as u8);
        }
    }
    out
}
