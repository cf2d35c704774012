//! Warnings and infos that go with an answer.
//!
//! The same text is told once, whatever its position; of positions the last stays. Positions are byte offsets
//! into the query and are written out last.

use std::collections::BTreeMap;

use dolmen_model::{Timestamp, format_float_general};

/// Where in the query's text something stands: its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pos(pub u32);

/// How much an annotation matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The answer may not be what was meant.
    Warning,
    /// Worth knowing.
    Info,
}

#[derive(Clone, Debug)]
struct Annotation {
    level: Level,
    pos: Pos,
    repair: Option<Repair>,
}

/// What was repaired in classic histograms whose buckets were not cumulative.
#[derive(Clone, Copy, Debug)]
pub struct Repair {
    /// First and last time.
    pub times: (Timestamp, Timestamp),
    /// Lowest and highest upper bound.
    pub bounds: (f64, f64),
    /// Largest difference.
    pub diff: f64,
    /// How many samples.
    pub samples: usize,
}

/// Annotations by text.
#[derive(Clone, Debug, Default)]
pub struct Annotations(BTreeMap<String, Annotation>);

impl Annotations {
    /// Adds a warning; the text comes without `PromQL warning: `.
    pub fn warn(&mut self, text: impl AsRef<str>, pos: Pos) {
        self.add(Level::Warning, text.as_ref(), pos, None);
    }

    /// Adds an info; the text comes without `PromQL info: `.
    pub fn info(&mut self, text: impl AsRef<str>, pos: Pos) {
        self.add(Level::Info, text.as_ref(), pos, None);
    }

    /// Adds an info about classic histograms that had to be repaired.
    pub fn repaired(&mut self, text: impl AsRef<str>, pos: Pos, repair: Repair) {
        self.add(Level::Info, text.as_ref(), pos, Some(repair));
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: Annotations) {
        for (text, annotation) in other.0 {
            self.put(text, annotation);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Warnings and infos as the API writes them; at most `limit` of each where it is not 0.
    pub fn render(&self, query: &str, limit: usize) -> (Vec<String>, Vec<String>) {
        let (mut warnings, mut infos) = (Vec::new(), Vec::new());
        for (text, annotation) in &self.0 {
            let out = if annotation.level == Level::Warning { &mut warnings } else { &mut infos };
            out.push(annotation.render(text, query));
        }
        for (list, name) in [(&mut warnings, "warning"), (&mut infos, "info")] {
            if limit > 0 && list.len() > limit {
                let more = list.len() - limit;
                list.truncate(limit);
                list.push(format!("{more} more {name} annotations omitted"));
            }
        }
        (warnings, infos)
    }

    fn add(&mut self, level: Level, text: &str, pos: Pos, repair: Option<Repair>) {
        let prefix = if level == Level::Warning { "PromQL warning: " } else { "PromQL info: " };
        self.put(format!("{prefix}{text}"), Annotation { level, pos, repair });
    }

    fn put(&mut self, text: String, mut annotation: Annotation) {
        if let (Some(new), Some(Annotation { repair: Some(old), .. })) =
            (&mut annotation.repair, self.0.get(&text))
        {
            new.times = (new.times.0.min(old.times.0), new.times.1.max(old.times.1));
            new.bounds = (new.bounds.0.min(old.bounds.0), new.bounds.1.max(old.bounds.1));
            new.diff = new.diff.max(old.diff);
            new.samples += old.samples;
        }
        self.0.insert(text, annotation);
    }
}

impl Annotation {
    fn render(&self, text: &str, query: &str) -> String {
        let position = position(query, self.pos);
        let Some(r) = &self.repair else { return format!("{text} ({position})") };
        format!(
            "{text}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {} ({position})",
            format_float_general(r.bounds.0),
            format_float_general(r.bounds.1),
            two_digits(r.diff),
            r.samples,
            rfc3339(r.times.0),
            rfc3339(r.times.1),
        )
    }
}

/// `line:column`, both from 1, columns in bytes.
pub fn position(query: &str, pos: Pos) -> String {
    let before = &query.as_bytes()[..(pos.0 as usize).min(query.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    format!("{line}:{column}")
}

/// At most two significant digits.
fn two_digits(v: f64) -> String {
    let rounded: f64 = format!("{v:.1e}").parse().unwrap_or(v);
    let exponent =
        if rounded == 0.0 || !rounded.is_finite() { 0 } else { rounded.abs().log10().floor() as i32 };
    if (-4..2).contains(&exponent) {
        return dolmen_model::format_float(rounded);
    }
    let text = format!("{rounded:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

fn rfc3339(t: Timestamp) -> String {
    match chrono::DateTime::from_timestamp(t.div_euclid(1000), 0) {
        Some(t) => t.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        None => t.to_string(),
    }
}
