//! The process' own metrics, appended as if a Prometheus had scraped it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use dolmen_ctx::Ctx;
use dolmen_model::{Labels, Result, Timestamp, stale_nan};
use dolmen_storage::{AppendReport, Appender, LabelBytes, WriteBatch, WriteSeries};

use crate::labels::put_label;
use crate::parse_exposition;

/// Scrapes one text again and again; a series that is gone gets a stale marker, as at any scrape.
#[derive(Debug)]
pub struct SelfScrape {
    target: Labels,
    external: Labels,
    known: BTreeSet<Vec<u8>>,
}

impl SelfScrape {
    /// With the labels of the target: `job`, `instance`, and what else shall mark it. A label of the same name in
    /// the text is renamed `exported_<name>`, and so is one of the name of a receiver's own label, `external`.
    pub fn new(target: Labels, external: Labels) -> SelfScrape {
        SelfScrape { target, external, known: BTreeSet::new() }
    }

    /// Appends one scrape at `now`. `text` is what the registry gave, and `took` how long that was; where it is
    /// an error or cannot be read, `up` is 0.
    pub async fn append(
        &mut self,
        ctx: &Ctx,
        appender: &dyn Appender,
        text: Result<String>,
        took: Duration,
        now: Timestamp,
    ) -> Result<AppendReport> {
        let parsed = text.and_then(|text| parse_exposition(&text));
        let mut samples = BTreeMap::new();
        for s in parsed.iter().flatten() {
            samples.insert(self.label_bytes(&s.labels), s.value);
        }
        if let Err(e) = &parsed {
            tracing::warn!(error = %e, "own metrics");
        }
        let scraped = samples.len() as f64;
        let seen: BTreeSet<Vec<u8>> = samples.keys().cloned().collect();
        let added = seen.difference(&self.known).count() as f64;
        for gone in self.known.difference(&seen) {
            samples.insert(gone.clone(), stale_nan());
        }
        self.known = seen;
        for (name, value) in [
            ("up", f64::from(u8::from(parsed.is_ok()))),
            ("scrape_duration_seconds", took.as_secs_f64()),
            ("scrape_samples_scraped", scraped),
            ("scrape_samples_post_metric_relabeling", scraped),
            ("scrape_series_added", added),
        ] {
            samples.insert(self.label_bytes(&[("__name__".to_owned(), name.to_owned())]), value);
        }
        appender.append(ctx, batch(&samples, appender, now)).await
    }

    fn label_bytes(&self, labels: &[(String, String)]) -> Vec<u8> {
        let mut builder = self.target.edit();
        for (name, value) in labels {
            match self.target.get(name) {
                Some(_) => builder.set(&format!("exported_{name}"), value),
                None => builder.set(name, value),
            };
        }
        for (name, own) in self.external.iter() {
            let Some(value) = builder.get(name).map(str::to_owned) else { continue };
            builder.remove(name);
            if value != own {
                builder.set(&format!("exported_{name}"), &value);
            }
        }
        let mut out = Vec::new();
        for (name, value) in builder.build().iter() {
            put_label(&mut out, name.as_bytes(), value.as_bytes());
        }
        out
    }
}

fn batch(samples: &BTreeMap<Vec<u8>, f64>, appender: &dyn Appender, now: Timestamp) -> WriteBatch {
    let hasher = appender.key_hasher();
    let mut batch = WriteBatch::default();
    let mut side = Vec::new();
    for (i, (labels, value)) in samples.iter().enumerate() {
        let start = side.len() as u32;
        side.extend_from_slice(labels);
        let i = i as u32;
        batch.series.push(WriteSeries {
            key: hasher.key(labels),
            labels: LabelBytes::Side(start..side.len() as u32),
            samples: i..i + 1,
            histograms: 0..0,
        });
        batch.t.push(now);
        batch.v.push(*value);
    }
    batch.side = Bytes::from(side);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receivers_own_labels_are_kept_apart() {
        let target = Labels::from_pairs([("dolmen", "self"), ("job", "dolmen")]);
        let external = Labels::from_pairs([("code", "200"), ("job", "x")]);
        let scrape = SelfScrape::new(target, external);
        let pairs = [("__name__", "m"), ("code", "200")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let mut want = Vec::new();
        // `code` is what the block carries; the target's `job` gives way to the block's, as at remote write.
        for (name, value) in [("__name__", "m"), ("dolmen", "self"), ("exported_job", "dolmen")] {
            put_label(&mut want, name.as_bytes(), value.as_bytes());
        }
        assert_eq!(scrape.label_bytes(&pairs), want);
    }
}
