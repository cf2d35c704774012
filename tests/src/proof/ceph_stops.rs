//! The gateway of Ceph killed, stopped, slowed, and its OSD stopped, during upload and during compaction:
//! afterwards nothing is missing, nothing is left over, and the bucket verifies.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Figures;
use crate::ceph::{self, Ceph};
use crate::dolmen::{self, Dolmen};
use crate::exporter::now;
use crate::http::Client;
use crate::ledger::Writers;
use crate::load::Shape;
use crate::place;
use crate::process::{Process, wait_until};

const WRITERS: u32 = 2;
/// Time between two batches of a writer: a block is cut every second or so.
const PACE_MS: u32 = 40;
/// How long the fault lasts, and how long the pause after it.
const DARK: Duration = Duration::from_secs(10);
const BACK: Duration = Duration::from_secs(10);
/// Blocks that must be new in the bucket for a compactor to have work.
const NEW_BLOCKS: u64 = 8;

/// A way to harm Ceph, and the way back. Without an action the connection is slowed.
const FAULTS: [(&str, &str, &str); 4] = [
    ("gateway killed", "kill", "start"),
    ("gateway stopped", "stop", "cont"),
    ("osd stopped", "osd-stop", "osd-cont"),
    ("gateway slowed", "", ""),
];

pub fn run(figures: &mut Figures) -> Result<()> {
    if let Some(program) = place::missing(&ceph::PROGRAMS) {
        bail!("needs {program}");
    }
    let dir = place::scratch("ceph-stops")?;
    let dir = dir.path();
    let mut ceph = Ceph::start(&dir.join("ceph"), "memstore")?;
    let proxy = Proxy::start(ceph.fact("S3_ENDPOINT")?.parse()?)?;
    let config = dir.join("objstore.yml").display().to_string();
    std::fs::write(&config, ceph.objstore_at(&format!("127.0.0.1:{}", proxy.port))?)?;
    let dolmen = start(dir, &config)?;
    let client = dolmen.client()?;
    let shape = Shape { start: now() - 12 * 3_600_000, step: 1000, series: 400, depth: 4 };
    let mut writers = Writers::start(dir, shape, WRITERS, PACE_MS)?;
    writers.point_at(Some(dolmen.address("http")?))?;

    for (name, harm, mend) in FAULTS {
        let puts = counted(&client, "dolmen_bucket_requests_total{", "put")?;
        wait_until("an upload", Duration::from_secs(60), || {
            Ok(counted(&client, "dolmen_bucket_requests_total{", "put")? > puts)
        })?;
        dark(&mut ceph, &proxy, harm, mend)?;
        writers.check_alive()?;
        figures.count("faults_during_upload", 1);
        eprintln!("ceph-stops: {name} during upload: over");
    }
    figures.note("failed_uploads", counted(&client, "dolmen_block_upload_failures_total", "")?);
    for (name, harm, mend) in FAULTS {
        let had = uploaded(&client)?;
        wait_until("new blocks", Duration::from_secs(120), || Ok(uploaded(&client)? >= had + NEW_BLOCKS))?;
        let mut compactor = compact(dir, &config)?;
        let work = wait_until("a merge", Duration::from_secs(30), || Ok(at_work(dir) || !compactor.alive()));
        figures.count("compactors_met_at_work", u64::from(compactor.alive() && work.is_ok()));
        dark(&mut ceph, &proxy, harm, mend)?;
        let status = compactor.wait(Duration::from_secs(180))?;
        figures.count("faults_during_compaction", 1);
        eprintln!("ceph-stops: {name} during compaction: over, {status}");
    }
    figures.check(figures.value("compactors_met_at_work") == 4, || "a compactor had no work".to_owned());
    writers.finish(Duration::from_secs(60))?;
    flush(&client)?;
    let mut last = compact(dir, &config)?;
    let status = last.wait(Duration::from_secs(300))?;
    figures.check(status.success(), || last.complain(&format!("after all faults: {status}")).to_string());
    judge(dir, &config, &writers, figures)
}

/// A fault, and the pause after it.
fn dark(ceph: &mut Ceph, proxy: &Proxy, harm: &str, mend: &str) -> Result<()> {
    for (action, delay_ms, pause) in [(harm, 400, DARK), (mend, 0, BACK)] {
        match action {
            "" => proxy.delay_ms.store(delay_ms, Ordering::Relaxed),
            action => ceph.act(action)?,
        }
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Whether the compactor has a block under way in its folder.
fn at_work(dir: &Path) -> bool {
    let mut open = vec![dir.join("compact")];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name == "chunks" || name.to_string_lossy().ends_with(".tmp-for-creation") {
                return true;
            }
            if entry.path().is_dir() {
                open.push(entry.path());
            }
        }
    }
    false
}

fn start(dir: &Path, config: &str) -> Result<Dolmen> {
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
        "--objstore.config-file",
        config,
        "--label",
        "site=\"dc-a\"",
        "--tsdb.min-block-duration",
        "2m",
        "--tsdb.max-block-duration",
        "2m",
    ];
    Dolmen::start("receive", dir, &args)
}

fn compact(dir: &Path, config: &str) -> Result<Process> {
    let data = dir.join("compact").display().to_string();
    let mut command = dolmen::command(&[
        "compact",
        "--http-address",
        "127.0.0.1:0",
        "--grpc-address",
        "127.0.0.1:0",
        "--data-dir",
        &data,
        "--objstore.config-file",
        config,
        "--consistency-delay",
        "0s",
        "--delete-delay",
        "0s",
        "--compact.block-ranges",
        "2m,10m,30m,1h",
    ])?;
    Process::start("compact", dir, &mut command)
}

/// Blocks uploaded so far.
fn uploaded(client: &Client) -> Result<u64> {
    counted(client, "dolmen_blocks_uploaded_total", "")
}

/// The sum of a counter's values where its labels contain a text.
fn counted(client: &Client, name: &str, labels: &str) -> Result<u64> {
    let (_, metrics) = client.get("/metrics")?;
    let lines = metrics.lines().filter(|l| l.starts_with(name) && l.contains(labels));
    let values = lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum::<f64>() as u64)
}

fn flush(client: &Client) -> Result<()> {
    wait_until("flush", Duration::from_secs(120), || Ok(client.post("/-/flush", &[], Vec::new())?.0 == 204))
}

fn judge(dir: &Path, config: &str, writers: &Writers, figures: &mut Figures) -> Result<()> {
    let verify =
        dolmen::command(&["tools", "bucket", "verify", "--objstore.config-file", config])?.output()?;
    let text = String::from_utf8_lossy(&verify.stdout).into_owned();
    let last = text.lines().last().unwrap_or("").to_owned();
    figures.check(verify.status.success(), || format!("verify: {}: {text}", verify.status));
    figures.note("verify", last);
    let unfinished = text.lines().filter(|l| l.contains("unfinished")).count();
    figures.note("unfinished_folders", unfinished);
    figures.check(unfinished == 0, || format!("{unfinished} unfinished folders are left: {text}"));
    // A gateway knows nothing but the bucket.
    let data = dir.join("gateway").display().to_string();
    let args = ["gateway", "--data-dir", &data, "--objstore.config-file", config];
    let any = ["--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    let gateway = Dolmen::start("gateway", dir, &[&args[..], &any].concat())?;
    let client = gateway.client()?;
    let (mut found, mut owed) = (0, 0);
    for writer in 0..WRITERS {
        let samples = writers.acknowledged(writer)? * writers.shape.batch_samples();
        let newest = writers.shape.time(writers.acknowledged(writer)? * u64::from(writers.shape.depth));
        let query = format!("sum(count_over_time({}[12h]))", Shape::metric(writer));
        let answer = client.instant(&query, newest, &[("dedup", "false")]).context("count what is there")?;
        let n = answer.first().and_then(|s| s.points.first()).map_or(0.0, |p| f64::from_bits(p.1)) as u64;
        figures.check(n == samples, || format!("{query}: {n}, acknowledged {samples}"));
        found += n;
        owed += samples;
    }
    figures.note("samples_found", found);
    figures.note("samples_acknowledged", owed);
    Ok(())
}

/// A TCP proxy that can slow what passes.
struct Proxy {
    port: u16,
    delay_ms: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    fn start(target: SocketAddr) -> Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (delay_ms, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (delay, stopped) = (delay_ms.clone(), stop.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A refused connection upstream is passed on as a closed one.
                if let Ok(server) = TcpStream::connect(target) {
                    join(client, server, &delay);
                }
            }
        });
        Ok(Proxy { port, delay_ms, stop })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accept loop, so that it sees the flag.
        let _woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn join(client: TcpStream, server: TcpStream, delay: &Arc<AtomicU64>) {
    for (from, to) in [(&client, &server), (&server, &client)] {
        if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
            let delay = delay.clone();
            std::thread::spawn(move || pass(from, to, &delay));
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, delay: &AtomicU64) -> Option<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = from.read(&mut buffer).ok()?;
        if n == 0 {
            return to.shutdown(std::net::Shutdown::Write).ok();
        }
        std::thread::sleep(Duration::from_millis(delay.load(Ordering::Relaxed)));
        to.write_all(&buffer[..n]).ok()?;
    }
}
