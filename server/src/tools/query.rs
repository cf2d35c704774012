//! `tools query`: asks a server and prints the answer as a table, as JSON or as a plot.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use dolmen_ctx::{Clock, SystemClock};
use serde::Deserialize;

use super::plot;
use crate::exit::{Exit, Outcome};
use crate::flags::Millis;

/// Flags of `tools query`.
#[derive(Args, Debug)]
pub struct Query {
    /// The PromQL expression.
    expr: String,
    /// The server to ask.
    #[arg(long, default_value = "http://127.0.0.1:10902")]
    url: String,
    /// Asks for a range of this length that ends now.
    #[arg(long, value_name = "DURATION")]
    range: Option<Millis>,
    /// Step of the range.
    #[arg(long, default_value = "15s", value_name = "DURATION")]
    step: Millis,
    /// How the answer is printed.
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq)]
enum Output {
    Table,
    Json,
    Plot,
}

#[derive(Deserialize)]
struct Body {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
    data: Option<Data>,
    completeness: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Matrix(Vec<Series>),
    Scalar((f64, String)),
    String((f64, String)),
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    histogram: Option<(f64, Histogram)>,
    #[serde(default)]
    histograms: Vec<(f64, Histogram)>,
}

#[derive(Deserialize)]
struct Histogram {
    count: String,
    sum: String,
}

/// Most charts that are drawn.
const CHARTS: usize = 10;

/// Asks and prints.
pub fn run(query: Query) -> Outcome {
    let end = SystemClock.now() as f64 / 1000.0;
    let start = end - query.range.map_or(0.0, |r| r.0 as f64 / 1000.0);
    let (text, incomplete) = ask(&query, start, end)?;
    let body: Body = serde_json::from_str(&text)
        .map_err(|e| Exit::Failed(format!("{}: no answer of a Prometheus API: {e}", query.url)))?;
    for note in body.warnings.iter().chain(&body.infos) {
        eprintln!("warning: {note}");
    }
    let (Some(data), "success") = (body.data, body.status.as_str()) else {
        return Err(Exit::Failed(body.error));
    };
    match query.output {
        Output::Json => println!("{}", text.trim_end()),
        Output::Table => table(&data),
        Output::Plot => plots(&data, start, end),
    }
    if incomplete || body.completeness.is_some() { Err(Exit::Findings) } else { Ok(()) }
}

/// The answer's body, and whether its header says that it is incomplete.
fn ask(query: &Query, start: f64, end: f64) -> Result<(String, bool), Exit> {
    let seconds = |t: f64| format!("{t:.3}");
    let mut form = vec![("query", query.expr.clone())];
    let path = if query.range.is_some() {
        form.push(("start", seconds(start)));
        form.push(("end", seconds(end)));
        form.push(("step", seconds(query.step.0 as f64 / 1000.0)));
        "api/v1/query_range"
    } else {
        form.push(("time", seconds(end)));
        "api/v1/query"
    };
    let url = format!("{}/{path}", query.url.trim_end_matches('/'));
    let failed = |e: reqwest::Error| Exit::Failed(format!("ask {url}: {e}; is a server running there?"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Exit::Failed(format!("start: {e}")))?;
    runtime.block_on(async {
        let response = reqwest::Client::new().post(&url).form(&form).send().await.map_err(failed)?;
        let incomplete = response.headers().get("dolmen-complete").is_some_and(|v| v == "false");
        Ok((response.text().await.map_err(failed)?, incomplete))
    })
}

/// A metric as PromQL writes it.
fn name(metric: &BTreeMap<String, String>) -> String {
    let labels: Vec<String> =
        metric.iter().filter(|(n, _)| *n != "__name__").map(|(n, v)| format!("{n}={v:?}")).collect();
    let name = metric.get("__name__").map_or("", String::as_str);
    if labels.is_empty() && !name.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", labels.join(","))
    }
}

fn table(data: &Data) {
    let rows: Vec<(String, String)> = match data {
        Data::Scalar((_, v)) => vec![("scalar".to_owned(), v.clone())],
        Data::String((_, v)) => vec![("string".to_owned(), v.clone())],
        Data::Vector(series) => series.iter().map(|s| (name(&s.metric), instant(s))).collect(),
        Data::Matrix(series) => series.iter().map(|s| (name(&s.metric), over_time(s))).collect(),
    };
    let width = rows.iter().map(|r| r.0.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        println!("{name:<width$}  {value}");
    }
}

fn instant(s: &Series) -> String {
    match (&s.value, &s.histogram) {
        (Some((_, v)), _) => v.clone(),
        (None, Some((_, h))) => format!("count {} sum {}", h.count, h.sum),
        (None, None) => String::new(),
    }
}

fn over_time(s: &Series) -> String {
    let last = match (s.values.last(), s.histograms.last()) {
        (Some((_, v)), _) => v.clone(),
        (None, Some((_, h))) => format!("count {} sum {}", h.count, h.sum),
        (None, None) => String::new(),
    };
    format!("{} points, last {last}", s.values.len() + s.histograms.len())
}

fn plots(data: &Data, start: f64, end: f64) {
    let (Data::Matrix(series) | Data::Vector(series)) = data else { return table(data) };
    for s in series.iter().take(CHARTS) {
        let floats = s.values.iter().chain(&s.value).map(|(t, v)| (*t, v.parse().unwrap_or(f64::NAN)));
        // Of histograms the count is drawn.
        let counts =
            s.histograms.iter().chain(&s.histogram).map(|(t, h)| (*t, h.count.parse().unwrap_or(f64::NAN)));
        let points: Vec<(f64, f64)> = floats.chain(counts).collect();
        println!("{}", plot::chart(&name(&s.metric), &points, start, end));
    }
    if series.len() > CHARTS {
        eprintln!("warning: {} series, the first {CHARTS} are drawn", series.len());
    }
}
