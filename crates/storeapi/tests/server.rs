//! The server over a made-up store, asked through a tonic client over HTTP/2.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

mod common;

use std::time::Duration;

use common::{Memory, MemorySeries, Running, client};
use dolmen_model::{Completeness, Encoding, Missing, SourceId, TimeRange};
use dolmen_proto::thanos::info::InfoRequest;
use dolmen_proto::thanos::info::info_client::InfoClient;
use dolmen_proto::thanos::series_response::Result as Answer;
use dolmen_proto::thanos::store_client::StoreClient;
use dolmen_proto::thanos::{
    LabelMatcher, LabelNamesRequest, LabelValuesRequest, PartialResponseStrategy, PartsAsk, SeriesRequest,
    SeriesResponse, ShardInfo,
};
use dolmen_service::{HttpSettings, Listener, Shutdown, serve_http};
use dolmen_storage::RawChunk;
use dolmen_storeapi::{ServerSettings, SnappyChannel};
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

fn ask(matchers: &[(&str, i32, &str)]) -> SeriesRequest {
    let matcher = |(name, op, value): &(&str, i32, &str)| LabelMatcher {
        r#type: *op,
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    SeriesRequest {
        min_time: 0,
        max_time: 1_000_000,
        matchers: matchers.iter().map(matcher).collect(),
        ..SeriesRequest::default()
    }
}

fn all() -> SeriesRequest {
    ask(&[("__name__", 2, ".+")])
}

async fn frames(running: &Running, r: SeriesRequest) -> Result<Vec<SeriesResponse>, Status> {
    let mut stream = client(running).series(r).await?.into_inner();
    let mut all = Vec::new();
    while let Some(frame) = stream.message().await? {
        all.push(frame);
    }
    Ok(all)
}

/// The series of each frame: labels as text, and the number of chunks.
fn shape(frames: &[SeriesResponse]) -> Vec<Vec<(String, usize)>> {
    let one = |s: &dolmen_proto::thanos::Series| {
        let labels: Vec<_> = s.labels.iter().map(|l| format!("{}={}", l.name, l.value)).collect();
        (labels.join(","), s.chunks.len())
    };
    let frame = |f: &SeriesResponse| match &f.result {
        Some(Answer::Series(s)) => vec![one(s)],
        Some(Answer::Batch(b)) => b.series.iter().map(one).collect(),
        Some(Answer::Warning(text)) => vec![(text.clone(), usize::MAX)],
        other => panic!("{other:?}"),
    };
    frames.iter().map(frame).collect()
}

fn counted(n: usize) -> Memory {
    let series =
        |i: usize| MemorySeries::floats(&[("__name__", "m"), ("i", &format!("{i:04}"))], &[(10, 20)]);
    Memory { series: (0..n).map(series).collect(), ..Memory::default() }
}

#[tokio::test]
async fn frames_hold_as_many_series_as_asked() {
    let running = Running::start(counted(300)).await;
    for (size, frames_want) in [(0, 300), (1, 300), (7, 43), (64, 5), (-1, 1), (1000, 1)] {
        let got = frames(&running, SeriesRequest { response_batch_size: size, ..all() }).await.unwrap();
        assert_eq!(got.len(), frames_want, "{size}");
        let flat: Vec<_> = shape(&got).into_iter().flatten().collect();
        assert_eq!(flat.len(), 300);
        assert!(flat.is_sorted());
    }
    let limited = SeriesRequest { limit: 5, skip_chunks: true, ..all() };
    let got: Vec<_> = shape(&frames(&running, limited).await.unwrap()).into_iter().flatten().collect();
    assert_eq!(got[4], ("__name__=m,i=0004".to_owned(), 0));
    assert_eq!(got.len(), 5);
}

#[tokio::test]
async fn shards_are_apart_and_whole_and_a_limit_counts_what_is_given() {
    let running = Running::start(counted(300)).await;
    let shard = |shard_index, limit| SeriesRequest {
        shard_info: Some(ShardInfo { shard_index, total_shards: 3, by: true, labels: vec!["i".to_owned()] }),
        limit,
        ..all()
    };
    let mut seen = Vec::new();
    for i in 0..3 {
        let got = shape(&frames(&running, shard(i, 0)).await.unwrap());
        assert!(got.len() > 50, "{i}: {}", got.len());
        assert_eq!(frames(&running, shard(i, 9)).await.unwrap().len(), 9);
        seen.extend(got.into_iter().flatten());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 300);
}

#[tokio::test]
async fn a_series_larger_than_a_frame_goes_on_in_the_next() {
    let chunk =
        |i: i64| RawChunk { mint: i, maxt: i, encoding: Encoding::Xor, data: vec![i as u8; 100_000].into() };
    let big = |name| MemorySeries {
        parts: vec![("", (0..25).map(chunk).collect())],
        ..MemorySeries::floats(&[("__name__", name)], &[])
    };
    let memory = Memory { series: vec![big("a"), big("b")], ..Memory::default() };
    let running = Running::start(memory).await;
    let n = |names: &[(&str, usize)]| -> Vec<(String, usize)> {
        names.iter().map(|(name, n)| (format!("__name__={name}"), *n)).collect()
    };
    let got = shape(&frames(&running, all()).await.unwrap());
    assert_eq!(got.concat(), n(&[("a", 11), ("a", 11), ("a", 3), ("b", 11), ("b", 11), ("b", 3)]));
    let batched = SeriesRequest { response_batch_size: 64, ..all() };
    let got = shape(&frames(&running, batched).await.unwrap());
    assert_eq!(got.len(), 5, "frames of 1 MiB");
    let (a, b): (Vec<_>, Vec<_>) = got.concat().into_iter().partition(|(name, _)| name.ends_with('a'));
    assert_eq!([a, b].map(|all| all.iter().map(|(_, n)| n).sum::<usize>()), [25, 25]);
    let parts = SeriesRequest { parts: Some(PartsAsk::default()), ..all() };
    for frame in frames(&running, parts).await.unwrap() {
        if let Some(Answer::Series(s)) = frame.result {
            assert_eq!(s.runs.iter().map(|r| r.chunks as usize).sum::<usize>(), s.chunks.len());
        }
    }
}

/// Two replicas; one chunk is the same in both.
fn replicas() -> Memory {
    let both = MemorySeries {
        parts: vec![
            ("r0", vec![common::chunk(10, 20, 1), common::chunk(30, 40, 7)]),
            ("r1", vec![common::chunk(5, 25, 2), common::chunk(30, 40, 7)]),
        ],
        ..MemorySeries::floats(&[("__name__", "m")], &[])
    };
    Memory { series: vec![both], ..Memory::default() }
}

#[tokio::test]
async fn without_replica_labels_chunks_come_by_time_and_equal_ones_once() {
    let running = Running::start(replicas()).await;
    let r = SeriesRequest { without_replica_labels: vec!["replica".to_owned()], ..all() };
    let got = frames(&running, r).await.unwrap();
    let Some(Answer::Series(s)) = &got[0].result else { panic!("{got:?}") };
    let times: Vec<_> = s.chunks.iter().map(|c| (c.min_time, c.max_time)).collect();
    assert_eq!(times, [(5, 25), (10, 20), (30, 40)]);
    assert!(s.runs.is_empty());
    let raw = s.chunks[2].raw.as_ref().unwrap();
    assert_eq!(raw.hash, xxhash_rust::xxh64::xxh64(&raw.data, 0));
}

#[tokio::test]
async fn parts_are_told_apart_and_the_end_says_what_is_missing() {
    let missing = Missing {
        site: "dc-b".into(),
        store: "s:1".into(),
        range: TimeRange::new(5, 100).unwrap(),
        cause: "gone".to_owned(),
    };
    let lacks = Completeness { missing: vec![missing] };
    let running = Running::start(Memory { lacks, ..replicas() }).await;
    let parts = Some(PartsAsk { without: vec!["replica".to_owned()] });
    let got = frames(&running, SeriesRequest { parts, ..all() }).await.unwrap();
    let Some(Answer::Series(s)) = &got[0].result else { panic!("{got:?}") };
    let runs: Vec<_> = s.runs.iter().map(|r| (r.source.as_str(), r.chunks)).collect();
    assert_eq!(runs, [("r0", 2), ("r1", 2)]);
    assert_eq!(SourceId::new(["r0"]).as_str(), "r0");
    assert_eq!(s.chunks.len(), 4);
    let end = got[1].end.as_ref().unwrap();
    let m = &end.missing[0];
    assert_eq!((m.site.as_str(), m.store.as_str(), m.min_time, m.max_time), ("dc-b", "s:1", 5, 99));

    // Others get the text, or an error.
    let got = shape(&frames(&running, all()).await.unwrap());
    let text = "site \"dc-b\" missing: s:1: gone; data of 1970-01-01T00:00:00.005Z/1970-01-01T00:00:00.099Z";
    assert_eq!(got[1], [(text.to_owned(), usize::MAX)]);
    let abort = PartialResponseStrategy::Abort as i32;
    for r in [
        SeriesRequest { partial_response_strategy: abort, ..all() },
        SeriesRequest { partial_response_disabled: true, ..all() },
    ] {
        let e = frames(&running, r).await.unwrap_err();
        assert_eq!((e.code(), e.message()), (Code::Aborted, text));
    }
    let names = LabelNamesRequest { end: 1000, ..LabelNamesRequest::default() };
    let got = client(&running).label_names(names.clone()).await.unwrap().into_inner();
    assert_eq!((got.warnings, got.missing[0].max_time), (vec![text.to_owned()], 99));
    let e =
        client(&running).label_names(LabelNamesRequest { partial_response_strategy: abort, ..names }).await;
    assert_eq!(e.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn deleted_time_and_encodings_that_others_cannot_read_are_not_given() {
    let mut masked = MemorySeries::floats(&[("__name__", "a")], &[(0, 100), (200, 300)]);
    masked.masked = vec![TimeRange::new(50, 301).unwrap()];
    let mut newer = MemorySeries::floats(&[("__name__", "b")], &[(0, 100)]);
    newer.parts[0].1.push(RawChunk { mint: 200, maxt: 300, encoding: Encoding::Xor2, data: vec![1].into() });
    let running = Running::start(Memory { series: vec![masked, newer], ..Memory::default() }).await;
    let got = frames(&running, all()).await.unwrap();
    let Some(Answer::Series(s)) = &got[0].result else { panic!("{got:?}") };
    assert_eq!(s.chunks.iter().map(|c| (c.min_time, c.max_time)).collect::<Vec<_>>(), [(0, 40)]);
    assert_eq!(shape(&got)[1], [("__name__=b".to_owned(), 1)]);
    let warning = &shape(&got)[2][0].0;
    assert!(warning.contains("encodings 4 to 6") && warning.contains("00.200Z"), "{warning}");
    // Our own get them as they are.
    let parts = SeriesRequest { parts: Some(PartsAsk::default()), ..all() };
    let got = frames(&running, parts).await.unwrap();
    let Some(Answer::Series(s)) = &got[1].result else { panic!("{got:?}") };
    assert_eq!(s.chunks[1].raw.as_ref().unwrap().r#type, 3);
    assert!(got[2].end.as_ref().unwrap().missing.is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_an_invalid_argument() {
    let running = Running::start(counted(3)).await;
    let code = |r: SeriesRequest| frames(&running, r);
    assert_eq!(code(ask(&[("a", 2, "(")])).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(code(ask(&[("a", 9, "x")])).await.unwrap_err().code(), Code::InvalidArgument);
    let hints = Some(prost_types::Any { type_url: "x/no.Such".to_owned(), value: vec![1] });
    assert_eq!(code(SeriesRequest { hints, ..all() }).await.unwrap_err().code(), Code::InvalidArgument);
    assert!(code(SeriesRequest { min_time: 9, max_time: 8, ..all() }).await.unwrap().is_empty());
    let no_label = LabelValuesRequest::default();
    assert_eq!(client(&running).label_values(no_label).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn limits_of_memory_and_size_are_errors() {
    let settings = ServerSettings { max_memory: 5000, max_request_bytes: 4096, ..common::settings() };
    let running = Running::with(counted(3000), settings).await;
    let e = frames(&running, all()).await.unwrap_err();
    assert_eq!((e.code(), e.message().contains("memory of")), (Code::ResourceExhausted, true), "{e}");
    let e = frames(&running, ask(&[("a", 0, &"x".repeat(5000))])).await.unwrap_err();
    assert!(matches!(e.code(), Code::OutOfRange | Code::ResourceExhausted), "{e}");
    assert_eq!(frames(&running, ask(&[("i", 0, "0007")])).await.unwrap().len(), 1);
}

#[tokio::test]
async fn deadlines_hold_where_the_store_stalls_and_places_become_free() {
    let settings =
        ServerSettings { max_concurrent: 1, timeout: Duration::from_millis(300), ..common::settings() };
    let running = Running::with(Memory { stall_at: Some(150), ..counted(300) }, settings).await;
    for _ in 0..2 {
        let e = frames(&running, all()).await.unwrap_err();
        assert_eq!((e.code(), e.message()), (Code::DeadlineExceeded, "the call timed out"));
    }
    // One who waits for its turn has a deadline too; the client's own counts where it is nearer.
    let stalled = client(&running).series(all()).await.unwrap();
    let mut r = tonic::Request::new(all());
    r.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
    // tonic's client may be the first to say so.
    let e = match client(&running).series(r).await {
        Ok(waiting) => waiting.into_inner().message().await.unwrap_err(),
        Err(e) => e,
    };
    assert!(matches!(e.code(), Code::DeadlineExceeded | Code::Cancelled), "{e}");
    drop(stalled);
    assert_eq!(frames(&running, all()).await.unwrap_err().message(), "the call timed out");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_no_place_past_the_deadline() {
    let settings =
        ServerSettings { max_concurrent: 1, timeout: Duration::from_millis(300), ..common::settings() };
    let chunks = (0..100).map(|i| RawChunk { data: vec![7; 100_000].into(), ..common::chunk(i, i, 0) });
    let chunks: Vec<_> = chunks.collect();
    let big = |i: usize| MemorySeries {
        parts: vec![("", chunks.clone())],
        ..MemorySeries::floats(&[("i", &i.to_string())], &[])
    };
    let running =
        Running::with(Memory { series: (0..9).map(big).collect(), ..Memory::default() }, settings).await;
    let unread = client(&running).series(ask(&[("i", 2, ".+")])).await.unwrap();
    let began = std::time::Instant::now();
    assert_eq!(frames(&running, ask(&[("i", 0, "x")])).await.unwrap().len(), 0);
    assert!(began.elapsed() > Duration::from_millis(200), "{:?}", began.elapsed());
    let mut unread = unread.into_inner();
    let e = loop {
        match unread.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a short answer"),
            Err(e) => break e,
        }
    };
    assert_eq!(e.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_call() {
    let memory = Memory { stall_at: Some(0), ..counted(10) };
    let seen = memory.seen.clone();
    let running = Running::start(memory).await;
    let stream = client(&running).series(all()).await.unwrap();
    let ctx = loop {
        if let Some(ctx) = seen.lock().unwrap().clone() {
            break ctx;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(!ctx.cancel.is_canceled());
    drop(stream);
    tokio::time::timeout(Duration::from_secs(5), async {
        while !ctx.cancel.is_canceled() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_panic_in_a_store_is_an_error_and_not_a_short_answer() {
    let running = Running::start(Memory { panic_at: Some(150), ..counted(300) }).await;
    let e = frames(&running, all()).await.unwrap_err();
    assert_eq!(e.code(), Code::Internal, "{e}");
}

#[tokio::test]
async fn info_and_health_and_what_is_not_there() {
    let running = Running::start(counted(1)).await;
    let mut info = InfoClient::new(common::channel(running.address).await);
    let got = info.info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!(got.component_type, running.facts.0.component);
    let store = got.store.unwrap();
    assert_eq!((store.min_time, store.max_time), (0, i64::MAX));
    assert!(store.supports_sharding && store.supports_without_replica_labels);
    assert_eq!(store.tsdb_infos.len(), 1);
    let ours = got.dolmen.unwrap();
    assert_eq!((ours.version.as_str(), ours.parts), ("1.2.3", true));

    let mut health = HealthClient::new(running.channel.clone());
    let got = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(got.status, ServingStatus::Serving as i32);

    let mut grpc = tonic::client::Grpc::new(running.channel.clone());
    for path in ["/thanos.Store/NoSuch", "/thanos.Rules/Rules"] {
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<InfoRequest, InfoRequest>::default();
        let path = http::uri::PathAndQuery::from_static(path);
        let e = grpc.unary(tonic::Request::new(InfoRequest {}), path, codec).await.unwrap_err();
        assert_eq!(e.code(), Code::Unimplemented, "{e}");
    }
}

#[tokio::test]
async fn a_door_that_answers_503_is_unavailable() {
    let refuse = || async { (http::StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "2")], "not ready\n") };
    let router = axum::Router::new().fallback(refuse);
    let listener = Listener::bind("--grpc-address", "127.0.0.1:0").await.unwrap();
    let channel = common::channel(listener.address()).await;
    let shutdown = Shutdown::new();
    tokio::spawn(serve_http(listener, router, HttpSettings::default(), shutdown.clone()));
    for compress in [true, false] {
        let channel = SnappyChannel::new(channel.clone(), compress, 1 << 20);
        let e = StoreClient::new(channel).series(all()).await.unwrap_err();
        assert_eq!((e.code(), e.message()), (Code::Unavailable, "HTTP status 503 Service Unavailable"));
    }
    shutdown.trigger();
}

#[tokio::test]
async fn snappy_over_the_wire_both_ways() {
    let running = Running::start(counted(3000)).await;
    let plain = frames(&running, SeriesRequest { response_batch_size: 64, ..all() }).await.unwrap();
    for compress in [true, false] {
        let mut client = StoreClient::new(SnappyChannel::new(running.channel.clone(), compress, 64 << 20));
        let r = SeriesRequest { response_batch_size: 64, ..all() };
        let mut stream = client.series(r).await.unwrap().into_inner();
        let mut got = Vec::new();
        while let Some(frame) = stream.message().await.unwrap() {
            got.push(frame);
        }
        assert!(got == plain, "{compress}");
        let e = client.series(ask(&[("a", 2, "(")])).await.unwrap_err();
        assert_eq!(e.code(), Code::InvalidArgument);
        let names = LabelNamesRequest { end: 1000, ..LabelNamesRequest::default() };
        assert_eq!(client.label_names(names).await.unwrap().into_inner().names, ["__name__", "i"]);
    }
    // A message of the answer that is larger than the client allows.
    let mut client = StoreClient::new(SnappyChannel::new(running.channel.clone(), true, 1000));
    let mut stream =
        client.series(SeriesRequest { response_batch_size: -1, ..all() }).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap_err().code(), Code::ResourceExhausted);
}
