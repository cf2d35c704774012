//! Writes requests, as a Prometheus would: for tests, tools and the bench.

use dolmen_model::{Histogram, LabelsRef, Timestamp};
use dolmen_proto::prometheus::{self as pb, histogram};
use prost::Message;

/// A sample to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteSample {
    /// A float.
    Float(Timestamp, f64),
    /// A histogram.
    Histogram(Timestamp, Histogram),
}

/// A remote-write 1.0 request, compressed.
pub fn encode_write_request<'a, S>(series: impl IntoIterator<Item = (LabelsRef<'a>, S)>) -> Vec<u8>
where
    S: IntoIterator<Item = WriteSample>,
{
    let timeseries = series.into_iter().map(|(labels, samples)| {
        let label = |(n, v): (&str, &str)| pb::Label { name: n.to_owned(), value: v.to_owned() };
        let mut out = pb::TimeSeries { labels: labels.iter().map(label).collect(), ..Default::default() };
        for sample in samples {
            match sample {
                WriteSample::Float(timestamp, value) => out.samples.push(pb::Sample { value, timestamp }),
                WriteSample::Histogram(t, h) => out.histograms.push(histogram_message(t, &h)),
            }
        }
        out
    });
    let request = pb::WriteRequest { timeseries: timeseries.collect(), metadata: Vec::new() };
    snap::raw::Encoder::new()
        .compress_vec(&request.encode_to_vec())
        .expect("snappy refuses nothing below 4 GiB, which no request in memory here reaches")
}

fn histogram_message(timestamp: Timestamp, h: &Histogram) -> pb::Histogram {
    let layout = h.layout();
    let spans = |spans: &[dolmen_model::Span]| {
        spans.iter().map(|s| pb::BucketSpan { offset: s.offset, length: s.length }).collect()
    };
    let mut out = pb::Histogram {
        sum: h.sum(),
        schema: layout.schema,
        zero_threshold: layout.zero_threshold,
        positive_spans: spans(&layout.positive_spans),
        negative_spans: spans(&layout.negative_spans),
        custom_values: layout.custom_values.clone(),
        timestamp,
        ..Default::default()
    };
    match h {
        Histogram::Int(h) => {
            out.reset_hint = h.hint as i32;
            out.count = Some(histogram::Count::CountInt(h.count));
            out.zero_count = Some(histogram::ZeroCount::ZeroCountInt(h.zero_count));
            out.positive_deltas = h.positive_deltas.clone();
            out.negative_deltas = h.negative_deltas.clone();
        }
        Histogram::Float(h) => {
            out.reset_hint = h.hint as i32;
            out.count = Some(histogram::Count::CountFloat(h.count));
            out.zero_count = Some(histogram::ZeroCount::ZeroCountFloat(h.zero_count));
            out.positive_counts = h.positive.clone();
            out.negative_counts = h.negative.clone();
        }
    }
    out
}
