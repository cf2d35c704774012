//! The same work for Dolmen, Debian's Prometheus and VictoriaMetrics, one after the other: samples per
//! core-second, memory per series, bytes per sample, CPU per query. Goes into docs/benchmarks.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Figures;
use crate::dolmen::Dolmen;
use crate::http::Client;
use crate::place;
use crate::process::{Process, free_port, wait_until};
use crate::prometheus::Prometheus;

mod report;

const SERIES: u64 = 50_000;
const SCRAPES: &str = "240";
/// Unix seconds of the last scrape: what the recorded answers were recorded at.
const END: &str = "1795330800";
const ANSWERS: &str = "answers/50k-240.jsonl.gz";
const QUERIES: [&str; 10] = [
    "rps_by_ns_1h",
    "errors_ratio_1h",
    "p99_by_handler_1h",
    "topk_mem_now",
    "all_pods_mem_1h",
    "count_all_now",
    "join_now",
    "series_one_ns",
    "values_instance_job",
    "regex_pods_1h",
];

/// What one system did.
#[derive(Default)]
struct Row {
    version: String,
    samples: f64,
    samples_per_core_second: f64,
    peak_rss: f64,
    rss: f64,
    bytes_per_sample: f64,
    /// CPU milliseconds a query; absent where the answer is wrong.
    queries: BTreeMap<String, f64>,
}

impl Row {
    fn rss_per_series(&self) -> f64 {
        self.rss / SERIES as f64
    }
}

struct Kit {
    binary: PathBuf,
    shared: PathBuf,
    dir: PathBuf,
}

pub fn run(figures: &mut Figures) -> Result<()> {
    let shared = place::shared().context("needs the shared test data: set DOLMEN_SHARED")?;
    if let Some(program) = place::install(&["prometheus", "victoria-metrics", "python3"]) {
        bail!("needs {program}");
    }
    let dir = place::scratch("bench")?;
    let kit = Kit { binary: build_kit(&shared)?, shared, dir: dir.path().to_owned() };
    kit.pick_queries()?;
    let rows = [
        ("dolmen", dolmen(&kit, figures)?),
        ("prometheus", prometheus(&kit)?),
        ("victoriametrics", victoria(&kit)?),
    ];
    for (name, row) in &rows {
        figures.note(&format!("{name}_samples_per_core_second"), row.samples_per_core_second.round());
        figures.note(&format!("{name}_rss_bytes_per_series"), row.rss_per_series().round());
        figures.note(&format!("{name}_peak_rss_mib"), (row.peak_rss / 1048576.0).round());
        figures.note(&format!("{name}_bytes_per_sample"), (row.bytes_per_sample * 100.0).round() / 100.0);
        figures.note(&format!("{name}_cpu_ms_per_query"), json!(row.queries));
        figures.check(row.samples >= SERIES as f64 * 240.0, || format!("{name}: {} samples", row.samples));
    }
    report::write(&place::root().join("docs/benchmarks.md"), &rows)
}

/// The bench kit, built in a folder of its own: its sources are not ours to write beside.
fn build_kit(shared: &Path) -> Result<PathBuf> {
    let home = place::target().join("bench-kit");
    std::fs::create_dir_all(&home)?;
    let kit = shared.join("bench-kit");
    place::run(Command::new("cp").args(["-rf"]).arg(kit.join("Cargo.toml")).arg(kit.join("src")).arg(&home))?;
    // What is copied keeps the missing write permission of its source; the next copy must pass.
    place::run(Command::new("chmod").args(["-R", "u+w"]).arg(home.join("src")).arg(home.join("Cargo.toml")))?;
    let manifest = std::fs::read_to_string(home.join("Cargo.toml"))?;
    // It stands below a workspace that it is no part of.
    std::fs::write(home.join("Cargo.toml"), format!("{manifest}\n[workspace]\n"))?;
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "-q"]).current_dir(&home).env("CARGO_TARGET_DIR", home.join("target"));
    place::run(&mut cargo).context("build the bench kit")?;
    Ok(home.join("target/release/bench-kit"))
}

impl Kit {
    fn queries(&self) -> PathBuf {
        self.dir.join("queries.txt")
    }

    fn answers(&self) -> PathBuf {
        self.dir.join("answers.jsonl.gz")
    }

    /// Keeps the ten named queries, and the answers recorded for them.
    fn pick_queries(&self) -> Result<()> {
        let kit = self.shared.join("bench-kit");
        let text = std::fs::read_to_string(kit.join("queries.txt"))?;
        let named = |l: &&str| QUERIES.contains(&l.split(';').next().unwrap_or("").trim());
        let picked: Vec<&str> = text.lines().filter(named).collect();
        ensure!(picked.len() == QUERIES.len(), "{} of the named queries are in the kit", picked.len());
        std::fs::write(self.queries(), picked.join("\n"))?;
        let all = place::run(Command::new("gzip").arg("-dc").arg(kit.join(ANSWERS)))?;
        let mut kept = String::new();
        for line in all.lines() {
            let query: Value = serde_json::from_str(line)?;
            if QUERIES.iter().any(|n| query["name"] == *n) {
                kept.push_str(line);
                kept.push('\n');
            }
        }
        let plain = self.dir.join("answers.jsonl");
        std::fs::write(&plain, kept)?;
        place::run(Command::new("gzip").arg("-f").arg(plain)).map(drop)
    }

    /// Writes all samples, and measures the server meanwhile.
    fn write(&self, url: &str, pid: u32, name: &str, row: &mut Row) -> Result<()> {
        let json = self.dir.join(format!("{name}.jsonl"));
        let mut command = Command::new(&self.binary);
        command.args(["gen-write", "--seed", "1", "--concurrency", "4", "--scrapes", SCRAPES, "--end", END]);
        command.args(["--series", &SERIES.to_string(), "--pid", &pid.to_string(), "--url"]).arg(url);
        let text = place::run(command.arg("--json").arg(&json))?;
        eprintln!("bench: {name}: {text}");
        let line: Value = serde_json::from_str(std::fs::read_to_string(&json)?.trim())?;
        ensure!(line["refused"] == 0, "{name}: refused {}: {}", line["refused"], line["first_error"]);
        row.samples = number(&line["accepted"])?;
        row.samples_per_core_second = number(&line["samples_per_cpu_s"])?;
        row.peak_rss = number(&line["server"]["peak_rss_mib"])? * 1048576.0;
        settle(pid)?;
        row.rss = resident(pid)?;
        Ok(())
    }

    /// Times the queries.
    fn ask(&self, url: &str, pid: u32, name: &str, more: &[&str]) -> Result<BTreeMap<String, f64>> {
        let json = self.dir.join(format!("{name}-queries.jsonl"));
        let mut command = Command::new(&self.binary);
        command.args(["query-bench", "--reps", "7", "--end", END, "--url", url, "--pid", &pid.to_string()]);
        command.arg("--queries").arg(self.queries()).arg("--json").arg(&json).args(more);
        let text = place::run(&mut command)?;
        eprintln!("bench: {name}: {text}");
        let mut out = BTreeMap::new();
        for line in std::fs::read_to_string(&json)?.lines() {
            let line: Value = serde_json::from_str(line)?;
            if line["what"] == "query" && line["errors"] == 0 && line["error"].is_null() {
                out.insert(line["query"].as_str().unwrap_or("").to_owned(), number(&line["cpu_ms"])?);
            }
        }
        Ok(out)
    }

    /// The names of queries whose answers differ from the recorded ones.
    fn wrong(&self, url: &str) -> Result<Vec<String>> {
        let report = self.dir.join("wrong.jsonl");
        let out = Command::new("python3")
            .arg(self.shared.join("oracle/check.py"))
            .args([url.as_ref(), self.answers().as_os_str()])
            .arg("--jsonl")
            .arg(&report)
            .output()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        ensure!(text.contains(" passed, "), "check.py: {text}{}", String::from_utf8_lossy(&out.stderr));
        std::fs::read_to_string(&report)?
            .lines()
            .map(|l| Ok(format!("{}", serde_json::from_str::<Value>(l).context("a line of check.py")?)))
            .collect()
    }
}

fn dolmen(kit: &Kit, figures: &mut Figures) -> Result<Row> {
    let data = kit.dir.join("dolmen-data");
    let data_dir = data.display().to_string();
    let args =
        ["serve", "--data-dir", &data_dir, "--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    let server = Dolmen::start("dolmen", &kit.dir, &[&args[..], &["--self-scrape-interval", "0s"]].concat())?;
    let (pid, url) = (server.process.pid(), format!("http://{}", server.address("http")?));
    let version = place::run(&mut crate::dolmen::command(&["--version"])?)?;
    let mut row = Row { version: version.trim().to_owned(), ..Row::default() };
    kit.write(&format!("{url}/api/v1/write"), pid, "dolmen", &mut row)?;
    let wrong = kit.wrong(&url)?;
    figures.note("right_answers_from_head", QUERIES.len() - wrong.len());
    figures.check(wrong.is_empty(), || format!("answers from the head: {wrong:?}"));
    row.queries = kit.ask(&url, pid, "dolmen", &[])?;
    row.queries.retain(|name, _| !wrong.iter().any(|w| w.contains(&expression(kit, name))));
    figures.check(row.queries.len() == QUERIES.len(), || {
        format!("{} of {} queries have a figure", row.queries.len(), QUERIES.len())
    });
    let (status, text) = server.client()?.post("/-/flush", &[], Vec::new())?;
    ensure!(status == 204, "flush: {status} {text}");
    row.bytes_per_sample = bytes(&data.join("bucket"))? / row.samples;
    let wrong = kit.wrong(&url)?;
    figures.note("right_answers_from_blocks", QUERIES.len() - wrong.len());
    figures.check(wrong.is_empty(), || format!("answers from blocks: {wrong:?}"));
    Ok(row)
}

/// The expression of a query of the kit, as JSON text has it.
fn expression(kit: &Kit, name: &str) -> String {
    let text = std::fs::read_to_string(kit.queries()).unwrap_or_default();
    let line = text.lines().find(|l| l.split(';').next().is_some_and(|n| n.trim() == name));
    let expression = line.and_then(|l| l.splitn(3, ';').nth(2)).unwrap_or("").trim();
    format!("\"expr\":{}", json!(expression))
}

fn prometheus(kit: &Kit) -> Result<Row> {
    let flags =
        ["--web.enable-remote-write-receiver", "--web.enable-admin-api", "--storage.tsdb.retention.time=30d"];
    let server = Prometheus::start("prometheus", &kit.dir, "global: {scrape_interval: 15s}\n", &flags)?;
    let (pid, client) = (server.process.pid(), server.client());
    let mut row = Row { version: version("prometheus")?, ..Row::default() };
    kit.write(&format!("{}/api/v1/write", client.base()), pid, "prometheus", &mut row)?;
    row.queries = kit.ask(client.base(), pid, "prometheus", &[])?;
    // A snapshot holds the head as a block.
    let (status, text) = client.post("/api/v1/admin/tsdb/snapshot", &[], Vec::new())?;
    ensure!(status == 200, "snapshot: {status} {text}");
    row.bytes_per_sample = bytes(&server.data().join("snapshots"))? / row.samples;
    Ok(row)
}

fn victoria(kit: &Kit) -> Result<Row> {
    let (port, data) = (free_port()?, kit.dir.join("victoria-data"));
    let mut command = Command::new("victoria-metrics");
    command.arg(format!("-storageDataPath={}", data.display()));
    command.arg(format!("-httpListenAddr=127.0.0.1:{port}")).arg("-retentionPeriod=12");
    let server = Process::start("victoria", &kit.dir, &mut command)?;
    let client = Client::new(&format!("127.0.0.1:{port}"));
    wait_until("victoria-metrics", Duration::from_secs(60), || Ok(client.get("/health")?.0 == 200))
        .map_err(|e| server.complain(&format!("{e:#}")))?;
    let mut row = Row { version: version("victoria-metrics")?, ..Row::default() };
    kit.write(&format!("{}/api/v1/write", client.base()), server.pid(), "victoria", &mut row)?;
    // Its cache of results would answer the second time.
    row.queries = kit.ask(client.base(), server.pid(), "victoria", &["--param", "nocache=1"])?;
    for path in ["/internal/force_flush", "/internal/force_merge?partition_prefix=2026"] {
        client.get(path)?;
        settle(server.pid())?;
    }
    row.bytes_per_sample = (bytes(&data.join("data"))? + bytes(&data.join("indexdb"))?) / row.samples;
    Ok(row)
}

/// Waits until a process has been idle for a while.
fn settle(pid: u32) -> Result<()> {
    let mut last = crate::process::usage(pid)?.0;
    for _ in 0..30 {
        std::thread::sleep(Duration::from_secs(4));
        let now = crate::process::usage(pid)?.0;
        if now - last < 0.1 {
            return Ok(());
        }
        last = now;
    }
    Ok(())
}

/// Resident bytes of a process now.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS in status")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? * 1024.0)
}

/// Bytes of all files below a folder.
fn bytes(dir: &Path) -> Result<f64> {
    let out = place::run(Command::new("du").args(["-sb", "--apparent-size"]).arg(dir))?;
    Ok(out.split_whitespace().next().context("du")?.parse()?)
}

/// What Debian calls the version of a package.
fn version(package: &str) -> Result<String> {
    let mut command = Command::new("dpkg-query");
    let text = place::run(command.args(["-W", "-f", "${Package} ${Version} of Debian"]).arg(package))?;
    Ok(text.trim().to_owned())
}

fn number(v: &Value) -> Result<f64> {
    v.as_f64().with_context(|| format!("a number of the bench kit: {v}"))
}
