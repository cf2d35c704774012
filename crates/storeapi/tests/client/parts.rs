//! What is asked, and what becomes of the answer: toward another Dolmen, and toward Thanos.

use std::num::NonZeroU64;
use std::sync::Mutex;

use dolmen_model::{MatchOp, Matcher};
use dolmen_proto::thanos::{Missing, SeriesBatch, SeriesRequest};
use dolmen_storage::Values;
use prost::Message;

use super::*;
use crate::server::messages;

#[tokio::test(flavor = "multi_thread")]
async fn another_dolmen_says_whose_parts_are_whose() {
    let frames = || {
        let missing = |site: &str, store: &str, min_time, max_time| Missing {
            site: site.into(),
            store: store.into(),
            min_time,
            max_time,
            cause: "gone".into(),
        };
        vec![
            frame(run_series(
                &[("a", "1")],
                &[(100, 200, "1"), (201, 300, "2"), (100, 300, "3")],
                &[("\u{1f}x", 2), ("\u{1f}y", 1)],
            )),
            // A further piece: more of the second, a third.
            frame(run_series(&[("a", "1")], &[(301, 400, "4"), (100, 400, "5")], &[("\u{1f}y", 1), ("", 1)])),
            frame(series(&[("a", "2")], &[(100, 200, "6")])),
            // Of time that was not asked for, nothing is missing.
            end(vec![
                missing("", "", 0, 199),
                missing("dc-c", "c:1", 100, 199),
                missing("dc-d", "d:1", 0, 99),
            ]),
        ]
    };
    // Who asks others knows what others lack; from a store that asks nobody it is its own.
    let asker = StoreFacts { component: "query".into(), ..facts(true) };
    let own = answered(move || messages(frames()), &select(&["dolmen", "r"]), &facts(true)).await;
    let stores: Vec<_> = own.end.unwrap().missing.iter().map(|m| m.store.clone()).collect();
    assert_eq!(stores, ["b:1"]);
    let got = answered(move || messages(frames()), &select(&["dolmen", "r"]), &asker).await;
    let parts = |i: usize| got.series[i].1.iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(got.sets(), [r#"{a="1", site="dc-b"}"#, r#"{a="2", site="dc-b"}"#]);
    assert_eq!(parts(0), ["\u{1f}x:1,2", "\u{1f}y:3,4", ":5"]);
    assert_eq!(parts(1), [":6"]);
    let missing = got.end.unwrap().missing;
    let shown: Vec<_> = missing.iter().map(|m| (&m.site[..], &m.store[..], &m.cause[..], m.range)).collect();
    let range = TimeRange::new(100, 200).unwrap();
    assert_eq!(shown, [("dc-b", "b:1", "gone", range), ("dc-c", "c:1", "gone", range)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_do_not_add_up() {
    for runs in [&[("x", 1)][..], &[("x", 3)], &[("x", 2), ("y", 0)], &[("x", u32::MAX), ("y", 1)]] {
        let series = run_series(&[("a", "1")], &[(1, 2, "1"), (3, 4, "2")], runs);
        let frames = vec![frame(series), end(vec![])];
        let got = answered(move || messages(frames.clone()), &select(&[]), &facts(true)).await;
        assert!(got.error().starts_with("series with 2 chunks in runs of "), "{}", got.error());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_thanos_replica_labels_are_taken_out_here() {
    let frames = || {
        vec![
            frame(series(&[("a", "1"), ("r", "0"), ("z", "1")], &[(100, 200, "1"), (201, 300, "2")])),
            frame(series(&[("a", "1"), ("r", "0"), ("z", "1")], &[(201, 300, "2"), (301, 400, "3")])),
            frame(series(&[("a", "1"), ("r", "1"), ("z", "0")], &[(100, 200, "4")])),
            frame(series(&[("a", "1"), ("r", "1"), ("z", "1")], &[(100, 200, "5")])),
            frame(series(&[("a", "1"), ("z", "0")], &[(100, 200, "6")])),
            frame(series(&[("b", "1"), ("dolmen", "local")], &[(100, 200, "7")])),
            frame(series(&[("b", "2"), ("dolmen", "self")], &[(100, 200, "8")])),
        ]
    };
    // The label `site` that all have sorts between.
    let order = |mut frames: Vec<SeriesResponse>| {
        for f in &mut frames {
            let Some(Item::Series(s)) = &mut f.result else { continue };
            s.labels.sort_by(|a, b| a.name.cmp(&b.name));
        }
        frames
    };
    let got =
        answered(move || messages(order(frames())), &select(&["r", "dolmen", "r"]), &facts(false)).await;
    let want = [
        (r#"{a="1", site="dc-b", z="0"}"#, vec!["\u{1f}1:4", ":6"]),
        (r#"{a="1", site="dc-b", z="1"}"#, vec!["\u{1f}0:1,2,3", "\u{1f}1:5"]),
        (r#"{b="1", site="dc-b"}"#, vec![":7"]),
        (r#"{b="2", site="dc-b"}"#, vec!["self\u{1f}:8"]),
    ];
    let got_series: Vec<_> = got
        .series
        .iter()
        .map(|(l, p)| (l.as_str(), p.iter().map(String::as_str).collect::<Vec<_>>()))
        .collect();
    assert_eq!(got_series, want);
    assert!(got.end.unwrap().is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_hold_no_more_than_they_may() {
    let frames = || {
        let one = |i: u32| series(&[("a", &format!("{i:05}"))], &[(100, 200, "x")]);
        let batch = |from: u32| {
            let series = (from..from + 700).map(one).collect();
            SeriesResponse { result: Some(Item::Batch(SeriesBatch { series })), end: None }
        };
        messages([batch(0), batch(700), batch(1400)])
    };
    for without in [&[][..], &["r"]] {
        let got = answered(frames, &select(without), &facts(false)).await;
        assert_eq!(got.series.len(), 2100);
        assert!(got.sets().is_sorted());
    }
    let limited = Select { limit: NonZeroU64::new(300), ..select(&["r"]) };
    assert_eq!(answered(frames, &limited, &facts(false)).await.series.len(), 300);
    let limited = Select { limit: NonZeroU64::new(300), ..select(&[]) };
    assert_eq!(answered(frames, &limited, &facts(false)).await.series.len(), 300);
    let bare = Select { values: Values::None, ..select(&[]) };
    let got = answered(frames, &bare, &facts(false)).await;
    assert!(got.series.len() == 2100 && got.series.iter().all(|(_, parts)| parts.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked() {
    let asked: Arc<Mutex<Vec<SeriesRequest>>> = Arc::default();
    let server = Server::start({
        let asked = asked.clone();
        move |path, message| {
            assert_eq!(path, "/thanos.Store/Series");
            asked.lock().unwrap().push(SeriesRequest::decode(message).unwrap());
            messages([end(vec![])])
        }
    })
    .await;
    let client = StoreClient::new(&server.address, settings()).unwrap();
    let matchers = vec![Matcher::new(MatchOp::Re, "site", "dc-.").unwrap()];
    let select = Select { limit: NonZeroU64::new(5), matchers: matchers.into(), ..select(&["r"]) };
    for parts in [true, false] {
        assert!(ask(&client, &ctx(), &select, &facts(parts)).await.end.unwrap().is_complete());
    }
    let asked = asked.lock().unwrap();
    let [ours, thanos] = &asked[..] else { panic!("{} requests", asked.len()) };
    assert_eq!((ours.min_time, ours.max_time, ours.response_batch_size), (100, 999, 64));
    assert_eq!(ours.parts.as_ref().unwrap().without, ["r"]);
    assert_eq!((ours.limit, thanos.limit), (5, 0));
    assert!(thanos.parts.is_none() && thanos.without_replica_labels.is_empty());
    // Thanos answers nothing where only external labels are asked for.
    let names = |r: &SeriesRequest| r.matchers.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(ours), names(thanos)), (vec!["site".into()], vec!["site".into(), "__name__".into()]));
}
