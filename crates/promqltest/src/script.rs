//! Script text -> commands.
//!
//! ```text
//! load 5m                         a command and its lines end at an empty line;
//!   metric{label="a"} 1 2 3       a comment counts as one
//!
//! eval instant at 10m metric
//!   expect info msg: text
//!   metric{label="a"} 3
//! ```

use dolmen_model::Timestamp;

use crate::series::{self, SeriesLine};

/// A command and the line it stands on, from 1.
pub struct Command {
    pub line: usize,
    pub text: String,
    pub what: Result<What, String>,
}

pub enum What {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

/// Series to add.
pub struct Load {
    pub step: i64,
    /// Whether classic histograms are added as native ones too.
    pub nhcb: bool,
    pub series: Vec<SeriesLine>,
}

/// When an expression is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Instant(Timestamp),
    Range { start: Timestamp, end: Timestamp, step: i64 },
}

/// An expression and what it should give.
pub struct Eval {
    pub when: When,
    pub expr: String,
    pub expect: Expect,
}

/// What an expression should give.
#[derive(Default)]
pub struct Expect {
    /// An error.
    pub fail: Option<Text>,
    pub warn: Vec<Text>,
    pub info: Vec<Text>,
    pub no_warn: bool,
    pub no_info: bool,
    /// The order of the series matters.
    pub ordered: bool,
    /// The times of an instant query's range vector.
    pub range_vector: Option<When>,
    pub string: Option<String>,
    pub scalar: Option<f64>,
    pub series: Vec<SeriesLine>,
}

/// How an error or annotation should read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    Any,
    Is(String),
    Matches(String),
}

/// The commands of a script.
pub fn parse(text: &str) -> Vec<Command> {
    let line = |l: &str| {
        let l = l.trim();
        if l.starts_with('#') { String::new() } else { l.to_owned() }
    };
    let lines: Vec<String> = text.lines().map(line).collect();
    let mut out = Vec::new();
    let mut i = 0;
    while i < lines.len() {
        if lines[i].is_empty() {
            i += 1;
            continue;
        }
        let body: Vec<&str> =
            lines[i + 1..].iter().map(String::as_str).take_while(|l| !l.is_empty()).collect();
        let word = lines[i].split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        let mut used = body.len();
        let what = if word == "clear" {
            used = 0;
            Ok(What::Clear)
        } else if word.starts_with("load") {
            load(&lines[i], &body).map(What::Load)
        } else if word.starts_with("eval") {
            eval(&lines[i], &body).map(|e| What::Eval(Box::new(e)))
        } else {
            Err(format!("{word:?} is no command"))
        };
        out.push(Command { line: i + 1, text: lines[i].clone(), what });
        i += 1 + used;
    }
    out
}

fn duration(text: &str) -> Result<i64, String> {
    dolmen_model::parse_duration(text)
        .or_else(|| text.parse::<f64>().ok().map(|s| (s * 1000.0) as i64))
        .ok_or_else(|| format!("{text:?} is no duration"))
}

fn load(head: &str, body: &[&str]) -> Result<Load, String> {
    let mut words = head.split_whitespace();
    let nhcb = words.next() == Some("load_with_nhcb");
    let step = duration(words.next().ok_or("a step is missing")?)?;
    let mut series = Vec::new();
    for line in body {
        let line = series::line(line)?;
        // Start times stand before the series they belong to; samples have none here.
        if !line.start_times {
            series.push(line);
        }
    }
    Ok(Load { step, nhcb, series })
}

/// Splits a word off.
fn word<'a>(rest: &mut &'a str) -> &'a str {
    *rest = rest.trim_start();
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after.trim_start();
    word
}

fn expected_word(rest: &mut &str, want: &str) -> Result<(), String> {
    match word(rest) {
        got if got == want => Ok(()),
        got => Err(format!("found {got:?}, expected {want:?}")),
    }
}

/// `from T to T step D`
fn range(rest: &mut &str) -> Result<When, String> {
    expected_word(rest, "from")?;
    let start = duration(word(rest))?;
    expected_word(rest, "to")?;
    let end = duration(word(rest))?;
    expected_word(rest, "step")?;
    Ok(When::Range { start, end, step: duration(word(rest))? })
}

fn eval(head: &str, body: &[&str]) -> Result<Eval, String> {
    let mut rest = head;
    let mut expect = Expect::default();
    match word(&mut rest) {
        "eval" => {}
        "eval_fail" => expect.fail = Some(Text::Any),
        "eval_warn" => expect.warn.push(Text::Any),
        "eval_info" => expect.info.push(Text::Any),
        "eval_ordered" => expect.ordered = true,
        other => return Err(format!("{other:?} is no command")),
    }
    let when = match word(&mut rest) {
        "instant" if rest.starts_with("at ") => {
            word(&mut rest);
            When::Instant(duration(word(&mut rest))?)
        }
        "instant" => When::Instant(0),
        "range" => range(&mut rest)?,
        other => return Err(format!("found {other:?}, expected \"instant\" or \"range\"")),
    };
    for line in body {
        expectation(line, &mut expect).map_err(|e| format!("{line}: {e}"))?;
    }
    Ok(Eval { when, expr: rest.to_owned(), expect })
}

fn expectation(line: &str, expect: &mut Expect) -> Result<(), String> {
    let mut rest = line;
    match word(&mut rest) {
        "expect" => return expect_line(rest, expect),
        "expected_fail_message" => expect.fail = Some(Text::Is(rest.to_owned())),
        "expected_fail_regexp" => expect.fail = Some(Text::Matches(rest.to_owned())),
        number if rest.is_empty() && series::number(number).is_some() => {
            expect.scalar = series::number(number);
        }
        _ => expect.series.push(series::line(line)?),
    }
    Ok(())
}

fn expect_line(rest: &str, expect: &mut Expect) -> Result<(), String> {
    let mut rest = rest;
    let what = word(&mut rest);
    let text = match rest {
        "" => Text::Any,
        _ => match rest.split_once(':') {
            Some(("msg", text)) => Text::Is(text.trim().to_owned()),
            Some(("regex", text)) => Text::Matches(text.trim().to_owned()),
            _ if matches!(what, "range" | "string") => Text::Any,
            _ => return Err(format!("found {rest:?}, expected msg: or regex:")),
        },
    };
    match what {
        "fail" => expect.fail = Some(text),
        "warn" => expect.warn.push(text),
        "info" => expect.info.push(text),
        "no_warn" => expect.no_warn = true,
        "no_info" => expect.no_info = true,
        "ordered" => expect.ordered = true,
        "range" => {
            expected_word(&mut rest, "vector")?;
            expect.range_vector = Some(range(&mut rest)?);
        }
        "string" => expect.string = Some(series::quoted(&mut series::Cursor::new(rest))?),
        other => return Err(format!("nothing can be expected of {other:?}")),
    }
    Ok(())
}
