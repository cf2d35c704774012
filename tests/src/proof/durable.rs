//! Under `strace`: every 2xx is written only after a sync of the WAL bytes of its batch has completed.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dolmen_proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};

use super::Figures;
use crate::dolmen::Dolmen;
use crate::exporter::now;
use crate::http::Client;
use crate::{load, place};

const THREADS: u32 = 4;
const BATCHES: u32 = 60;
const CALLS: &str =
    "trace=read,recvfrom,recvmsg,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,openat";

pub fn run(figures: &mut Figures) -> Result<()> {
    if place::missing(&["strace"]).is_some() {
        bail!("needs strace");
    }
    let dir = place::scratch("durable")?;
    let trace = dir.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-yy", "-s", "65536", "-e", CALLS, "-o"]).arg(&trace).arg(place::dolmen()?);
    command.args(["serve", "--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"]);
    command.args(["--self-scrape-interval", "0s", "--data-dir"]).arg(dir.path().join("data"));
    let mut dolmen = Dolmen::launch("dolmen", dir.path(), &mut command)?;
    dolmen.await_ready(Duration::from_secs(120))?;
    let address = dolmen.address("http")?.to_owned();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let address = address.clone();
            std::thread::spawn(move || send(&address, thread))
        })
        .collect();
    let mut ids = Vec::new();
    for thread in threads {
        ids.extend(thread.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??);
    }
    // strace ends with its child, and passes no signal on.
    let child = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", dolmen.process.pid()))?;
    place::run(Command::new("kill").args(["-TERM", child.trim()]))?;
    let status = dolmen.process.wait(Duration::from_secs(60))?;
    ensure!(status.success(), "SIGTERM: {status}");
    let synced = judge(&trace, &ids)?;
    figures.note("batches", ids.len());
    figures.note("acknowledged_after_sync", synced);
    figures.check(synced == ids.len(), || {
        format!("{synced} of {} batches were synced before their 2xx", ids.len())
    });
    Ok(())
}

/// Sends batches, each with a series of its own whose label is found again in the trace.
fn send(address: &str, thread: u32) -> Result<Vec<String>> {
    let client = Client::new(address);
    let mut ids = Vec::new();
    for batch in 0..BATCHES {
        let id = id(thread, batch);
        let label = |name: &str, value: &str| Label { name: name.into(), value: value.into() };
        let series = TimeSeries {
            labels: vec![label("__name__", "durable"), label("batch", &id)],
            samples: vec![Sample { value: 1.0, timestamp: now() }],
            ..TimeSeries::default()
        };
        let body = load::compress(&WriteRequest { timeseries: vec![series], ..WriteRequest::default() });
        let headers = [&load::HEADERS[..], &[("X-Batch", id.as_str())]].concat();
        let (status, text) = client.post("/api/v1/write", &headers, body)?;
        ensure!(status == 204, "{status} {text}");
        ids.push(id);
    }
    Ok(ids)
}

/// Letters without repeats that compression could shorten.
fn id(thread: u32, batch: u32) -> String {
    let mut x = u64::from(thread) << 32 | u64::from(batch);
    (0..24)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + (x >> 59) as u8 % 26)
        })
        .collect()
}

/// One system call, with the places of its start and its end among all lines.
struct Call {
    name: String,
    file: String,
    text: String,
    start: usize,
    end: usize,
}

/// How many batches went: read, WAL write, completed sync of that file, 2xx; in this order.
fn judge(trace: &Path, ids: &[String]) -> Result<usize> {
    let calls = parse(&std::fs::read_to_string(trace)?);
    let mut synced = 0;
    for id in ids {
        let header = format!("x-batch: {id}");
        let read = calls
            .iter()
            .find(|c| c.text.to_ascii_lowercase().contains(&header))
            .with_context(|| format!("request {id} in the trace"))?;
        let answer = calls
            .iter()
            .find(|c| c.start > read.end && c.file == read.file && c.text.contains("HTTP/1.1 204"))
            .with_context(|| format!("answer to {id} in the trace"))?;
        let logged = calls
            .iter()
            .find(|c| c.file.contains("/wal/") && c.name.contains("write") && c.text.contains(id.as_str()))
            .with_context(|| format!("WAL write of {id} in the trace"))?;
        let sync = calls.iter().any(|c| {
            c.name.contains("sync") && c.file == logged.file && c.start > logged.end && c.end < answer.start
        });
        synced += usize::from(sync && logged.start > read.start);
    }
    Ok(synced)
}

/// Reads strace's lines; a call that was interrupted by another thread's is put together again.
fn parse(text: &str) -> Vec<Call> {
    let mut open: HashMap<&str, Call> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("<... ") {
            if let Some(mut call) = open.remove(pid) {
                call.text.push_str(rest);
                call.end = at;
                calls.push(call);
            }
            continue;
        }
        let Some((name, args)) = rest.split_once('(') else { continue };
        let file = args.split_once('<').map_or("", |(_, f)| f);
        // A file's path ends at '>', a socket's at ']>'.
        let file = match file.starts_with("TCP:") {
            true => file.split_once("]>").map_or("", |(f, _)| f),
            false => file.split_once('>').map_or("", |(f, _)| f),
        };
        let call = Call { name: name.into(), file: file.into(), text: args.into(), start: at, end: at };
        if rest.ends_with("<unfinished ...>") {
            open.insert(pid, call);
        } else {
            calls.push(call);
        }
    }
    calls.sort_by_key(|c| c.start);
    calls
}
