//! Lines of series: `metric{label="value"} 1 2+3x4 _ stale {{schema:1 …}}`.

use dolmen_model::{FloatHistogram, Labels, LabelsBuilder, METRIC_NAME, stale_nan};

use crate::histogram;

/// A series as a script writes it.
#[derive(Debug)]
pub struct SeriesLine {
    pub labels: Labels,
    /// One a step; `None` where there is no sample.
    pub values: Vec<Option<Written>>,
    /// Whether the values are start times of the samples of the next line.
    pub start_times: bool,
}

/// A value as a script writes it.
#[derive(Clone, Debug)]
pub enum Written {
    Float(f64),
    /// A histogram, and whether its reset hint was written.
    Histogram(Box<FloatHistogram>, bool),
}

/// Most values of a series: scripts are small.
const VALUES_MAX: usize = 1_000_000;

/// Text being read.
pub struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Cursor<'a> {
        Cursor { rest: text }
    }

    pub fn rest(&self) -> &'a str {
        self.rest
    }

    pub fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    pub fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Takes a text if it is next.
    pub fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.take(text) { Ok(()) } else { Err(format!("expected {text:?} before {:?}", self.rest)) }
    }

    /// Takes characters as long as they pass.
    pub fn take_while(&mut self, pass: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !pass(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

/// A line of a series.
pub fn line(text: &str) -> Result<SeriesLine, String> {
    let mut c = Cursor::new(text);
    let labels = metric(&mut c)?;
    let start_times = c.take("@st");
    let mut values = Vec::new();
    loop {
        c.space();
        if c.rest().is_empty() {
            return Ok(SeriesLine { labels, values, start_times });
        }
        item(&mut c, &mut values)?;
        if c.peek().is_some_and(|c| !c.is_whitespace()) {
            return Err(format!("{:?} is no value", c.rest()));
        }
        if values.len() > VALUES_MAX {
            return Err("too many values".to_owned());
        }
    }
}

/// `metric{label="value"}`
fn metric(c: &mut Cursor<'_>) -> Result<Labels, String> {
    let mut labels = LabelsBuilder::default();
    let name = c.take_while(|c| c.is_alphanumeric() || c == '_' || c == ':');
    if !name.is_empty() {
        labels.set(METRIC_NAME, name);
    }
    if c.take("{") {
        loop {
            c.space();
            if c.take("}") {
                break;
            }
            label(c, &mut labels)?;
            c.space();
            if !c.take(",") {
                c.expect("}")?;
                break;
            }
        }
    } else if name.is_empty() {
        return Err("no metric".to_owned());
    }
    Ok(labels.build())
}

fn label(c: &mut Cursor<'_>, labels: &mut LabelsBuilder) -> Result<(), String> {
    let is_quoted = matches!(c.peek(), Some('"' | '\''));
    let name = if is_quoted {
        quoted(c)?
    } else {
        c.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ':')).to_owned()
    };
    c.space();
    if !c.take("=") {
        if is_quoted {
            labels.set(METRIC_NAME, &name);
            return Ok(());
        }
        return Err(format!("expected \"=\" before {:?}", c.rest()));
    }
    c.space();
    labels.set(&name, &quoted(c)?);
    Ok(())
}

/// A string in any of the three quotes.
pub fn quoted(c: &mut Cursor<'_>) -> Result<String, String> {
    let quote = c.peek().filter(|q| matches!(q, '"' | '\'' | '`')).ok_or("a string is missing")?;
    let mut out = Vec::new();
    let mut chars = c.rest().char_indices().skip(1);
    while let Some((i, ch)) = chars.next() {
        if ch == quote {
            c.rest = &c.rest()[i + 1..];
            return String::from_utf8(out).map_err(|_| "the string is no UTF-8".to_owned());
        }
        if ch != '\\' || quote == '`' {
            out.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let (_, escaped) = chars.next().ok_or("the string has no end")?;
        let mut code = |n: usize| -> Result<u32, String> {
            let digits: String = chars.by_ref().take(n).map(|(_, c)| c).collect();
            u32::from_str_radix(&digits, 16).map_err(|_| format!("{digits:?} is no number"))
        };
        match escaped {
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            'r' => out.push(b'\r'),
            'x' => out.push(code(2)? as u8),
            'u' | 'U' => {
                let n = code(if escaped == 'u' { 4 } else { 8 })?;
                let ch = char::from_u32(n).ok_or("no such character")?;
                out.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
            }
            '\\' | '"' | '\'' => out.push(escaped as u8),
            other => return Err(format!("\\{other} is no escape")),
        }
    }
    Err("the string has no end".to_owned())
}

/// Values: one, or several by `x`.
fn item(c: &mut Cursor<'_>, out: &mut Vec<Option<Written>>) -> Result<(), String> {
    if c.take("_") {
        let n = times(c)?.unwrap_or(1);
        out.extend((0..n).map(|_| None));
        return Ok(());
    }
    if c.take("stale") {
        out.push(Some(Written::Float(stale_nan())));
        return Ok(());
    }
    if c.rest().starts_with("{{") {
        return histogram::item(c, out);
    }
    let first = signed(c)?;
    let grows = matches!(c.peek(), Some('+' | '-'));
    let by = if grows { signed(c)? } else { 0.0 };
    match times(c)? {
        None if grows => Err(format!("expected \"x\" before {:?}", c.rest())),
        None => {
            out.push(Some(Written::Float(first)));
            Ok(())
        }
        Some(n) => {
            let mut v = first;
            for _ in 0..=n {
                out.push(Some(Written::Float(v)));
                v += by;
            }
            Ok(())
        }
    }
}

/// `x5`
pub fn times(c: &mut Cursor<'_>) -> Result<Option<usize>, String> {
    if !c.take("x") {
        return Ok(None);
    }
    let digits = c.take_while(|c| c.is_ascii_digit());
    match digits.parse() {
        Ok(n) if n <= VALUES_MAX => Ok(Some(n)),
        _ => Err(format!("{digits:?} is no number of times")),
    }
}

/// A whole text as a number.
pub fn number(text: &str) -> Option<f64> {
    let mut c = Cursor::new(text);
    signed(&mut c).ok().filter(|_| c.rest().is_empty())
}

/// A number or duration with a sign.
pub fn signed(c: &mut Cursor<'_>) -> Result<f64, String> {
    let minus = c.take("-");
    if !minus {
        c.take("+");
    }
    let v = unsigned(c)?;
    Ok(if minus { -v } else { v })
}

fn unsigned(c: &mut Cursor<'_>) -> Result<f64, String> {
    let text = c.rest();
    let lower = text.get(..3).unwrap_or_default().to_ascii_lowercase();
    if lower == "inf" || lower == "nan" {
        c.take(&text[..3]);
        return Ok(if lower == "inf" { f64::INFINITY } else { f64::NAN });
    }
    let bytes = text.as_bytes();
    let mut n = bytes.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let is_unit = |b: &u8| matches!(b, b'y' | b'w' | b'd' | b'h' | b'm' | b's');
    if bytes.get(n).is_some_and(is_unit) {
        n += bytes[n..].iter().take_while(|b| is_unit(b) || b.is_ascii_digit()).count();
        let ms = dolmen_model::parse_duration(&text[..n]);
        c.take(&text[..n]);
        return ms.map(|ms| ms as f64 / 1000.0).ok_or_else(|| format!("{text:?} is no duration"));
    }
    if matches!(bytes.get(n), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(n + 1), Some(b'+' | b'-')));
        let digits = bytes[n + 1 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 {
            n += 1 + sign + digits;
        }
    }
    let v = text[..n].parse().map_err(|_| format!("{text:?} is no number"))?;
    c.take(&text[..n]);
    Ok(v)
}
