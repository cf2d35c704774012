//! Logs both ways: a real Prometheus writes one and we replay it, we write one and promtool reads it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Val, World, block_on, settings};
use dolmen_ctx::{ManualClock, RealDisk};
use dolmen_head::{HeadReader, HeadSettings};
use dolmen_model::{Labels, TimeRange};

fn installed() -> bool {
    let there = ["prometheus", "promtool"].iter().all(|p| {
        Command::new(p)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    });
    if !there {
        println!("skipped: prometheus and promtool are not installed");
    }
    there
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Lines of `promtool tsdb dump`, with floats read and printed alike.
fn dump(dir: &Path) -> BTreeSet<String> {
    // It leaves chunks in the folder that it reads, so it gets a copy of the log.
    let data = tempfile::tempdir().unwrap();
    copy(&dir.join("wal"), &data.path().join("wal"));
    let out = Command::new("promtool").args(["tsdb", "dump"]).arg(data.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let (rest, t) = line.rsplit_once(' ').unwrap();
            let (labels, v) = rest.rsplit_once(' ').unwrap();
            format!("{labels} {} {t}", v.parse::<f64>().unwrap())
        })
        .collect()
}

fn text(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

/// What memory holds, as `dump` prints it.
async fn held(world: &World) -> BTreeSet<String> {
    let mut all = common::Samples::new();
    common::read(&HeadReader::new(world.head.clone()), TimeRange::ALL, &mut all).await;
    let line = |labels: &Labels, t: &i64, v: &String| {
        format!("{} {} {t}", text(labels), f64::from_bits(u64::from_str_radix(v, 16).unwrap()))
    };
    all.iter().flat_map(|(labels, samples)| samples.iter().map(|(t, v)| line(labels, t, v))).collect()
}

fn own(dir: &Path) -> HeadSettings {
    HeadSettings { external_labels: Labels::empty(), block_ms: 7_200_000, ..settings(dir) }
}

/// Its port, and how often it was scraped.
fn exporter() -> (u16, Arc<AtomicUsize>) {
    let scrapes = Arc::new(AtomicUsize::new(0));
    let counted = scrapes.clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { continue };
            let _request = stream.read(&mut [0; 4096]);
            let mut body: String =
                (0..200).map(|i| format!("m{{i=\"{i}\",q=\"a\\\"b\"}} {}\n", (n * i) as f64 / 7.0)).collect();
            // A series that comes and goes leaves stale markers.
            if n % 2 == 0 {
                body.push_str("now_and_then 1\n");
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _left = stream.write_all((head + &body).as_bytes());
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, scrapes)
}

#[test]
fn a_log_of_prometheus_is_replayed() {
    if !installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (port, scrapes) = exporter();
    let config = format!(
        "global: {{scrape_interval: 150ms}}\nscrape_configs: [{{job_name: x, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    std::fs::write(dir.path().join("p.yml"), config).unwrap();
    let data = dir.path().join("data");
    let mut prometheus = Running(
        Command::new("prometheus")
            .arg(format!("--config.file={}", dir.path().join("p.yml").display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=error", "--storage.tsdb.wal-compression"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    // It begins to scrape after five seconds.
    for _ in 0..300 {
        std::thread::sleep(Duration::from_millis(100));
        if scrapes.load(Ordering::SeqCst) > 20 {
            break;
        }
    }
    let pid = prometheus.0.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    prometheus.0.wait().unwrap();
    let expected = dump(&data);
    assert!(expected.len() > 1000, "{} samples", expected.len());
    block_on(async {
        let clock = Arc::new(ManualClock::new(1 << 50));
        let world = World::open(Arc::new(RealDisk), own(&data), clock.clone()).await;
        assert_eq!(held(&world).await, expected);
        // It goes on in the same log.
        let series = Labels::from_pairs([("__name__", "ours")]);
        let t = world.head.range().unwrap().maxt();
        world.append(&[(series.clone(), vec![(t, Val::F(7.0))])]).await.unwrap();
        drop(world);
        let mut expected = expected;
        expected.insert(format!("{} 7 {t}", text(&series)));
        assert_eq!(held(&World::open(Arc::new(RealDisk), own(&data), clock).await).await, expected);
        assert_eq!(dump(&data), expected);
    });
}

#[test]
fn promtool_reads_our_log() {
    if !installed() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    block_on(async {
        let clock = Arc::new(ManualClock::new(1 << 50));
        let start = 1_800_000_000_000;
        let world = World::open(Arc::new(RealDisk), own(dir.path()), clock.clone()).await;
        let append = async |from: i64, to: i64| {
            for step in from..to {
                let of = |i: i64| {
                    let labels =
                        Labels::from_pairs([("__name__", "m".to_owned()), ("i", format!("{i} \"ü\""))]);
                    (labels, vec![(start + step * 15_000, Val::F((i * step) as f64 / 3.0))])
                };
                world.append(&(0..300).map(of).collect::<Vec<_>>()).await.unwrap();
            }
        };
        append(0, 150).await;
        // Segments of 64 KiB, many of them.
        assert!(std::fs::read_dir(dir.path().join("wal")).unwrap().count() > 3);
        assert_eq!(dump(dir.path()), held(&world).await);
        // With a checkpoint. The first block is cut and not among what is dumped.
        append(150, 800).await;
        assert_eq!(world.cut(dolmen_head::How::Due).await, 1);
        world.settle().await;
        append(800, 810).await;
        let names: Vec<_> =
            std::fs::read_dir(dir.path().join("wal")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(names.iter().any(|n| n.to_string_lossy().starts_with("checkpoint.")), "{names:?}");
        let held = held(&world).await;
        assert!(held.len() > 50_000);
        world.head.close().unwrap();
        assert_eq!(dump(dir.path()), held);
    });
}
