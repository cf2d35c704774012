//! An HA pair of real Prometheus writes to Dolmen over real Ceph for ten minutes; one of the pair is killed
//! and comes back. What Dolmen answers is compared with what each of the pair holds.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Figures;
use super::pair::{self, SELECTORS, difference, pinned, points};
use crate::ceph::{self, Ceph};
use crate::dolmen::Dolmen;
use crate::exporter::{Exporter, now};
use crate::place;
use crate::process::{Process, free_port};
use crate::prometheus::Prometheus;

const RUN: Duration = Duration::from_secs(600);

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
        let pair = [stand.a1.client(), stand.a2.client()];
        pair::compare(&stand.dolmen.client()?, &pair, None, now() - 11_000, figures)?;
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
        let got = points(
            client.instant(
                &window(&pinned(selector, "prometheus_replica=\"1\"")),
                t,
                &[("dedup", "false")],
            )?,
            after,
        );
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
