//! What the merge does with series that no honest pair of blocks has, and with deleted time.

use std::collections::VecDeque;
use std::sync::Arc;

use dolmen_block::Ulid;
use dolmen_chunk::{decode, decode_histograms, encode_floats, encode_histograms};
use dolmen_ctx::{Disk, RealDisk};
use dolmen_model::{Columns, Encoding, HistLayout, Histogram, IntHistogram, ResetHint, Span, Timestamp};

use super::*;

struct Given(VecDeque<SeriesIn>, TimeRange);

impl Input for Given {
    fn range(&self) -> TimeRange {
        self.1
    }

    async fn next(&mut self) -> Result<Option<SeriesIn>> {
        Ok(self.0.pop_front())
    }
}

fn chunk(times: &[Timestamp]) -> RawChunk {
    let v: Vec<f64> = times.iter().map(|t| *t as f64).collect();
    let mut out = Vec::new();
    encode_floats(times, &v, 100, &mut out);
    let c = out.remove(0);
    RawChunk { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: c.data }
}

fn series(name: &str, chunks: Vec<RawChunk>) -> SeriesIn {
    SeriesIn { labels: Labels::from_pairs([("__name__", name)]), chunks, masked: Arc::from([]) }
}

async fn run(inputs: Vec<Vec<SeriesIn>>) -> Result<(Merged, u64), MergeError> {
    run_in(inputs.into_iter().map(|i| (i, TimeRange::ALL)).collect()).await
}

async fn run_in(inputs: Vec<(Vec<SeriesIn>, TimeRange)>) -> Result<(Merged, u64), MergeError> {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let symbols = ["__name__", "a", "b", "c"];
    let mut writer = BlockWriter::create(disk, dir.path(), Ulid::from_parts(1, 1), symbols).unwrap();
    let inputs = inputs.into_iter().map(|(i, range)| Given(i.into(), range)).collect();
    let merged = merge(&Ctx::unbounded(), inputs, &mut writer).await?;
    Ok((merged, writer.stats().num_samples))
}

#[tokio::test]
async fn series_of_several_inputs_become_one() {
    let first = vec![series("a", vec![chunk(&[1, 2])]), series("c", vec![chunk(&[1])])];
    let second = vec![series("a", vec![chunk(&[4])]), series("b", vec![chunk(&[4, 5, 6])])];
    let (merged, written) = run(vec![first, second]).await.unwrap();
    assert_eq!((merged.read.clone(), merged.series, written), (vec![3, 4], 3, 7));
}

#[tokio::test]
async fn equal_chunks_are_written_once() {
    let (merged, written) =
        run(vec![vec![series("a", vec![chunk(&[1, 2])])], vec![series("a", vec![chunk(&[1, 2])])]])
            .await
            .unwrap();
    assert_eq!((merged.repeated, merged.written(), written), (2, 2, 2));
}

#[tokio::test]
async fn chunks_that_overlap_are_not_chosen_from() {
    let inputs = vec![vec![series("a", vec![chunk(&[1, 4])])], vec![series("a", vec![chunk(&[3, 9])])]];
    let e = run(inputs).await.unwrap_err();
    assert_eq!((e.input, e.error.kind()), (None, Kind::Halt));
}

#[tokio::test]
async fn a_block_is_blamed_whose_chunk_reaches_into_the_next_one() {
    let (early, late) = ([chunk(&[1, 4])], [chunk(&[3, 9])]);
    for (from, to) in [(0, 3), (0, 5)] {
        let inputs = vec![
            (vec![series("a", early.to_vec())], range(from, to)),
            (vec![series("a", late.to_vec())], range(to, 10)),
        ];
        let e = run_in(inputs).await.unwrap_err();
        let blamed = usize::from(to == 5);
        assert_eq!((e.input, e.error.kind()), (Some(blamed), Kind::Corrupt), "{to}");
    }
}

#[tokio::test]
async fn an_input_out_of_order_is_blamed() {
    let bad = vec![series("b", vec![chunk(&[1])]), series("a", vec![chunk(&[2])])];
    let e = run(vec![vec![series("c", vec![chunk(&[1])])], bad]).await.unwrap_err();
    assert_eq!((e.input, e.error.kind()), (Some(1), Kind::Corrupt));
}

#[tokio::test]
async fn a_caller_that_has_left_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        BlockWriter::create(Arc::new(RealDisk), dir.path(), Ulid::from_parts(1, 1), ["__name__", "a"])
            .unwrap();
    let ctx = Ctx::unbounded();
    ctx.cancel.cancel();
    let inputs = vec![Given([series("a", vec![chunk(&[1])])].into(), TimeRange::ALL)];
    assert_eq!(merge(&ctx, inputs, &mut writer).await.unwrap_err().error.kind(), Kind::Canceled);
}

fn range(from: i64, to: i64) -> TimeRange {
    TimeRange::new(from, to).unwrap()
}

#[test]
fn deleted_time_leaves_other_chunks_as_they_are() {
    let mut out = Vec::new();
    let c = chunk(&[10, 20, 30]);
    let mut mask = Mask::default();
    let far = [range(0, 10), range(31, 99)];
    assert_eq!(mask.push(c.clone(), 3, &far, &mut out).unwrap(), 0);
    assert_eq!(out.remove(0).data.as_ptr(), c.data.as_ptr());
    assert_eq!(mask.push(c.clone(), 3, &[range(10, 31)], &mut out).unwrap(), 3);
    assert!(out.is_empty());
    assert_eq!(mask.push(c, 3, &[range(0, 11), range(25, 31)], &mut out).unwrap(), 2);
    let mut columns = Columns::default();
    decode(out[0].encoding, &out[0].data, i64::MIN, i64::MAX, &mut columns).unwrap();
    assert_eq!((out[0].mint, out[0].maxt, columns.t, columns.v), (20, 20, vec![20], vec![20.0]));
}

#[test]
fn deleted_time_in_histograms() {
    let spans = vec![Span { offset: 0, length: 2 }];
    let layout = Arc::new(HistLayout { positive_spans: spans, ..HistLayout::default() });
    let one = |n: u64| {
        let layout = layout.clone();
        let positive = vec![n as i64, 1];
        Histogram::Int(IntHistogram {
            layout,
            count: 2 * n + 1,
            zero_count: 0,
            sum: n as f64,
            hint: ResetHint::Unknown,
            positive_deltas: positive,
            negative_deltas: Vec::new(),
        })
    };
    let mut encoded = Vec::new();
    encode_histograms((1..=5).map(|n| (n * 10, one(n as u64))), 100, &mut encoded);
    let c = encoded.remove(0);
    let raw = RawChunk { mint: c.mint, maxt: c.maxt, encoding: c.encoding, data: c.data };
    let mut out = Vec::new();
    assert_eq!(Mask::default().push(raw, 5, &[range(20, 31)], &mut out).unwrap(), 2);
    assert_eq!(out[0].encoding, Encoding::Histogram);
    let left: Vec<i64> = out
        .iter()
        .flat_map(|c| decode_histograms(c.encoding, &c.data).unwrap())
        .map(|(t, h)| {
            assert!(matches!(h, Histogram::Int(h) if h.sum == t as f64 / 10.0));
            t
        })
        .collect();
    assert_eq!(left, [10, 40, 50]);
}
