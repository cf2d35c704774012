//! What comes, and who reads, while a cut is under way.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::disk::HookDisk;
use common::{BLOCK_MS, Samples, Val, World, answered, batch, block_on, settings};
use dolmen_ctx::{Ctx, Disk, ManualClock};
use dolmen_head::{Ask, Cut, Head, HeadReader, Held, How, Outcome};
use dolmen_model::{Labels, Result, TimeRange};
use dolmen_storage::{AppendReport, Appender, Frame, Queryable, RejectCause, Select};
use futures::StreamExt;
use parking_lot::Mutex;
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000_000;

fn series(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)])
}

async fn world(dir: &Path, disk: impl Disk + 'static) -> World {
    World::open(Arc::new(disk), settings(dir), Arc::new(ManualClock::new(NOW))).await
}

async fn send(head: &Head, name: &str, samples: &[(i64, f64)]) -> AppendReport {
    let samples = samples.iter().map(|(t, v)| (*t, Val::F(*v))).collect();
    head.append(&Ctx::unbounded(), batch(head, &[(series(name), samples)])).await.unwrap()
}

/// Cuts on a thread of its own, where a hook may block.
async fn cut(w: &World, how: How) -> (Vec<Cut>, Result<()>) {
    let head = w.head.clone();
    let (cuts, result) = tokio::task::spawn_blocking(move || head.cut(how)).await.unwrap();
    for cut in &cuts {
        w.blocks.add(&*w.disk, cut.meta.clone(), &cut.dir).await;
    }
    (cuts, result)
}

fn is(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|n| n == name)
}

#[test]
fn what_comes_into_a_gap_while_blocks_are_written_is_not_lost() {
    // Into the gap, in two ranges below what is cut next, and right above the floor.
    for late in [&[15][..], &[17, 15], &[11], &[12, 19]] {
        block_on(async {
            let (dir, disk) = (tempfile::tempdir().unwrap(), HookDisk::default());
            let w = world(dir.path(), disk.clone()).await;
            send(&w.head, "a", &[(10 * BLOCK_MS, 1.0), (20 * BLOCK_MS, 2.0)]).await;
            let head = w.head.clone();
            let mut left = late.iter().map(|at| at * BLOCK_MS).enumerate();
            disk.hook(move |path| {
                if is(path, "index") {
                    for (i, t) in left.by_ref() {
                        let report = block_on(send(&head, &format!("late{i}"), &[(t, 3.0)]));
                        assert_eq!(report.accepted, 1, "{report:?}");
                    }
                }
                Ok(())
            });
            let (cuts, result) = cut(&w, How::Flush).await;
            result.unwrap();
            disk.unhook();
            w.settle().await;
            for restarted in [false, true] {
                let all = match restarted {
                    false => w.everything().await,
                    true => world(dir.path(), disk.clone()).await.everything().await,
                };
                for (i, at) in late.iter().enumerate() {
                    let held = all.get(&answered(&series(&format!("late{i}"))));
                    let held: Vec<_> = held.into_iter().flatten().map(|(t, _)| *t).collect();
                    assert_eq!(held, [at * BLOCK_MS], "{late:?}, restarted: {restarted}");
                }
                assert_eq!(all[&answered(&series("a"))].len(), 2);
            }
            let ends: Vec<_> = cuts.iter().map(|c| (c.meta.min_time, c.meta.max_time)).collect();
            assert!(ends.is_sorted() && ends.windows(2).all(|w| w[0].1 <= w[1].0), "{ends:?}");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever comes while blocks are written, whatever is cut: what was taken is held, once.
    #[test]
    fn what_was_taken_is_held(
        first in prop::collection::vec(0i64..40, 1..5),
        rounds in prop::collection::vec((any::<bool>(), any::<bool>(), prop::collection::vec(0i64..60, 0..12)), 1..5),
    ) {
        block_on(async {
            let disk = HookDisk::default();
            let dir = tempfile::tempdir().unwrap();
            let w = world(dir.path(), disk.clone()).await;
            let taken = Arc::new(Mutex::new(Vec::new()));
            let append = {
                let (head, taken) = (w.head.clone(), taken.clone());
                move |halves: i64| {
                    let (name, t) = (format!("m{}", halves % 3), halves * BLOCK_MS / 2);
                    let report = block_on(send(&head, &name, &[(t, 1.0)]));
                    if report.accepted > report.duplicates {
                        taken.lock().push((name, t));
                    }
                }
            };
            let start = append.clone();
            tokio::task::spawn_blocking(move || first.into_iter().for_each(start)).await.unwrap();
            for (flush, settle, come) in rounds {
                let (append, mut come) = (append.clone(), come.into_iter());
                disk.hook(move |path| {
                    if is(path, "index") {
                        come.by_ref().take(3).for_each(&append);
                    }
                    Ok(())
                });
                cut(&w, if flush { How::Flush } else { How::Due }).await.1.unwrap();
                if settle {
                    w.settle().await;
                }
            }
            disk.unhook();
            w.settle().await;
            let again = world(dir.path(), disk).await;
            let taken: BTreeSet<_> = taken.lock().iter().cloned().collect();
            for w in [&w, &again] {
                let held = w.everything().await;
                let held = held.iter().flat_map(|(labels, samples)| {
                    samples.keys().map(|t| (labels.get("__name__").unwrap().to_owned(), *t))
                });
                assert_eq!(held.collect::<BTreeSet<_>>(), taken);
            }
        });
    }
}

#[test]
fn a_flush_ends_though_samples_keep_coming() {
    block_on(async {
        let (dir, disk) = (tempfile::tempdir().unwrap(), HookDisk::default());
        let w = world(dir.path(), disk.clone()).await;
        send(&w.head, "a", &[(10 * BLOCK_MS, 1.0), (12 * BLOCK_MS, 1.0)]).await;
        let (head, came) = (w.head.clone(), Arc::new(AtomicI64::new(0)));
        let counted = came.clone();
        disk.hook(move |path| {
            let i = counted.load(Ordering::SeqCst);
            if is(path, "index") && i < 20 {
                counted.store(i + 1, Ordering::SeqCst);
                assert_eq!(block_on(send(&head, "a", &[((13 + i) * BLOCK_MS, 1.0)])).accepted, 1);
            }
            Ok(())
        });
        let (cuts, result) = cut(&w, How::Flush).await;
        result.unwrap();
        disk.unhook();
        assert_eq!((cuts.len(), came.load(Ordering::SeqCst)), (2, 2));
        w.settle().await;
        assert_eq!(w.everything().await[&answered(&series("a"))].len(), 4);
        assert_eq!(cut(&w, How::Flush).await.0.len(), 2);
    });
}

#[test]
fn a_select_is_protected_from_when_its_reader_began() {
    block_on(async {
        let (dir, disk) = (tempfile::tempdir().unwrap(), HookDisk::default());
        let w = world(dir.path(), disk.clone()).await;
        send(&w.head, "a", &[(1000, 1.0), (2000, 2.0)]).await;
        // The query knows of no block: it began before there was one.
        let reader = HeadReader::new(w.head.clone());
        assert_eq!(w.cut(How::Flush).await, 1);
        let head = w.head.clone();
        let settled = tokio::spawn(async move { head.settle().await });
        tokio::task::yield_now().await;
        let select = Select::new(TimeRange::ALL, []);
        let mut frames = reader.select(&Ctx::unbounded(), &select).await.unwrap();
        drop(reader);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Some(Ok(Frame::Batch(batch))) = frames.next().await else { panic!("its chunks are gone") };
        assert_eq!(batch.series[0].parts[0].chunks.len(), 1);
        assert!(!settled.is_finished());
        drop(frames);
        settled.await.unwrap().unwrap();
        assert_eq!(w.in_memory().await, Samples::new());
    });
}

#[test]
fn what_is_cut_and_not_forgotten_is_in_the_range() {
    block_on(async {
        let (dir, disk) = (tempfile::tempdir().unwrap(), HookDisk::default());
        let w = world(dir.path(), disk.clone()).await;
        send(&w.head, "a", &[(10 * BLOCK_MS, 1.0)]).await;
        assert_eq!(w.cut(How::Flush).await, 1);
        // Its block cannot be opened yet, so nothing is settled; the rest of its range is empty.
        send(&w.head, "a", &[(13 * BLOCK_MS, 2.0)]).await;
        assert_eq!(w.cut(How::Due).await, 0);
        assert_eq!(w.head.range(), TimeRange::inclusive(10 * BLOCK_MS, 13 * BLOCK_MS));
        w.settle().await;
        assert_eq!(w.head.range(), TimeRange::inclusive(13 * BLOCK_MS, 13 * BLOCK_MS));
    });
}

#[test]
fn whether_the_floors_are_written_is_told() {
    block_on(async {
        let (dir, disk) = (tempfile::tempdir().unwrap(), HookDisk::default());
        let w = world(dir.path(), disk.clone()).await;
        assert!(w.head.floors_written());
        send(&w.head, "a", &[(10 * BLOCK_MS, 1.0)]).await;
        disk.hook(|path| match is(path, "floors.json.tmp") {
            true => Err(io::Error::other("refused")),
            false => Ok(()),
        });
        let (cuts, result) = cut(&w, How::Flush).await;
        assert!(cuts.len() == 1 && result.is_err() && !w.head.floors_written());
        // Only the block tells up to where it is cut, and so it is after a restart.
        let again = world(dir.path(), disk.clone()).await;
        assert!(!again.head.floors_written() && again.head.due());
        disk.unhook();
        for w in [&w, &again] {
            let (cuts, result) = cut(w, How::Due).await;
            assert!(cuts.is_empty() && result.is_ok() && w.head.floors_written() && !w.head.due());
        }
        for cut in &cuts {
            std::fs::remove_dir_all(&cut.dir).unwrap();
        }
        let last = world(dir.path(), disk.clone()).await;
        assert!(last.head.floors_written());
        assert_eq!(last.in_memory().await, Samples::new(), "it is in a block, wherever that is");
    });
}

/// Counts what it is asked, and has it all.
#[derive(Default)]
struct Counts {
    asks: AtomicU64,
    texts: Mutex<Vec<usize>>,
}

#[async_trait]
impl Held for Counts {
    async fn look(&self, _: &Ctx, asks: &[Ask]) -> Result<Vec<Outcome>> {
        self.asks.fetch_add(asks.len() as u64, Ordering::SeqCst);
        let mut texts: Vec<_> =
            asks.iter().map(|a| a.labels.get("__name__").unwrap().as_ptr() as usize).collect();
        texts.dedup();
        *self.texts.lock() = texts;
        Ok(vec![Outcome::Duplicate; asks.len()])
    }
}

#[test]
fn a_batch_cannot_ask_blocks_without_end() {
    block_on(async {
        let (dir, disk) = (tempfile::tempdir().unwrap(), HookDisk::default());
        let w = world(dir.path(), disk.clone()).await;
        send(&w.head, "a", &[(90 * BLOCK_MS, 1.0)]).await;
        w.cut(How::Flush).await;
        let held = Arc::new(Counts::default());
        w.head.set_held(held.clone());
        let old =
            |name, from: i64, n: i64| (series(name), (from..from + n).map(|t| (t, Val::F(1.0))).collect());
        // What a sender sends again is asked for, and a series' labels are made once.
        let all = [old("a", 0, 20_000), old("b", 0, 20_000), old("a", 20_000, 10_000)];
        let report = w.append(&all).await.unwrap();
        assert_eq!((report.accepted, report.duplicates, report.rejected.len()), (50_000, 50_000, 0));
        assert_eq!((held.asks.swap(0, Ordering::SeqCst), held.texts.lock().len()), (50_000, 3));
        // Whoever sends far more is refused the rest.
        let report = w.append(&[old("a", 0, 300_000), old("b", 0, 300_000)]).await.unwrap();
        let asked = held.asks.load(Ordering::SeqCst);
        assert!((50_000..=150_000).contains(&asked), "{asked} asked");
        let [rejected] = report.rejected.as_slice() else { panic!("{report:?}") };
        assert_eq!(rejected.cause, RejectCause::TooOld);
        assert_eq!((report.accepted, report.accepted + rejected.samples), (asked, 600_000));
    });
}
