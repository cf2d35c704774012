//! Engines: a head that is written and read, PromQL over it.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking, as tests do")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dolmen_benches::{START, STEP, batch, filled, fleet, head, request};
use dolmen_ctx::Ctx;
use dolmen_head::HeadReader;
use dolmen_model::{Matcher, TimeRange};
use dolmen_promql::{Engine, EngineSettings, QueryOpts};
use dolmen_storage::{Appender, Frame, Queryable, Select};
use futures::StreamExt;

const SERIES: usize = 500;
const SAMPLES: usize = 240;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Each append waits for its sync, as a request does.
fn append(c: &mut Criterion) {
    let (dir, runtime, fleet) = (tempfile::tempdir().unwrap(), runtime(), fleet(2000));
    let head = head(dir.path());
    let ctx = Ctx::unbounded();
    let mut k = 0;
    let mut group = c.benchmark_group("head");
    group.throughput(Throughput::Elements(fleet.len() as u64));
    group.bench_function("append", |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let batch = batch(request(&fleet, k), &head);
                k += 1;
                let begin = Instant::now();
                let report = runtime.block_on(head.append(&ctx, batch)).unwrap();
                spent += begin.elapsed();
                assert_eq!(report.accepted, fleet.len() as u64, "{:?}", report.rejected);
            }
            spent
        })
    });
    group.finish();
    head.close().unwrap();
}

fn read(c: &mut Criterion) {
    let (dir, runtime, fleet) = (tempfile::tempdir().unwrap(), runtime(), fleet(SERIES));
    let head = runtime.block_on(filled(dir.path(), &fleet, SAMPLES));
    let source: Arc<dyn Queryable> = Arc::new(HeadReader::new(head.clone()));
    let ctx = Ctx::unbounded();
    let (first, last) = (START, START + STEP * SAMPLES as i64);
    let mut group = c.benchmark_group("head");
    group.throughput(Throughput::Elements((SERIES * SAMPLES) as u64));
    group.bench_function("select", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let range = TimeRange::new(first, last).unwrap();
                let select = Select::new(range, [Matcher::eq("__name__", "http_requests_total")]);
                let mut frames = source.select(&ctx, &select).await.unwrap();
                let mut series = 0;
                while let Some(frame) = frames.next().await {
                    if let Frame::Batch(batch) = frame.unwrap() {
                        series += batch.series.len();
                    }
                }
                assert_eq!(series, SERIES);
            })
        })
    });
    group.finish();
    let engine = Engine::new(EngineSettings::default());
    let mut group = c.benchmark_group("promql_range");
    for (name, query) in [
        ("raw", "http_requests_total"),
        ("sum_of_rates", "sum by (job) (rate(http_requests_total[5m]))"),
        ("topk", "topk(5, http_requests_total)"),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let opts = QueryOpts::default();
                let query = engine.range(&ctx, &source, query, first, last, 60_000, &opts);
                runtime.block_on(query).unwrap()
            })
        });
    }
    group.finish();
    head.close().unwrap();
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = quick(); targets = append, read }
criterion_main!(benches);
