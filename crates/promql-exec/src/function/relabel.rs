//! `label_replace` and `label_join`: new label sets from old ones, sample values untouched.

use dolmen_model::{Error, Labels, LabelsRef, METRIC_NAME, Result};
use dolmen_promql_parser::{check_regex, has_stray_bytes};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

/// How a function makes a new label set.
#[derive(Clone, Debug)]
pub struct Relabel {
    to: String,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Replace { from: String, pattern: Regex, template: Vec<Piece> },
    Join { from: Vec<String>, separator: String },
}

/// A part of a replacement: text as it stands, or what a group has matched.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Group(usize),
}

impl Relabel {
    /// `label_replace(v, to, template, from, pattern)`.
    pub fn replace(to: &str, template: &str, from: &str, pattern: &str) -> Result<Relabel> {
        let invalid = || Error::invalid(format!("invalid regular expression in label_replace(): {pattern}"));
        check_regex(pattern).map_err(|_| invalid())?;
        let compiled = dolmen_model::whole_regex(pattern).map_err(|_| invalid())?;
        check_name("destination", to, "label_replace")?;
        let template = parse_template(template, &compiled);
        let rule = Rule::Replace { from: from.to_owned(), pattern: compiled, template };
        Ok(Relabel { to: to.to_owned(), rule })
    }

    /// `label_join(v, to, separator, from…)`.
    pub fn join(to: &str, separator: &str, from: &[&str]) -> Result<Relabel> {
        from.iter().try_for_each(|name| check_name("source", name, "label_join"))?;
        check_name("destination", to, "label_join")?;
        let from = from.iter().map(|name| (*name).to_owned()).collect();
        Ok(Relabel { to: to.to_owned(), rule: Rule::Join { from, separator: separator.to_owned() } })
    }

    /// The new label set; `None` where the old one stays.
    pub fn apply(&self, labels: LabelsRef<'_>) -> Option<Labels> {
        let value = match &self.rule {
            Rule::Replace { from, pattern, template } => {
                let old = labels.get(from).unwrap_or_default();
                let mut groups = pattern.create_captures();
                pattern.captures(old, &mut groups);
                groups.is_match().then(|| expand(template, old, &groups))?
            }
            Rule::Join { from, separator } => {
                let values: Vec<&str> =
                    from.iter().map(|name| labels.get(name).unwrap_or_default()).collect();
                values.join(separator)
            }
        };
        let mut builder = dolmen_model::LabelsBuilder::from(labels);
        builder.set(&self.to, &value);
        Some(builder.build())
    }

    /// Whether it writes the metric's name: a name that is to be dropped then stays.
    pub fn names_metric(&self) -> bool {
        self.to == METRIC_NAME
    }
}

/// A label name is any text but none, and must be one at all: a query can write bytes that are no text.
fn check_name(which: &str, name: &str, function: &str) -> Result<()> {
    if !name.is_empty() && !has_stray_bytes(name) {
        return Ok(());
    }
    let shown = |c: char| if has_stray_bytes(c.encode_utf8(&mut [0; 4])) { '\u{fffd}' } else { c };
    let name: String = name.chars().map(shown).collect();
    Err(Error::invalid(format!("invalid {which} label name in {function}(): {name}")))
}

fn expand(template: &[Piece], old: &str, groups: &Captures) -> String {
    let pieces = template.iter().map(|piece| match piece {
        Piece::Text(text) => text.as_str(),
        Piece::Group(i) => groups.get_group(*i).map_or("", |span| &old[span.range()]),
    });
    pieces.collect()
}

/// Reads `$name`, `${name}` and `$$`. A name is as long as it can be; a number that no group has, or a name
/// that none has, stands for nothing. A `$` that begins nothing stands for itself.
fn parse_template(template: &str, pattern: &Regex) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = take_name(rest) {
            rest = after;
            if let Some(group) = group_of(name, pattern) {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Group(group));
            }
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    pieces.push(Piece::Text(text));
    pieces
}

/// A name at the start of a text, bare or in braces, and what follows it.
fn take_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let body = braced.unwrap_or(text);
    let end = body.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body.len());
    let (name, rest) = body.split_at(end);
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

fn group_of(name: &str, pattern: &Regex) -> Option<usize> {
    let info = pattern.group_info();
    let pattern_id = regex_automata::PatternID::ZERO;
    if name.bytes().all(|b| b.is_ascii_digit()) {
        let number = (name == "0" || !name.starts_with('0')).then(|| name.parse::<usize>().ok()).flatten();
        return number.filter(|n| *n < info.group_len(pattern_id));
    }
    info.to_index(pattern_id, name)
}
