//! Classic histograms: cumulative buckets that are series of their own, told apart by the label `le`.

/// A cumulative bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Upper bound, as `le` says.
    pub upper: f64,
    /// Observations up to it.
    pub count: f64,
}

/// Counts that had to be raised because they were lower than those of a lower bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forced {
    /// Lowest bound of a raised count.
    pub min_bound: f64,
    /// Highest bound of a raised count.
    pub max_bound: f64,
    /// By how much one was raised at most.
    pub max_diff: f64,
}

/// Two counts whose relative difference is less are taken for equal: rounding, not a decrease.
const TOLERANCE: f64 = 1e-12;

/// The value of `le`, as a float.
pub fn parse_bound(le: &str) -> Option<f64> {
    // Go reads hexadecimal floats and underscores as well; nobody writes bounds so.
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if plain(le) {
        return le.parse().ok();
    }
    let (sign, rest) = match le.as_bytes().first() {
        Some(b'-') => (-1.0, &le[1..]),
        Some(b'+') => (1.0, &le[1..]),
        _ => (1.0, le),
    };
    if rest.eq_ignore_ascii_case("inf") || rest.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    le.eq_ignore_ascii_case("nan").then_some(f64::NAN)
}

/// Brings buckets into order and joins equal bounds. `None` where the highest bound is not +Inf.
fn in_order(buckets: &mut Vec<Bucket>) -> Option<()> {
    buckets.sort_by(|a, b| a.upper.partial_cmp(&b.upper).unwrap_or(std::cmp::Ordering::Equal));
    if buckets.last()?.upper != f64::INFINITY {
        return None;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    Some(())
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < TOLERANCE * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < TOLERANCE
}

/// Raises counts that are lower than the one before.
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut previous = buckets.first()?.count;
    for b in &mut buckets[1..] {
        if b.count == previous {
            continue;
        }
        if almost_equal(previous, b.count) {
            b.count = previous;
        } else if b.count < previous {
            let f = forced.get_or_insert(Forced {
                min_bound: f64::INFINITY,
                max_bound: f64::NEG_INFINITY,
                max_diff: 0.0,
            });
            f.min_bound = f.min_bound.min(b.upper);
            f.max_bound = f.max_bound.max(b.upper);
            f.max_diff = f.max_diff.max(previous - b.count);
            b.count = previous;
        } else {
            previous = b.count;
        }
    }
    forced
}

/// The `q`-quantile. Observations lie evenly within a bucket; the lowest begins at 0 where its bound is
/// positive. The buckets come in any order and are changed.
pub fn quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if in_order(buckets).is_none() {
        return (f64::NAN, None);
    }
    let forced = make_monotonic(buckets);
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    if last == 0 || total == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * total;
    // The first that reaches the rank, found as a binary search finds it: counts may be NaN.
    let at = lower_bound(last, |i| buckets[i].count >= rank);
    let v = if at == last {
        buckets[last - 1].upper
    } else if at == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let (mut start, mut count) = (0.0, buckets[at].count);
        if at > 0 {
            start = buckets[at - 1].upper;
            count -= buckets[at - 1].count;
            rank -= buckets[at - 1].count;
        }
        start + (buckets[at].upper - start) * (rank / count)
    };
    (v, forced)
}

/// The lowest of `0..n` that passes, `n` where none does.
fn lower_bound(n: usize, passes: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = (low + high) / 2;
        if passes(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The fraction of observations between two values.
pub fn fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if in_order(buckets).is_none() {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut start = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    let (mut lower_rank, mut upper_rank, mut rank) = (None, None, 0.0);
    for b in buckets.iter() {
        for (found, v) in [(&mut lower_rank, lower), (&mut upper_rank, upper)] {
            if found.is_some() {
                continue;
            }
            if start >= v {
                *found = Some(rank);
            } else if b.upper > v {
                // A bucket without lower end cannot be split.
                let split = rank + (b.count - rank) * (v - start) / (b.upper - start);
                *found = Some(if start == f64::NEG_INFINITY { b.count } else { split });
            }
        }
        (rank, start) = (b.count, b.upper);
    }
    let bounded = |rank: Option<f64>| match rank {
        Some(rank) if rank > total => total,
        Some(rank) => rank,
        None => total,
    };
    (bounded(upper_rank) - bounded(lower_rank)) / total
}
