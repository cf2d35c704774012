//! Classic histograms of a load -> native ones with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use dolmen_model::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistLayout, Labels, METRIC_NAME, ResetHint, Span, Timestamp,
};

use crate::script::Load;
use crate::series::Written;
use crate::store::is_marker;

/// What is known of a histogram at one time.
#[derive(Default)]
struct Classic {
    /// Upper bounds and cumulative counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms that a load's classic ones make.
pub fn convert(load: &Load) -> Result<Vec<(Labels, Timestamp, FloatHistogram)>, String> {
    let mut found: BTreeMap<(Labels, Timestamp), Classic> = BTreeMap::new();
    for line in &load.series {
        let name = line.labels.get(METRIC_NAME).unwrap_or_default();
        let Some((base, part)) = ["_bucket", "_count", "_sum"]
            .into_iter()
            .find_map(|part| Some((name.strip_suffix(part)?.to_owned(), part)))
        else {
            continue;
        };
        let bound = line.labels.get("le").and_then(|le| le.parse::<f64>().ok()).filter(|b| !b.is_nan());
        if part == "_bucket" && bound.is_none() {
            continue;
        }
        let labels = line.labels.edit().set(METRIC_NAME, &base).remove("le").build();
        for (i, value) in line.values.iter().enumerate() {
            let Some(Written::Float(v)) = value.as_ref().filter(|v| !is_marker(v)) else { continue };
            let h = found.entry((labels.clone(), i as i64 * load.step)).or_default();
            match (part, bound) {
                ("_bucket", Some(bound)) => h.buckets.push((bound, *v)),
                ("_count", _) => h.count = Some(*v),
                _ => h.sum = *v,
            }
        }
    }
    found.into_iter().map(|((labels, t), h)| Ok((labels, t, native(h)?))).collect()
}

fn native(mut h: Classic) -> Result<FloatHistogram, String> {
    h.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let count = h.count.or(h.buckets.last().map(|b| b.1)).unwrap_or(0.0);
    if h.buckets.last().is_none_or(|b| b.0 != f64::INFINITY) {
        h.buckets.push((f64::INFINITY, count));
    }
    let mut positive = Vec::with_capacity(h.buckets.len());
    let mut before = 0.0;
    for (bound, v) in &h.buckets {
        let own = v - before;
        if own.is_nan() || own < 0.0 {
            return Err(format!("the bucket le={bound} is not cumulative"));
        }
        positive.push(own);
        before = *v;
    }
    let layout = HistLayout {
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans: vec![Span { offset: 0, length: positive.len() as u32 }],
        custom_values: h.buckets.iter().map(|b| b.0).filter(|b| b.is_finite()).collect(),
        ..HistLayout::default()
    };
    let mut out = FloatHistogram {
        layout: Arc::new(layout),
        count,
        zero_count: 0.0,
        sum: h.sum,
        hint: ResetHint::Unknown,
        positive,
        negative: Vec::new(),
    };
    dolmen_promql_exec::histogram::compact(&mut out);
    Ok(out)
}
