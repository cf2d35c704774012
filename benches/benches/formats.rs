//! Formats: chunks of floats and histograms, postings of an index.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking, as tests do")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dolmen_benches::{fleet, sample};
use dolmen_chunk::{Encoded, SAMPLES_PER_CHUNK, decode, encode_floats, encode_histograms};
use dolmen_ctx::{Disk, RealDisk};
use dolmen_index::{ChunkMeta, IndexHeader, IndexWriter, Plan, Postings};
use dolmen_model::{Columns, HistLayout, Histogram, IntHistogram, MatchOp, Matcher, ResetHint, Span};

fn floats(c: &mut Criterion) {
    let (t, v): (Vec<i64>, Vec<f64>) = (0..SAMPLES_PER_CHUNK).map(|k| sample(3, k)).unzip();
    let mut group = c.benchmark_group("chunk_xor");
    group.throughput(Throughput::Elements(SAMPLES_PER_CHUNK as u64));
    let mut out = Vec::new();
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            encode_floats(black_box(&t), &v, SAMPLES_PER_CHUNK, &mut out);
        })
    });
    encode_floats(&t, &v, SAMPLES_PER_CHUNK, &mut out);
    let chunk = out.pop().unwrap();
    group.bench_function("decode", |b| read(b, &chunk));
    group.finish();
}

fn read(b: &mut criterion::Bencher<'_>, chunk: &Encoded) {
    let mut columns = Columns::default();
    b.iter(|| {
        columns.clear();
        decode(chunk.encoding, black_box(&chunk.data), i64::MIN, i64::MAX, &mut columns).unwrap();
    });
}

fn histograms(c: &mut Criterion) {
    let layout = Arc::new(HistLayout {
        schema: 3,
        zero_threshold: 0.001,
        positive_spans: vec![Span { offset: -4, length: 20 }, Span { offset: 2, length: 10 }],
        ..HistLayout::default()
    });
    let all: Vec<(i64, Histogram)> = (0..SAMPLES_PER_CHUNK as i64)
        .map(|k| {
            let deltas: Vec<i64> = (0..30).map(|i| if i == 0 { k } else { (k + i) % 3 - 1 }).collect();
            let mut sum = 0;
            let count = deltas.iter().map(|d| {
                sum += d;
                sum.max(0)
            });
            let h = IntHistogram {
                layout: layout.clone(),
                count: count.sum::<i64>() as u64,
                zero_count: 0,
                sum: k as f64,
                hint: ResetHint::Gauge,
                positive_deltas: deltas,
                negative_deltas: vec![],
            };
            (sample(0, k as usize).0, Histogram::Int(h))
        })
        .collect();
    let mut group = c.benchmark_group("chunk_histogram");
    group.throughput(Throughput::Elements(all.len() as u64));
    let mut out = Vec::new();
    group.bench_function("encode", |b| {
        b.iter(|| {
            out.clear();
            encode_histograms(black_box(&all).iter().cloned(), SAMPLES_PER_CHUNK, &mut out);
        })
    });
    encode_histograms(all.iter().cloned(), SAMPLES_PER_CHUNK, &mut out);
    let chunk = out.pop().unwrap();
    group.bench_function("decode", |b| read(b, &chunk));
    group.finish();
}

/// An index of 20,000 series: two matchers met, one not.
fn postings(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut series = fleet(20_000);
    series.sort_by(|a, b| a.iter().cmp(b.iter()));
    let mut symbols: Vec<&str> = series.iter().flat_map(|l| l.iter()).flat_map(|(n, v)| [n, v]).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let mut writer = IndexWriter::create(disk.clone(), &path, symbols).unwrap();
    for (i, labels) in series.iter().enumerate() {
        let chunk = ChunkMeta { mint: 0, maxt: 1, reference: 8 + 100 * i as u64 };
        writer.add_series(labels.as_ref(), &[chunk]).unwrap();
    }
    writer.finish().unwrap();
    let index = Bytes::from(disk.read(&path).unwrap());
    let header = IndexHeader::from_index(&index).unwrap();
    let matchers = [
        Matcher::eq("code", "500"),
        Matcher::new(MatchOp::Re, "job", "job-[1-5]").unwrap(),
        Matcher::new(MatchOp::Nre, "pod", "pod-1.*").unwrap(),
    ];
    c.bench_function("postings_20000_series", |b| {
        b.iter(|| {
            let plan = Plan::new(header.postings(), black_box(&matchers)).unwrap();
            let list = |r: std::ops::Range<u64>| {
                Postings::parse(index.slice(r.start as usize..r.end as usize)).unwrap()
            };
            let lists: Vec<Postings> = plan.lists().map(list).collect();
            plan.resolve(&lists).len()
        })
    });
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = quick(); targets = floats, histograms, postings }
criterion_main!(benches);
