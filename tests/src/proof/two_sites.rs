//! Two sites of two real Prometheus each, each site with a Dolmen and a Ceph of its own, for ten minutes; then one
//! site goes dark: killed, and stopped. What both queriers answer is compared with what each Prometheus holds.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Figures;
use super::pair::{self, SELECTORS, pinned};
use crate::demo::Demo;
use crate::exporter::{Exporter, now};
use crate::http::{Client, Reply};
use crate::process::wait_until;
use crate::{ceph, place};

const RUN: Duration = Duration::from_secs(600);
const FLAGS: &str = "--tsdb.min-block-duration 2m --tsdb.max-block-duration 2m --sync-block-duration 10s --store.response-timeout 3s";
const SITES: [&str; 2] = ["dc-a", "dc-b"];

/// How long a store may keep silent, and what comes on top of it.
const FIRST_ANSWER: Duration = Duration::from_millis(3500);
/// From here on nobody waits for the site that is gone.
const SETTLED: Duration = Duration::from_secs(10);
const QUERIES: usize = 510;
const P99_FLOOR: Duration = Duration::from_millis(50);
/// Selectors that name the site that stays.
const PINNED: usize = 10;

pub fn run(figures: &mut Figures) -> Result<()> {
    let needed = [&ceph::PROGRAMS[..], &["prometheus", "prometheus-node-exporter"]].concat();
    if let Some(program) = place::missing(&needed) {
        bail!("needs {program}");
    }
    let dir = place::scratch("two-sites")?;
    let demo = Demo::up(&dir.path().join("sites"), "ceph", FLAGS)?;
    let exporters = [Exporter::start()?, Exporter::start()?];
    for (site, exporter) in SITES.iter().zip(&exporters) {
        let target = format!(r#"[{{"targets":["127.0.0.1:{}"],"labels":{{"job":"probe"}}}}]"#, exporter.port);
        std::fs::write(demo.dir(site).join("targets/probe.json"), target)?;
    }
    let started = Instant::now();
    wait_to(started, Duration::from_secs(200));
    for site in SITES {
        kill_second_prometheus(&demo, site)?;
    }
    wait_to(started, Duration::from_secs(245));
    for site in SITES {
        demo.dark(site, "back")?;
    }
    for at in [Duration::from_secs(330), RUN] {
        wait_to(started, at);
        let t = now() - 11_000;
        for querier in SITES {
            let querier = demo.client(querier, "QUERY_URL")?;
            for site in SITES {
                let pair = [demo.client(site, "PROM1_URL")?, demo.client(site, "PROM2_URL")?];
                pair::compare(&querier, &pair, Some(site), t, figures)?;
            }
        }
        same_answers(&demo, t, figures)?;
    }
    figures.note("selectors", SELECTORS.len());
    for action in ["kill", "stop"] {
        dark(&demo, action, figures).context(action)?;
    }
    Ok(())
}

fn wait_to(started: Instant, at: Duration) {
    std::thread::sleep(at.saturating_sub(started.elapsed()));
}

fn kill_second_prometheus(demo: &Demo, site: &str) -> Result<()> {
    let pids = demo.fact(site, "PIDS")?;
    // Dolmen first, then the pair.
    let pid = pids.split(' ').nth(2).context("three processes of a site")?;
    place::run(std::process::Command::new("kill").args(["-9", pid])).map(drop)
}

/// What is asked, of the time before `t`: the first ten name the site that stays.
fn questions() -> Vec<String> {
    let of = |(i, selector): (usize, &&str)| match i < PINNED {
        true => pinned(selector, "site=\"dc-a\""),
        false => (*selector).to_owned(),
    };
    SELECTORS.iter().enumerate().map(of).collect()
}

fn ask(querier: &Client, query: &str, t: i64) -> Result<Reply> {
    let time = format!("{}.{:03}", t / 1000, t % 1000);
    querier.ask("/api/v1/query", &[("query", query), ("time", &time)])
}

/// Both queriers answer everything alike.
fn same_answers(demo: &Demo, t: i64, figures: &mut Figures) -> Result<()> {
    let queriers = [demo.client("dc-a", "QUERY_URL")?, demo.client("dc-b", "QUERY_URL")?];
    for selector in SELECTORS {
        for query in [format!("{selector}[10m]"), format!("count by (site, job) ({selector})")] {
            let mut answers = Vec::new();
            for querier in &queriers {
                let reply = ask(querier, &query, t)?;
                figures.check(reply.status == 200 && reply.complete.is_none(), || {
                    format!("{query}: {} {}", reply.status, shortened(&reply.body["warnings"]))
                });
                answers.push(sorted(reply.body));
            }
            figures.count("answers_of_both_queriers", 1);
            figures.check(answers[0] == answers[1], || format!("{query} at {t}: the queriers differ"));
        }
    }
    Ok(())
}

/// The result, its series in one order.
fn sorted(mut body: Value) -> Value {
    if let Some(series) = body["data"]["result"].as_array_mut() {
        series.sort_by_key(|s| s["metric"].to_string());
    }
    body["data"].take()
}

fn shortened(v: &Value) -> String {
    v.to_string().chars().take(300).collect()
}

/// p99 of so many queries, and what came back; `judge` sees every answer.
fn measure(
    querier: &Client,
    queries: usize,
    mut judge: impl FnMut(usize, &str, i64, Reply),
) -> Result<Duration> {
    let questions = questions();
    let mut took = Vec::with_capacity(queries);
    for i in 0..queries {
        let which = i % questions.len();
        let t = now() - 1000;
        let reply = ask(querier, &questions[which], t)?;
        took.push(reply.took);
        judge(which, &questions[which], t, reply);
    }
    took.sort_unstable();
    Ok(took[(queries * 99).div_ceil(100) - 1])
}

/// Site dc-b goes dark, and comes back.
fn dark(demo: &Demo, action: &str, figures: &mut Figures) -> Result<()> {
    let querier = demo.client("dc-a", "QUERY_URL")?;
    let store = demo.fact("dc-b", "STORE")?.to_owned();
    let note = |name: &str| format!("{action}_{name}");
    let before = measure(&querier, QUERIES, |_, query, _, reply| {
        figures.check(reply.status == 200 && reply.complete.is_none(), || {
            format!("{action}, before: {query}: {} {}", reply.status, shortened(&reply.body["warnings"]))
        });
    })?;
    let past = now() - 5000;
    let unchanged: Vec<(String, Value)> = questions()
        .into_iter()
        .take(PINNED)
        .map(|q| Ok((q.clone(), sorted(ask(&querier, &format!("{q}[5m]"), past)?.body))))
        .collect::<Result<_>>()?;

    demo.dark("dc-b", action)?;
    let gone = Instant::now();
    let t = now();
    let reply = ask(&querier, "up", t)?;
    figures.note(&note("first_answer_ms"), reply.took.as_millis() as u64);
    figures.check(reply.took <= FIRST_ANSWER, || format!("{action}: first answer after {:?}", reply.took));
    judge(&reply, true, &store, "up", t, figures);

    wait_to(gone, SETTLED);
    let during = measure(&querier, QUERIES, |which, query, t, reply| {
        judge(&reply, which >= PINNED, &store, query, t, figures);
        figures.count(if which >= PINNED { "marked_answers" } else { "unmarked_answers" }, 1);
    })?;
    for (query, want) in &unchanged {
        let reply = ask(&querier, &format!("{query}[5m]"), past)?;
        judge(&reply, false, &store, query, past, figures);
        let got = sorted(reply.body);
        figures.count("unchanged_answers", 1);
        figures.check(got == *want, || format!("{action}: {query} at {past} changed"));
    }
    let ms = |d: Duration| (d.as_secs_f64() * 1e5).round() / 100.0;
    figures.note(&note("p99_before_ms"), ms(before));
    figures.note(&note("p99_during_ms"), ms(during));
    let allowed = (2 * before).max(P99_FLOOR);
    figures.check(during <= allowed, || format!("{action}: p99 {during:?} during, {before:?} before"));
    strict(&querier, &store, figures)?;

    let back = Instant::now();
    demo.dark("dc-b", "back")?;
    figures.note(&note("seconds_of_back_command"), (back.elapsed().as_secs_f64() * 10.0).round() / 10.0);
    let back = Instant::now();
    wait_until("an unmarked answer", Duration::from_secs(60), || {
        Ok(ask(&querier, "up", now())?.complete.is_none())
    })?;
    let seconds = back.elapsed().as_secs_f64();
    figures.note(&note("seconds_to_unmarked"), (seconds * 10.0).round() / 10.0);
    figures.check(seconds <= 10.0, || format!("{action}: unmarked {seconds:.1} s after it was back"));
    Ok(())
}

/// With `partial_response=0` what is incomplete is an error, on every API.
fn strict(querier: &Client, store: &str, figures: &mut Figures) -> Result<()> {
    let time = (now() / 1000).to_string();
    for (path, parameters) in [
        ("/api/v1/query", vec![("query", "up"), ("time", &time)]),
        ("/api/v1/query_range", vec![("query", "up"), ("start", &time), ("end", &time), ("step", "1")]),
        ("/api/v1/series", vec![("match[]", "up")]),
        ("/api/v1/labels", vec![]),
        ("/api/v1/label/job/values", vec![]),
    ] {
        let marked = querier.ask(path, &parameters)?;
        let said = marked.body["completeness"]["missing"][0]["store"] == *store;
        figures.check(marked.status == 200 && said, || format!("{path}: {}", shortened(&marked.body)));
        let strict = [parameters, vec![("partial_response", "0")]].concat();
        let refused = querier.ask(path, &strict)?;
        let text = refused.body["error"].as_str().unwrap_or_default();
        let right = refused.status == 422
            && refused.body["errorType"] == "execution"
            && text.starts_with(&format!("site \"dc-b\" missing: {store}: "));
        figures.check(right, || format!("{path} strict: {} {}", refused.status, shortened(&refused.body)));
        figures.count("strict_answers", 1);
    }
    Ok(())
}

/// An answer of the site that stays: marked as the contract has it, or not at all.
fn judge(reply: &Reply, needs_dark: bool, store: &str, query: &str, t: i64, figures: &mut Figures) {
    let told = || format!("{query}: {} {}", reply.status, shortened(&reply.body["warnings"]));
    figures.check(reply.status == 200, told);
    let completeness = &reply.body["completeness"];
    if !needs_dark {
        let unmarked = reply.complete.is_none() && completeness.is_null() && reply.body["warnings"].is_null();
        figures.check(unmarked, || format!("marked without need: {}", told()));
        return;
    }
    let missing = &completeness["missing"][0];
    let times = (missing["mint"].as_i64(), missing["maxt"].as_i64());
    let right = reply.complete.as_deref() == Some("false")
        && reply.cache_control.as_deref() == Some("no-store")
        && completeness["complete"] == false
        && completeness["missing"].as_array().is_some_and(|m| m.len() == 1)
        && missing["site"] == "dc-b"
        && missing["store"] == store
        && missing["cause"].as_str().is_some_and(|c| !c.is_empty())
        // What an instant selector reads: five minutes up to its time.
        && matches!(times, (Some(mint), Some(maxt)) if (maxt - t).abs() <= 1000 && mint < maxt && maxt - mint <= 300_000);
    let beginning = format!("site \"dc-b\" missing: {store}: ");
    let warned = reply.body["warnings"].as_array().is_some_and(|w| {
        w.iter()
            .filter_map(Value::as_str)
            .any(|w| w.starts_with(&beginning) && w.contains("; data of ") && w.ends_with('Z'))
    });
    figures.check(right && warned, || format!("not marked as it should be: {} {completeness}", told()));
}
