//! Stores that do what no store may.

use std::sync::atomic::Ordering;

use bytes::{BufMut, Bytes, BytesMut};
use dolmen_model::{Kind, Matcher};
use dolmen_proto::thanos::{LabelNamesResponse, SeriesBatch};
use dolmen_storage::LabelAsk;
use prost::Message;

use super::*;
use crate::server::{OK, framed, messages};

async fn all(frames: Vec<SeriesResponse>, facts: &StoreFacts) -> Got {
    answered(move || messages(frames.clone()), &select(&[]), facts).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_rules_is_named_and_what_came_before_is_kept() {
    let good = |a: &str| frame(series(&[("a", a)], &[(100, 200, "x")]));
    let bad_chunk = |edit: fn(&mut AggrChunk)| {
        let mut s = series(&[("a", "9")], &[(100, 200, "x")]);
        edit(&mut s.chunks[0]);
        frame(s)
    };
    let mut foreign = series(&[("a", "9")], &[(100, 200, "x")]);
    foreign.labels[1].value = "dc-a".into();
    let cases = [
        (good("0"), r#"series out of order: {a="0", site="dc-b"} after {a="2", site="dc-b"}"#),
        (frame(foreign), r#"foreign labels: {a="9", site="dc-a"}, the store's site is "dc-b""#),
        (frame(series(&[("b", "1"), ("a", "1")], &[])), ""),
        (bad_chunk(|c| c.max_time = 99), "chunk that begins at 100 and ends at 99"),
        (bad_chunk(|c| c.raw = None), "chunk without raw samples"),
        (bad_chunk(|c| c.raw.as_mut().unwrap().data = Bytes::new()), "chunk without data"),
        (bad_chunk(|c| c.raw.as_mut().unwrap().r#type = 17), "chunk of unknown encoding 17"),
    ];
    for (bad, why) in cases {
        let got = all(vec![good("1"), good("2"), bad], &facts(false)).await;
        let e = got.end.as_ref().unwrap_err();
        assert_eq!(e.kind(), Kind::Corrupt, "{e}");
        assert!(why.is_empty() || e.to_string() == why, "{e}");
        // The last one may have had further pieces.
        assert_eq!(got.sets()[0], r#"{a="1", site="dc-b"}"#);
    }
    let asked = Select { matchers: vec![Matcher::eq("a", "1")].into(), ..select(&[]) };
    let frames = vec![good("1"), good("2")];
    let got = answered(move || messages(frames.clone()), &asked, &facts(false)).await;
    assert_eq!(got.error(), r#"series that was not asked for: {a="2", site="dc-b"} for {a="1"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message() {
    for bytes in [&b"\xff\xff\xff"[..], b"\x0a\x7f", b"\x0b", b"\x0a\x03\x0a\x01\xff"] {
        let got =
            answered(move || vec![Step::Message(bytes.to_vec()), OK], &select(&[]), &facts(false)).await;
        assert_eq!(got.end.unwrap_err().kind(), Kind::Corrupt);
    }
    // No gRPC at all.
    let http = || vec![Step::Raw(Bytes::from_static(b"HTTP/1.1 200 OK"))];
    let e = answered(http, &select(&[]), &facts(false)).await.end.unwrap_err();
    assert_eq!(e.kind(), Kind::Refused, "{e}");
}

/// Made of a good frame and a good end.
type Steps = fn(&dyn Fn() -> Step, &dyn Fn() -> Step) -> Vec<Step>;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_ends() {
    let good = || Step::Message(frame(series(&[("a", "1")], &[(100, 200, "x")])).encode_to_vec());
    let whole = || Step::Message(end(vec![]).encode_to_vec());
    let cases: [(Steps, bool, &str); 7] = [
        (|good, _| vec![good()], false, "Unknown: protocol error: missing grpc-status trailer"),
        (|good, _| vec![good(), Step::Break], false, ""),
        (|good, _| vec![good(), Step::Status(14, "going%20away%0A")], false, "Unavailable: going away "),
        (|good, _| vec![good(), OK], true, "stream stopped without an end"),
        (|good, end| vec![good(), end()], true, "Unknown: protocol error: missing grpc-status trailer"),
        (|good, end| vec![good(), end(), good(), OK], true, "a frame after the end"),
        (
            |good, _| vec![good(), Step::Raw(Bytes::from_static(&[0, 0, 0, 0, 9, 1])), OK],
            false,
            "stream stopped within a frame",
        ),
    ];
    for (steps, parts, why) in cases {
        let got = answered(move || steps(&good, &whole), &select(&[]), &facts(parts)).await;
        let e = got.end.unwrap_err();
        assert!(matches!(e.kind(), Kind::Retry | Kind::Refused | Kind::Corrupt), "{e:?}");
        assert!(e.to_string().starts_with(why), "{e}");
        assert!(e.to_string().chars().all(|c| !c.is_control()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_a_gigabyte_is_refused_before_it_is_taken() {
    let announced = || {
        let mut head = BytesMut::new();
        head.put_u8(0);
        head.put_u32(1 << 30);
        let zeros = Bytes::from(vec![0; 1 << 20]);
        std::iter::once(Step::Raw(head.freeze()))
            .chain((0..1024).map(move |_| Step::Raw(zeros.clone())))
            .collect()
    };
    let server = Server::start(move |_, _| announced()).await;
    let client = StoreClient::new(&server.address, settings()).unwrap();
    let ctx = ctx();
    let got = ask(&client, &ctx, &select(&[]), &facts(false)).await;
    assert_eq!(got.error(), "frame of 1073741824 bytes, the limit is 67108864");
    assert_eq!(got.end.unwrap_err().kind(), Kind::Corrupt);
    assert!(ctx.budget.peak() < 1 << 20);
    // What the connection takes unasked.
    assert!(server.sent.load(Ordering::SeqCst) < 32 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_a_query_may_take_fails_the_query() {
    // A frame that is allowed, and larger than the query's memory.
    let one = || vec![Step::Raw(framed(&vec![0; 32 << 20])), OK];
    let server = Server::start(move |_, _| one()).await;
    let client = StoreClient::new(&server.address, settings()).unwrap();
    let ctx = ctx();
    let got = ask(&client, &ctx, &select(&[]), &facts(false)).await;
    let e = got.end.unwrap_err();
    assert_eq!(e.kind(), Kind::Limit);
    assert!(e.to_string().starts_with("query memory of 8388608 bytes would be passed"), "{e}");
    assert!(ctx.budget.peak() <= BUDGET);
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_without_end() {
    let padding = "x".repeat(1000);
    let endless = move |_: &str, _: &[u8]| {
        let padding = padding.clone();
        let message = move |i: u64| {
            let name = format!("{i:020}{padding}");
            frame(series(&[("a", &name)], &[(100, 200, "x")])).encode_to_vec()
        };
        vec![Step::Repeat(u64::MAX, Box::new(message))]
    };
    let server = Server::start(endless).await;
    let limited = ClientSettings { max_answer_bytes: 16 << 20, ..settings() };
    let client = StoreClient::new(&server.address, limited).unwrap();
    let ctx = ctx();
    let got = ask(&client, &ctx, &select(&[]), &facts(false)).await;
    assert_eq!(got.error(), "answer of more than 16777216 bytes");
    assert!(got.series.len() > 5_000);
    assert!(ctx.budget.peak() < BUDGET, "{}", ctx.budget.peak());
    // Where all is kept until the end, the query's memory ends it.
    let got = ask(&client, &ctx, &select(&["r"]), &facts(false)).await;
    assert_eq!(got.end.unwrap_err().kind(), Kind::Limit);
    let limited = ClientSettings { max_answer_bytes: BUDGET / 4, ..settings() };
    let client = StoreClient::new(&server.address, limited).unwrap();
    let got = ask(&client, &ctx, &select(&["r"]), &facts(false)).await;
    assert_eq!(got.error(), "answer of more than 2097152 bytes");
    assert!(got.series.len() > 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_of_one_series_without_end() {
    let endless = |_: &str, _: &[u8]| {
        let one = frame(series(&[("a", "1")], &[])).encode_to_vec();
        vec![Step::Repeat(u64::MAX, Box::new(move |_| one.clone()))]
    };
    let server = Server::start(endless).await;
    let limited = ClientSettings { max_answer_bytes: 4 << 20, ..settings() };
    let client = StoreClient::new(&server.address, limited).unwrap();
    let got = ask(&client, &ctx(), &select(&[]), &facts(false)).await;
    assert!(got.error().starts_with("answer of more than") || got.error().starts_with("query memory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_hold_nothing() {
    let floods: [fn(u64) -> SeriesResponse; 3] = [
        |i| warning(&format!("warning {i}")),
        |_| SeriesResponse::default(),
        |_| SeriesResponse { result: Some(Item::Batch(SeriesBatch::default())), end: None },
    ];
    for flood in floods {
        let steps = move || vec![Step::Repeat(u64::MAX, Box::new(move |i| flood(i).encode_to_vec()))];
        let got = answered(steps, &select(&[]), &facts(false)).await;
        assert_eq!(got.error(), "more than 10000 frames without series");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_are_lacks() {
    let frames = || (0..100).map(|i| warning(&format!("warning {i}\n{}", "x".repeat(500))));
    let got = answered(move || messages(frames()), &select(&[]), &facts(false)).await;
    let missing = got.end.unwrap().missing;
    assert_eq!(missing.len(), 32);
    for m in &missing {
        assert_eq!((&m.site[..], &m.store[..], m.range), ("dc-b", "b:1", select(&[]).range));
        assert!(m.cause.starts_with("warning ") && m.cause.chars().count() == 201, "{}", m.cause);
    }
}

/// A message of one field that comes so often, empty.
fn many(field: u8, n: usize) -> Vec<u8> {
    [field, 0].repeat(n)
}

fn nested(field: &[u8], message: &[u8]) -> Vec<u8> {
    let mut out = field.to_vec();
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    out.extend_from_slice(message);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn small_bytes_that_would_become_large() {
    const N: usize = 2 << 20;
    let end = nested(&[0xc2, 0x3e], &many(0x0a, N));
    let labels = nested(&[0x0a], &many(0x0a, N));
    let chunks = nested(&[0x0a], &many(0x12, N));
    let batch = nested(&[0x22], &many(0x0a, N));
    for (message, why) in [
        (labels, "series with more than 16384 labels"),
        (chunks, "query memory of 8388608 bytes would be passed"),
        (end, "more than 1000 lacks in one answer"),
        (batch, ""),
    ] {
        let message = Bytes::from(message);
        let ctx = ctx();
        let server = Server::start(move |_, _| vec![Step::Message(message.to_vec()), OK]).await;
        let client = StoreClient::new(&server.address, settings()).unwrap();
        let got = ask(&client, &ctx, &select(&[]), &facts(true)).await;
        assert!(got.error().starts_with(why), "{}", got.error());
        assert!(ctx.budget.peak() <= BUDGET);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strings_without_measure() {
    let message = many(0x0a, 2 << 20);
    let server = Server::start(move |path, _| match path {
        "/thanos.Store/LabelValues" => vec![Step::Message(message.clone()), OK],
        _ => {
            let names = ["b", "a", "", "r", "a"].map(str::to_owned).to_vec();
            messages([LabelNamesResponse { names, warnings: vec!["w".into()], ..Default::default() }])
        }
    })
    .await;
    let client = StoreClient::new(&server.address, settings()).unwrap();
    let values = LabelAsk::Values("a".into());
    let e = client.labels(&ctx(), &select(&[]), values, &facts(false), &origin()).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Limit);
    let names =
        client.labels(&ctx(), &select(&["r"]), LabelAsk::Names, &facts(false), &origin()).await.unwrap();
    assert_eq!(names.value, ["a", "b"]);
    assert_eq!(names.completeness.missing.len(), 1);
    let none = LabelAsk::Values("r".into());
    let none = client.labels(&ctx(), &select(&["r"]), none, &facts(false), &origin()).await.unwrap();
    assert!(none.value.is_empty() && none.completeness.is_complete());
}
