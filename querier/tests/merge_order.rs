//! Series leave the fan-out sorted, each once: random label sets in blocks, heads and stores behind gRPC, with random
//! external labels, some of them inside the label sets, and random replica labels taken away.
//!
//! The label `dolmen` is a replica label always, as in every query.
//!
//! `DOLMEN_MERGE_ORDER_SETS` says how many label sets are tried, 20,000 by default.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dolmen_block::meta::{Compaction, Thanos};
use dolmen_block::{BlockWriter, ChunkIn, MetaSeed, Ulid};
use dolmen_ctx::{Ctx, InlineCpu, ManualClock, RealDisk, SystemClock};
use dolmen_fanout::Fanout;
use dolmen_head::{Head, HeadMetrics, HeadReader, HeadSettings};
use dolmen_model::{Labels, SourceId, TimeRange};
use dolmen_service::{HttpSettings, Listener, Shutdown, serve_http};
use dolmen_source::{BlockReader, FileSource};
use dolmen_storage::{Appender, Frame, LabelBytes, Origin, Queryable, Select, WriteBatch, WriteSeries};
use dolmen_storeapi::{
    ClientSettings, Describe, ServerSettings, StoreApiMetrics, StoreClient, StoreFacts, StoreServer,
};
use dolmen_wal::WalMetrics;
use futures::StreamExt;
use prometheus_client::registry::Registry;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use smol_str::SmolStr;

const T: i64 = 1_000_000;

/// One store: where its series are, what labels it adds, its series.
#[derive(Clone, Debug)]
struct Member {
    kind: Kind,
    external: BTreeMap<String, String>,
    series: BTreeSet<BTreeMap<String, String>>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Head,
    Block,
    /// A block behind gRPC, asked as one Dolmen asks another.
    Dolmen,
    /// A block behind gRPC, asked as a Thanos store is: replica labels are taken away by who asks.
    Thanos,
}

/// Few names and values, so that sets are prefixes of each other and differ in labels that are taken away.
fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let named = "[ab]".prop_map(|name| ("__name__".to_owned(), name));
    let others = prop::collection::btree_map("[a-e]|ab|dolmen|r|A", "[a-c]{1,2}", 0..5);
    (named, others).prop_map(|(named, mut labels)| {
        labels.extend([named]);
        labels
    })
}

fn member() -> impl Strategy<Value = Member> {
    let kind = prop::sample::select(vec![Kind::Head, Kind::Block, Kind::Dolmen, Kind::Thanos]);
    let external = prop::collection::btree_map("[a-f]|r", "[a-c]", 0..3);
    let series = prop::collection::btree_set(labels(), 1..60);
    (kind, external, series).prop_map(|(kind, external, mut series)| {
        if matches!(kind, Kind::Head) {
            // The door lets no label into a head that is named like one of the receiver's own.
            let free = |labels: BTreeMap<String, String>| {
                labels.into_iter().filter(|(name, _)| !external.contains_key(name)).collect()
            };
            series =
                series.into_iter().map(free).filter(|labels: &BTreeMap<_, _>| !labels.is_empty()).collect();
        }
        if matches!(kind, Kind::Thanos) {
            // Our own label is never shown to who does not know it.
            series = series
                .into_iter()
                .map(|mut labels| {
                    labels.remove("dolmen");
                    labels
                })
                .collect();
        }
        Member { kind, external, series }
    })
}

/// What all hold together: by final label set, the replicas.
fn model(members: &[Member], without: &BTreeSet<SmolStr>) -> BTreeMap<Labels, BTreeSet<SourceId>> {
    let mut out: BTreeMap<Labels, BTreeSet<SourceId>> = BTreeMap::new();
    for member in members {
        for series in &member.series {
            let mut all = series.clone();
            all.extend(member.external.clone());
            let source =
                SourceId::new(without.iter().map(|name| match all.get(name.as_str()).map(String::as_str) {
                    Some("local") if name == "dolmen" => "",
                    value => value.unwrap_or_default(),
                }));
            let kept = Labels::from_pairs(all.iter().filter(|(n, _)| !without.contains(n.as_str())));
            out.entry(kept).or_default().insert(source);
        }
    }
    out
}

struct Served {
    queryable: Arc<dyn Queryable>,
    _dir: tempfile::TempDir,
    shutdown: Shutdown,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn open(member: &Member) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::new();
    let queryable: Arc<dyn Queryable> = match member.kind {
        Kind::Head => head(member, dir.path()).await,
        Kind::Block => block(member, dir.path()).await,
        Kind::Dolmen => behind_grpc(block(member, dir.path()).await, member, true, &shutdown).await,
        Kind::Thanos => behind_grpc(block(member, dir.path()).await, member, false, &shutdown).await,
    };
    Served { queryable, _dir: dir, shutdown }
}

async fn head(member: &Member, dir: &std::path::Path) -> Arc<dyn Queryable> {
    let settings = HeadSettings {
        external_labels: Labels::from_pairs(&member.external),
        sync: dolmen_wal::SyncMode::Never,
        ..HeadSettings::new(dir)
    };
    let metrics = (HeadMetrics::new(&mut Registry::default()), WalMetrics::new(&mut Registry::default()));
    let clock = Arc::new(ManualClock::new(T));
    let head = Head::open(settings, clock, Arc::new(RealDisk), metrics.0, metrics.1).unwrap();
    let hasher = head.key_hasher();
    let mut batch = WriteBatch::default();
    let mut body = Vec::new();
    for series in &member.series {
        let from = body.len() as u32;
        for (name, value) in series {
            let message =
                [&[0x0a, name.len() as u8], name.as_bytes(), &[0x12, value.len() as u8], value.as_bytes()];
            let message = message.concat();
            body.extend([0x0a, message.len() as u8]);
            body.extend(message);
        }
        let n = batch.t.len() as u32;
        batch.t.push(T);
        batch.v.push(1.0);
        batch.series.push(WriteSeries {
            key: hasher.key(&body[from as usize..]),
            labels: LabelBytes::Body(from..body.len() as u32),
            samples: n..n + 1,
            histograms: 0..0,
        });
    }
    batch.body = body.into();
    let report = head.append(&Ctx::unbounded(), batch).await.unwrap();
    assert!(report.rejected.is_empty(), "{report:?}");
    Arc::new(HeadReader::new(head))
}

async fn block(member: &Member, dir: &std::path::Path) -> Arc<dyn Queryable> {
    let mut encoded = Vec::new();
    dolmen_chunk::encode_floats(&[T], &[1.0], 120, &mut encoded);
    let mut series: Vec<Labels> = member.series.iter().map(Labels::from_pairs).collect();
    series.sort_unstable();
    let symbols: BTreeSet<String> =
        member.series.iter().flatten().flat_map(|(n, v)| [n.clone(), v.clone()]).collect();
    let id = Ulid::from_parts(1, 1);
    let mut w = BlockWriter::create(Arc::new(RealDisk), dir, id, symbols.iter().map(String::as_str)).unwrap();
    for labels in &series {
        let chunk = &encoded[0];
        let chunk = ChunkIn { mint: T, maxt: T, encoding: chunk.encoding, data: &chunk.data };
        w.add_series(labels.as_ref(), &[chunk]).unwrap();
    }
    let thanos = Thanos { labels: member.external.clone().into_iter().collect(), ..Thanos::default() };
    let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
    let meta = w.finish(MetaSeed { min_time: T, max_time: T + 1, compaction, thanos: Some(thanos) }).unwrap();
    let source = FileSource::open(&RealDisk, &dir.join(id.to_string())).unwrap();
    Arc::new(BlockReader::open(&Ctx::unbounded(), Arc::new(source), meta).await.unwrap())
}

/// Facts that stand still.
struct Facts(StoreFacts);

impl Describe for Facts {
    fn facts(&self) -> StoreFacts {
        self.0.clone()
    }
}

/// A store in another process, for the fan-out.
struct Remote {
    client: StoreClient,
    facts: StoreFacts,
    origin: Arc<Origin>,
}

#[async_trait::async_trait]
impl Queryable for Remote {
    fn cover(&self, select: &Select) -> dolmen_model::Cover {
        let Origin { site, store } = (*self.origin).clone();
        dolmen_model::Cover { site, store, labels: Vec::new(), range: Some(select.range) }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> dolmen_model::Result<dolmen_storage::FrameStream> {
        self.client.select(ctx, select, &self.facts, &self.origin).await
    }

    async fn labels(
        &self,
        ctx: &Ctx,
        select: &Select,
        ask: dolmen_storage::LabelAsk,
    ) -> dolmen_model::Result<dolmen_model::Answer<Vec<SmolStr>>> {
        self.client.labels(ctx, select, ask, &self.facts, &self.origin).await
    }
}

async fn behind_grpc(
    queryable: Arc<dyn Queryable>,
    member: &Member,
    parts: bool,
    shutdown: &Shutdown,
) -> Arc<dyn Queryable> {
    let facts = StoreFacts {
        component: "store".to_owned(),
        label_sets: vec![Labels::from_pairs(&member.external)],
        range: TimeRange::new(T, T + 1),
        tsdbs: Vec::new(),
        without: parts,
        sharding: true,
        parts,
        ..StoreFacts::default()
    };
    let server = StoreServer {
        queryable,
        describe: Arc::new(Facts(facts.clone())),
        settings: ServerSettings::default(),
        clock: Arc::new(SystemClock),
        cpu: Arc::new(InlineCpu),
        metrics: StoreApiMetrics::new(&mut Registry::default()),
    };
    let listener = Listener::bind("test", "127.0.0.1:0").await.unwrap();
    let address = listener.address().to_string();
    let settings = HttpSettings { grace_period: Duration::ZERO, ..HttpSettings::default() };
    tokio::spawn(serve_http(listener, server.routes(), settings, shutdown.clone()));
    let client = StoreClient::new(&address, ClientSettings::default()).unwrap();
    Arc::new(Remote { client, facts, origin: Arc::new(Origin { site: "".into(), store: address.into() }) })
}

#[test]
fn series_leave_the_fan_out_sorted_each_once() {
    let wanted: usize = match std::env::var("DOLMEN_MERGE_ORDER_SETS") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => 20_000,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut sets, mut cases, mut out) = (0, 0, 0);
    let without = prop::collection::btree_set(prop::sample::select(vec!["r", "b", "e", "nosuch"]), 0..4);
    let strategy = (prop::collection::vec(member(), 1..6), without);
    while sets < wanted {
        let mut runner =
            TestRunner::new(Config { cases: 20, failure_persistence: None, ..Config::default() });
        let counted = std::cell::Cell::new((0, 0));
        let done = runner.run(&strategy, |(members, without)| {
            let without: BTreeSet<SmolStr> =
                without.into_iter().chain(["dolmen"]).map(SmolStr::from).collect();
            let want = model(&members, &without);
            let got = runtime.block_on(async {
                let served = futures::future::join_all(members.iter().map(open)).await;
                let all: Vec<Arc<dyn Queryable>> = served.iter().map(|s| s.queryable.clone()).collect();
                let fanout = Fanout::new(all);
                let select = Select {
                    without: without.iter().cloned().collect::<Vec<_>>().into(),
                    ..Select::new(TimeRange::ALL, [])
                };
                let mut stream = fanout.select(&Ctx::unbounded(), &select).await.unwrap();
                let mut got: Vec<(Labels, BTreeSet<SourceId>)> = Vec::new();
                loop {
                    match stream.next().await.unwrap().unwrap() {
                        Frame::Batch(batch) => got.extend(batch.series.iter().map(|s| {
                            let labels = batch.labels.get(s.label).to_labels();
                            (labels, s.parts.iter().map(|p| p.source.clone()).collect())
                        })),
                        Frame::End(lacks) => {
                            assert!(lacks.is_complete(), "{lacks:?}");
                            break got;
                        }
                    }
                }
            });
            if let Some(pair) = got.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
                return Err(TestCaseError::fail(format!("{} before {}", pair[0].0, pair[1].0)));
            }
            counted.set((
                counted.get().0 + members.iter().map(|m| m.series.len()).sum::<usize>(),
                counted.get().1 + got.len(),
            ));
            prop_assert_eq!(got, want.into_iter().collect::<Vec<_>>());
            Ok(())
        });
        done.unwrap();
        sets += counted.get().0;
        out += counted.get().1;
        cases += 20;
    }
    println!("merge-order: label_sets={sets} cases={cases} series={out}");
}
