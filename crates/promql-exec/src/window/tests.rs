//! Sliding windows against the same windows one by one.

use proptest::prelude::*;

use super::*;
use crate::function::range;

fn job(name: &str, grid: Grid, window: i64, offset: i64) -> WindowJob {
    WindowJob {
        function: range::find(name).unwrap(),
        grid,
        reference: Reference { at: None, offset },
        range: window,
        reach: Reach::Plain,
        stats: false,
        lookback: 0,
        args: Vec::new(),
        pos: Pos(0),
        keeps_name: false,
        delayed_names: false,
        wants_counter: false,
        type_labels: false,
    }
}

fn row(batch: &StepBatch) -> Vec<Option<u64>> {
    // All NaN are one.
    let bits = |v: f64| if v.is_nan() { f64::NAN.to_bits() } else { v.to_bits() };
    (0..batch.steps())
        .map(|step| match batch.cell(0, step) {
            Some(Cell::Float(v)) => Some(bits(v)),
            _ => None,
        })
        .collect()
}

fn samples() -> impl Strategy<Value = Columns> {
    let value = prop_oneof![
        8 => (-20i32..20).prop_map(f64::from),
        4 => any::<i16>().prop_map(|v| f64::from(v) / 7.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(1e300),
    ];
    prop::collection::vec((1i64..30, value), 1..60).prop_map(|deltas| {
        let mut columns = Columns::default();
        let mut t = 0;
        for (delta, v) in deltas {
            t += delta;
            columns.t.push(t);
            columns.v.push(v);
        }
        columns
    })
}

proptest! {
    #[test]
    fn sliding_gives_the_same(
        samples in samples(),
        start in -50i64..200,
        steps in 1i64..30,
        step in 1i64..40,
        window in 1i64..200,
        offset in -50i64..50,
    ) {
        let grid = Grid::range(start, start + step * (steps - 1), step);
        for name in [
            "avg_over_time", "count_over_time", "delta", "increase", "last_over_time", "max_over_time",
            "min_over_time", "rate", "sum_over_time",
        ] {
            let job = job(name, grid, window, offset);
            let how = job.function.slide.unwrap();
            let (mut slid, mut plain) = (StepBatch::new(grid.steps), StepBatch::new(grid.steps));
            let mut work = Work::default();
            slid.push(Labels::empty(), false);
            plain.push(Labels::empty(), false);
            let (cells, valid) = slid.row_mut(0);
            slide::slide(how, &job, &samples, cells, valid, &mut work);
            job.each(&Labels::empty(), &samples, &mut plain, &mut work).unwrap();
            prop_assert_eq!(row(&slid), row(&plain), "{}", name);
        }
    }
}
