//! Blocks pass between Prometheus and Dolmen: the same writes give the same dump, Prometheus answers from
//! Dolmen's blocks, and Dolmen answers from Prometheus' blocks what Prometheus 3.14 answered.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::Figures;
use crate::dolmen::{self, Dolmen};
use crate::exporter::now;
use crate::http::Client;
use crate::load::{self, Shape};
use crate::place;
use crate::process::wait_until;
use crate::prometheus::Prometheus;

const WRITERS: u32 = 3;
const BATCHES: u64 = 90;

pub fn run(figures: &mut Figures) -> Result<()> {
    if let Some(program) = place::missing(&["prometheus", "promtool", "python3"]) {
        bail!("needs {program}");
    }
    let shared = place::shared().context("needs the shared test data: set DOLMEN_SHARED")?;
    let dir = place::scratch("blocks")?;
    same_writes(dir.path(), figures)?;
    for (blocks, answers, floor) in [
        ("real-blocks/A", "real-blocks/answers/A.jsonl.gz", 1.0),
        ("real-blocks/B", "real-blocks/answers/B.jsonl.gz", 1.0),
        ("oracle/blocks", "oracle/answers.jsonl.gz", 1.0),
    ] {
        recorded_answers(dir.path(), &shared, blocks, answers, floor, figures)?;
    }
    Ok(())
}

/// The same floats and exponential histograms to a Prometheus and a Dolmen.
fn same_writes(dir: &Path, figures: &mut Figures) -> Result<()> {
    let flags = [
        "--web.enable-remote-write-receiver",
        "--enable-feature=native-histograms",
        "--storage.tsdb.min-block-duration=10m",
        "--storage.tsdb.max-block-duration=10m",
    ];
    let prometheus = Prometheus::start("prometheus", dir, "global: {}\n", &flags)?;
    let bucket = dir.join("bucket");
    std::fs::create_dir_all(&bucket)?;
    let config = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", bucket.display());
    let mut dolmen = receive(dir, &config)?;
    // Not aligned to anything, and older than what Prometheus keeps in memory only.
    let shape = Shape { start: now() - 2 * 3_600_000 + 137, step: 5000, series: 100, depth: 12 };
    let peers = [prometheus.client(), dolmen.client()?];
    for b in 0..BATCHES {
        for writer in 0..WRITERS {
            send(&peers, shape.request(writer, b))?;
        }
    }
    let expected = usize::try_from(BATCHES * u64::from(WRITERS) * shape.batch_samples())?;
    // Prometheus may be cutting blocks of its own while it is read.
    let mut floats = Vec::new();
    wait_until("Prometheus' own dump", Duration::from_secs(60), || {
        floats = dump(&prometheus.data())?;
        Ok(floats.len() == expected)
    })?;
    flush(&peers[1])?;
    let copy = copy_with_empty_wal(&bucket, &dir.join("cut"))?;
    same_dump(&floats, &dump(&copy)?, "cut blocks", figures)?;
    let status = dolmen::command(&[
        "compact",
        "--http-address",
        "127.0.0.1:0",
        "--grpc-address",
        "127.0.0.1:0",
        "--objstore.config",
        &config,
        "--data-dir",
        &dir.join("compact").display().to_string(),
        "--consistency-delay",
        "0s",
        "--delete-delay",
        "0s",
        "--compact.block-ranges",
        "10m,30m,1h",
    ])?
    .status()?;
    ensure!(status.success(), "compact: {status}");
    let copy = copy_with_empty_wal(&bucket, &dir.join("compacted"))?;
    figures.note("blocks_after_compaction", std::fs::read_dir(&copy)?.count() - 1);
    same_dump(&floats, &dump(&copy)?, "compacted blocks", figures)?;

    // Histograms come after the dumps: promtool 2.42 dumps floats only.
    for b in 0..60 {
        send(&peers, load::histograms(shape.time(BATCHES * u64::from(shape.depth) + b), b))?;
    }
    flush(&peers[1])?;
    dolmen.process.stop(Duration::from_secs(60))?;
    let copy = copy_with_empty_wal(&bucket, &dir.join("answers"))?;
    let on_ours = Prometheus::start("answers", dir, "global: {}\n", &flags[1..])?;
    ensure!(on_ours.data() == copy, "Prometheus started on the copy");
    same_answers(&prometheus.client(), &on_ours.client(), &shape, figures)
}

fn receive(dir: &Path, config: &str) -> Result<Dolmen> {
    let data = dir.join("data").display().to_string();
    let args = [
        "receive",
        "--tsdb.path",
        &data,
        "--http-address",
        "127.0.0.1:0",
        "--grpc-address",
        "127.0.0.1:0",
        "--remote-write.address",
        "127.0.0.1:0",
        "--objstore.config",
        config,
        "--label",
        "site=\"dc-a\"",
        "--tsdb.min-block-duration",
        "10m",
        "--tsdb.max-block-duration",
        "10m",
    ];
    Dolmen::start("receive", dir, &args)
}

fn send(peers: &[Client], body: Vec<u8>) -> Result<()> {
    for peer in peers {
        let (status, text) = peer.post("/api/v1/write", &load::HEADERS, body.clone())?;
        ensure!(status == 204, "{}: {status} {text}", peer.base());
    }
    Ok(())
}

fn flush(client: &Client) -> Result<()> {
    let (status, text) = client.post("/-/flush", &[], Vec::new())?;
    ensure!(status == 204, "flush: {status} {text}");
    Ok(())
}

fn dump(data: &Path) -> Result<Vec<String>> {
    let text = place::run(Command::new("promtool").args(["tsdb", "dump"]).arg(data))?;
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

fn same_dump(want: &[String], got: &[String], what: &str, figures: &mut Figures) -> Result<()> {
    figures.note(&format!("dumped_samples_{}", what.replace(' ', "_")), got.len());
    figures.check(!want.is_empty() && want == got, || {
        let first = want.iter().zip(got).find(|(a, b)| a != b);
        format!("{what}: {} lines, Prometheus {}; first difference {first:?}", got.len(), want.len())
    });
    Ok(())
}

/// Blocks of a bucket that are not marked for deletion, beside an empty `wal/`.
fn copy_with_empty_wal(bucket: &Path, to: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(to.join("wal"))?;
    for entry in std::fs::read_dir(bucket)? {
        let block = entry?.path();
        if block.join("meta.json").exists() && !block.join("deletion-mark.json").exists() {
            place::run(Command::new("cp").arg("-r").arg(&block).arg(to))?;
        }
    }
    Ok(to.to_owned())
}

fn same_answers(own: &Client, ours: &Client, shape: &Shape, figures: &mut Figures) -> Result<()> {
    let end = shape.time(BATCHES * u64::from(shape.depth) + 59);
    let (start, end) = ((shape.start / 1000).to_string(), (end / 1000).to_string());
    for query in [
        "load_0",
        "sum by (i) (load_1)",
        "max_over_time(load_2[5m])",
        "quantile(0.9, load_0)",
        "count_over_time(load_1[3m])",
        "histogram_quantile(0.9, exponential)",
        "sum(exponential)",
        "histogram_count(exponential)",
    ] {
        let form = [("query", query), ("start", start.as_str()), ("end", end.as_str()), ("step", "60")];
        let want = own.query("/api/v1/query_range", &form)?;
        let got = ours.query("/api/v1/query_range", &form)?;
        let n = want["data"]["result"].as_array().map_or(0, Vec::len);
        figures.count("prometheus_on_our_blocks_series", n as u64);
        figures.check(n > 0 && want["data"] == got["data"], || {
            format!("{query}: Prometheus answers differently")
        });
    }
    Ok(())
}

/// `dolmen open` against the answers recorded from Prometheus 3.14; what differs is counted by cause.
fn recorded_answers(
    dir: &Path,
    shared: &Path,
    blocks: &str,
    answers: &str,
    floor: f64,
    figures: &mut Figures,
) -> Result<()> {
    let name = blocks.replace('/', "-");
    let path = shared.join(blocks).display().to_string();
    let features = "promql-experimental-functions,promql-duration-expr,promql-extended-range-selectors,\
                    promql-binop-fill-modifiers";
    let args = ["open", &path, "--http-address", "127.0.0.1:0", "--enable-feature", features];
    let dolmen = Dolmen::start(&name, dir, &args)?;
    let report = dir.join(format!("{name}.txt"));
    let out = Command::new("python3")
        .arg(shared.join("oracle/check.py"))
        .arg(format!("http://{}", dolmen.address("http")?))
        .arg(shared.join(answers))
        .args(["--by-kind", "--show", "400"])
        .output()?;
    std::fs::write(&report, &out.stdout)?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let last = text.lines().last().unwrap_or("").to_owned();
    let (passed, failed) = last
        .split_once(" passed, ")
        .and_then(|(p, f)| {
            Some((p.trim().parse::<u64>().ok()?, f.strip_suffix(" failed")?.parse::<u64>().ok()?))
        })
        .with_context(|| format!("{blocks}: last line of check.py: {last}"))?;
    let share = passed as f64 / (passed + failed).max(1) as f64;
    figures.note(&name, format!("{passed} of {} agree ({:.1} %)", passed + failed, share * 100.0));
    figures.check(share >= floor, || format!("{blocks}: {passed} of {} agree", passed + failed));
    let causes: Vec<&str> = text.lines().filter(|l| !l.is_empty()).rev().skip(1).take(40).collect();
    if failed > 0 {
        figures.note(&format!("{name}_differences"), causes);
    }
    Ok(())
}
