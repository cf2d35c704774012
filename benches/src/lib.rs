//! What the micro benchmarks work on: a small fleet, its samples as requests and as columns, a head that holds
//! them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "benchmarks fail by panicking, as tests do")]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dolmen_ctx::{Clock, Ctx, ManualClock, RealDisk};
use dolmen_head::{Head, HeadMetrics, HeadSettings};
use dolmen_model::{Labels, Timestamp};
use dolmen_remote::{LabelRules, WriteSample, decode, encode_write_request};
use dolmen_storage::{Appender, WriteBatch};
use dolmen_wal::WalMetrics;
use prometheus_client::registry::Registry;

/// Time of the first sample.
pub const START: Timestamp = 1_795_330_800_000;
/// Time between two samples of a series, in milliseconds.
pub const STEP: i64 = 15_000;

/// The label sets of `n` series: ten jobs, a hundred instances each.
pub fn fleet(n: usize) -> Vec<Labels> {
    (0..n)
        .map(|i| {
            Labels::from_pairs([
                ("__name__", "http_requests_total"),
                ("code", if i % 2 == 0 { "200" } else { "500" }),
                ("instance", &format!("10.0.{}.{}:9100", i / 250 % 250, i % 250)),
                ("job", &format!("job-{}", i % 10)),
                ("pod", &format!("pod-{i}")),
            ])
        })
        .collect()
}

/// What a counter of request rates holds at its `k`-th sample: jitters in time, grows unevenly.
pub fn sample(series: usize, k: usize) -> (Timestamp, f64) {
    let jitter = (series * 7919 + k * 104_729) % 13;
    let t = START + k as i64 * STEP + jitter as i64;
    (t, (k * (3 + series % 5) + jitter) as f64)
}

/// The decompressed request of sample `k` of all series.
pub fn request(fleet: &[Labels], k: usize) -> Bytes {
    let series = fleet.iter().enumerate().map(|(i, labels)| {
        let (t, v) = sample(i, k);
        (labels.as_ref(), [WriteSample::Float(t, v)])
    });
    let body = encode_write_request(series);
    snap::raw::Decoder::new().decompress_vec(&body).unwrap().into()
}

/// A request as the door hands it to a head.
pub fn batch(body: Bytes, head: &Head) -> WriteBatch {
    let rules = LabelRules::new(&Labels::empty());
    decode(body, &rules, &head.key_hasher(), &mut |_| Ok(())).unwrap().batch
}

/// An empty head in a directory, at a time shortly after the samples.
pub fn head(dir: &Path) -> Arc<Head> {
    let mut registry = Registry::default();
    let (metrics, wal) = (HeadMetrics::new(&mut registry), WalMetrics::new(&mut registry));
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(START + 86_400_000));
    Head::open(HeadSettings::new(dir), clock, Arc::new(RealDisk), metrics, wal).unwrap()
}

/// A head that holds `samples` of each series.
pub async fn filled(dir: &Path, fleet: &[Labels], samples: usize) -> Arc<Head> {
    let head = head(dir);
    let ctx = Ctx::unbounded();
    for k in 0..samples {
        let report = head.append(&ctx, batch(request(fleet, k), &head)).await.unwrap();
        assert_eq!(report.accepted, fleet.len() as u64, "{:?}", report.rejected);
    }
    head
}
