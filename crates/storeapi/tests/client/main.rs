//! The client against stores that are slow, broken or hostile: each ends in time, in bounded memory, with a text
//! that says what was wrong; what came before stays valid.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

#[path = "../common/mod.rs"]
#[allow(dead_code, reason = "the tests of the server use all of it")]
mod common;
mod deadlines;
mod hostile;
mod ours;
mod parts;
mod server;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use dolmen_ctx::{Budget, Ctx};
use dolmen_model::{Completeness, Error, Labels, TimeRange};
use dolmen_proto::thanos::series_response::Result as Item;
use dolmen_proto::thanos::{AggrChunk, Chunk, Label, Run, Series, SeriesEnd, SeriesResponse};
use dolmen_storage::{Frame, Origin, Select};
use dolmen_storeapi::{ClientSettings, StoreClient, StoreFacts};
use futures::StreamExt;
use server::{Server, Step};

/// Time from frame to frame, in these tests.
const TIMEOUT: Duration = Duration::from_millis(400);
/// What a query may take, in these tests.
const BUDGET: u64 = 8 << 20;

fn settings() -> ClientSettings {
    ClientSettings { response_timeout: TIMEOUT, ..ClientSettings::default() }
}

fn facts(parts: bool) -> StoreFacts {
    StoreFacts {
        component: "store".into(),
        label_sets: vec![Labels::from_pairs([("site", "dc-b")])],
        range: TimeRange::new(0, i64::MAX),
        tsdbs: Vec::new(),
        without: parts,
        sharding: false,
        parts,
        ..StoreFacts::default()
    }
}

fn origin() -> Arc<Origin> {
    Arc::new(Origin { site: "dc-b".into(), store: "b:1".into() })
}

fn ctx() -> Ctx {
    Ctx { budget: Budget::new("query memory", BUDGET), ..Ctx::unbounded() }
}

fn select(without: &[&str]) -> Select {
    let without = without.iter().map(|n| (*n).into()).collect();
    Select { without, ..Select::new(TimeRange::new(100, 1000).unwrap(), []) }
}

/// A series of the store's site.
fn series(labels: &[(&str, &str)], chunks: &[(i64, i64, &str)]) -> Series {
    let mut labels: Vec<Label> =
        labels.iter().map(|(n, v)| Label { name: (*n).into(), value: (*v).into() }).collect();
    labels.push(Label { name: "site".into(), value: "dc-b".into() });
    let chunk = |(mint, maxt, data): &(i64, i64, &str)| AggrChunk {
        min_time: *mint,
        max_time: *maxt,
        raw: Some(Chunk { data: data.as_bytes().to_vec().into(), ..Chunk::default() }),
        ..AggrChunk::default()
    };
    Series { labels, chunks: chunks.iter().map(chunk).collect(), runs: Vec::new() }
}

/// The same with runs.
fn run_series(labels: &[(&str, &str)], chunks: &[(i64, i64, &str)], runs: &[(&str, u32)]) -> Series {
    let runs = runs.iter().map(|(source, chunks)| Run { source: (*source).into(), chunks: *chunks });
    Series { runs: runs.collect(), ..series(labels, chunks) }
}

fn frame(series: Series) -> SeriesResponse {
    SeriesResponse { result: Some(Item::Series(series)), end: None }
}

fn end(missing: Vec<dolmen_proto::thanos::Missing>) -> SeriesResponse {
    SeriesResponse { result: None, end: Some(SeriesEnd { missing }) }
}

fn warning(text: &str) -> SeriesResponse {
    SeriesResponse { result: Some(Item::Warning(text.into())), end: None }
}

/// What a select gave: label sets with their parts as `source:data,data`, and how it ended.
struct Got {
    series: Vec<(String, Vec<String>)>,
    end: Result<Completeness, Error>,
}

impl Got {
    fn sets(&self) -> Vec<&str> {
        self.series.iter().map(|(labels, _)| labels.as_str()).collect()
    }

    fn error(&self) -> String {
        self.end.as_ref().expect_err("a failure").to_string()
    }
}

async fn ask(client: &StoreClient, ctx: &Ctx, select: &Select, facts: &StoreFacts) -> Got {
    let mut got = Got { series: Vec::new(), end: Ok(Completeness::complete()) };
    let mut stream = match client.select(ctx, select, facts, &origin()).await {
        Ok(stream) => stream,
        Err(e) => {
            got.end = Err(e);
            return got;
        }
    };
    loop {
        match stream.next().await {
            Some(Ok(Frame::Batch(batch))) => {
                assert!(batch.series.len() <= 256);
                assert!(batch.held.bytes() >= batch.labels.bytes() as u64);
                for s in &batch.series {
                    let part = |p: &dolmen_storage::Part| {
                        assert!(p.chunks.is_sorted_by(|a, b| a.maxt < b.mint));
                        let chunks = p.chunks.iter().map(|c| String::from_utf8_lossy(&c.data).into_owned());
                        format!("{}:{}", p.source.as_str(), chunks.collect::<Vec<_>>().join(","))
                    };
                    let labels = batch.labels.get(s.label).to_string();
                    got.series.push((labels, s.parts.iter().map(part).collect()));
                }
            }
            Some(Ok(Frame::End(completeness))) => {
                got.end = Ok(completeness);
                break;
            }
            Some(Err(e)) => {
                got.end = Err(e);
                break;
            }
            None => panic!("a stream without an end"),
        }
    }
    assert!(stream.next().await.is_none());
    drop(stream);
    assert_eq!(ctx.budget.used(), 0, "memory that was not given back");
    got
}

/// Asks a server of these steps.
async fn answered(
    steps: impl Fn() -> Vec<Step> + Send + Sync + 'static,
    select: &Select,
    facts: &StoreFacts,
) -> Got {
    let server = Server::start(move |_, _| steps()).await;
    let client = StoreClient::new(&server.address, settings()).unwrap();
    ask(&client, &ctx(), select, facts).await
}
