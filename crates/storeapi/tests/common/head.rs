//! A head that holds the samples of recorded series.

use std::path::Path;
use std::sync::Arc;

use dolmen_chunk::{decode, decode_histograms};
use dolmen_ctx::{Ctx, ManualClock, RealDisk};
use dolmen_head::{Head, HeadMetrics, HeadSettings};
use dolmen_model::{Columns, Encoding, Labels};
use dolmen_proto::thanos::Series;
use dolmen_storage::{Appender, HistogramSample, LabelBytes, WriteBatch, WriteSeries};
use dolmen_wal::WalMetrics;

/// An empty head, whose series get these labels.
pub fn open(dir: &Path, external: Labels, now: i64) -> Arc<Head> {
    let settings = HeadSettings { external_labels: external, ..HeadSettings::new(dir) };
    let clock = Arc::new(ManualClock::new(now));
    Head::open(settings, clock, Arc::new(RealDisk), HeadMetrics::default(), WalMetrics::default()).unwrap()
}

/// Appends what the series hold, without the head's own labels.
pub async fn append(head: &Head, all: &[Series]) {
    let hasher = head.key_hasher();
    let external = &head.settings().external_labels;
    let (mut batch, mut body) = (WriteBatch::default(), Vec::new());
    for one in all {
        let from = body.len();
        for l in one.labels.iter().filter(|l| external.get(&l.name).is_none()) {
            let (name, value) = (l.name.as_bytes(), l.value.as_bytes());
            body.extend([0x0a, (name.len() + value.len() + 4) as u8, 0x0a, name.len() as u8]);
            body.extend(name);
            body.extend([0x12, value.len() as u8]);
            body.extend(value);
        }
        let (floats, histograms) = (batch.t.len() as u32, batch.histograms.len() as u32);
        for raw in one.chunks.iter().filter_map(|c| c.raw.as_ref()) {
            let encoding = Encoding::from_u8(raw.r#type as u8 + 1).unwrap();
            if encoding == Encoding::Xor {
                let mut columns = Columns::default();
                decode(encoding, &raw.data, i64::MIN, i64::MAX, &mut columns).unwrap();
                batch.t.extend(columns.t);
                batch.v.extend(columns.v);
            } else {
                let all = decode_histograms(encoding, &raw.data).unwrap();
                batch.histograms.extend(all.into_iter().map(|(t, h)| HistogramSample { t, h }));
            }
        }
        batch.series.push(WriteSeries {
            key: hasher.key(&body[from..]),
            labels: LabelBytes::Body(from as u32..body.len() as u32),
            samples: floats..batch.t.len() as u32,
            histograms: histograms..batch.histograms.len() as u32,
        });
    }
    batch.body = body.into();
    let report = head.append(&Ctx::unbounded(), batch).await.unwrap();
    assert!(report.rejected.is_empty(), "{report:?}");
}
