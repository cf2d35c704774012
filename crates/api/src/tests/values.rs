//! Values are written the same however small the pieces are.

use dolmen_model::{FloatHistogram, Labels, ResetHint};
use dolmen_promql::{Sample, Series, Value, VectorSample};

use crate::answer::Feed;
use crate::json::Json;
use crate::value::ValueFeed;

fn text(value: &Value, piece: usize) -> String {
    let mut feed = ValueFeed::new(value.clone());
    let mut out = Json::default();
    loop {
        let until = out.len() + piece;
        if !feed.feed(&mut out, until) {
            return out.into_string();
        }
    }
}

#[test]
fn pieces_of_any_size() {
    let histogram = FloatHistogram {
        layout: Default::default(),
        count: 1.0,
        zero_count: 1.0,
        sum: 2.0,
        hint: ResetHint::Gauge,
        positive: vec![],
        negative: vec![],
    };
    let series = |name: &str, n: i64, m: i64| Series {
        labels: Labels::from_pairs([("name", name)]),
        floats: (0..n).map(|t| (t * 1000, t as f64)).collect(),
        histograms: (n..n + m).map(|t| (t * 1000, histogram.clone())).collect(),
    };
    let sample = |t: i64| VectorSample { labels: Labels::empty(), t, value: Sample::Float(1.5) };
    let values = [
        Value::Matrix(vec![series("a", 4, 0), series("b", 0, 3), series("c", 2, 2)]),
        Value::Matrix(vec![]),
        Value::Vector((0..5).map(sample).collect()),
        Value::Vector(vec![]),
        Value::Scalar(1000, 1.0),
    ];
    for value in &values {
        let whole = text(value, usize::MAX / 2);
        assert!(serde_json::from_str::<serde_json::Value>(&whole).is_ok(), "{whole}");
        for piece in 2..80 {
            assert_eq!(text(value, piece), whole, "pieces of {piece}");
        }
    }
}
