//! Draws series with block characters: one chart a series, time to the right, value upward.

use std::fmt::Write;

const WIDTH: usize = 72;
const HEIGHT: usize = 8;
/// Eighths of a character cell, from empty to full.
const CELLS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The chart of `points` (seconds, value) over `start..=end` seconds, under its title.
pub fn chart(title: &str, points: &[(f64, f64)], start: f64, end: f64) -> String {
    let mut out = format!("{title}\n");
    let columns = columns(points, start, end);
    let known: Vec<f64> = columns.iter().flatten().copied().collect();
    let (Some(low), Some(high)) =
        (known.iter().copied().reduce(f64::min), known.iter().copied().reduce(f64::max))
    else {
        out.push_str("  (no finite values)\n");
        return out;
    };
    // A flat line stands in the middle.
    let (base, height) = if high > low { (low, high - low) } else { (low - 1.0, 2.0) };
    for row in (0..HEIGHT).rev() {
        let label = match row {
            _ if row == HEIGHT - 1 => number(base + height),
            0 => number(base),
            _ => String::new(),
        };
        let _written = write!(out, "{label:>10} ┤");
        for column in &columns {
            let eighths = column.map_or(0.0, |v| 1.0 + (v - base) / height * (HEIGHT * 8 - 1) as f64);
            let here = (eighths - (row * 8) as f64).clamp(0.0, 8.0);
            out.push(CELLS[here as usize]);
        }
        let line = out.trim_end_matches(' ').len();
        out.truncate(line);
        out.push('\n');
    }
    let _written = writeln!(out, "{:>10} └{}", "", "─".repeat(WIDTH));
    let _written = writeln!(out, "{:>12}{:<w$}{}", "", clock(start), clock(end), w = WIDTH - 8);
    out
}

/// The mean of the finite values in each column.
fn columns(points: &[(f64, f64)], start: f64, end: f64) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0u32); WIDTH];
    let span = (end - start).max(1e-3);
    for (t, v) in points.iter().filter(|p| p.1.is_finite()) {
        let at = ((t - start) / span * WIDTH as f64) as usize;
        let (sum, n) = &mut sums[at.min(WIDTH - 1)];
        *sum += v;
        *n += 1;
    }
    let mut columns: Vec<Option<f64>> =
        sums.iter().map(|(s, n)| (*n > 0).then(|| s / f64::from(*n))).collect();
    // Fewer points than columns: a point stands until the next one is due.
    let reach = (WIDTH / points.len().max(1)).saturating_add(1);
    let mut last: Option<(usize, f64)> = None;
    for (i, column) in columns.iter_mut().enumerate() {
        match *column {
            Some(v) => last = Some((i, v)),
            None => *column = last.filter(|(at, _)| i - at <= reach).map(|(_, v)| v),
        }
    }
    columns
}

fn number(v: f64) -> String {
    for (size, unit) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if v.abs() >= size {
            return format!("{:.2}{unit}", v / size);
        }
    }
    format!("{v:.3}")
}

/// Time of day, UTC.
fn clock(seconds: f64) -> String {
    let time = chrono::DateTime::from_timestamp(seconds as i64, 0).unwrap_or_default();
    time.format("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rising_line_rises() {
        let points: Vec<(f64, f64)> = (0..72).map(|i| (f64::from(i), f64::from(i))).collect();
        let chart = chart("up{}", &points, 0.0, 72.0);
        let rows: Vec<&str> = chart.lines().collect();
        assert_eq!(rows[0], "up{}");
        assert!(rows[1].trim_start().starts_with("71.000 ┤") && rows[1].ends_with('█'), "{chart}");
        assert!(rows[8].contains("0.000 ┤▁"), "{chart}");
        assert!(rows[10].contains("00:00:00") && rows[10].ends_with("00:01:12"), "{chart}");
    }

    #[test]
    fn no_values_no_panic() {
        assert!(chart("x", &[(1.0, f64::NAN)], 0.0, 0.0).contains("no finite values"));
    }
}
