//! Our client on our server: what comes out is what went in.

use dolmen_model::Missing;
use dolmen_storage::{LabelAsk, Queryable, Values};

use super::*;
use crate::common::{Memory, MemorySeries, Running, chunk};

fn memory() -> Memory {
    let one = |i: i64| MemorySeries {
        parts: vec![
            ("r0", (0..i % 4).map(|c| chunk(100 * c, 100 * c + 90, i)).collect()),
            ("r1", vec![chunk(0, 250, i + 1)]),
            // From another place, over the first.
            ("r0", vec![chunk(50, 150, i)]),
        ],
        ..MemorySeries::floats(&[("__name__", "m"), ("n", &format!("{i:04}")), ("site", "dc-a")], &[])
    };
    let missing = Missing {
        site: "dc-c".into(),
        store: "c:1".into(),
        range: TimeRange::new(100, 200).unwrap(),
        cause: "gone".to_owned(),
    };
    Memory {
        series: (0..900).map(one).collect(),
        lacks: Completeness { missing: vec![missing] },
        ..Memory::default()
    }
}

/// By label set: chunks by source, in the order of time.
async fn content(mut stream: dolmen_storage::FrameStream) -> (Vec<(Labels, Vec<String>)>, Completeness) {
    let mut all = Vec::new();
    while let Some(frame) = stream.next().await {
        match frame.unwrap() {
            Frame::Batch(batch) => all.extend(batch.series.iter().map(|s| {
                let chunks =
                    s.parts.iter().flat_map(|p| p.chunks.iter().map(move |c| (p.source.as_str(), c)));
                let mut chunks: Vec<String> =
                    chunks.map(|(s, c)| format!("{s} {} {} {:?}", c.mint, c.maxt, c.data)).collect();
                chunks.sort();
                (batch.labels.get(s.label).to_labels(), chunks)
            })),
            Frame::End(completeness) => return (all, completeness),
        }
    }
    panic!("a stream without an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_out_is_what_went_in() {
    let running = Running::start(memory()).await;
    for snappy in [false, true] {
        let settings = ClientSettings { snappy, ..ClientSettings::default() };
        let client = StoreClient::new(&running.address.to_string(), settings).unwrap();
        let facts = client.info().await.unwrap();
        assert_eq!(facts, running.facts.0);
        for values in [Values::Samples, Values::None] {
            let select = Select { values, ..select(&["replica"]) };
            let ctx = Ctx::unbounded();
            let want = content(memory().select(&ctx, &select).await.unwrap()).await;
            let got = content(client.select(&ctx, &select, &facts, &origin()).await.unwrap()).await;
            assert_eq!(got.0.len(), 900);
            assert!(got == want);
            assert_eq!(ctx.budget.used(), 0);
        }
        for ask in [LabelAsk::Names, LabelAsk::Values("n".into()), LabelAsk::Values("none".into())] {
            let want = memory().labels(&ctx(), &select(&[]), ask.clone()).await.unwrap();
            let got = client.labels(&ctx(), &select(&[]), ask, &facts, &origin()).await.unwrap();
            assert_eq!((got.value, got.completeness), (want.value, want.completeness));
        }
    }
}
