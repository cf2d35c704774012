//! What is taken and what is refused, cuts, queries: case by case.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::disk::{CrashDisk, FaultyDisk, Refuse};
use common::{BLOCK_MS, Samples, Val, World, answered, block_on, read, settings};
use dolmen_ctx::{Ctx, ManualClock, RealDisk};
use dolmen_head::{HeadReader, How};
use dolmen_model::{Kind, Labels, Matcher, TimeRange};
use dolmen_storage::{AppendReport, Frame, LabelAsk, Queryable, RejectCause, Select, Values};
use futures::StreamExt;

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

fn series(name: &str, replica: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("replica", replica)])
}

async fn world(dir: &tempfile::TempDir) -> World {
    World::open(Arc::new(RealDisk), settings(dir.path()), Arc::new(ManualClock::new(NOW))).await
}

async fn send(world: &World, name: &str, replica: &str, samples: &[(i64, f64)]) -> AppendReport {
    let samples = samples.iter().map(|(t, v)| (*t, Val::F(*v))).collect();
    world.append(&[(series(name, replica), samples)]).await.unwrap()
}

fn told(report: &AppendReport) -> (u64, u64, Vec<(RejectCause, u64)>) {
    (report.accepted, report.duplicates, report.rejected.iter().map(|r| (r.cause, r.samples)).collect())
}

#[test]
fn each_cause_is_told() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let w = world(&dir).await;
        let t = NOW - 100;
        assert_eq!(told(&send(&w, "a", "", &[(t, 1.0), (t + 2, 2.0)]).await), (2, 0, vec![]));
        let again = send(&w, "a", "", &[(t, 1.0), (t + 2, 2.0), (t + 3, 3.0)]).await;
        assert_eq!(told(&again), (3, 2, vec![]));
        let late = send(&w, "a", "", &[(t + 1, 1.0), (t, 7.0), (t + 3, 7.0)]).await;
        assert_eq!(
            told(&late),
            (0, 0, vec![(RejectCause::OutOfOrder, 1), (RejectCause::DuplicateTimestamp, 2)])
        );
        assert_eq!(late.rejected[0].first.as_str(), r#"{__name__="a"}"#);
        let far = send(&w, "b", "", &[(NOW + 600_000, 1.0), (NOW + 600_001, 1.0)]).await;
        assert_eq!(told(&far), (1, 0, vec![(RejectCause::Future, 1)]));
        // Age is measured from the stream's newest sample, and only there.
        let bound = NOW + 600_000 - HOUR;
        let old = send(&w, "c", "", &[(-5, 0.0), (bound - 1, 1.0), (bound, 2.0)]).await;
        assert_eq!(told(&old), (1, 0, vec![(RejectCause::TooOld, 2)]));
        assert_eq!(told(&send(&w, "c", "other", &[(5, 1.0), (90 * HOUR, 2.0)]).await), (2, 0, vec![]));
        assert_eq!(w.head.series(), 4);
    });
}

#[test]
fn samples_of_cut_blocks_are_duplicates_or_too_old() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let w = world(&dir).await;
        send(&w, "a", "1", &[(1000, 1.0), (2000, 2.0)]).await;
        assert_eq!(w.cut(How::Due).await, 0, "nothing is due");
        assert_eq!(w.cut(How::Flush).await, 1);
        w.settle().await;
        assert_eq!((w.head.series(), w.in_memory().await), (0, Samples::new()));
        for restarted in [false, true] {
            let w =
                if restarted { world(&dir).await } else { World { head: w.head.clone(), ..world_of(&w) } };
            let late = send(&w, "a", "1", &[(1000, 1.0), (1500, 1.0), (2000, 3.0)]).await;
            assert_eq!(told(&late), (1, 1, vec![(RejectCause::TooOld, 2)]), "restarted: {restarted}");
            // Another stream has its own cut.
            let other = send(&w, "a", "2", &[(1000 + i64::from(restarted), 1.0)]).await;
            assert_eq!(told(&other), (1, 0, vec![]));
        }
    });
}

fn world_of(w: &World) -> World {
    World {
        disk: w.disk.clone(),
        dir: w.dir.clone(),
        clock: w.clock.clone(),
        head: w.head.clone(),
        blocks: w.blocks.clone(),
        settings: w.settings.clone(),
    }
}

#[test]
fn a_range_is_cut_half_a_block_after_its_end() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let w = world(&dir).await;
        let start = 10 * BLOCK_MS;
        send(&w, "a", "1", &[(start + 5, 1.0), (start + BLOCK_MS - 1, 2.0), (start + BLOCK_MS, 3.0)]).await;
        send(&w, "a", "2", &[(start + 5, 1.0)]).await;
        send(&w, "a", "1", &[(start + BLOCK_MS * 3 / 2 - 1, 4.0)]).await;
        assert!(!w.head.due());
        send(&w, "b", "1", &[(start + BLOCK_MS * 3 / 2, 4.0)]).await;
        assert!(w.head.due());
        let (cuts, result) = w.head.cut(How::Due);
        result.unwrap();
        let [cut] = cuts.as_slice() else { panic!("{cuts:?}") };
        assert_eq!((cut.meta.min_time, cut.meta.max_time), (start, start + BLOCK_MS));
        assert_eq!((cut.meta.stats.num_samples, cut.meta.stats.num_series), (2, 1));
        let labels: Vec<_> = cut.meta.external_labels().iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(labels, ["replica=1", "site=x"]);
        assert!(!w.head.due());
        w.blocks.add(&*w.disk, cut.meta.clone(), &cut.dir).await;
        w.settle().await;
        let memory = w.in_memory().await;
        let times: Vec<_> = memory[&answered(&series("a", "1"))].keys().collect();
        assert_eq!(times, [&(start + BLOCK_MS), &(start + BLOCK_MS * 3 / 2 - 1)]);
        assert_eq!(memory.len(), 3);
    });
}

#[test]
fn long_gaps_and_back_fill() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let w = world(&dir).await;
        // Three days, a sample every 20 minutes, with gaps; cut as it goes.
        let times: Vec<i64> = (0..200).filter(|i| i % 50 < 20).map(|i| i * HOUR / 3).collect();
        for t in &times {
            assert_eq!(told(&send(&w, "a", "", &[(*t, 1.0)]).await), (1, 0, vec![]));
            if w.head.due() {
                w.cut(How::Due).await;
                w.settle().await;
                assert!(!w.head.due());
            }
        }
        assert!(w.blocks.all().len() > 50);
        let all = w.everything().await;
        assert!(all[&answered(&series("a", ""))].keys().eq(&times));
        assert_eq!(w.head.range().map(|r| r.maxt()), times.last().map(|t| t + 1));
    });
}

/// Writers, readers and flushes at once: each reader sees what was acknowledged before it began, once in memory
/// and blocks together; blocks of a stream do not overlap.
#[test]
fn all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let w = Arc::new(world(&dir).await);
        let ended = Arc::new(AtomicBool::new(false));
        const STEPS: i64 = 1500;
        let writers = (0..3).map(|writer| {
            let w = w.clone();
            tokio::spawn(async move {
                let names: Vec<_> = (0..5).map(|i| format!("m{writer}_{i}")).collect();
                for step in 0..STEPS {
                    let t = step * 100;
                    let batch: Vec<_> =
                        names.iter().map(|n| (series(n, ""), vec![(t, Val::F(step as f64))])).collect();
                    let report = w.append(&batch).await.unwrap();
                    // Between two writers a flush may cut what the slower one has not sent yet.
                    assert!(report.rejected.iter().all(|r| r.cause == RejectCause::TooOld), "{report:?}");
                }
            })
        });
        let cutter = {
            let (w, ended) = (w.clone(), ended.clone());
            tokio::spawn(async move {
                while !ended.load(Ordering::SeqCst) {
                    let world = w.clone();
                    tokio::task::spawn_blocking(move || block_on(world.cut(How::Flush))).await.unwrap();
                    w.settle().await;
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
            })
        };
        let reader = {
            let (w, ended) = (w.clone(), ended.clone());
            tokio::spawn(async move {
                let mut reads = 0;
                while !ended.load(Ordering::SeqCst) {
                    let name = format!("r{reads}");
                    // Above what a flush has cut.
                    let sample = (NOW + reads, Val::F(1.0));
                    let report = w.append(&[(series(&name, "r"), vec![sample])]).await.unwrap();
                    assert_eq!(report.accepted, 1, "{report:?}");
                    // First the head, then the blocks: as a receiver does.
                    let head = HeadReader::new(w.head.clone());
                    let blocks = w.blocks.all();
                    tokio::task::yield_now().await;
                    let select = Select::new(TimeRange::ALL, [Matcher::eq("__name__", &name)]);
                    let mut found = 0;
                    for q in blocks.iter().map(|b| &**b as &dyn Queryable).chain([&head as &dyn Queryable]) {
                        let mut frames = q.select(&Ctx::unbounded(), &select).await.unwrap();
                        while let Some(Ok(Frame::Batch(batch))) = frames.next().await {
                            found += batch.series.len();
                            let labels = batch.labels.get(0).to_labels();
                            assert_eq!(labels.get("__name__"), Some(name.as_str()));
                        }
                    }
                    // In both where it is cut and not forgotten yet.
                    assert!((1..=2).contains(&found), "{name} found {found} times");
                    reads += 1;
                }
                reads
            })
        };
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        ended.store(true, Ordering::SeqCst);
        cutter.await.unwrap();
        assert!(reader.await.unwrap() > 10);
        let all = w.everything().await;
        assert!(all.iter().filter(|(l, _)| l.get("replica").is_none()).count() == 15);
        let mut ranges: Vec<_> = w
            .blocks
            .all()
            .iter()
            .filter(|b| b.meta().external_labels().get("replica").is_none())
            .map(|b| b.range())
            .collect();
        assert!(ranges.len() > 3, "{} blocks", ranges.len());
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|r| !r[0].overlaps(r[1])), "{ranges:?}");
    });
}

#[test]
fn a_disk_that_refuses_makes_the_head_read_only_for_a_while() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let clock = Arc::new(ManualClock::new(NOW));
        let w = World::open(Arc::new(disk.clone()), settings(dir.path()), clock).await;
        send(&w, "a", "", &[(1, 1.0)]).await;
        disk.refuse(Some(Refuse::Sync));
        let b = [(series("b", ""), vec![(2, Val::F(2.0))])];
        assert_eq!(w.append(&b).await.unwrap_err().kind(), Kind::Retry);
        assert!(w.head.read_only());
        assert_eq!(w.append(&b).await.unwrap_err().kind(), Kind::Retry);
        assert_eq!(w.in_memory().await.len(), 2, "what was written before is read");
        disk.refuse(None);
        while w.head.read_only() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(told(&w.append(&b).await.unwrap()), (1, 1, vec![]));
        drop(w);
        assert_eq!(world(&dir).await.in_memory().await.len(), 2);
    });
}

#[test]
fn selects_and_labels() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let w = world(&dir).await;
        for (name, replica, job) in [("a", "1", "x"), ("a", "2", "x"), ("b", "1", "y"), ("c", "", "z")] {
            let labels = Labels::from_pairs([("__name__", name), ("replica", replica), ("job", job)]);
            w.append(&[(labels, vec![(5000, Val::F(1.0)), (9000, Val::F(2.0))])]).await.unwrap();
        }
        let reader = HeadReader::new(w.head.clone());
        let ctx = Ctx::unbounded();
        let select = |matchers: Vec<Matcher>, without: &[&str]| Select {
            without: without.iter().map(|s| (*s).into()).collect(),
            ..Select::new(TimeRange::ALL, matchers)
        };
        let names = |s: Select| {
            let (reader, ctx) = (&reader, &ctx);
            async move { reader.labels(ctx, &s, LabelAsk::Values("job".into())).await.unwrap().value }
        };
        assert_eq!(names(select(vec![], &[])).await, ["x", "y", "z"]);
        assert_eq!(
            names(select(vec![Matcher::eq("site", "x"), Matcher::eq("replica", "1")], &[])).await,
            ["x", "y"]
        );
        assert_eq!(names(select(vec![Matcher::eq("site", "y")], &[])).await, [""; 0]);
        assert_eq!(names(select(vec![Matcher::eq("replica", "")], &[])).await, ["z"]);
        let all = reader.labels(&ctx, &select(vec![], &["replica"]), LabelAsk::Names).await.unwrap().value;
        assert_eq!(all, ["__name__", "job", "site"]);
        // Replicas become parts of one series.
        let mut frames =
            reader.select(&ctx, &select(vec![Matcher::eq("__name__", "a")], &["replica"])).await.unwrap();
        let Frame::Batch(batch) = frames.next().await.unwrap().unwrap() else { panic!() };
        let sources: Vec<_> = batch.series[0].parts.iter().map(|p| p.source.as_str().to_owned()).collect();
        assert_eq!((batch.series.len(), sources), (1, vec!["1".to_owned(), "2".to_owned()]));
        assert!(ctx.budget.used() > 0);
        drop((batch, frames));
        assert_eq!(ctx.budget.used(), 0);
        // Time, limit, labels alone.
        let past = Select { range: TimeRange::new(0, 5000).unwrap(), ..select(vec![], &[]) };
        assert_eq!(names(past).await, [""; 0]);
        let between = Select {
            range: TimeRange::new(6000, 7000).unwrap(),
            values: Values::None,
            ..select(vec![], &[])
        };
        let between = Select { limit: std::num::NonZeroU64::new(3), ..between };
        let mut frames = reader.select(&ctx, &between).await.unwrap();
        let Frame::Batch(batch) = frames.next().await.unwrap().unwrap() else { panic!() };
        assert!(batch.series.len() == 3 && batch.series.iter().all(|s| s.parts.is_empty()));
        let mut all = Samples::new();
        read(&reader, TimeRange::ALL, &mut all).await;
        assert_eq!(all.len(), 4);
    });
}

/// Writers and cuts at once, and power is lost at some moment: what was acknowledged before is there, once.
#[test]
fn power_is_lost_under_load() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        for lost_at in (20..300).step_by(7) {
            let disk = CrashDisk::default();
            let settings = settings("/data".as_ref());
            let clock = Arc::new(ManualClock::new(NOW));
            let w = Arc::new(World::open(Arc::new(disk.clone()), settings.clone(), clock.clone()).await);
            disk.lose_power_at(disk.ops() + lost_at);
            let writers: Vec<_> = (0..4)
                .map(|writer| {
                    let (w, disk) = (w.clone(), disk.clone());
                    tokio::spawn(async move {
                        let mut acknowledged = Vec::new();
                        for step in 0..40 {
                            let (t, name) = (step * 4000, format!("m{writer}"));
                            send(&w, &name, &name, &[(t, 1.0)]).await;
                            acknowledged.push((disk.ops(), name, t));
                        }
                        acknowledged
                    })
                })
                .collect();
            for _ in 0..3 {
                tokio::task::yield_now().await;
                let world = w.clone();
                tokio::task::spawn_blocking(move || block_on(world.cut(How::Due))).await.unwrap();
                w.settle().await;
            }
            let mut acknowledged = Vec::new();
            for writer in writers {
                acknowledged.extend(writer.await.unwrap());
            }
            let Some(after) = disk.after_loss() else { continue };
            let lost_at = disk.lost_at();
            let all = World::open(Arc::new(after), settings, clock).await.everything().await;
            for (ops, name, t) in acknowledged.iter().filter(|(ops, ..)| *ops < lost_at) {
                let found = all.get(&answered(&series(name, name))).is_some_and(|s| s.contains_key(t));
                assert!(found, "{name} at {t}, acknowledged after change {ops}, lost at change {lost_at}");
            }
        }
    });
}
