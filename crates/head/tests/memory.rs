//! What a series costs in memory: printed, and bounded with room.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::Arc;

use common::{Val, World, block_on, settings};
use dolmen_ctx::{ManualClock, RealDisk};
use dolmen_head::HeadSettings;
use dolmen_model::Labels;

/// Resident bytes of this process.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

fn labels(i: usize) -> Labels {
    let value = |k: usize| match k {
        0 => format!("metric_{}", i % 100),
        1 => format!("10.0.{}.{}:9100", i / 100 % 256, i / 25_600),
        2 => format!("pod-{}", i / 20),
        _ => format!("value{k}-{}", i % (k * 3)),
    };
    let names =
        ["__name__", "instance", "pod", "job", "ns", "cluster", "zone", "node", "le", "code", "path", "az"];
    Labels::from_pairs(names.iter().enumerate().map(|(k, n)| (*n, value(k))))
}

#[test]
fn bytes_of_a_series() {
    const SERIES: usize = 60_000;
    const SAMPLES: i64 = 31;
    let Some(_) = resident() else {
        println!("skipped: no /proc/self/statm");
        return;
    };
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let sync = dolmen_wal::SyncMode::Never;
        let settings =
            HeadSettings { block_ms: 7_200_000, segment_bytes: 128 << 20, sync, ..settings(dir.path()) };
        let w = World::open(Arc::new(RealDisk), settings, Arc::new(ManualClock::new(1 << 50))).await;
        let all: Vec<Labels> = (0..SERIES).map(labels).collect();
        // Buffers of batches and of the log are there before.
        for _ in 0..2 {
            let warm: Vec<_> = (0..1000).map(|i| (all[i].clone(), vec![(0, Val::F(1.0))])).collect();
            w.append(&warm).await.unwrap();
        }
        let before = resident().unwrap();
        for step in 1..=SAMPLES {
            for some in all.chunks(1000) {
                let batch: Vec<_> = some
                    .iter()
                    .enumerate()
                    .map(|(i, l)| {
                        // Counters that grow unevenly, and constants.
                        let v = (i as i64 % 7 * (step + step * step % 5) + 1000 * (i as i64 % 11)) as f64;
                        (l.clone(), vec![(step * 15_000 + i as i64 % 5, Val::F(v))])
                    })
                    .collect();
                w.append(&batch).await.unwrap();
            }
        }
        let taken = resident().unwrap().saturating_sub(before) / SERIES;
        println!(
            "head: {taken} bytes of memory a series of 12 labels and {SAMPLES} samples, {} series",
            w.head.series()
        );
        assert!(taken < 600, "{taken} bytes a series");
    });
}
