//! Two bucket layouts side by side: does the one continue the other, and what layout holds both.

use dolmen_model::Span;

/// What a new histogram's buckets of one sign mean for a chunk that holds others.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fit {
    /// Buckets that the chunk lacks.
    pub chunk_lacks: bool,
    /// Buckets that the new histogram lacks.
    pub new_lacks: bool,
    /// A count fell, or a bucket in use is gone.
    pub reset: bool,
}

/// Compares absolute counts of the chunk's newest sample with those of a new one.
pub(super) fn fit<N: Copy + PartialOrd + Default>(
    chunk: &[Span],
    old: impl Iterator<Item = N>,
    spans: &[Span],
    new: impl Iterator<Item = N>,
) -> Fit {
    let mut a = indices(chunk).zip(old).peekable();
    let mut b = indices(spans).zip(new).peekable();
    let mut fit = Fit::default();
    loop {
        match (a.peek().copied(), b.peek().copied()) {
            (Some((i, old)), Some((k, new))) if i == k => {
                fit.reset |= old > new;
                a.next();
                b.next();
            }
            (Some((i, old)), other) if other.is_none_or(|(k, _)| i < k) => {
                fit.new_lacks = true;
                fit.reset |= old != N::default();
                a.next();
            }
            (_, Some(_)) => {
                fit.chunk_lacks = true;
                b.next();
            }
            // The second arm takes every old bucket that has no new one beside it.
            (_, None) => return fit,
        }
    }
}

/// Spans that hold the buckets of both.
pub(super) fn union(a: &[Span], b: &[Span]) -> Vec<Span> {
    let (mut a, mut b) = (indices(a).peekable(), indices(b).peekable());
    let merged = std::iter::from_fn(|| {
        let next = match (a.peek(), b.peek()) {
            (Some(i), Some(k)) => *i.min(k),
            (Some(i), None) | (None, Some(i)) => *i,
            (None, None) => return None,
        };
        a.next_if_eq(&next);
        b.next_if_eq(&next);
        Some(next)
    });
    spans(merged)
}

/// Absolute counts, laid out anew: what was not there is zero.
pub(super) fn place<N: Copy + Default>(from: &[Span], counts: &[N], to: &[Span]) -> Vec<N> {
    let mut have = indices(from).zip(counts).peekable();
    indices(to).map(|i| have.next_if(|(k, _)| *k == i).map_or(N::default(), |(_, n)| *n)).collect()
}

/// The index of each bucket.
pub(super) fn indices(spans: &[Span]) -> impl Iterator<Item = i32> {
    let mut next = 0i32;
    spans.iter().flat_map(move |span| {
        let start = next.wrapping_add(span.offset);
        next = start.wrapping_add(span.length as i32);
        (0..span.length).map(move |k| start.wrapping_add(k as i32))
    })
}

/// Spans of rising indices.
pub(super) fn spans(indices: impl Iterator<Item = i32>) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    let mut next = 0i32;
    for i in indices {
        match out.last_mut() {
            Some(last) if i == next => last.length += 1,
            _ => out.push(Span { offset: i.wrapping_sub(next), length: 1 }),
        }
        next = i.wrapping_add(1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(text: &str) -> Vec<Span> {
        spans(text.split_whitespace().map(|i| i.parse().unwrap()))
    }

    fn check(old: &str, old_counts: &[i64], new: &str, new_counts: &[i64], expected: &str) {
        let fit = fit(&s(old), old_counts.iter().copied(), &s(new), new_counts.iter().copied());
        let mut text = Vec::new();
        for (set, name) in
            [(fit.chunk_lacks, "chunk lacks"), (fit.new_lacks, "new lacks"), (fit.reset, "reset")]
        {
            if set {
                text.push(name);
            }
        }
        assert_eq!(text.join(", "), expected, "{old} -> {new}");
    }

    #[test]
    fn fits() {
        check("", &[], "", &[], "");
        check("1 2", &[1, 1], "1 2", &[1, 2], "");
        check("1 2", &[1, 2], "1 2", &[1, 1], "reset");
        check("1 2", &[1, 1], "1 2 5", &[1, 1, 1], "chunk lacks");
        check("1 2", &[1, 1], "-3 1 2", &[1, 1, 1], "chunk lacks");
        check("1 2", &[1, 0], "1", &[1], "new lacks");
        check("1 2", &[1, 1], "1", &[1], "new lacks, reset");
        check("1 3", &[0, 1], "3 4", &[1, 1], "chunk lacks, new lacks");
        check("", &[], "7", &[1], "chunk lacks");
        check("7", &[0], "", &[], "new lacks");
    }

    #[test]
    fn unions_and_places() {
        assert_eq!(union(&s("-2 1 3"), &s("2 3 9")), s("-2 1 2 3 9"));
        assert_eq!(place(&s("1 3"), &[5, 6], &s("0 1 2 3")), [0, 5, 0, 6]);
        assert_eq!(s("-2 -1 4"), [Span { offset: -2, length: 2 }, Span { offset: 4, length: 1 }]);
    }
}
