//! A store made up of series in memory, and a server over it on loopback.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dolmen_ctx::{Ctx, PoolCpu, SystemClock};
use dolmen_model::{
    Answer, Completeness, Cover, Encoding, LabelBlockBuilder, Labels, Result, SourceId, TimeRange,
};
use dolmen_proto::thanos::store_client::StoreClient;
use dolmen_service::{HttpSettings, Listener, Shutdown, serve_http};
use dolmen_storage::{
    Frame, FrameStream, LabelAsk, Part, Queryable, RawBatch, RawChunk, RawSeries, Select, Values,
};
use dolmen_storeapi::{Describe, ServerSettings, StoreApiMetrics, StoreFacts, StoreServer, TsdbFacts};
use futures::StreamExt;
use prometheus_client::registry::Registry;
use smol_str::SmolStr;
use tonic::transport::{Channel, Endpoint};

/// One series: the parts by source, and deleted time.
pub struct MemorySeries {
    pub labels: Labels,
    pub parts: Vec<(&'static str, Vec<RawChunk>)>,
    pub masked: Vec<TimeRange>,
}

/// A chunk of floats every 10 ms.
pub fn chunk(mint: i64, maxt: i64, value: i64) -> RawChunk {
    let t: Vec<i64> = (mint..=maxt).step_by(10).chain([maxt]).collect();
    let mut t = t;
    t.dedup();
    let mut out = Vec::new();
    dolmen_chunk::encode_floats(&t, &vec![value as f64; t.len()], 1000, &mut out);
    RawChunk { mint, maxt, encoding: Encoding::Xor, data: out[0].data.clone() }
}

impl MemorySeries {
    pub fn floats(labels: &[(&str, &str)], ranges: &[(i64, i64)]) -> MemorySeries {
        let chunks = ranges.iter().map(|(mint, maxt)| chunk(*mint, *maxt, 3)).collect();
        MemorySeries {
            labels: Labels::from_pairs(labels.iter().copied()),
            parts: vec![("", chunks)],
            masked: Vec::new(),
        }
    }
}

/// Series in label order; gives them in batches of 100.
#[derive(Default)]
pub struct Memory {
    pub series: Vec<MemorySeries>,
    pub lacks: Completeness,
    /// Stands still before the batch that has this series, and before the end where there is none such.
    pub stall_at: Option<usize>,
    /// Panics there.
    pub panic_at: Option<usize>,
    /// What the last call carried.
    pub seen: Arc<Mutex<Option<Ctx>>>,
}

impl Memory {
    fn matching(&self, select: &Select) -> Vec<&MemorySeries> {
        let passes = |s: &&MemorySeries| {
            select.matchers.iter().all(|m| m.matches(s.labels.get(m.name()).unwrap_or_default()))
        };
        let limit = select.limit.map_or(usize::MAX, |n| n.get() as usize);
        self.series.iter().filter(passes).take(limit).collect()
    }
}

#[async_trait]
impl Queryable for Memory {
    fn cover(&self, select: &Select) -> Cover {
        Cover { range: Some(select.range), ..Cover::default() }
    }

    async fn select(&self, ctx: &Ctx, select: &Select) -> Result<FrameStream> {
        *self.seen.lock().unwrap() = Some(ctx.clone());
        let mut frames = Vec::new();
        for (ord, some) in self.matching(select).chunks(100).enumerate() {
            let mut labels = LabelBlockBuilder::default();
            let mut series = Vec::new();
            for one in some {
                let part = |(source, chunks): &(&str, Vec<RawChunk>)| Part {
                    source: SourceId::new([*source]),
                    origin: None,
                    masked: one.masked.clone().into(),
                    chunks: chunks.clone(),
                };
                let wanted = select.values == Values::Samples;
                let parts = one.parts.iter().filter(|_| wanted).map(part).collect();
                series.push(RawSeries { label: labels.push(one.labels.iter()), parts });
            }
            frames.push((labels.build(), series, ord as u64));
        }
        let (lacks, ctx) = (self.lacks.clone(), ctx.clone());
        let (stall, panics) = (self.stall_at, self.panic_at);
        let stream = async_stream(frames, lacks, ctx, stall, panics);
        Ok(stream)
    }

    async fn labels(&self, _: &Ctx, select: &Select, ask: LabelAsk) -> Result<Answer<Vec<SmolStr>>> {
        let mut all = Vec::new();
        for (name, value) in self.matching(select).iter().flat_map(|s| s.labels.iter()) {
            match &ask {
                LabelAsk::Names => all.push(SmolStr::from(name)),
                LabelAsk::Values(wanted) if wanted == name => all.push(SmolStr::from(value)),
                LabelAsk::Values(_) => {}
            }
        }
        all.sort();
        all.dedup();
        Ok(Answer { value: all, completeness: self.lacks.clone() })
    }
}

type Batches = Vec<(dolmen_model::LabelBlock, Vec<RawSeries>, u64)>;

fn async_stream(
    frames: Batches,
    lacks: Completeness,
    ctx: Ctx,
    stall: Option<usize>,
    panics: Option<usize>,
) -> FrameStream {
    let n = frames.len();
    let at = move |place: Option<usize>, ord: usize| {
        place.is_some_and(|p| p / 100 == ord || p / 100 >= n && ord == n)
    };
    let batches = frames.into_iter().map(Some).chain([None]).enumerate();
    futures::stream::iter(batches)
        .then(move |(ord, batch)| {
            let (ctx, lacks) = (ctx.clone(), lacks.clone());
            async move {
                if at(stall, ord) {
                    futures::future::pending::<()>().await;
                }
                assert!(!at(panics, ord), "on purpose");
                match batch {
                    Some((labels, series, ord)) => {
                        let held = ctx.budget.reserve(labels.bytes() as u64)?;
                        Ok(Frame::Batch(RawBatch { ord, labels, series, held }))
                    }
                    None => Ok(Frame::End(lacks)),
                }
            }
        })
        .boxed()
}

/// Always the same facts.
pub struct Fixed(pub StoreFacts);

impl Describe for Fixed {
    fn facts(&self) -> StoreFacts {
        self.0.clone()
    }
}

pub fn settings() -> ServerSettings {
    ServerSettings { version: "1.2.3".to_owned(), ..ServerSettings::default() }
}

/// A server on loopback.
pub struct Running {
    pub address: std::net::SocketAddr,
    pub channel: Channel,
    pub facts: Arc<Fixed>,
    pub shutdown: Shutdown,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

impl Running {
    pub async fn start(queryable: impl Queryable + 'static) -> Running {
        Running::with(queryable, settings()).await
    }

    pub async fn with(queryable: impl Queryable + 'static, settings: ServerSettings) -> Running {
        let range = TimeRange::new(0, i64::MAX).unwrap();
        let labels = Labels::from_pairs([("site", "dc-a")]);
        let facts = Arc::new(Fixed(StoreFacts {
            component: "query".to_owned(),
            label_sets: vec![labels.clone()],
            range: Some(range),
            tsdbs: vec![TsdbFacts { labels, range }],
            without: true,
            sharding: true,
            parts: true,
            ..StoreFacts::default()
        }));
        let server = StoreServer {
            queryable: Arc::new(queryable),
            describe: facts.clone(),
            settings,
            clock: Arc::new(SystemClock),
            cpu: Arc::new(PoolCpu::new(1).unwrap()),
            metrics: StoreApiMetrics::new(&mut Registry::default()),
        };
        let listener = Listener::bind("--grpc-address", "127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.address(), Shutdown::new());
        tokio::spawn(serve_http(listener, server.routes(), HttpSettings::default(), shutdown.clone()));
        let channel = channel(address).await;
        Running { address, channel, facts, shutdown }
    }
}

pub async fn channel(address: std::net::SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

pub fn client(running: &Running) -> StoreClient<Channel> {
    StoreClient::new(running.channel.clone()).max_decoding_message_size(64 << 20)
}
