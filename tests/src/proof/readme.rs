//! Walks the README's first five minutes as a stranger would: clones, runs its `sh` blocks in order, and
//! compares what they print with the `text` blocks below them, in which `…` stands for anything.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Figures;
use crate::exporter::now;
use crate::http::Client;
use crate::place;
use crate::process::{Process, wait_until};

/// Where the README says that Dolmen listens.
const HOME: &str = "127.0.0.1:10902";

struct Block {
    commands: String,
    expected: Option<String>,
}

pub fn run(figures: &mut Figures) -> Result<()> {
    ensure!(std::net::TcpListener::bind(HOME).is_ok(), "{HOME} is taken, the README's commands need it");
    let dir = place::scratch("readme")?;
    let repo = std::env::var("DOLMEN_REPO").unwrap_or_else(|_| place::root().display().to_string());
    let clone = dir.path().join("dolmen");
    let started = Instant::now();
    place::run(Command::new("git").args(["clone", "-q", &repo]).arg(&clone))?;
    let blocks = blocks(&std::fs::read_to_string(clone.join("README.md"))?)?;
    // What must be downloaded is not counted: it depends on the line, not on us.
    let fetching = Instant::now();
    place::run(Command::new("cargo").args(["fetch", "--locked"]).current_dir(&clone))?;
    let download = fetching.elapsed();

    let _demo = Demo(&clone);
    let mut server: Option<Process> = None;
    for block in &blocks {
        if block.commands.contains("git clone") {
            continue;
        }
        let script = block.commands.trim();
        if script.ends_with("-- serve") {
            server = Some(serve(&clone, dir.path(), script)?);
            let cold = started.elapsed() - download;
            figures.note("cold_seconds", cold.as_secs_f64().round());
            figures.check(cold <= Duration::from_secs(720), || {
                format!("first answer after {cold:?}, expected 12 min")
            });
        } else {
            step(&clone, script, block.expected.as_deref(), figures)?;
        }
        figures.count("blocks_run", 1);
    }
    let mut first = server.context("a sh block that ends in `-- serve`")?;
    grafana(&Client::new(HOME), figures)?;
    stop(&mut first)?;
    let again = Instant::now();
    let mut second = serve(&clone, dir.path(), "cargo run --release -- serve")?;
    let warm = again.elapsed();
    figures.note("warm_seconds", (warm.as_secs_f64() * 10.0).round() / 10.0);
    figures.check(warm <= Duration::from_secs(15), || {
        format!("warm start answered after {warm:?}, expected 15 s")
    });
    stop(&mut second)
}

/// Ends the demo that a block started and, because another one failed, did not end.
struct Demo<'a>(&'a Path);

impl Drop for Demo<'_> {
    fn drop(&mut self) {
        if self.0.join("dolmen-demo").exists()
            && let Err(e) =
                place::run(Command::new("./demo").args(["down", "dolmen-demo"]).current_dir(self.0))
        {
            eprintln!("{e:#}");
        }
    }
}

/// Starts the server and waits for its first own answer.
fn serve(clone: &Path, dir: &Path, script: &str) -> Result<Process> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec {script}")]).current_dir(clone).env_remove("CARGO_TARGET_DIR");
    let process = Process::start("serve", dir, &mut command)?;
    let client = Client::new(HOME);
    wait_until("the first own answer", Duration::from_secs(900), || {
        let found = client.instant("up", now(), &[])?;
        Ok(found.iter().any(|s| s.points.iter().any(|p| f64::from_bits(p.1) == 1.0)))
    })
    .map_err(|e| process.complain(&format!("{e:#}")))?;
    Ok(process)
}

fn stop(process: &mut Process) -> Result<()> {
    let status = process.stop(Duration::from_secs(60))?;
    ensure!(status.success(), "SIGTERM: {status}, expected 0");
    Ok(())
}

/// Runs one block. A command that keeps running says `ready role=`; it is left running for the next lines
/// of the block by a `&`, and ended with the block.
fn step(clone: &Path, script: &str, expected: Option<&str>, figures: &mut Figures) -> Result<()> {
    let wrapped = format!("set -e\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}\n");
    let out = Command::new("bash").args(["-c", &wrapped]).current_dir(clone).stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        bail!("{script}\n{}: {text}{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    if let Some(expected) = expected {
        for line in expected.lines().filter(|l| !l.trim().is_empty()) {
            figures.check(text.lines().any(|found| matches(line.trim(), found.trim())), || {
                format!("{script}\nprinted {text:?}, expected a line {line:?}")
            });
            figures.count("lines_matched", 1);
        }
    }
    Ok(())
}

/// Whether `found` is `pattern`, in which `…` stands for anything.
fn matches(pattern: &str, found: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = found.strip_prefix(first) else { return false };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
        || (open && pattern.ends_with('…'))
        || found.ends_with(pattern.rsplit('…').next().unwrap_or(""))
}

/// The `sh` blocks of the first section, each with the `text` block that follows it.
fn blocks(readme: &str) -> Result<Vec<Block>> {
    let start = readme.find("## The first five minutes").context("## The first five minutes in README.md")?;
    let section = &readme[start..];
    let end = section[3..].find("\n## ").map_or(section.len(), |i| i + 3);
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in section[..end].lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language, String::new())),
            (Some((language, text)), Some(_)) => {
                match *language {
                    "sh" => blocks.push(Block { commands: std::mem::take(text), expected: None }),
                    "text" => {
                        blocks.last_mut().context("a text block below an sh block")?.expected =
                            Some(std::mem::take(text));
                    }
                    _ => {}
                }
                open = None;
            }
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    Ok(blocks)
}

/// What Grafana's Prometheus data source asks when it is saved, and when a panel or a variable is drawn.
fn grafana(client: &Client, figures: &mut Figures) -> Result<()> {
    let seconds = now() / 1000;
    let (start, end) = ((seconds - 300).to_string(), seconds.to_string());
    let mut ask = |what: &str, found: (u16, Value), fits: &dyn Fn(&Value) -> bool| {
        figures.count("grafana_requests", 1);
        let good = found.0 == 200 && found.1["status"] == "success" && fits(&found.1["data"]);
        figures.check(good, || format!("Grafana: {what}: {} {}", found.0, found.1));
    };
    let get = |path: &str| -> Result<(u16, Value)> {
        let (status, text) = client.get(path)?;
        Ok((status, serde_json::from_str(&text).with_context(|| format!("{path}: {status} {text}"))?))
    };
    ask("save and test", client.form("/api/v1/query", &[("query", "1+1"), ("time", &end)])?, &|d| {
        d["resultType"] == "scalar" && d["result"][1] == "2"
    });
    ask("flavour", get("/api/v1/status/buildinfo")?, &|d| {
        d["version"] == "3.14.0" && d["application"] == "Dolmen"
    });
    ask("rules", get("/api/v1/rules")?, &|d| d["groups"].as_array().is_some_and(Vec::is_empty));
    ask("metadata", get("/api/v1/metadata?limit=40000")?, &Value::is_object);
    let panel = [
        ("query", "rate(process_cpu_seconds_total{job=~\"dolmen|x\"}[1m])"),
        ("start", start.as_str()),
        ("end", end.as_str()),
        ("step", "15"),
    ];
    ask("panel", client.form("/api/v1/query_range", &panel)?, &|d| d["resultType"] == "matrix");
    ask("exemplars", client.form("/api/v1/query_exemplars", &panel[..3])?, &Value::is_array);
    let window = [("start", start.as_str()), ("end", end.as_str())];
    ask("label names", client.form("/api/v1/labels", &[&window[..], &[("match[]", "up")]].concat())?, &|d| {
        d.as_array().is_some_and(|names| names.iter().any(|n| n == "job"))
    });
    let values = format!("/api/v1/label/job/values?start={start}&end={end}&match%5B%5D=up");
    ask("variable", get(&values)?, &|d| *d == serde_json::json!(["dolmen"]));
    ask("metric names", get("/api/v1/label/__name__/values")?, &|d| {
        d.as_array().is_some_and(|names| names.iter().any(|n| n == "up"))
    });
    ask("series", client.form("/api/v1/series", &[&window[..], &[("match[]", "up")]].concat())?, &|d| {
        d[0]["__name__"] == "up"
    });
    let (status, dashboard) = get("/grafana/overview.json")?;
    figures.check(status == 200 && dashboard["panels"].as_array().is_some_and(|p| !p.is_empty()), || {
        format!("dashboard: {status}")
    });
    let (status, page) = client.get("/")?;
    figures.check(status == 200 && page.contains("remote_write") && !page.contains("src=\"http"), || {
        format!("start page: {status}")
    });
    Ok(())
}
