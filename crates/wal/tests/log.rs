//! A log on a disk that behaves, and on one that does not.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod disk;

use std::sync::Arc;
use std::time::Duration;

use disk::{FaultyDisk, Refuse};
use dolmen_ctx::{Disk, RealDisk};
use dolmen_model::Kind;
use dolmen_wal::{PAGE, Record, ReplayReport, SampleRec, SyncMode, Wal, WalMetrics, WalSettings, encode};
use futures::executor::block_on;
use tempfile::TempDir;

fn settings() -> WalSettings {
    WalSettings { segment_bytes: 2 * PAGE as u64, retry: Duration::from_millis(5), ..WalSettings::default() }
}

struct Log {
    wal: Wal,
    report: ReplayReport,
    /// Times of the samples that were replayed; series are told by negative numbers.
    seen: Vec<i64>,
}

fn open_on(dir: &TempDir, disk: Arc<dyn Disk>) -> Log {
    let (wal, replay) = Wal::open(dir.path(), disk, settings(), WalMetrics::default()).unwrap();
    let mut seen = Vec::new();
    let report = replay
        .run(|record| {
            match record {
                Record::Samples(all) => seen.extend(all.iter().map(|s| s.t)),
                Record::Series(all) => seen.extend(all.iter().map(|s| -(s.reference as i64))),
                _ => {}
            }
            Ok(())
        })
        .unwrap();
    Log { wal, report, seen }
}

fn open(dir: &TempDir) -> Log {
    open_on(dir, Arc::new(RealDisk))
}

/// A record of a thousand samples, the first at `t`, with a time each.
fn samples(t: i64, n: i64) -> Vec<u8> {
    let all: Vec<_> = (t..t + n).map(|t| SampleRec { reference: 1, t, v: t as f64 }).collect();
    let mut out = Vec::new();
    encode::samples(&mut out, &all);
    out
}

fn segments(dir: &TempDir) -> Vec<String> {
    RealDisk.list(dir.path()).unwrap()
}

#[test]
fn what_is_written_is_read_over_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    for i in 0..20 {
        let position = log.wal.enqueue(&[&samples(i * 1000, 900), &samples(i * 1000 + 900, 100)]).unwrap();
        block_on(log.wal.durable(position)).unwrap();
    }
    log.wal.close().unwrap();
    assert_eq!(log.wal.check().unwrap_err().kind(), Kind::Retry);
    assert!(log.wal.enqueue(&[b"late"]).is_err());
    let names = segments(&dir);
    assert!(names.len() > 3 && names[0] == "00000000", "{names:?}");
    let log = open(&dir);
    assert_eq!(log.seen, (0..20_000).collect::<Vec<_>>());
    assert_eq!(log.report, ReplayReport { records: 40, ..ReplayReport::default() });
    // Starts without samples take the same segment again.
    drop(log);
    let names = segments(&dir);
    drop(open(&dir));
    assert_eq!(segments(&dir), names);
}

#[test]
fn many_wait_for_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let wal = Arc::new(open_on(&dir, disk.clone()).wal);
    disk.set_slow(Duration::from_millis(5));
    let before = disk.syncs();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let wal = wal.clone();
            scope.spawn(move || {
                for i in 0..10 {
                    let position = wal.enqueue(&[&samples(thread * 10 + i, 1)]).unwrap();
                    block_on(wal.durable(position)).unwrap();
                }
            });
        }
    });
    let syncs = disk.syncs() - before;
    assert!((10..60).contains(&syncs), "{syncs} syncs for 80 batches");
    wal.close().unwrap();
    let mut seen = open(&dir).seen;
    seen.sort_unstable();
    assert_eq!(seen, (0..80).collect::<Vec<_>>());
}

#[test]
fn a_long_record_gets_a_long_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    for i in 0..3 {
        log.wal.enqueue(&[&samples(i * 100_000, 100_000)]).unwrap();
    }
    log.wal.close().unwrap();
    assert_eq!(segments(&dir).len(), 3);
    assert_eq!(open(&dir).seen, (0..300_000).collect::<Vec<_>>());
}

#[test]
fn a_torn_end_is_cut_and_told_once() {
    for torn in [1, 7, 300, 20_000] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(&dir);
        log.wal.enqueue(&[&samples(0, 10)]).unwrap();
        log.wal.enqueue(&[&samples(10, 5000)]).unwrap();
        log.wal.close().unwrap();
        let path = dir.path().join("00000000");
        let mut file = RealDisk.open_append(&path).unwrap();
        let len = file.len();
        file.truncate(len - torn).unwrap();
        let log = open(&dir);
        assert_eq!(log.seen, (0..10).collect::<Vec<_>>());
        assert_eq!((log.report.records, log.report.damages.len()), (1, 1), "{:?}", log.report);
        assert!(log.report.cut > 0);
        log.wal.enqueue(&[&samples(10, 5)]).unwrap();
        drop(log);
        let log = open(&dir);
        assert_eq!(log.seen, (0..15).collect::<Vec<_>>());
        assert_eq!(log.report, ReplayReport { records: 2, ..ReplayReport::default() });
    }
}

#[test]
fn damage_in_the_middle_is_told_and_the_rest_read() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    for i in 0..200 {
        log.wal.enqueue(&[&samples(i * 100, 100)]).unwrap();
    }
    log.wal.close().unwrap();
    let mut bytes = std::fs::read(dir.path().join("00000001")).unwrap();
    bytes[3000] ^= 1;
    std::fs::write(dir.path().join("00000001"), &bytes).unwrap();
    let log = open(&dir);
    assert_eq!((log.report.cut, log.report.damages.len()), (0, 1), "{:?}", log.report);
    assert!(log.report.damages[0].contains("00000001 at "), "{:?}", log.report);
    let lost = 20_000 - log.seen.len();
    assert!((1..=40).contains(&(lost / 100)) && lost.is_multiple_of(100), "{lost} samples of one page");
    assert!(log.seen.is_sorted());
    drop(log);
    // A segment that is gone is told as well.
    std::fs::remove_file(dir.path().join("00000002")).unwrap();
    let log = open(&dir);
    assert!(log.report.damages.iter().any(|d| d.contains("00000002 are missing")), "{:?}", log.report);
    assert_eq!(log.seen.last(), Some(&19_999));
}

#[test]
fn a_checkpoint_replaces_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir);
    let mut series = Vec::new();
    encode::series_begin(&mut series);
    for reference in 1..4 {
        encode::series(&mut series, reference, [("a", "b")].into_iter());
    }
    log.wal.enqueue(&[&series]).unwrap();
    for i in 0..100 {
        log.wal.enqueue(&[&samples(i * 100, 100)]).unwrap();
    }
    let segment = log.wal.cut_segment().unwrap();
    assert_eq!(log.wal.cut_segment().unwrap(), segment, "an empty segment is not cut");
    log.wal.enqueue(&[&samples(10_000, 100)]).unwrap();
    log.wal.truncate(segment, &|r| r != 2, &|_, t| t >= 9_000).unwrap();
    let names = segments(&dir);
    assert_eq!(names, [format!("{segment:08}"), format!("checkpoint.{:08}", segment - 1)]);
    // Once more, over the checkpoint.
    let next = log.wal.cut_segment().unwrap();
    log.wal.enqueue(&[&samples(10_100, 100)]).unwrap();
    log.wal.truncate(next, &|r| r != 3, &|_, t| t >= 9_500).unwrap();
    drop(log);
    std::fs::create_dir(dir.path().join("checkpoint.00000099.tmp")).unwrap();
    std::fs::write(dir.path().join("00000000"), b"left by a crash").unwrap();
    let log = open(&dir);
    let expected: Vec<i64> = [-1].into_iter().chain(9_500..10_200).collect();
    assert_eq!(log.seen, expected);
    assert_eq!(log.report.damages, Vec::<String>::new());
    let names = segments(&dir);
    assert!(!names.iter().any(|n| n == "00000000" || n.ends_with("tmp")), "{names:?}");
}

#[test]
fn a_disk_that_refuses_is_told_and_nothing_is_lost() {
    for refuse in [Refuse::Write, Refuse::HalfWrite, Refuse::Sync] {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let log = open_on(&dir, disk.clone());
        let first = log.wal.enqueue(&[&samples(0, 10)]).unwrap();
        block_on(log.wal.durable(first)).unwrap();
        disk.refuse(Some(refuse));
        let second = log.wal.enqueue(&[&samples(10, 10)]).unwrap();
        assert_eq!(block_on(log.wal.durable(second)).unwrap_err().kind(), Kind::Retry);
        assert_eq!(log.wal.check().unwrap_err().kind(), Kind::Retry);
        // Who had asked `check` just before.
        log.wal.enqueue(&[&samples(20, 10)]).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        assert!(log.wal.check().is_err());
        disk.refuse(None);
        while log.wal.check().is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let third = log.wal.enqueue(&[&samples(30, 10)]).unwrap();
        block_on(log.wal.durable(third)).unwrap();
        log.wal.close().unwrap();
        let log = open(&dir);
        assert_eq!(log.seen, (0..40).collect::<Vec<_>>(), "{refuse:?}");
        assert_eq!(log.report.damages, Vec::<String>::new());
    }
}

#[test]
fn a_log_that_cannot_be_written_closes_with_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let log = open_on(&dir, disk.clone());
    disk.refuse(Some(Refuse::Write));
    let first = log.wal.enqueue(&[&samples(0, 10)]).unwrap();
    assert!(block_on(log.wal.durable(first)).is_err());
    // What follows must not be written where what came before is lost.
    let second = log.wal.enqueue(&[&samples(10, 10)]).unwrap();
    let wait = std::thread::spawn({
        let disk = disk.clone();
        move || {
            std::thread::sleep(Duration::from_millis(2));
            disk.refuse(None);
        }
    });
    let closed = log.wal.close();
    let kept = block_on(log.wal.durable(second));
    wait.join().unwrap();
    let seen = open(&dir).seen;
    match closed {
        Ok(()) => assert_eq!((kept.is_ok(), seen), (true, (0..20).collect())),
        Err(_) => assert_eq!((kept.is_ok(), seen), (false, vec![])),
    }
}

#[test]
fn syncs_now_and_then() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(FaultyDisk::default());
    let settings = WalSettings { sync: SyncMode::Every(Duration::from_millis(30)), ..settings() };
    let (wal, _) = Wal::open(dir.path(), disk.clone(), settings, WalMetrics::default()).unwrap();
    let before = disk.syncs();
    for i in 0..20 {
        block_on(wal.durable(wal.enqueue(&[&samples(i, 1)]).unwrap())).unwrap();
    }
    assert!(disk.syncs() - before <= 2, "nobody waits for a sync");
    std::thread::sleep(Duration::from_millis(200));
    assert!((1..=3).contains(&(disk.syncs() - before)), "{} syncs", disk.syncs() - before);
    drop(wal);
    assert_eq!(open(&dir).seen, (0..20).collect::<Vec<_>>());
}
