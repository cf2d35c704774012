//! What a query gave against what the script says.

use std::collections::BTreeMap;

use dolmen_model::{FloatHistogram, Labels, MatchOp, Matcher, Timestamp, is_stale};
use dolmen_promql::{Sample, Series, Value};
use dolmen_promql_exec::histogram::compact;

use crate::script::{Expect, Text, When};
use crate::series::{SeriesLine, Written};

type Check = Result<(), String>;

/// Floats differ by no more than this, relative to their size.
const EPSILON: f64 = 1e-6;
/// Smallest normal float.
const MIN_NORMAL: f64 = f64::MIN_POSITIVE;

/// Whether two floats are as good as equal.
pub fn almost_equal(a: f64, b: f64) -> bool {
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a == b || (a.is_nan() && b.is_nan()) {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < MIN_NORMAL {
        return diff < EPSILON * MIN_NORMAL;
    }
    diff / sum.min(f64::MAX) < EPSILON
}

/// Whether a text is as expected.
pub fn text_is(text: &str, want: &Text) -> Result<bool, String> {
    Ok(match want {
        Text::Any => true,
        Text::Is(want) => text == want,
        Text::Matches(regex) => {
            let anywhere = format!(".*(?:{regex}).*");
            Matcher::new(MatchOp::Re, "text", anywhere).map_err(|e| e.to_string())?.matches(text)
        }
    })
}

/// Checks warnings and infos.
pub fn annotations(warnings: &[String], infos: &[String], expect: &Expect) -> Check {
    kind("warning", warnings, &expect.warn, expect.no_warn)?;
    kind("info", infos, &expect.info, expect.no_info)
}

fn kind(what: &str, got: &[String], want: &[Text], none: bool) -> Check {
    if none && !got.is_empty() {
        return Err(format!("expected no {what}, got {got:?}"));
    }
    if want.is_empty() {
        return Ok(());
    }
    for w in want {
        let mut found = false;
        for g in got {
            found |= text_is(g, w)?;
        }
        if !found {
            return Err(format!("expected {what} {w:?}, got {got:?}"));
        }
    }
    for g in got {
        let mut found = false;
        for w in want {
            found |= text_is(g, w)?;
        }
        if !found {
            return Err(format!("unexpected {what} {g:?}"));
        }
    }
    Ok(())
}

/// Checks a value. `when` tells the times that the values of a series stand for.
pub fn value(got: &Value, expect: &Expect, when: When) -> Check {
    if let Some(want) = &expect.string {
        return match got {
            Value::String(_, s) if s == want => Ok(()),
            other => Err(format!("expected string {want:?}, got {other:?}")),
        };
    }
    if let Some(want) = expect.scalar {
        return match got {
            Value::Scalar(_, v) if almost_equal(*v, want) => Ok(()),
            other => Err(format!("expected scalar {want}, got {other:?}")),
        };
    }
    let wanted = wanted(&expect.series)?;
    match got {
        Value::Vector(all) => {
            let got = all.iter().map(|s| (&s.labels, &s.value));
            vector(&got.collect::<Vec<_>>(), &wanted, expect.ordered)
        }
        Value::Matrix(all) => matrix(all, &wanted, expect.range_vector.unwrap_or(when)),
        Value::Scalar(_, v) => Err(format!("got the scalar {v}")),
        Value::String(_, s) => Err(format!("got the string {s:?}")),
    }
}

/// A series line and its place.
type Wanted<'a> = BTreeMap<&'a Labels, (usize, &'a SeriesLine)>;

fn wanted(lines: &[SeriesLine]) -> Result<Wanted<'_>, String> {
    let mut out = Wanted::new();
    for (place, line) in lines.iter().enumerate() {
        if out.insert(&line.labels, (place, line)).is_some() {
            return Err(format!("the script expects {} twice", line.labels));
        }
    }
    Ok(out)
}

fn all_found(n: usize, got: &[&Labels], wanted: &Wanted<'_>) -> Check {
    match wanted.keys().find(|l| !got.contains(l)) {
        Some(lacking) => Err(format!("expected {lacking}, which is not there")),
        None if n > wanted.len() => Err("a series comes twice".to_owned()),
        None => Ok(()),
    }
}

/// Checks the elements of one time.
pub fn vector(got: &[(&Labels, &Sample)], wanted: &Wanted<'_>, ordered: bool) -> Check {
    for (place, (labels, sample)) in got.iter().enumerate() {
        let Some((want_place, line)) = wanted.get(labels) else {
            return Err(format!("unexpected {labels}"));
        };
        if ordered && place != *want_place {
            return Err(format!("{labels} is at place {place}, expected {want_place}"));
        }
        let Some(Some(want)) = line.values.first() else {
            return Err(format!("unexpected {labels}"));
        };
        let done = match (sample, want) {
            (Sample::Float(v), Written::Float(want)) => float(*v, *want),
            (Sample::Histogram(h), Written::Histogram(want, hint)) => histogram(h, want, *hint),
            (got, want) => Err(format!("got {got:?}, expected {want:?}")),
        };
        done.map_err(|e| format!("{labels}: {e}"))?;
    }
    all_found(got.len(), &got.iter().map(|(l, _)| *l).collect::<Vec<_>>(), wanted)
}

/// Checks an instant's elements against the step of a range query.
pub fn step(all: &[Series], t: Timestamp, expect: &Expect, is_scalar: bool) -> Check {
    let mut samples = Vec::new();
    for s in all {
        let v = s.floats.iter().find(|(at, _)| *at == t).map(|(_, v)| Sample::Float(*v));
        let h = || s.histograms.iter().find(|(at, _)| *at == t);
        let sample = v.or_else(|| h().map(|(_, h)| Sample::Histogram(Box::new(h.clone()))));
        samples.extend(sample.map(|sample| (&s.labels, sample)));
    }
    if is_scalar {
        return match samples.first() {
            Some((_, Sample::Float(v))) => value(&Value::Scalar(t, *v), expect, When::Instant(t)),
            other => Err(format!("expected a scalar, got {other:?}")),
        };
    }
    let samples: Vec<_> = samples.iter().map(|(labels, sample)| (*labels, sample)).collect();
    vector(&samples, &wanted(&expect.series)?, false)
}

fn matrix(all: &[Series], wanted: &Wanted<'_>, when: When) -> Check {
    let When::Range { start, step, .. } = when else {
        return Err("got a range vector".to_owned());
    };
    if !all.windows(2).all(|w| w[0].labels < w[1].labels) {
        return Err("the series are not sorted".to_owned());
    }
    for s in all {
        let Some((_, line)) = wanted.get(&s.labels) else {
            return Err(format!("unexpected {}", s.labels));
        };
        series(s, line, start, step).map_err(|e| format!("{}: {e}", s.labels))?;
    }
    all_found(all.len(), &all.iter().map(|s| &s.labels).collect::<Vec<_>>(), wanted)
}

fn series(s: &Series, line: &SeriesLine, start: Timestamp, step: i64) -> Check {
    let (mut floats, mut histograms) = (s.floats.iter(), s.histograms.iter());
    for (i, want) in line.values.iter().enumerate() {
        let t = start + i as i64 * step;
        let at = |e: String| format!("at {t}: {e}");
        match want {
            None => {}
            Some(Written::Float(want)) => match floats.next() {
                Some((got_t, v)) if *got_t == t => float(*v, *want).map_err(at)?,
                other => return Err(at(format!("expected {want}, next is {other:?}"))),
            },
            Some(Written::Histogram(want, hint)) => match histograms.next() {
                Some((got_t, h)) if *got_t == t => histogram(h, want, *hint).map_err(at)?,
                other => return Err(at(format!("expected {want:?}, next is {other:?}"))),
            },
        }
    }
    match (floats.next(), histograms.next()) {
        (None, None) => Ok(()),
        (f, h) => Err(format!("more samples than expected: {f:?} {h:?}")),
    }
}

fn float(got: f64, want: f64) -> Check {
    if almost_equal(got, want) { Ok(()) } else { Err(format!("got {got}, expected {want}")) }
}

fn histogram(got: &FloatHistogram, want: &FloatHistogram, hint: bool) -> Check {
    let (mut a, mut b) = (got.clone(), want.clone());
    compact(&mut a);
    compact(&mut b);
    let near =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| almost_equal(*a, *b));
    let (la, lb) = (&a.layout, &b.layout);
    let same = la.schema == lb.schema
        && la.zero_threshold == lb.zero_threshold
        && la.positive_spans == lb.positive_spans
        && la.negative_spans == lb.negative_spans
        && la.custom_values == lb.custom_values
        && almost_equal(a.count, b.count)
        && almost_equal(a.sum, b.sum)
        && almost_equal(a.zero_count, b.zero_count)
        && near(&a.positive, &b.positive)
        && near(&a.negative, &b.negative)
        && (!hint || a.hint == b.hint);
    if same { Ok(()) } else { Err(format!("got {a:?}, expected {b:?}")) }
}
