//! A store that sends what no store may: every answer comes in time, names it, holds all that the good store has,
//! and the querier's memory stays within bounds.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dolmen_proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};
use serde_json::Value;

use super::Figures;
use crate::dolmen::Dolmen;
use crate::exporter::now;
use crate::hostile::{self, HostileStore, Trick};
use crate::http::{Client, Reply};
use crate::load;
use crate::place;
use crate::process::{usage, wait_until};

const METRIC: &str = "m";
const SITE: &str = "dc-a";
const SERIES: usize = 50;
const STEP: i64 = 15_000;
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Beyond the time that a query may take, on a machine that does other things too.
const SLACK: Duration = Duration::from_millis(500);
/// Most that the querier may ever take.
const RSS_MAX: u64 = 1 << 30;

/// A trick, how it is told, and whether label sets alone show it.
const TRICKS: [(Trick, &str, bool); 12] = [
    (Trick::Unsorted, "series out of order: ", true),
    (Trick::Foreign, "foreign labels: ", true),
    (Trick::NotAsked, "series that was not asked for: ", true),
    (Trick::BrokenChunks, "broken chunk", false),
    (Trick::BackwardTimes, "broken chunk", false),
    (Trick::Garbage, "malformed message", true),
    (Trick::EndlessSeries, "", true),
    (Trick::EndlessPieces, "", true),
    (Trick::EndlessWarnings, "more than 10000 frames without series", true),
    (Trick::Giant, "frame of 1073741824 bytes, the limit is ", true),
    (Trick::Drip, "no end in 4s", true),
    (Trick::WrongEnd, "", true),
];

/// What is asked.
struct Question {
    path: &'static str,
    parameters: Vec<(&'static str, String)>,
    /// Whether the answer grows with the series that there are.
    grows: bool,
}

pub fn run(figures: &mut Figures) -> Result<()> {
    let dir = place::scratch("hostile-store")?;
    let at = now() / STEP * STEP;
    let good = good(dir.path(), at)?;
    let good_address = good.address("grpc")?.to_owned();
    let reference = querier(dir.path(), "reference", &[&good_address])?;
    await_stores(&reference.client()?, 1)?;
    let questions = questions(at);
    let alone: Vec<Value> = questions
        .iter()
        .map(|q| Ok(ask(&reference.client()?, q)?.body["data"].clone()))
        .collect::<Result<_>>()?;
    for (q, data) in questions.iter().zip(&alone) {
        let empty = data.as_array().or_else(|| data["result"].as_array()).is_none_or(Vec::is_empty);
        ensure!(!empty, "nothing to compare with: {}: {data}", q.path);
    }
    for parts in [true, false] {
        let hostile = HostileStore::start(parts, SITE, METRIC, at)?;
        let name = if parts { "as-dolmen" } else { "as-thanos" };
        let querier = querier(dir.path(), name, &[&good_address, &hostile.address])?;
        let client = querier.client()?;
        await_stores(&client, 2)?;
        for trick in [(Trick::Honest, "", false)].into_iter().chain(TRICKS) {
            // Who was found gone is left alone for a moment.
            hostile.play(Trick::Honest);
            await_stores(&client, 2)?;
            hostile.play(trick.0);
            let asked = hostile.asked();
            for (q, alone) in questions.iter().zip(&alone) {
                // An answer without measure is only looked at where it is not shown.
                if trick.0 == Trick::EndlessSeries && q.grows {
                    continue;
                }
                let reply = ask(&client, q)?;
                figures.count("answers", 1);
                let slowest = figures.value("slowest_ms").max(reply.took.as_millis() as u64);
                figures.note("slowest_ms", slowest);
                let what = format!("{name} {:?} {}", trick.0, q.path);
                match judge(q, trick, &reply, alone, &hostile.address) {
                    Ok(marked) => figures.count(if marked { "marked" } else { "whole" }, 1),
                    Err(why) => figures.check(false, || format!("{what}: {why}")),
                }
            }
            figures.check(hostile.asked() > asked, || format!("{name} {:?}: it was not asked", trick.0));
        }
        let (_, peak) = usage(querier.process.pid())?;
        figures.note(&format!("{}_peak_rss_mib", name.replace('-', "_")), peak >> 20);
        figures.check(peak <= RSS_MAX, || format!("{name}: {peak} bytes of memory, of {RSS_MAX}"));
    }
    figures.note("peak_rss_mib_max", RSS_MAX >> 20);
    Ok(())
}

/// Whether the answer is marked as it should be.
fn judge(
    q: &Question,
    (trick, cause, labels_show): (Trick, &str, bool),
    reply: &Reply,
    alone: &Value,
    address: &str,
) -> Result<bool, String> {
    let short = |v: &Value| v.to_string().chars().take(500).collect::<String>();
    if reply.status != 200 {
        return Err(format!("{} {}", reply.status, short(&reply.body)));
    }
    if reply.took > QUERY_TIMEOUT + SLACK {
        return Err(format!("took {:?}", reply.took));
    }
    let data = &reply.body["data"];
    // What else it sent before it broke the rules is its own site's.
    let left = without(data, hostile::SITE);
    let same = match q.path.contains("label") && trick == Trick::Honest {
        true => {
            alone.as_array().into_iter().flatten().all(|v| data.as_array().is_some_and(|d| d.contains(v)))
        }
        false => left == *alone,
    };
    if !same {
        return Err(format!("{} instead of {}", short(&left), short(alone)));
    }
    let marked = match trick {
        Trick::Honest => false,
        // Label sets are as they should be; names and values come of calls of their own.
        _ if q.path.ends_with("/series") => labels_show,
        _ => true,
    };
    if !marked {
        let whole = reply.body["completeness"].is_null() && reply.complete.is_none();
        return if whole {
            Ok(false)
        } else {
            Err(format!("marked: {}", short(&reply.body["completeness"])))
        };
    }
    let missing = reply.body["completeness"]["missing"].as_array().cloned().unwrap_or_default();
    let named = |m: &Value| m["store"] == address && m["site"] == hostile::SITE;
    if missing.is_empty() || !missing.iter().all(named) {
        return Err(format!("not named: {}", short(&reply.body["completeness"])));
    }
    let of_series = !q.path.contains("label");
    let told = |m: &Value| m["cause"].as_str().is_some_and(|c| c.contains(cause) && c.len() < 600);
    if of_series && !missing.iter().any(told) {
        return Err(format!("told otherwise than {cause:?}: {}", short(&missing[0])));
    }
    let warnings = reply.body["warnings"].as_array().cloned().unwrap_or_default();
    if !warnings.iter().any(|w| w.as_str().is_some_and(|w| w.contains(address))) {
        return Err(format!("no warning: {}", short(&reply.body["warnings"])));
    }
    match (reply.complete.as_deref(), reply.cache_control.as_deref()) {
        (Some("false"), Some("no-store")) => Ok(true),
        headers => Err(format!("headers {headers:?}")),
    }
}

/// The data without the series of a site.
fn without(data: &Value, site: &str) -> Value {
    let mut data = data.clone();
    let keep = |v: &Value| v["metric"]["site"] != site && v["site"] != site;
    let list = match data["result"].is_array() {
        true => data["result"].as_array_mut(),
        false => data.as_array_mut(),
    };
    if let Some(list) = list {
        list.retain(keep);
    }
    data
}

fn questions(at: i64) -> Vec<Question> {
    let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
    let span = || vec![("start", seconds(at - 240_000)), ("end", seconds(at))];
    let metadata = |path| {
        let parameters = [vec![("match[]", METRIC.to_owned())], span()].concat();
        Question { path, parameters, grows: path == "/api/v1/series" }
    };
    let query = |text: &str, grows| Question {
        path: "/api/v1/query",
        parameters: vec![("query", text.to_owned()), ("time", seconds(at))],
        grows,
    };
    let range = |text: &str, grows| Question {
        path: "/api/v1/query_range",
        parameters: [vec![("query", text.to_owned()), ("step", "15".to_owned())], span()].concat(),
        grows,
    };
    vec![
        query("m", true),
        query("sum by (site) (m)", false),
        range("rate(m[1m])", true),
        range("count by (site) (m)", false),
        metadata("/api/v1/series"),
        metadata("/api/v1/labels"),
        metadata("/api/v1/label/i/values"),
    ]
}

fn ask(client: &Client, q: &Question) -> Result<Reply> {
    let parameters: Vec<(&str, &str)> = q.parameters.iter().map(|(n, v)| (*n, v.as_str())).collect();
    client.ask(q.path, &parameters).context(q.path)
}

/// A process with some minutes of data.
fn good(dir: &Path, at: i64) -> Result<Dolmen> {
    let (data, label) = (dir.join("good").display().to_string(), format!("site=\"{SITE}\""));
    let args = ["serve", "--data-dir", &data, "--label", &label, "--self-scrape-interval", "0"];
    let local = ["--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    let good = Dolmen::start("good", dir, &[&args[..], &local].concat())?;
    let series = |i: usize| TimeSeries {
        labels: [("__name__", METRIC.to_owned()), ("i", format!("{i:02}"))]
            .map(|(name, value)| Label { name: name.to_owned(), value })
            .to_vec(),
        samples: (0..=20)
            .map(|k| Sample { timestamp: at - STEP * (20 - k), value: (k * 7) as f64 + i as f64 })
            .collect(),
        ..TimeSeries::default()
    };
    let request = WriteRequest { timeseries: (0..SERIES).map(series).collect(), ..WriteRequest::default() };
    let headers = [("content-encoding", "snappy"), ("content-type", "application/x-protobuf")];
    let (status, text) = good.client()?.post("/api/v1/write", &headers, load::compress(&request))?;
    ensure!(status / 100 == 2, "write: {status} {text}");
    Ok(good)
}

fn querier(dir: &Path, name: &str, endpoints: &[&str]) -> Result<Dolmen> {
    let data = dir.join(name).display().to_string();
    let (response, query) =
        (format!("{}s", RESPONSE_TIMEOUT.as_secs()), format!("{}s", QUERY_TIMEOUT.as_secs()));
    let mut args = vec!["query", "--data-dir", &data, "--http-address", "127.0.0.1:0"];
    args.extend(["--grpc-address", "127.0.0.1:0", "--store.response-timeout", &response]);
    args.extend(["--query.timeout", &query]);
    args.extend(endpoints.iter().flat_map(|e| ["--endpoint", e]));
    Dolmen::start(name, dir, &args)
}

/// Waits until so many stores are up.
fn await_stores(client: &Client, n: usize) -> Result<()> {
    wait_until("stores that are up", Duration::from_secs(20), || {
        let (_, text) = client.get("/api/v1/stores")?;
        let all: Value = serde_json::from_str(&text)?;
        let up = |s: &&Value| s["lastError"].is_null();
        let kinds = all["data"].as_object().context("stores")?;
        Ok(kinds.values().filter_map(Value::as_array).flatten().filter(up).count() == n)
    })
}
