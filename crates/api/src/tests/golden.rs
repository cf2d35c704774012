//! Against what Prometheus 3.14 and Thanos answered.

use std::io::Read;

use dolmen_model::Labels;
use dolmen_promql::{Sample, Series, Value, VectorSample};
use serde_json::Value as Json;

use super::fake::{World, encode};

/// The rows of a recorded file, where it is there.
fn rows(path: &str) -> Option<Vec<Json>> {
    let shared = std::env::var("DOLMEN_SHARED")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared").to_owned());
    let Ok(bytes) = std::fs::read(format!("{shared}/{path}")) else {
        eprintln!("skipped: no {shared}/{path}");
        return None;
    };
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn text(v: &Json) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

/// What is refused is refused with Prometheus' words. Rows whose error an engine finds in the data are left out.
#[tokio::test]
async fn refusals() {
    let Some(rows) = rows("oracle/api.jsonl.gz") else { return };
    let w = World::plain();
    let mut replayed = 0;
    for row in rows.iter().filter(|row| row["code"] == 400 || row["path"] == "/api/v1/format_query") {
        let mut query = Vec::new();
        for (name, value) in row["params"].as_object().unwrap() {
            for value in value.as_array().unwrap_or(&vec![value.clone()]) {
                query.push(format!("{}={}", encode(name), encode(&text(value))));
            }
        }
        let (path, query) = (row["path"].as_str().unwrap(), query.join("&"));
        let answers = match path.contains("/label/") {
            true => vec![w.get(&format!("{path}?{query}")).await],
            false => vec![w.get(&format!("{path}?{query}")).await, w.post(path, &query).await],
        };
        for (code, body) in answers {
            assert_eq!(Json::from(code), row["code"], "{}", row["expr"]);
            assert_eq!(serde_json::from_str::<Json>(&body).unwrap(), row["body"], "{}", row["expr"]);
        }
        replayed += 1;
    }
    assert_eq!(replayed, 21);
}

/// A recorded result as the engine would give it; none where it holds histograms.
fn value(data: &Json) -> Option<Value> {
    let point = |p: &Json| {
        let t = (p[0].as_f64().unwrap() * 1000.0).round() as i64;
        let v = p[1].as_str()?;
        Some((t, v.parse::<f64>().unwrap_or(f64::NAN)))
    };
    let labels =
        |s: &Json| Labels::from_pairs(s["metric"].as_object().unwrap().iter().map(|(n, v)| (n, text(v))));
    let result = &data["result"];
    let all = || result.as_array().unwrap().iter();
    Some(match data["resultType"].as_str()? {
        "scalar" => point(result).map(|(t, v)| Value::Scalar(t, v))?,
        "string" => Value::String(point(result)?.0, text(&result[1])),
        "vector" => Value::Vector(
            all()
                .map(|s| {
                    let (t, v) = point(s.get("value")?)?;
                    Some(VectorSample { labels: labels(s), t, value: Sample::Float(v) })
                })
                .collect::<Option<_>>()?,
        ),
        _ => Value::Matrix(
            all()
                .map(|s| {
                    let floats = s.get("values")?.as_array()?.iter().map(point).collect::<Option<_>>()?;
                    Some(Series { labels: labels(s), floats, histograms: Vec::new() })
                })
                .collect::<Option<_>>()?,
        ),
    })
}

/// Read back and written again, answers are the same bytes.
#[tokio::test]
async fn bytes_of_answers() {
    let Some(rows) = rows("golden/http/exchanges.jsonl.gz") else { return };
    let w = World::plain();
    let mut written = 0;
    for row in rows.iter().filter(|row| row["status"] == 200) {
        let body = row["body"].as_str().unwrap();
        let Ok(json) = serde_json::from_str::<Json>(body) else { continue };
        let bare = json.get("warnings").is_none() && json.get("infos").is_none();
        let (true, Some(value)) = (bare, value(&json["data"])) else { continue };
        *w.engine.value.lock() = Some(value);
        // Thanos adds an analysis, and statistics where they are asked for.
        let ends = [",\"analysis\"", ",\"stats\""].map(|beside| body.find(beside));
        let end = ends.into_iter().flatten().min().unwrap();
        assert_eq!(
            w.get("/api/v1/query?query=x").await.1,
            format!("{}}}}}", &body[..end]),
            "{}",
            row["name"]
        );
        written += 1;
    }
    assert!(written >= 50, "{written}");
}

#[tokio::test]
async fn histograms() {
    use dolmen_model::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistLayout, ResetHint, Span};
    let histogram = |layout: HistLayout, zero_count, positive: &[f64], negative: &[f64]| FloatHistogram {
        layout: layout.into(),
        count: 12.0,
        zero_count,
        sum: -0.5,
        hint: ResetHint::Unknown,
        positive: positive.to_vec(),
        negative: negative.to_vec(),
    };
    let span = |offset, length| vec![Span { offset, length }];
    let layout = HistLayout {
        schema: 0,
        zero_threshold: 0.001,
        positive_spans: span(1, 3),
        negative_spans: span(0, 2),
        custom_values: Vec::new(),
    };
    let exponential = histogram(layout, 2.0, &[1.0, 0.0, 2.5], &[3.0, 4.0]);
    let layout = HistLayout {
        schema: CUSTOM_BUCKETS_SCHEMA,
        positive_spans: span(0, 3),
        custom_values: vec![0.1, 5.0],
        ..Default::default()
    };
    let custom = histogram(layout, 0.0, &[1.0, 2.0, 3.0], &[]);
    let empty = histogram(HistLayout::default(), 0.0, &[], &[]);
    let w = World::plain();
    let series = Series {
        labels: Labels::empty(),
        floats: vec![(0, 1.0)],
        histograms: vec![(1, exponential), (1000, custom), (2000, empty.clone())],
    };
    *w.engine.value.lock() = Some(Value::Matrix(vec![series]));
    assert_eq!(
        w.get("/api/v1/query?query=x").await.1,
        concat!(
            r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[0,"1"]],"histograms":["#,
            r#"[0.001,{"count":"12","sum":"-0.5","buckets":[[1,"-2","-1","4"],[1,"-1","-0.5","3"],"#,
            r#"[3,"-0.001","0.001","2"],[0,"1","2","1"],[0,"4","8","2.5"]]}],"#,
            r#"[1,{"count":"12","sum":"-0.5","buckets":[[3,"-Inf","0.1","1"],[0,"0.1","5","2"],[0,"5","+Inf","3"]]}],"#,
            r#"[2,{"count":"12","sum":"-0.5"}]]}]}}"#,
        )
    );
    let sample = VectorSample { labels: Labels::empty(), t: 5, value: Sample::Histogram(Box::new(empty)) };
    *w.engine.value.lock() = Some(Value::Vector(vec![sample]));
    assert!(
        w.get("/api/v1/query?query=x")
            .await
            .1
            .contains(r#"[{"metric":{},"histogram":[0.005,{"count":"12","sum":"-0.5"}]}]"#)
    );
}
