//! Stores that are slow: nobody waits longer than was said.

use std::sync::atomic::Ordering;
use std::time::Instant;

use dolmen_model::Kind;
use dolmen_storage::LabelAsk;
use prost::Message;

use super::*;
use crate::server::{OK, messages};

const SLEEP: Duration = Duration::from_secs(60);

fn one() -> Step {
    Step::Message(frame(series(&[("a", "1")], &[(100, 200, "x")])).encode_to_vec())
}

/// Within the time, and not much later than it.
fn in_time(started: Instant, time: Duration) {
    let took = started.elapsed();
    assert!(took >= time && took < time + Duration::from_millis(1500), "took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_store() {
    for steps in [|| vec![Step::Sleep(SLEEP), OK], || vec![one(), Step::Sleep(SLEEP), OK]] {
        let started = Instant::now();
        let got = answered(steps, &select(&[]), &facts(false)).await;
        in_time(started, TIMEOUT);
        assert_eq!(got.end.unwrap_err().kind(), Kind::Retry);
    }
    let server = Server::start(|_, _| vec![Step::Sleep(SLEEP)]).await;
    let client = StoreClient::new(&server.address, settings()).unwrap();
    let started = Instant::now();
    let labels = client.labels(&ctx(), &select(&[]), LabelAsk::Names, &facts(false), &origin()).await;
    in_time(started, TIMEOUT);
    assert_eq!(labels.unwrap_err().to_string(), "no answer in 400ms");
    let info = client.info().await;
    assert_eq!(info.unwrap_err().to_string(), "no answer in 400ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_a_pause_is_kept() {
    let steps = || {
        let more = frame(series(&[("a", "2")], &[(100, 200, "y")])).encode_to_vec();
        vec![one(), Step::Message(more), Step::Sleep(SLEEP), OK]
    };
    // With labels to take out all is kept until the end, and passed on nevertheless.
    for (without, sets) in [(&[][..], 1), (&["r"][..], 2)] {
        let got = answered(steps, &select(without), &facts(false)).await;
        assert_eq!(got.sets().len(), sets);
        assert_eq!(got.error(), "no answer in 400ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_accepts_and_says_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = StoreClient::new(&listener.local_addr().unwrap().to_string(), settings()).unwrap();
    for _ in 0..2 {
        let started = Instant::now();
        let got = ask(&client, &ctx(), &select(&[]), &facts(false)).await;
        in_time(started, TIMEOUT);
        assert_eq!(got.error(), "no answer in 400ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = StoreClient::new(&format!("127.0.0.1:{port}"), settings()).unwrap();
    let got = ask(&client, &ctx(), &select(&[]), &facts(false)).await;
    assert_eq!(got.error(), "connection refused");
    assert_eq!(got.end.unwrap_err().kind(), Kind::Retry);
    let client = StoreClient::new("no-such-name.invalid:1", settings()).unwrap();
    let e = client.info().await.unwrap_err();
    assert_eq!(e.kind(), Kind::Retry);
    assert!(!e.to_string().contains(['{', '(']), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_drips() {
    let drip = || {
        let one = frame(series(&[("a", "1")], &[])).encode_to_vec();
        let pause = Duration::from_millis(50);
        let drop = |_| [Step::Sleep(pause), Step::Message(one.clone())];
        (0..1000).flat_map(drop).chain([OK]).collect::<Vec<_>>()
    };
    let server = Server::start(move |_, _| drip()).await;
    let client = StoreClient::new(&server.address, settings()).unwrap();
    let deadline = Some(Instant::now() + Duration::from_secs(2));
    let started = Instant::now();
    let got = ask(&client, &Ctx { deadline, ..ctx() }, &select(&[]), &facts(false)).await;
    in_time(started, Duration::from_millis(1590));
    assert_eq!(got.error(), "no end in 1600ms");
    assert_eq!(got.end.unwrap_err().kind(), Kind::Retry);
    // A query that has no time itself says nothing of the store.
    let deadline = Some(Instant::now() + Duration::from_millis(100));
    let got = ask(&client, &Ctx { deadline, ..ctx() }, &select(&[]), &facts(false)).await;
    assert_eq!((got.error().as_str(), got.end.unwrap_err().kind()), ("no end in 100ms", Kind::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_always_has_more() {
    let server = Server::start(|_, _| {
        let one = frame(series(&[("a", "1")], &[])).encode_to_vec();
        vec![Step::Repeat(u64::MAX, Box::new(move |_| one.clone()))]
    })
    .await;
    let patient = ClientSettings { max_answer_bytes: u64::MAX, ..settings() };
    let client = StoreClient::new(&server.address, patient).unwrap();
    let bare = Select { values: dolmen_storage::Values::None, ..select(&[]) };
    for asked in [bare, select(&[])] {
        let ctx = Ctx { deadline: Some(Instant::now() + Duration::from_secs(1)), ..ctx() };
        let started = Instant::now();
        let got = ask(&client, &ctx, &asked, &facts(false)).await;
        in_time(started, Duration::from_millis(750));
        assert_eq!(got.error(), "no end in 800ms");
        assert!(ctx.budget.peak() < BUDGET / 2, "{}", ctx.budget.peak());
    }
    // What is kept until the end is given up: no time is left for it.
    let few = ClientSettings { response_timeout: SLEEP, ..settings() };
    let server = Server::start(|_, _| vec![one(), Step::Sleep(SLEEP)]).await;
    let client = StoreClient::new(&server.address, few).unwrap();
    let ctx = Ctx { deadline: Some(Instant::now() + Duration::from_secs(1)), ..ctx() };
    let got = ask(&client, &ctx, &select(&["r"]), &facts(false)).await;
    assert_eq!((got.error().as_str(), got.series.len()), ("no end in 800ms", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_no_slow_store() {
    let server = Server::start(|_, _| {
        let all = (0..2000).map(|i| {
            let name = format!("{i:05}");
            frame(series(&[("a", &name)], &[(100, 200, "x")]))
        });
        messages(all)
    })
    .await;
    let client = StoreClient::new(&server.address, settings()).unwrap();
    let ctx = Ctx { deadline: Some(Instant::now() + Duration::from_secs(2)), ..ctx() };
    let mut stream = client.select(&ctx, &select(&[]), &facts(false), &origin()).await.unwrap();
    let mut n = 0;
    while let Some(frame) = stream.next().await {
        if let Frame::Batch(batch) = frame.unwrap() {
            n += batch.series.len();
            tokio::time::sleep(TIMEOUT + TIMEOUT / 4).await;
        }
    }
    assert_eq!(n, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_ends_the_call() {
    let endless = |_: &str, _: &[u8]| {
        let one = frame(series(&[("a", "1")], &[])).encode_to_vec();
        vec![Step::Message(one.clone()), Step::Message(one), Step::Sleep(SLEEP), OK]
    };
    let server = Server::start(endless).await;
    let client =
        StoreClient::new(&server.address, ClientSettings { response_timeout: SLEEP, ..settings() }).unwrap();
    // By dropping the stream.
    let stream = client.select(&ctx(), &select(&[]), &facts(false), &origin()).await.unwrap();
    drop(stream);
    // By the token.
    let ctx = ctx();
    let mut stream = client.select(&ctx, &select(&[]), &facts(false), &origin()).await.unwrap();
    let token = ctx.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        token.cancel();
    });
    let started = Instant::now();
    let e = stream.next().await.unwrap().unwrap_err();
    assert_eq!(e.kind(), Kind::Canceled);
    in_time(started, Duration::from_millis(100));
    drop(stream);
    for _ in 0..100 {
        if server.over.load(Ordering::SeqCst) == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} of 2 calls ended", server.over.load(Ordering::SeqCst));
}
