//! A remote-write load that is a pure function of its numbers: whoever knows which batches were
//! acknowledged knows every sample that must be there.

use std::time::Duration;

use dolmen_proto::prometheus::{BucketSpan, Histogram, Label, Sample, TimeSeries, WriteRequest, histogram};
use prost::Message;

use crate::http::Client;

/// The shape of the load.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Time of the first sample, in ms.
    pub start: i64,
    /// Time between two samples of a series, in ms.
    pub step: i64,
    /// Series a writer.
    pub series: u32,
    /// Samples of each series in one batch.
    pub depth: u32,
}

impl Shape {
    /// The metric name of a writer.
    pub fn metric(writer: u32) -> String {
        format!("load_{writer}")
    }

    /// Samples in one batch.
    pub fn batch_samples(&self) -> u64 {
        u64::from(self.series) * u64::from(self.depth)
    }

    /// Time of sample `k` of any series.
    pub fn time(&self, k: u64) -> i64 {
        self.start + self.step * k as i64
    }

    /// Value of sample `k` of series `i`: different for neighbours, exact in a float.
    pub fn value(writer: u32, i: u32, k: u64) -> f64 {
        (k.wrapping_mul(7919).wrapping_add(u64::from(i) * 104_729 + u64::from(writer)) % 1_000_003) as f64
    }

    /// The snappy-compressed request of batch `b` of a writer.
    pub fn request(&self, writer: u32, b: u64) -> Vec<u8> {
        let first = b * u64::from(self.depth);
        let timeseries = (0..self.series)
            .map(|i| TimeSeries {
                labels: labels(writer, i),
                samples: (first..first + u64::from(self.depth))
                    .map(|k| Sample { value: Shape::value(writer, i, k), timestamp: self.time(k) })
                    .collect(),
                ..TimeSeries::default()
            })
            .collect();
        compress(&WriteRequest { timeseries, ..WriteRequest::default() })
    }
}

fn labels(writer: u32, i: u32) -> Vec<Label> {
    [("__name__", Shape::metric(writer)), ("i", i.to_string()), ("job", "load".to_owned())]
        .map(|(name, value)| Label { name: name.to_owned(), value })
        .into()
}

/// The compressed request of batch `b` of twenty exponential histograms that grow, at time `t`.
pub fn histograms(t: i64, b: u64) -> Vec<u8> {
    let timeseries = (0..20u64)
        .map(|i| {
            let n = b + 1 + i;
            let label = |name: &str, value: String| Label { name: name.into(), value };
            TimeSeries {
                labels: vec![label("__name__", "exponential".into()), label("i", format!("{i:02}"))],
                histograms: vec![Histogram {
                    count: Some(histogram::Count::CountInt(4 * n)),
                    sum: 7.5 * n as f64,
                    schema: 3,
                    zero_threshold: 1e-128,
                    zero_count: Some(histogram::ZeroCount::ZeroCountInt(n)),
                    positive_spans: vec![
                        BucketSpan { offset: -2, length: 2 },
                        BucketSpan { offset: 1, length: 1 },
                    ],
                    positive_deltas: vec![n as i64, 0, 0],
                    timestamp: t,
                    ..Histogram::default()
                }],
                ..TimeSeries::default()
            }
        })
        .collect();
    compress(&WriteRequest { timeseries, ..WriteRequest::default() })
}

/// A request as remote-write sends it.
pub fn compress(request: &WriteRequest) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("a request is far below 4 GiB")
}

/// The headers of remote-write 1.0.
pub const HEADERS: [(&str, &str); 3] = [
    ("Content-Type", "application/x-protobuf"),
    ("Content-Encoding", "snappy"),
    ("X-Prometheus-Remote-Write-Version", "0.1.0"),
];

/// Sends a batch until it is acknowledged, or `go_on` says no. What a 4xx says is an error: it never passes.
pub fn send_until_acknowledged(
    address: impl Fn() -> Option<Client>,
    body: &[u8],
    go_on: impl Fn() -> bool,
) -> anyhow::Result<bool> {
    while go_on() {
        let answer = address().map(|client| client.post("/api/v1/write", &HEADERS, body.to_vec()));
        match answer {
            Some(Ok((200..300, _))) => return Ok(true),
            Some(Ok((status @ 400..500, text))) => anyhow::bail!("refused: {status} {text}"),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    Ok(false)
}
