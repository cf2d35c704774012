//! meta.json is written as Prometheus and Thanos write it, byte for byte.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]

use std::path::{Path, PathBuf};

use dolmen_block::Meta;
use dolmen_block::mark::{DeletionMark, Mark, NoCompactMark};
use dolmen_model::Kind;

fn metas(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            metas(&path, out);
        } else if path.file_name().is_some_and(|n| n == "meta.json") {
            out.push(path);
        }
    }
}

#[test]
fn metas_of_others_are_written_as_they_came() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("DOLMEN_SHARED").map_or(beside, PathBuf::from);
    if !shared.is_dir() {
        eprintln!("skipped: the shared data is not there");
        return;
    }
    let mut all = Vec::new();
    for dir in ["golden/compact", "golden/downsample", "real-blocks", "oracle/blocks"] {
        metas(&shared.join(dir), &mut all);
    }
    for path in &all {
        let bytes = std::fs::read(path).unwrap();
        let meta = Meta::parse(&bytes).unwrap();
        let ours = meta.to_json();
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&bytes), "{}", path.display());
    }
    assert!(all.len() > 50, "{}", all.len());
}

#[test]
fn what_goes_escapes_as_go() {
    let text = r#"{"ulid":"01J5AX2XPVD762P1MMJY1XF70E","minTime":0,"maxTime":1,"version":1,
        "thanos":{"labels":{"a":"<&>\u2028"},"downsample":{"resolution":0},"source":"x"}}"#;
    let json = String::from_utf8(Meta::parse(text.as_bytes()).unwrap().to_json()).unwrap();
    assert!(json.contains(r#""a": "\u003c\u0026\u003e\u2028""#), "{json}");
    assert!(json.contains("\"upload_time\": \"0001-01-01T00:00:00Z\""), "{json}");
}

#[test]
fn versions_that_are_not_known_are_refused() {
    let meta = |version: &str, thanos: &str| {
        let text = format!(
            r#"{{"ulid":"01J5AX2XPVD762P1MMJY1XF70E","minTime":0,"maxTime":1,"version":{version},"thanos":{thanos}}}"#
        );
        Meta::parse(text.as_bytes())
    };
    assert!(meta("1", r#"{"version":1}"#).is_ok());
    for bad in [meta("2", "{}"), meta("1", r#"{"version":2}"#), Meta::parse(b"{"), Meta::parse(b"")] {
        assert_eq!(bad.unwrap_err().kind(), Kind::Corrupt);
    }
    let mark = |version: u32| {
        format!(r#"{{"id":"01J5AX2XPVD762P1MMJY1XF70E","version":{version},"deletion_time":5}}"#)
    };
    assert_eq!(DeletionMark::parse(mark(1).as_bytes()).unwrap().deletion_time, 5);
    assert_eq!(DeletionMark::parse(mark(2).as_bytes()).unwrap_err().kind(), Kind::Halt);
    assert_eq!(DeletionMark::parse(b"[").unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(NoCompactMark::parse(mark(1).as_bytes()).unwrap_err().kind(), Kind::Corrupt);
}
