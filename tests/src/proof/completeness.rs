//! Random queries on all APIs while random stores of four die, hang, break off half-way and come back: every answer
//! is the full one, or says exactly what is missing and is right in all else, or is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dolmen_proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};
use parking_lot::Mutex;
use rustix::process::Signal;
use serde_json::Value;

use super::Figures;
use crate::dolmen::Dolmen;
use crate::exporter::now;
use crate::http::{Client, Reply};
use crate::load;
use crate::place;
use crate::process::free_port;
use crate::proxy::Proxy;

const QUERIES: usize = 5000;
const ASKERS: usize = 4;
/// Pause of an asker after an answer: the whole takes some minutes, in which stores come and go.
const REST: Duration = Duration::from_millis(60);
const HOUR: i64 = 3_600_000;
const LOOKBACK: i64 = 300_000;
const STEP: i64 = 15_000;
const METRICS: usize = 4;
const SERIES: usize = 40;
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
/// So long after its fault a store may still be left alone, if queries found it gone again and again.
const GRACE: Duration = Duration::from_secs(45);

/// One store: two hours of a site.
struct Store {
    site: &'static str,
    /// Milliseconds, both inclusive.
    mint: i64,
    maxt: i64,
    port: u16,
    proxy: Proxy,
    dolmen: Mutex<Dolmen>,
    /// When it began to be faulty last, and when that ended.
    fault: Mutex<Option<(Instant, Option<Instant>)>>,
}

/// One question.
#[derive(Debug)]
struct Question {
    path: &'static str,
    parameters: Vec<(&'static str, String)>,
    /// Time of the data that it needs, both inclusive.
    needs: (i64, i64),
    site: Option<&'static str>,
}

pub fn run(figures: &mut Figures) -> Result<()> {
    let dir = place::scratch("completeness")?;
    let start = (now() / (2 * HOUR) - 4) * 2 * HOUR;
    let stores: Vec<Store> = ["dc-a", "dc-b"]
        .iter()
        .flat_map(|site| [0, 1].map(|half| (*site, start + half * 2 * HOUR)))
        .map(|(site, mint)| store(dir.path(), site, mint))
        .collect::<Result<_>>()?;
    let real: Vec<String> = stores.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
    let faulty: Vec<String> = stores.iter().map(|s| format!("127.0.0.1:{}", s.proxy.port)).collect();
    // The full answers, and those of all but some, are asked before anything fails.
    let reference = querier(dir.path(), "reference", &real)?;
    let questions: Vec<Question> =
        (0..QUERIES).map(|i| question(&mut Random::new(i as u64), start)).collect();
    let reference =
        Reference { client: reference.client()?, real, full: Mutex::default(), _querier: reference };
    let full: Vec<Value> = questions.iter().map(|q| reference.ask(q, &[])).collect::<Result<_>>()?;
    let without = reference.precompute(&questions, &stores)?;
    let querier = querier(dir.path(), "querier", &faulty)?;

    let (done, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let verdicts = Mutex::new(Verdicts::default());
    std::thread::scope(|scope| -> Result<()> {
        let chaos = scope.spawn(|| chaos(&stores, &done));
        let askers: Vec<_> = (0..ASKERS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let client = querier.client()?;
                    while let i @ 0..QUERIES = next.fetch_add(1, Ordering::SeqCst) {
                        let (q, began) = (&questions[i], Instant::now());
                        let parameters: Vec<(&str, &str)> =
                            q.parameters.iter().map(|(n, v)| (*n, v.as_str())).collect();
                        let reply = client.ask(q.path, &parameters)?;
                        let judged = judge(q, &full[i], &without[i], &reply, &stores, &faulty, began);
                        verdicts.lock().note(q, judged, reply.took);
                        std::thread::sleep(REST);
                    }
                    Ok(())
                })
            })
            .collect();
        let asked: Vec<_> = askers.into_iter().map(|a| a.join().expect("askers do not panic")).collect();
        done.store(true, Ordering::SeqCst);
        figures.note("faults", chaos.join().expect("chaos does not panic")?);
        asked.into_iter().collect()
    })?;
    let verdicts = verdicts.into_inner();
    for (class, n) in &verdicts.classes {
        figures.note(class, *n);
    }
    figures.note("queries", QUERIES);
    figures.note("slowest_answer_ms", verdicts.slowest.as_millis() as u64);
    for wrong in verdicts.wrong {
        figures.check(false, || wrong);
    }
    let marked = *verdicts.classes.get("marked_with_what_is_missing").unwrap_or(&0);
    let whole = *verdicts.classes.get("equal_to_the_full_answer").unwrap_or(&0);
    figures.check(marked > QUERIES as u64 / 20, || format!("only {marked} answers lacked anything"));
    figures.check(whole > QUERIES as u64 / 20, || format!("only {whole} answers were whole"));
    Ok(())
}

/// Two hours of data in blocks, and a process that serves them.
fn store(dir: &Path, site: &'static str, mint: i64) -> Result<Store> {
    let name = format!("{site}-{mint}");
    let data = dir.join(&name);
    let (data, label) = (data.display().to_string(), format!("site=\"{site}\""));
    let local = ["--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    let args = ["serve", "--data-dir", &data, "--label", &label, "--self-scrape-interval", "0"];
    let mut writer = Dolmen::start(&format!("{name}-writer"), dir, &[&args[..], &local].concat())?;
    let client = writer.client()?;
    let (first, last) = (mint, mint + 2 * HOUR - STEP);
    let mut t = first;
    while t <= last {
        let times: Vec<i64> = (t..=last).step_by(STEP as usize).take(60).collect();
        let body = load::compress(&request(site, &times));
        let headers = [("content-encoding", "snappy"), ("content-type", "application/x-protobuf")];
        let (status, text) = client.post("/api/v1/write", &headers, body)?;
        anyhow::ensure!(status / 100 == 2, "write: {status} {text}");
        t += 60 * STEP;
    }
    let (status, text) = client.post("/-/flush", &[], Vec::new())?;
    anyhow::ensure!(status == 204, "flush: {status} {text}");
    writer.process.stop(Duration::from_secs(30))?;
    let port = free_port()?;
    let dolmen = open(dir, &name, port)?;
    let proxy = Proxy::start(port)?;
    let (dolmen, fault) = (Mutex::new(dolmen), Mutex::new(None));
    // As Thanos' stores, it says the end that stands in the block's meta: one past its last sample.
    Ok(Store { site, mint: first, maxt: last + 1, port, proxy, dolmen, fault })
}

/// A gateway over the blocks of the store.
fn open(dir: &Path, name: &str, port: u16) -> Result<Dolmen> {
    let bucket = dir.join(name).join("bucket");
    let bucket = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", bucket.display());
    let (data, grpc) = (dir.join(format!("{name}-gateway")), format!("127.0.0.1:{port}"));
    let data = data.display().to_string();
    let args = ["gateway", "--data-dir", &data, "--http-address", "127.0.0.1:0", "--grpc-address", &grpc];
    Dolmen::start(name, dir, &[&args[..], &["--objstore.config", &bucket]].concat())
}

fn request(site: &str, times: &[i64]) -> WriteRequest {
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    let series = (0..METRICS).flat_map(|m| (0..SERIES).map(move |i| (m, i)));
    let timeseries = series.map(|(m, i)| TimeSeries {
        labels: vec![
            label("__name__", format!("m{m}")),
            // Some label names and values are of one site alone.
            label("i", if i % 8 == 0 { format!("{site}-{i}") } else { i.to_string() }),
            label(
                if i % 5 == 0 { site.split('-').next_back().unwrap_or(site) } else { "zone" },
                "z".to_owned(),
            ),
        ],
        samples: times
            .iter()
            .map(|t| Sample {
                value: (t / STEP % 1_000_003 * 7 + (m * SERIES + i) as i64) as f64,
                timestamp: *t,
            })
            .collect(),
        ..TimeSeries::default()
    });
    let mut timeseries: Vec<TimeSeries> = timeseries.collect();
    timeseries.iter_mut().for_each(|s| s.labels.sort_by(|a, b| a.name.cmp(&b.name)));
    WriteRequest { timeseries, ..WriteRequest::default() }
}

fn querier(dir: &Path, name: &str, endpoints: &[String]) -> Result<Dolmen> {
    let data = dir.join(name).display().to_string();
    let timeout = format!("{}ms", RESPONSE_TIMEOUT.as_millis());
    let mut args = vec!["query", "--data-dir", &data, "--http-address", "127.0.0.1:0"];
    args.extend(["--grpc-address", "127.0.0.1:0", "--store.response-timeout", &timeout]);
    args.extend(endpoints.iter().flat_map(|e| ["--endpoint", e]));
    Dolmen::start(name, dir, &args)
}

/// A small generator of numbers, the same for every run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn below(&mut self, n: i64) -> i64 {
        for shift in [13, 7, 17] {
            self.0 ^= if shift == 7 { self.0 >> 7 } else { self.0 << shift };
        }
        (self.0 >> 11) as i64 % n
    }
}

fn question(r: &mut Random, start: i64) -> Question {
    let site = [None, None, Some("dc-a"), Some("dc-b")][r.below(4) as usize];
    let mut matchers: Vec<String> = site.iter().map(|s| format!("site=\"{s}\"")).collect();
    if r.below(3) == 0 {
        matchers.push(format!("i=~\"{}.*\"", r.below(10)));
    }
    let selector = format!("m{}{{{}}}", r.below(METRICS as i64), matchers.join(","));
    let expr = match r.below(5) {
        0 | 1 => selector.clone(),
        2 => format!("sum by (site) ({selector})"),
        3 => format!("rate({selector}[5m])"),
        _ => format!("sum(rate({selector}[5m]))"),
    };
    // Whole steps; some lie where nobody holds anything.
    let at = |r: &mut Random| (start - HOUR / 2 + r.below(5 * HOUR)) / 1000 * 1000;
    let seconds = |ms: i64| (ms / 1000).to_string();
    let (mut from, mut to) = (at(r), at(r));
    if to < from {
        std::mem::swap(&mut from, &mut to);
    }
    let span = vec![("start", seconds(from)), ("end", seconds(to))];
    let matching = [span.clone(), vec![("match[]", selector)]].concat();
    match r.below(7) {
        0 | 1 => Question {
            path: "/api/v1/query",
            parameters: vec![("query", expr), ("time", seconds(from))],
            needs: (from - LOOKBACK + 1, from),
            site,
        },
        2 | 3 => {
            let step = 60_000;
            let last = from + (to - from) / step * step;
            let parameters = [span, vec![("query", expr), ("step", "60".to_owned())]].concat();
            Question { path: "/api/v1/query_range", parameters, needs: (from - LOOKBACK + 1, last), site }
        }
        4 => Question { path: "/api/v1/series", parameters: matching, needs: (from, to), site },
        5 => Question { path: "/api/v1/labels", parameters: matching, needs: (from, to), site },
        _ => {
            let path = ["/api/v1/label/i/values", "/api/v1/label/site/values"][r.below(2) as usize];
            Question { path, parameters: matching, needs: (from, to), site }
        }
    }
}

/// A querier over the same stores that nothing happens to.
struct Reference {
    client: Client,
    real: Vec<String>,
    full: Mutex<BTreeMap<String, Value>>,
    _querier: Dolmen,
}

impl Reference {
    /// The answer of all stores but some.
    fn ask(&self, q: &Question, but: &[usize]) -> Result<Value> {
        let kept: Vec<String> = (0..self.real.len())
            .filter(|i| !but.contains(i))
            .map(|i| format!("storeMatch[]={{__address__=\"{}\"}}", self.real[i]))
            .collect();
        let mut parameters: Vec<(&str, &str)> = q.parameters.iter().map(|(n, v)| (*n, v.as_str())).collect();
        if !but.is_empty() {
            parameters.extend(kept.iter().filter_map(|k| k.split_once('=')));
        }
        let key = format!("{}{parameters:?}", q.path);
        if let Some(known) = self.full.lock().get(&key) {
            return Ok(known.clone());
        }
        let reply = self.client.ask(q.path, &parameters)?;
        anyhow::ensure!(reply.status == 200 && reply.complete.is_none(), "{key}: {}", reply.body);
        let data = reply.body["data"].clone();
        self.full.lock().insert(key, data.clone());
        Ok(data)
    }

    /// Of every list that is asked for, what each set of stores gives: by the set that is left out, as bits.
    fn precompute(&self, questions: &[Question], stores: &[Store]) -> Result<Vec<BTreeMap<u8, Value>>> {
        let sets = |q: &Question| -> Result<BTreeMap<u8, Value>> {
            if q.path.contains("query") {
                return Ok(BTreeMap::new());
            }
            let needed: u8 =
                (0..stores.len()).filter(|i| needed(q, &stores[*i]).is_some()).map(|i| 1 << i).sum();
            let subsets = (1..16u8).filter(|bits| bits & !needed == 0 && *bits != 15);
            let but = |bits: u8| (0..stores.len()).filter(|i| bits & 1 << i != 0).collect::<Vec<_>>();
            subsets.map(|bits| Ok((bits, self.ask(q, &but(bits))?))).collect()
        };
        questions.iter().map(sets).collect()
    }
}

/// The time of a store that a question needs, both inclusive.
fn needed(q: &Question, store: &Store) -> Option<(i64, i64)> {
    let (from, to) = (q.needs.0.max(store.mint), q.needs.1.min(store.maxt));
    (q.site.is_none_or(|site| site == store.site) && from <= to).then_some((from, to))
}

/// Makes stores fail, one way or another, and heals them; gives how often.
fn chaos(stores: &[Store], done: &AtomicBool) -> Result<u64> {
    let (mut r, mut faults) = (Random::new(42), 0);
    while !done.load(Ordering::SeqCst) {
        let store = &stores[r.below(stores.len() as i64) as usize];
        *store.fault.lock() = Some((Instant::now(), None));
        let kind = r.below(3);
        match kind {
            0 => store.dolmen.lock().process.kill9()?,
            1 => store.dolmen.lock().process.signal(Signal::STOP)?,
            _ => store.proxy.cut_after(r.below(40_000) as u64),
        }
        faults += 1;
        pause(r.below(2500), done);
        let dir = store.dolmen.lock().process.log.parent().context("a log stands in a directory")?.to_owned();
        match kind {
            0 => {
                let name =
                    store.dolmen.lock().process.log.file_stem().context("a log has a name")?.to_owned();
                *store.dolmen.lock() = open(&dir, &name.to_string_lossy(), store.port)?;
            }
            1 => store.dolmen.lock().process.signal(Signal::CONT)?,
            _ => store.proxy.heal(),
        }
        if let Some(fault) = &mut *store.fault.lock() {
            fault.1 = Some(Instant::now());
        }
        pause(r.below(4000), done);
    }
    Ok(faults)
}

fn pause(ms: i64, done: &AtomicBool) {
    let end = Instant::now() + Duration::from_millis(ms.unsigned_abs());
    while Instant::now() < end && !done.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[derive(Default)]
struct Verdicts {
    classes: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
    slowest: Duration,
}

impl Verdicts {
    fn note(&mut self, q: &Question, judged: Result<&'static str, String>, took: Duration) {
        self.slowest = self.slowest.max(took);
        let class = judged.unwrap_or_else(|why| {
            self.wrong.push(format!("{} {:?}: {why}", q.path, q.parameters));
            "WRONG"
        });
        *self.classes.entry(class).or_default() += 1;
    }
}

/// The class of an answer, or what is wrong with it.
fn judge(
    q: &Question,
    full: &Value,
    without: &BTreeMap<u8, Value>,
    reply: &Reply,
    stores: &[Store],
    addresses: &[String],
    began: Instant,
) -> Result<&'static str, String> {
    let short = |v: &Value| v.to_string().chars().take(400).collect::<String>();
    if reply.status != 200 {
        let told = reply.body["status"] == "error" && reply.body["error"].is_string();
        return if told { Ok("error") } else { Err(format!("{} {}", reply.status, short(&reply.body))) };
    }
    let data = &reply.body["data"];
    let completeness = &reply.body["completeness"];
    if completeness.is_null() {
        return match data == full && reply.complete.is_none() {
            true => Ok("equal_to_the_full_answer"),
            false => Err(format!("silently incomplete: {} instead of {}", short(data), short(full))),
        };
    }
    if reply.complete.as_deref() != Some("false") || reply.cache_control.as_deref() != Some("no-store") {
        return Err("a marked answer without the headers".to_owned());
    }
    let (mut bits, mut lacks) = (0u8, Vec::new());
    for missing in completeness["missing"].as_array().ok_or("completeness without a list")? {
        let address = missing["store"].as_str().unwrap_or_default();
        let i = addresses.iter().position(|a| a == address).ok_or(format!("unknown store in {missing}"))?;
        let store = &stores[i];
        let want = needed(q, store).ok_or(format!("nothing of that store is needed: {missing}"))?;
        let got = (missing["mint"].as_i64(), missing["maxt"].as_i64());
        if missing["site"] != store.site || got != (Some(want.0), Some(want.1)) {
            return Err(format!("{missing}, expected {} {want:?}", store.site));
        }
        let fault = *store.fault.lock();
        let faulty = fault.is_some_and(|(_, end)| end.is_none_or(|end| end + GRACE > began));
        if !faulty {
            return Err(format!("called missing without a fault: {missing}"));
        }
        bits |= 1 << i;
        lacks.push((store.site, want));
    }
    rest_is_right(q, data, full, without.get(&bits), &lacks)?;
    Ok("marked_with_what_is_missing")
}

/// What does not come from a store that is missing is as in the full answer.
fn rest_is_right(
    q: &Question,
    data: &Value,
    full: &Value,
    without: Option<&Value>,
    lacks: &[(&str, (i64, i64))],
) -> Result<(), String> {
    if q.path.contains("query") {
        let affected = |site: Option<&str>, t: i64| {
            lacks
                .iter()
                .any(|(s, (from, to))| site.is_none_or(|site| site == *s) && t - LOOKBACK < *to && *from <= t)
        };
        let unaffected = |v: &Value| {
            points(v).into_iter().filter(|p| !affected(p.1.as_deref(), p.2)).collect::<BTreeSet<_>>()
        };
        let (got, want) = (unaffected(data), unaffected(full));
        return match got.symmetric_difference(&want).next() {
            None => Ok(()),
            Some(p) => Err(format!("{p:?} differs, and no store is missing there")),
        };
    }
    let items = |v: &Value| -> BTreeSet<String> {
        v.as_array().into_iter().flatten().map(Value::to_string).collect()
    };
    let (got, all) = (items(data), items(full));
    if let Some(extra) = got.difference(&all).next() {
        return Err(format!("{extra} is not in the full answer"));
    }
    // All four missing: nothing need be there.
    let Some(others) = without.map(items) else { return Ok(()) };
    match others.difference(&got).next() {
        None => Ok(()),
        Some(lost) => {
            Err(format!("{lost} is there without the stores that are missing, and not in the answer"))
        }
    }
}

/// Labels, site, time and value of all points.
fn points(data: &Value) -> BTreeSet<(String, Option<String>, i64, String)> {
    let mut out = BTreeSet::new();
    for series in data["result"].as_array().into_iter().flatten() {
        let site = series["metric"]["site"].as_str().map(str::to_owned);
        let many = series["values"].as_array().into_iter().flatten();
        for point in many.chain(series.get("value")) {
            let t = (point[0].as_f64().unwrap_or_default() * 1000.0).round() as i64;
            out.insert((series["metric"].to_string(), site.clone(), t, point[1].to_string()));
        }
    }
    out
}
