//! An HA pair of real Prometheus writes to Dolmen over real Ceph for ten minutes; one of the pair is killed
//! and comes back. What Dolmen answers is compared with what each of the pair holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Figures;
use crate::ceph::{self, Ceph};
use crate::dolmen::Dolmen;
use crate::exporter::{self, Exporter, now};
use crate::http::{Client, Metric, Series};
use crate::place;
use crate::process::{Process, free_port};
use crate::prometheus::Prometheus;

const INTERVAL_MS: i64 = 1000;
const RUN: Duration = Duration::from_secs(600);

/// What is compared: of the exporters, of Prometheus itself, with matchers of all kinds.
const SELECTORS: [&str; 30] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "probe_value",
    "probe_total",
    "node_cpu_seconds_total",
    "node_load1",
    "node_memory_MemAvailable_bytes",
    "node_disk_io_time_seconds_total",
    "node_network_receive_bytes_total",
    "node_context_switches_total",
    "node_intr_total",
    "node_filesystem_avail_bytes",
    "node_time_seconds",
    "node_vmstat_pgfault",
    "go_goroutines",
    "go_memstats_alloc_bytes",
    "go_gc_duration_seconds",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "prometheus_tsdb_head_samples_appended_total",
    "prometheus_http_requests_total",
    "prometheus_http_request_duration_seconds_bucket",
    "prometheus_engine_query_duration_seconds",
    "{__name__=~\"prometheus_tsdb_.*_total\"}",
    "{__name__=~\"node_network_.*\",device=\"lo\"}",
    "node_cpu_seconds_total{mode!=\"idle\",cpu=\"0\"}",
    "{job=\"probe\"}",
    "prometheus_remote_storage_samples_total",
    "{__name__=~\"net_conntrack_dialer_.*\",job!~\"probe|node\"}",
];

struct Stand {
    dolmen: Dolmen,
    a1: Prometheus,
    a2: Prometheus,
    _exporter: Exporter,
    _node: Process,
    objstore: String,
    _ceph: Ceph,
}

pub fn run(figures: &mut Figures) -> Result<()> {
    let needed = [&ceph::PROGRAMS[..], &["prometheus", "prometheus-node-exporter"]].concat();
    if let Some(program) = place::missing(&needed) {
        bail!("needs {program}");
    }
    let dir = place::scratch("one-site")?;
    let mut stand = build(dir.path())?;
    let started = Instant::now();
    wait_to(started, Duration::from_secs(200));
    stand.a2.process.kill9()?;
    wait_to(started, Duration::from_secs(245));
    stand.a2.restart()?;
    for at in [Duration::from_secs(330), RUN] {
        wait_to(started, at);
        compare(&stand, now() - 11_000, figures)?;
    }
    gateway_alone(dir.path(), &stand, figures)?;
    figures.note("selectors", SELECTORS.len());
    Ok(())
}

fn wait_to(started: Instant, at: Duration) {
    std::thread::sleep(at.saturating_sub(started.elapsed()));
}

fn build(dir: &Path) -> Result<Stand> {
    let ceph = Ceph::start(&dir.join("ceph"), "memstore")?;
    let objstore = dir.join("objstore.yml").display().to_string();
    std::fs::write(&objstore, ceph.objstore()?)?;
    let data = dir.join("data").display().to_string();
    let args = [
        "serve",
        "--data-dir",
        &data,
        "--http-address",
        "127.0.0.1:0",
        "--grpc-address",
        "127.0.0.1:0",
        "--objstore.config-file",
        &objstore,
        "--label",
        "site=\"dc-a\"",
        "--tsdb.min-block-duration",
        "2m",
        "--tsdb.max-block-duration",
        "2m",
        "--sync-block-duration",
        "10s",
    ];
    let dolmen = Dolmen::start("dolmen", dir, &args)?;
    let exporter = Exporter::start()?;
    let node_port = free_port()?;
    let mut node = std::process::Command::new("prometheus-node-exporter");
    node.arg(format!("--web.listen-address=127.0.0.1:{node_port}"));
    let node = Process::start("node-exporter", dir, &mut node)?;
    let ports = [free_port()?, free_port()?];
    let pair: Vec<Prometheus> = ["1", "2"]
        .iter()
        .zip(ports)
        .map(|(replica, port)| {
            let config = config(replica, exporter.port, node_port, ports, dolmen.address("http")?);
            Prometheus::start_at(port, &format!("a{replica}"), dir, &config, &[])
        })
        .collect::<Result<_>>()?;
    let [a1, a2] = <[Prometheus; 2]>::try_from(pair).map_err(|_| anyhow::anyhow!("two of a pair"))?;
    Ok(Stand { dolmen, a1, a2, _exporter: exporter, _node: node, objstore, _ceph: ceph })
}

/// Both replicas scrape the same targets, each other among them.
fn config(replica: &str, probe: u16, node: u16, pair: [u16; 2], dolmen: &str) -> String {
    let job = |name: &str, ports: &[u16]| {
        let targets: Vec<String> = ports.iter().map(|p| format!("'127.0.0.1:{p}'")).collect();
        format!("- job_name: {name}\n  static_configs:\n  - targets: [{}]\n", targets.join(", "))
    };
    [
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  external_labels:\n    site: dc-a\n",
        &format!("    prometheus_replica: \"{replica}\"\n"),
        &format!("remote_write:\n- url: http://{dolmen}/api/v1/write\n  queue_config:\n"),
        "    batch_send_deadline: 1s\nscrape_configs:\n",
        &job("probe", &[probe]),
        &job("node", &[node]),
        &job("prometheus", &pair),
    ]
    .concat()
}

type Points = BTreeMap<Metric, Vec<(i64, u64)>>;

/// Samples by labels, without the labels that Dolmen's side adds, and without what Dolmen scraped of itself.
fn points(series: Vec<Series>, after: i64) -> Points {
    let strip = |mut m: Metric| {
        m.remove("site");
        m.remove("prometheus_replica");
        m
    };
    let mut out = Points::new();
    for s in series.into_iter().filter(|s| s.metric.get("job").is_none_or(|job| job != "dolmen")) {
        // 2.42 includes the left end of a window, 3.14 does not.
        let kept: Vec<_> = s.points.into_iter().filter(|p| p.0 > after).collect();
        if !kept.is_empty() {
            out.entry(strip(s.metric)).or_default().extend(kept);
        }
    }
    out
}

fn with_replica(selector: &str) -> String {
    match selector.split_once('{') {
        Some((name, rest)) => format!("{name}{{prometheus_replica=\"1\",{rest}"),
        None => format!("{selector}{{prometheus_replica=\"1\"}}"),
    }
}

fn compare(stand: &Stand, t: i64, figures: &mut Figures) -> Result<()> {
    let dolmen = stand.dolmen.client()?;
    let (c1, c2) = (stand.a1.client(), stand.a2.client());
    for selector in SELECTORS {
        let after = t - 600_000;
        let ask = |c: &Client, s: &str, dedup: &str| -> Result<Points> {
            Ok(points(c.instant(&format!("{s}[10m]"), t, &[("dedup", dedup)]).context(s.to_owned())?, after))
        };
        let (want1, want2) = (ask(&c1, selector, "")?, ask(&c2, selector, "")?);
        let got1 = ask(&dolmen, &with_replica(selector), "false")?;
        figures.count("replica_series", want1.len() as u64);
        figures.count("replica_samples", want1.values().map(|p| p.len() as u64).sum());
        figures.check(!want1.is_empty(), || format!("{selector}: nothing to compare"));
        figures
            .check(got1 == want1, || format!("{selector}: replica 1 at {t}: {}", difference(&want1, &got1)));
        let got = ask(&dolmen, selector, "true")?;
        figures.count("deduplicated_series", got.len() as u64);
        let keys: BTreeSet<_> = want1.keys().chain(want2.keys()).collect();
        figures.check(keys.iter().copied().eq(got.keys()), || {
            format!("{selector}: {} deduplicated series, the pair has {}", got.len(), keys.len())
        });
        for (metric, points) in &got {
            let empty = Vec::new();
            let one = want1.get(metric).unwrap_or(&empty);
            let two = want2.get(metric).unwrap_or(&empty);
            judge(metric, points, one, two, figures);
        }
    }
    for dedup in ["true", "false"] {
        obeys(&dolmen, t, dedup, figures)?;
    }
    Ok(())
}

/// Deduplicated points against the two replicas they come from.
fn judge(
    metric: &Metric,
    points: &[(i64, u64)],
    one: &[(i64, u64)],
    two: &[(i64, u64)],
    figures: &mut Figures,
) {
    let known: BTreeSet<_> = one.iter().chain(two).collect();
    let times: BTreeSet<i64> = known.iter().map(|p| p.0).collect();
    figures.count("deduplicated_samples", points.len() as u64);
    for p in points {
        figures.check(known.contains(p), || format!("{metric:?}: {p:?} is no replica's"));
    }
    let mut gaps = 0;
    for pair in points.windows(2) {
        let (from, to) = (pair[0].0, pair[1].0);
        if to - from > 2 * INTERVAL_MS {
            gaps += 1;
            // Both had it where neither has a sample that is more than an interval from its ends.
            let mut inside = times.range(from + INTERVAL_MS + 1..to - INTERVAL_MS);
            figures.check(inside.next().is_none(), || {
                format!("{metric:?}: gap {from} to {to} that not both replicas had")
            });
        }
        let falls = |a: u64, b: u64| f64::from_bits(b) < f64::from_bits(a);
        let counter = metric.get("__name__").is_some_and(|n| n.ends_with("_total") || n.ends_with("_count"));
        if counter && falls(pair[0].1, pair[1].1) {
            let saw = |r: &[(i64, u64)]| {
                r.windows(2).any(|w| w[1].0 >= from && w[0].0 <= to && falls(w[0].1, w[1].1))
            };
            // A replica that came back after the other's reset saw it as a whole gap.
            figures.check(saw(one) || saw(two), || format!("{metric:?}: reset at {to} that no replica saw"));
        }
    }
    figures.count("gaps_that_both_had", gaps);
}

/// Every point of the exporter with explicit timestamps obeys its formula.
fn obeys(dolmen: &Client, t: i64, dedup: &str, figures: &mut Figures) -> Result<()> {
    for s in dolmen.instant("{__name__=~\"probe_.*\"}[10m]", t, &[("dedup", dedup)])? {
        let i: Option<i64> = s.metric.get("i").map(|i| i.parse()).transpose()?;
        for (at, bits) in &s.points {
            let want = i.map_or_else(|| exporter::counter(*at), |i| exporter::value(i, *at));
            figures.check(*bits == want.to_bits(), || format!("{:?} at {at}: not f(t)", s.metric));
        }
        figures.count("points_that_obey_f", s.points.len() as u64);
    }
    Ok(())
}

/// A gateway over the same bucket, for the time that is in the bucket.
fn gateway_alone(dir: &Path, stand: &Stand, figures: &mut Figures) -> Result<()> {
    let out = place::run(
        crate::dolmen::command(&[
            "tools",
            "bucket",
            "ls",
            "-o",
            "json",
            "--objstore.config-file",
            &stand.objstore,
        ])?
        .env("RUST_BACKTRACE", "0"),
    )?;
    let (mut oldest, mut newest) = (i64::MAX, i64::MIN);
    for line in out.lines() {
        let block: serde_json::Value = serde_json::from_str(line)?;
        if block["labels"]["prometheus_replica"] == "1" {
            oldest = oldest.min(block["mint"].as_i64().unwrap_or(i64::MAX));
            newest = newest.max(block["maxt"].as_i64().unwrap_or(i64::MIN));
        }
    }
    figures.note("blocks_in_bucket", out.lines().count());
    let data = dir.join("gateway").display().to_string();
    let args = [
        "gateway",
        "--data-dir",
        &data,
        "--http-address",
        "127.0.0.1:0",
        "--grpc-address",
        "127.0.0.1:0",
        "--objstore.config-file",
        &stand.objstore,
    ];
    let gateway = Dolmen::start("gateway", dir, &args)?;
    let client = gateway.client()?;
    figures.note("seconds_in_bucket", (newest - oldest) / 1000);
    // What the bucket holds, and no more.
    let t = newest - 1;
    let after = (t - 600_000).max(oldest - 1);
    for selector in SELECTORS {
        let window = |s: &str| format!("{s}[10m]");
        let want = points(stand.a1.client().instant(&window(selector), t, &[])?, after);
        let got = points(client.instant(&window(&with_replica(selector)), t, &[("dedup", "false")])?, after);
        figures.check(!want.is_empty(), || format!("{selector}: nothing to compare in the bucket"));
        figures.count("gateway_samples", want.values().map(|p| p.len() as u64).sum());
        figures.check(got == want, || format!("{selector}: gateway at {t}: {}", difference(&want, &got)));
    }
    let (_, metrics) = client.get("/metrics")?;
    let reads: f64 = metrics
        .lines()
        .filter(|l| l.starts_with("dolmen_bucket_requests_total") && l.contains("op=\"get"))
        .filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    figures.note("gateway_bucket_reads", reads);
    figures.check(reads > 0.0, || "the gateway counted no bucket reads".to_owned());
    Ok(())
}

fn difference(want: &Points, got: &Points) -> String {
    for (metric, points) in want {
        match got.get(metric) {
            None => {
                return format!("{metric:?} missing ({} series expected, {} came)", want.len(), got.len());
            }
            Some(found) if found != points => {
                let missing = points.iter().find(|p| !found.contains(p));
                let extra = found.iter().find(|p| !points.contains(p));
                return format!(
                    "{metric:?}: {} samples expected, {} came; missing {missing:?}, extra {extra:?}",
                    points.len(),
                    found.len()
                );
            }
            Some(_) => {}
        }
    }
    let extra = got.keys().find(|k| !want.contains_key(*k));
    format!("{} series expected, {} came; not expected {extra:?}", want.len(), got.len())
}
