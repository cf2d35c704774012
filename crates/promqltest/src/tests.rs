//! Scripts: what is read, and what counts as equal.

use crate::series::{Written, line};
use crate::{ExpectFail, Outcome, run};

/// The values of a line of series as text; `_` where there is none.
fn values(text: &str) -> String {
    let show = |v: &Option<Written>| match v {
        None => "_".to_owned(),
        Some(Written::Float(v)) => v.to_string(),
        Some(Written::Histogram(h, _)) => format!("h{}", h.count),
    };
    match line(&format!("m{{a=\"b\"}} {text}")) {
        Ok(line) => line.values.iter().map(show).collect::<Vec<_>>().join(" "),
        Err(e) => format!("error: {e}"),
    }
}

#[test]
fn values_are_written_out() {
    let cases = [
        ("1 -2.5 +Inf NaN", "1 -2.5 inf NaN"),
        ("1+2x3", "1 3 5 7"),
        ("10-2x2 _ _x2 5x1", "10 8 6 _ _ _ 5 5"),
        ("1e-3 1e3+1e2x1 1m", "0.001 1000 1100 60"),
        ("-30s-1mx2", "-30 -90 -150"),
        ("{{}} {{count:2}}x1 {{count:1}}+{{count:2}}x2", "h0 h2 h2 h1 h3 h5"),
        ("{{schema:-53 custom_values:[1 2] buckets:[1 2] count:3 sum:4}}", "h3"),
        ("1+", "error: \"\" is no number"),
        ("1+2", "error: expected \"x\" before \"\""),
        ("{{colour:1}}", "error: a histogram has no \"colour\""),
        ("1y2", "error: \"1y2\" is no duration"),
        ("1z", "error: \"z\" is no value"),
    ];
    for (text, want) in cases {
        assert_eq!(values(text), want, "{text}");
    }
}

#[test]
fn metrics_in_any_form() {
    let cases = [
        ("m{} 1", r#"{__name__="m"}"#),
        (r#"{"a.b", c='d'} 1"#, r#"{__name__="a.b", c="d"}"#),
        (r#"{__name__="m", "x.y"="\u00e9\n",} 1"#, "{__name__=\"m\", \"x.y\"=\"é\\n\"}"),
        ("a:b 1", r#"{__name__="a:b"}"#),
    ];
    for (text, want) in cases {
        assert_eq!(line(text).map(|l| l.labels.to_string()), Ok(want.to_owned()), "{text}");
    }
    assert!(line("m{a=} 1").is_err() && line("m{a=\"b\" 1").is_err() && line("= 1").is_err());
}

/// Outcomes of a script: a line number, and `+` or what fails.
fn outcomes(text: &str) -> Vec<(usize, bool)> {
    run("s", text).cases.iter().map(|c| (c.line, c.outcome == Outcome::Passed)).collect()
}

#[test]
fn scripts_are_judged() {
    let script = "\
load 1m
  m{a=\"1\"} 1 2 3
  m{a=\"2\"} 10x2

eval instant at 2m m
  m{a=\"1\"} 3
  m{a=\"2\"} 10

# The first value is another.
eval instant at 2m m
  m{a=\"1\"} 4
  m{a=\"2\"} 10

eval instant at 2m m
  m{a=\"1\"} 3

eval range from 0 to 2m step 1m sum(m)
  {} 11 12 13

eval range from 0 to 2m step 1m sum(m)
  {} 11 12

eval instant at 2m m + on() m
  expect fail msg: nothing of that kind

eval instant at 2m rate(m[5m])
  expect no_info
  {a=\"1\"} 0.008333333
  {a=\"2\"} 0

eval instant at 1m 1 + 1
  2

clear
eval instant at 2m m

delete all
";
    let want =
        [(5, true), (10, false), (14, false), (17, true), (20, false), (23, false), (26, false), (31, true)];
    let mut want = want.to_vec();
    want.extend([(35, true), (37, false)]);
    assert_eq!(outcomes(script), want);
}

#[test]
fn lists_are_checked_in_both_directions() {
    let report =
        run("s", "eval instant at 1m 1\n  1\n\neval instant at 1m 1\n  2\n\neval instant at 1m 1\n  3\n");
    let verdict = ExpectFail::parse("# why\ns:1 it passes now\ns:4\n").judge(&report);
    assert_eq!((verdict.passed, verdict.known, &verdict.mended[..]), (0, 1, &["s:1".to_owned()][..]));
    assert_eq!(verdict.failed.len(), 1);
    assert!(verdict.failed[0].starts_with("s:7: "), "{:?}", verdict.failed);
}
