//! Regular expressions over whole label values, as Prometheus reads them.
//!
//! `\d`, `\s`, `\w` and `\b` know ASCII only, the dot matches line ends too. What can be said without running
//! an expression is taken from it first: the few values that can match, or a prefix that all of them have.

use regex_automata::meta::{self, Regex};
use regex_automata::util::syntax;
use regex_syntax::ast::{self, AssertionKind, Ast, ClassPerl, ClassPerlKind, ClassSetItem, Span, Visitor};
use regex_syntax::hir::{Class, Hir, HirKind};
use smol_str::SmolStr;

use crate::{Error, Result};

/// Most values that a pattern is taken for instead of being run.
const VALUES_MAX: usize = 1024;
/// Most bytes of all of them.
const BYTES_MAX: usize = 64 << 10;

/// An expression that is to match the whole of a text, compiled.
pub fn whole_regex(pattern: &str) -> Result<Regex> {
    let ascii = ascii_classes(pattern)?;
    Regex::builder()
        .configure(meta::Config::new().utf8_empty(false))
        .syntax(syntax::Config::new().utf8(false))
        .build(&format!("^(?s:{ascii})$"))
        .map_err(|e| Error::invalid(e.to_string()))
}

/// What a pattern matches.
pub(crate) enum Pattern {
    /// Any text.
    Any,
    /// Any text but the empty one.
    Some,
    /// These, sorted.
    Values(Vec<SmolStr>),
    /// What the expression says; all of it begins with the prefix.
    Regex { regex: Box<Regex>, prefix: SmolStr },
}

impl Pattern {
    pub fn new(pattern: &str) -> Result<Pattern> {
        match pattern {
            ".*" => return Ok(Pattern::Any),
            ".+" => return Ok(Pattern::Some),
            _ => {}
        }
        let ascii = ascii_classes(pattern)?;
        let mut parser = regex_syntax::ParserBuilder::new().dot_matches_new_line(true).utf8(false).build();
        let hir = parser.parse(&ascii).map_err(|e| Error::invalid(e.to_string()))?;
        if let Some(values) = values(&hir) {
            return Ok(Pattern::Values(values));
        }
        let prefix = String::from_utf8(prefix(&hir)).map(SmolStr::from).unwrap_or_default();
        Ok(Pattern::Regex { regex: Box::new(whole_regex(pattern)?), prefix })
    }

    pub fn matches(&self, value: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Some => !value.is_empty(),
            Pattern::Values(values) => values.binary_search_by(|v| v.as_str().cmp(value)).is_ok(),
            Pattern::Regex { regex, prefix } => value.starts_with(prefix.as_str()) && regex.is_match(value),
        }
    }
}

/// The values that an expression matches, where they are few.
fn values(hir: &Hir) -> Option<Vec<SmolStr>> {
    let all = expand(hir)?;
    let mut out = Vec::with_capacity(all.len());
    for value in all {
        out.push(SmolStr::from(String::from_utf8(value).ok()?));
    }
    out.sort_unstable();
    out.dedup();
    Some(out)
}

fn fits(all: &[Vec<u8>]) -> bool {
    all.len() <= VALUES_MAX && all.iter().map(Vec::len).sum::<usize>() <= BYTES_MAX
}

fn expand(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let out = match hir.kind() {
        HirKind::Empty => vec![Vec::new()],
        HirKind::Literal(l) => vec![l.0.to_vec()],
        HirKind::Class(class) => expand_class(class)?,
        HirKind::Capture(c) => expand(&c.sub)?,
        HirKind::Repetition(r) if (r.min, r.max) == (0, Some(1)) => {
            let mut out = expand(&r.sub)?;
            out.push(Vec::new());
            out
        }
        HirKind::Look(_) | HirKind::Repetition(_) => return None,
        HirKind::Alternation(parts) => {
            let mut out = Vec::new();
            for part in parts {
                out.append(&mut expand(part)?);
                if !fits(&out) {
                    return None;
                }
            }
            out
        }
        HirKind::Concat(parts) => {
            let mut out = vec![Vec::new()];
            for part in parts {
                let next = expand(part)?;
                if out.len() * next.len() > VALUES_MAX {
                    return None;
                }
                out = out.iter().flat_map(|a| next.iter().map(move |b| [&a[..], &b[..]].concat())).collect();
                if !fits(&out) {
                    return None;
                }
            }
            out
        }
    };
    fits(&out).then_some(out)
}

fn expand_class(class: &Class) -> Option<Vec<Vec<u8>>> {
    let Class::Unicode(class) = class else { return None };
    let mut out = Vec::new();
    for range in class.iter() {
        for c in range.start()..=range.end() {
            if out.len() >= VALUES_MAX {
                return None;
            }
            out.push(c.encode_utf8(&mut [0; 4]).as_bytes().to_vec());
        }
    }
    Some(out)
}

/// What all that an expression matches begins with.
fn prefix(hir: &Hir) -> Vec<u8> {
    match hir.kind() {
        HirKind::Literal(l) => l.0.to_vec(),
        HirKind::Capture(c) => prefix(&c.sub),
        HirKind::Concat(parts) => {
            let mut out = Vec::new();
            for part in parts {
                out.extend(prefix(part));
                let whole = |h: &Hir| matches!(h.kind(), HirKind::Literal(_));
                let inner = match part.kind() {
                    HirKind::Capture(c) => whole(&c.sub),
                    _ => whole(part),
                };
                if !inner {
                    break;
                }
            }
            out
        }
        _ => Vec::new(),
    }
}

/// The pattern with classes and boundaries that know ASCII only.
fn ascii_classes(pattern: &str) -> Result<String> {
    if !pattern.contains('\\') {
        return Ok(pattern.to_owned());
    }
    let tree = ast::parse::Parser::new().parse(pattern).map_err(|e| Error::invalid(e.to_string()))?;
    let mut edits = ast::visit(&tree, Edits(Vec::new())).unwrap_or_default();
    edits.sort_by_key(|(span, _)| span.start.offset);
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut at = 0;
    for (span, with) in edits {
        out.push_str(&pattern[at..span.start.offset]);
        out.push_str(with);
        at = span.end.offset;
    }
    out.push_str(&pattern[at..]);
    Ok(out)
}

/// Places in a pattern, and what stands there instead.
struct Edits(Vec<(Span, &'static str)>);

impl Edits {
    /// In brackets a class is its members; where it is negated it needs brackets of its own.
    fn class(&mut self, class: &ClassPerl, bracketed: bool) {
        let with = match (&class.kind, class.negated, bracketed) {
            (ClassPerlKind::Digit, false, false) => "[0-9]",
            (ClassPerlKind::Digit, false, true) => "0-9",
            (ClassPerlKind::Digit, true, _) => "[^0-9]",
            (ClassPerlKind::Space, false, false) => r"[\t\n\f\r ]",
            (ClassPerlKind::Space, false, true) => r"\t\n\f\r ",
            (ClassPerlKind::Space, true, _) => r"[^\t\n\f\r ]",
            (ClassPerlKind::Word, false, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, false, true) => "0-9A-Za-z_",
            (ClassPerlKind::Word, true, _) => "[^0-9A-Za-z_]",
        };
        self.0.push((class.span, with));
    }
}

impl Visitor for Edits {
    type Output = Vec<(Span, &'static str)>;
    type Err = std::convert::Infallible;

    fn finish(self) -> std::result::Result<Self::Output, Self::Err> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> std::result::Result<(), Self::Err> {
        match ast {
            Ast::ClassPerl(class) => self.class(class, false),
            Ast::Assertion(a) => match a.kind {
                AssertionKind::WordBoundary => self.0.push((a.span, r"(?-u:\b)")),
                AssertionKind::NotWordBoundary => self.0.push((a.span, r"(?-u:\B)")),
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> std::result::Result<(), Self::Err> {
        if let ClassSetItem::Perl(class) = item {
            self.class(class, true);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        Pattern::new(pattern).unwrap().matches(value)
    }

    #[test]
    fn classes_know_ascii_only() {
        for (pattern, value, want) in [
            (r"\d+", "12", true),
            (r"\d+", "١٢", false),
            (r"\w+", "aZ_9", true),
            (r"\w+", "é", false),
            (r"\W", "é", true),
            (r"[\w.]+", "a.b", true),
            (r"[^\d]", "٣", true),
            (r"[\D]", "3", false),
            (r"\s", "\u{b}", false),
            (r"\s", "\u{a0}", false),
            (r"é\b.*", "éa", true),
            (r"a\Bb", "ab", true),
            (".", "\n", true),
            ("a|bc", "bc", true),
            ("a|bc", "abc", false),
            ("(?i:Pod)", "POD", true),
            ("", "", true),
            ("x?", "", true),
        ] {
            assert_eq!(matches(pattern, value), want, "{pattern} {value:?}");
        }
        assert!(Pattern::new("(").is_err() && whole_regex(r"\q").is_err());
    }

    #[test]
    fn values_and_prefixes() {
        let values = |pattern: &str| match Pattern::new(pattern).unwrap() {
            Pattern::Values(values) => Some(values.join(" ")),
            _ => None,
        };
        assert_eq!(values("b|a|cd?"), Some("a b c cd".to_owned()));
        assert_eq!(values("(x-(1|2))"), Some("x-1 x-2".to_owned()));
        assert_eq!(values("[ab]c"), Some("ac bc".to_owned()));
        for pattern in ["a.*", "a+", "^a", r"\w{5}", "[a-z][a-z][a-z]"] {
            assert_eq!(values(pattern), None, "{pattern}");
        }
        let prefix = |pattern: &str| match Pattern::new(pattern).unwrap() {
            Pattern::Regex { prefix, .. } => prefix.to_string(),
            _ => String::new(),
        };
        assert_eq!(prefix("abc.*"), "abc");
        assert_eq!(prefix("(abc)d.+"), "abcd");
        assert_eq!(prefix("(a.*)d"), "a");
        assert_eq!(prefix("a*b.*"), "");
    }

    proptest! {
        /// Shortcuts and the expression agree.
        #[test]
        fn shortcuts_agree(pattern in "[ab](\\.\\*|\\?|[ab]|\\|[ab]|\\(a\\|b\\)|\\[ab\\]){0,4}", value in "[ab]{0,4}") {
            let plain = whole_regex(&pattern).unwrap().is_match(&value);
            prop_assert_eq!(matches(&pattern, &value), plain, "{}", pattern);
        }
    }
}
