//! The contract of the command line: version, help, exit codes, one-line errors, the ready line.

use std::process::{Command, Output};
use std::time::Duration;

use dolmen_tests::dolmen::{Dolmen, command};
use dolmen_tests::place;
use dolmen_tests::process::wait_until;
use rustix::process::Signal;

fn run(args: &[&str]) -> Output {
    command(args).expect("a binary").output().expect("it runs")
}

/// Exit code, stdout, stderr.
fn check(args: &[&str], code: i32, stderr: &str) {
    let out = run(args);
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(stderr), "{args:?}: {text:?}, expected {stderr:?}");
    assert_eq!(text.lines().count(), 1, "{args:?}: one line: {text:?}");
    assert!(out.stdout.is_empty(), "{args:?}: stdout");
}

#[test]
fn version_and_help() {
    let out = run(&["--version"]);
    let version = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        version.starts_with("dolmen ") && version.ends_with("(prometheus 3.14.0, thanos 0.43)\n"),
        "{version:?}"
    );
    for args in
        [&["--help"][..], &["serve", "--help"], &["store", "--help"], &["tools", "bucket", "ls", "--help"]]
    {
        let out = run(args);
        assert!(out.status.success() && !out.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn bad_flags_end_with_2_and_one_line() {
    check(&["serve", "--htp-address", ":0"], 2, "perhaps --http-address");
    check(&["sreve"], 2, "role: sreve, expected one of serve");
    check(&["serve", "--self-scrape-interval", "often"], 2, "a duration such as 30s");
    check(&["serve", "--log.format", "xml"], 2, "--log.format: xml, expected one of logfmt, json");
    check(&["serve", "--endpoint", "127.0.0.1:10901"], 2, "two sites must differ in their external labels");
    check(&["query"], 2, "--endpoint: none, expected the gRPC address");
    let local = ["--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    check(
        &[&["query", "--endpoint", "dc-b"][..], &local].concat(),
        2,
        "store address \"dc-b\": expected host:port",
    );
    check(&["receive"], 2, "--label");
    check(&["receive", "--label", "site"], 2, "NAME=\"VALUE\"");
    check(&["gateway", "--objstore.config", "type: TAPE"], 2, "TAPE");
    check(&["open", "/nowhere/at/all"], 2, "/nowhere/at/all");
}

#[test]
fn a_port_in_use_touches_nothing() {
    let dir = place::scratch("port").unwrap();
    let data = dir.path().join("data");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--data-dir", data.to_str().unwrap(), "--http-address", &address];
    check(&args, 2, &address);
    assert!(!data.exists());
}

#[test]
fn a_locked_directory_is_refused_and_sigterm_ends_with_0() {
    let dir = place::scratch("lock").unwrap();
    let data = dir.path().join("data").display().to_string();
    let args =
        ["serve", "--data-dir", &data, "--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    let mut first = Dolmen::start("serve", dir.path(), &args).unwrap();
    assert_eq!(first.ready["role"], "serve");
    assert_eq!(first.ready["data"], data);
    check(&args, 2, "locked");
    let stdout = std::fs::read_to_string(&first.process.log).unwrap();
    assert_eq!(stdout.lines().filter(|l| l.starts_with("ready ")).count(), 1);
    assert!(first.process.stop(Duration::from_secs(30)).unwrap().success());
    // The lock goes with the process.
    Dolmen::start("again", dir.path(), &args).unwrap();
}

#[test]
fn an_unknown_feature_is_a_warning() {
    let dir = place::scratch("feature").unwrap();
    let data = dir.path().join("data").display().to_string();
    let mut dolmen = Command::new(place::dolmen().unwrap());
    dolmen.args([
        "serve",
        "--data-dir",
        &data,
        "--http-address",
        "127.0.0.1:0",
        "--grpc-address",
        "127.0.0.1:0",
    ]);
    dolmen.args(["--enable-feature", "exemplar-storage"]);
    let mut dolmen = Dolmen::launch("serve", dir.path(), &mut dolmen).unwrap();
    dolmen.await_ready(Duration::from_secs(30)).unwrap();
    let log = std::fs::read_to_string(&dolmen.process.log).unwrap();
    assert!(log.lines().any(|l| l.contains("exemplar-storage") && l.contains("level=warn")), "{log}");
}

#[test]
fn while_a_request_is_finished_others_are_refused_and_ready_says_why() {
    use std::io::{Read, Write};
    let dir = place::scratch("drain").unwrap();
    let data = dir.path().join("data").display().to_string();
    let args =
        ["serve", "--data-dir", &data, "--http-address", "127.0.0.1:0", "--grpc-address", "127.0.0.1:0"];
    let mut dolmen = Dolmen::start("serve", dir.path(), &args).unwrap();
    let client = dolmen.client().unwrap();
    let mut half = std::net::TcpStream::connect(dolmen.address("http").unwrap()).unwrap();
    let head =
        "POST /api/v1/query HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n";
    half.write_all(format!("{head}connection: close\r\ncontent-length: 9\r\n\r\nque").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    dolmen.process.signal(Signal::TERM).unwrap();
    wait_until("ready says 503", Duration::from_secs(5), || {
        let (status, text) = client.get("/-/ready")?;
        Ok(status == 503 && text.contains("shutting down"))
    })
    .unwrap();
    assert_eq!(client.get("/api/v1/query?query=1").unwrap().0, 503);
    half.write_all(b"ry=1*1").unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(dolmen.process.wait(Duration::from_secs(30)).unwrap().success());
}
