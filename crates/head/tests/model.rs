//! A head against a naive model: random batches, with samples out of order and duplicates, histograms of all
//! kinds, cuts, restarts and losses of power in between. What was acknowledged is read back, once.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::disk::CrashDisk;
use common::{Samples, Series, Val, World, answered, block_on, settings};
use dolmen_ctx::ManualClock;
use dolmen_head::How;
use dolmen_model::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, HistLayout, Histogram, IntHistogram, Labels, ResetHint, Span,
    stale_nan,
};
use proptest::prelude::*;

const START: i64 = 1_800_000_000_000;

/// A series, and of each sample: time from now, kind, number.
type Sent = (u8, Vec<(i64, u8, u8)>);

#[derive(Clone, Debug)]
enum Op {
    /// Appends.
    Batch(Vec<Sent>),
    /// Sends all of the newest batches again.
    Again,
    Cut,
    /// Cuts, and appends before what was cut is forgotten.
    SlowCut,
    Flush,
    Restart,
    PowerLoss(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let sample = (-3i64..30, 0u8..9, any::<u8>());
    let series = (0u8..14, prop::collection::vec(sample, 0..12));
    prop_oneof![
        12 => prop::collection::vec(series, 1..10).prop_map(Op::Batch),
        2 => Just(Op::Again),
        2 => Just(Op::Cut),
        1 => Just(Op::SlowCut),
        1 => Just(Op::Flush),
        1 => Just(Op::Restart),
        1 => any::<u64>().prop_map(Op::PowerLoss),
    ]
}

fn labels(series: u8) -> Labels {
    let replica = ["", "1", "2"][usize::from(series % 3)];
    Labels::from_pairs([("__name__", "m"), ("i", &(series / 3).to_string()), ("replica", replica)])
}

fn value(kind: u8, n: u8) -> Val {
    let span = |offset, length| Span { offset, length };
    let exponential = HistLayout {
        schema: 2,
        zero_threshold: 0.001,
        positive_spans: vec![span(i32::from(n % 3), 2)],
        negative_spans: vec![span(1, 1)],
        custom_values: vec![],
    };
    let custom = HistLayout {
        schema: CUSTOM_BUCKETS_SCHEMA,
        zero_threshold: 0.0,
        positive_spans: vec![span(0, 2)],
        negative_spans: vec![],
        custom_values: vec![1.0, 2.0 + f64::from(n % 2)],
    };
    let f = f64::from(n);
    let int = |layout: HistLayout, hint| {
        let negative_deltas = vec![1; layout.buckets().1];
        let layout = Arc::new(layout);
        let positive_deltas = vec![i64::from(n), -1];
        let (count, zero_count) = (u64::from(n) * 3, 1);
        Val::H(Histogram::Int(IntHistogram {
            layout,
            count,
            zero_count,
            sum: f,
            hint,
            positive_deltas,
            negative_deltas,
        }))
    };
    let float = |layout: HistLayout| {
        let (positive, negative) = (vec![f, 0.5], vec![1.0; layout.buckets().1]);
        let (layout, hint) = (Arc::new(layout), ResetHint::Unknown);
        Val::H(Histogram::Float(FloatHistogram {
            layout,
            count: f,
            zero_count: 0.0,
            sum: f,
            hint,
            positive,
            negative,
        }))
    };
    match kind {
        0 => int(exponential, ResetHint::Unknown),
        1 => int(custom, ResetHint::Unknown),
        2 => float(exponential),
        3 => float(custom),
        4 => int(exponential, ResetHint::Gauge),
        5 => Val::F(stale_nan()),
        _ => Val::F(f * 1.5),
    }
}

#[derive(Default)]
struct Model {
    samples: Samples,
    newest: BTreeMap<String, i64>,
    floors: BTreeMap<String, i64>,
}

impl Model {
    fn stream(labels: &Labels) -> String {
        labels.get("replica").unwrap_or_default().to_owned()
    }

    /// Stored, duplicate, refused. Floats of a series come before its histograms, as on the wire.
    fn append(&mut self, batch: &[Series]) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for (labels, samples) in batch {
            let stream = Model::stream(labels);
            let floor = self.floors.get(&stream).copied().unwrap_or(0);
            let of_series = self.samples.entry(answered(labels)).or_default();
            let (floats, histograms): (Vec<_>, Vec<_>) =
                samples.iter().partition(|(_, v)| matches!(v, Val::F(_)));
            for (t, value) in floats.into_iter().chain(histograms) {
                let text = value.text();
                let last = of_series.last_key_value().map(|(t, _)| *t);
                if *t >= floor && last.is_none_or(|last| *t > last) {
                    of_series.insert(*t, text);
                    counts.0 += 1;
                    let newest = self.newest.entry(stream.clone()).or_insert(*t);
                    *newest = (*t).max(*newest);
                } else if of_series.get(t) == Some(&text) {
                    counts.1 += 1;
                } else {
                    counts.2 += 1;
                }
            }
        }
        counts
    }

    fn cut(&mut self, how: How) {
        let block_end = |t: &i64| (t.div_euclid(common::BLOCK_MS) + 1) * common::BLOCK_MS;
        for (stream, newest) in &self.newest {
            let floor = self.floors.entry(stream.clone()).or_insert(0);
            let due = |t: &i64| match how {
                How::Flush => true,
                How::Due => block_end(t) + common::BLOCK_MS / 2 <= *newest,
            };
            let times =
                self.samples.iter().filter(|(l, _)| Model::stream(l) == *stream).flat_map(|(_, s)| s.keys());
            if let Some(last) = times.filter(|t| **t >= *floor && due(t)).max() {
                *floor = match how {
                    How::Flush => newest + 1,
                    How::Due => block_end(last),
                };
            }
        }
    }

    fn all(&self) -> Samples {
        self.samples.iter().filter(|(_, s)| !s.is_empty()).map(|(l, s)| (l.clone(), s.clone())).collect()
    }
}

async fn run(ops: Vec<Op>) {
    let mut disk = CrashDisk::default();
    let clock = Arc::new(ManualClock::new(START + 3_000_000));
    let settings = settings("/data".as_ref());
    let mut world = World::open(Arc::new(disk.clone()), settings.clone(), clock.clone()).await;
    let mut model = Model::default();
    let mut recent: Vec<Vec<Series>> = Vec::new();
    let mut now = START;
    for op in ops {
        match &op {
            Op::Batch(series) => {
                now += 9_000;
                let of = |(s, samples): &Sent| {
                    let samples = samples.iter().map(|(t, kind, n)| (now + t * 1000, value(*kind, *n)));
                    (labels(*s), samples.collect())
                };
                recent.push(series.iter().map(of).collect());
                send(&world, &mut model, &recent[recent.len() - 1]).await;
            }
            Op::Again => {
                for batch in recent.iter().rev().take(3) {
                    send(&world, &mut model, batch).await;
                }
            }
            Op::Cut | Op::SlowCut | Op::Flush => {
                let how = if matches!(op, Op::Flush) { How::Flush } else { How::Due };
                world.cut(how).await;
                model.cut(how);
                if matches!(op, Op::SlowCut)
                    && let Some(batch) = recent.last()
                {
                    send(&world, &mut model, batch).await;
                }
                world.settle().await;
                assert!(!world.head.due());
            }
            Op::Restart => {
                drop(world);
                world = World::open(Arc::new(disk.clone()), settings.clone(), clock.clone()).await;
            }
            Op::PowerLoss(seed) => {
                let mut seed = seed | 1;
                disk = disk.crashed(|n| {
                    seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (seed >> 33) as usize % n
                });
                world = World::open(Arc::new(disk.clone()), settings.clone(), clock.clone()).await;
            }
        }
        if !matches!(op, Op::Batch(_)) {
            assert_eq!(world.everything().await, model.all(), "after {op:?}");
        }
    }
    assert_eq!(world.everything().await, model.all());
    // What is cut leaves memory and the log.
    let t = now + 100_000;
    send(&world, &mut model, &[(labels(0), vec![(t, Val::F(1.0))])]).await;
    world.cut(How::Flush).await;
    world.settle().await;
    assert_eq!(world.in_memory().await, Samples::new());
    assert_eq!((world.head.series(), world.head.range()), (0, None));
    assert!(disk.bytes(&settings.wal_dir) < 1000, "{} bytes of log", disk.bytes(&settings.wal_dir));
}

async fn send(world: &World, model: &mut Model, batch: &[Series]) {
    let report = world.append(batch).await.unwrap();
    let refused: u64 = report.rejected.iter().map(|r| r.samples).sum();
    let told = (report.accepted - report.duplicates, report.duplicates, refused);
    assert_eq!(told, model.append(batch), "{:?}", report.rejected);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn acknowledged_is_read_back_once(ops in prop::collection::vec(op(), 1..50)) {
        block_on(run(ops));
    }
}

/// Power is lost at every single change of the disk during a cut and what follows.
#[test]
fn power_may_be_lost_at_any_point_of_a_cut() {
    block_on(async {
        let mut ops = 0;
        for lost_at in 0.. {
            let disk = CrashDisk::default();
            let clock = Arc::new(ManualClock::new(START + 3_000_000));
            let settings = settings("/data".as_ref());
            let world = World::open(Arc::new(disk.clone()), settings.clone(), clock.clone()).await;
            let mut model = Model::default();
            for i in 0..40 {
                let of = |s: u8| (labels(s), vec![(START + i * 5000, value((i % 9) as u8, s + i as u8))]);
                send(&world, &mut model, &(0..6).map(of).collect::<Vec<_>>()).await;
            }
            let first = disk.ops();
            if lost_at > 0 {
                disk.lose_power_at(first + lost_at);
            }
            world.cut(How::Due).await;
            world.settle().await;
            if lost_at == 0 {
                ops = disk.ops() - first;
                continue;
            }
            let Some(after) = disk.after_loss() else { break };
            let world = World::open(Arc::new(after), settings, clock).await;
            assert_eq!(world.everything().await, model.all(), "lost at change {lost_at} of {ops}");
            world.cut(How::Due).await;
            world.settle().await;
            assert_eq!(world.everything().await, model.all(), "lost at change {lost_at} of {ops}");
        }
        assert!(ops > 30, "{ops} changes");
    });
}
