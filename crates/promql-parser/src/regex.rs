//! Regular expressions: what Prometheus' engine, RE2, would refuse or take for something else is refused.
//!
//! Ours knows more than RE2: classes in classes, `&&` in classes, `a**`, flags and boundaries of its own. Where
//! it would read a pattern in another way, an error is better than other series.

use regex_syntax::ast::{
    self, Ast, ClassSet, ClassSetBinaryOp, ClassSetItem, ErrorKind, Flag, FlagsItemKind, HexLiteralKind,
    LiteralKind, RepetitionKind, RepetitionRange, Visitor,
};

/// The most that `{n}` may repeat.
const REPEAT_MAX: u32 = 1000;

/// Whether a pattern is one of RE2's, and means the same here; else what is wrong with it, as Go tells it.
pub fn check_regex(pattern: &str) -> Result<(), String> {
    let tree = ast::parse::Parser::new().parse(pattern).map_err(|e| syntax_error(pattern, &e))?;
    ast::visit(&tree, Difference { pattern })
}

fn text<'a>(pattern: &'a str, span: &ast::Span) -> &'a str {
    pattern.get(span.start.offset..span.end.offset).unwrap_or_default()
}

fn wrong(what: &str, at: &str) -> String {
    format!("error parsing regexp: {what}: `{at}`")
}

fn syntax_error(pattern: &str, e: &ast::Error) -> String {
    let at = text(pattern, e.span());
    let from = pattern.get(e.span().start.offset..).unwrap_or_default();
    match e.kind() {
        ErrorKind::GroupUnclosed => wrong("missing closing )", pattern),
        ErrorKind::GroupUnopened => wrong("unexpected )", pattern),
        ErrorKind::ClassUnclosed => wrong("missing closing ]", from),
        ErrorKind::ClassRangeInvalid | ErrorKind::ClassRangeLiteral => {
            wrong("invalid character class range", at)
        }
        ErrorKind::RepetitionMissing => {
            wrong("missing argument to repetition operator", from.get(..1).unwrap_or_default())
        }
        ErrorKind::RepetitionCountInvalid => wrong("invalid repeat count", at),
        ErrorKind::EscapeUnexpectedEof => wrong("trailing backslash at end of expression", ""),
        ErrorKind::EscapeUnrecognized | ErrorKind::UnsupportedBackreference => {
            wrong("invalid escape sequence", at)
        }
        ErrorKind::NestLimitExceeded(_) => wrong("expression nests too deeply", pattern),
        ErrorKind::GroupNameDuplicate { .. } => wrong("duplicate capture group name", at),
        ErrorKind::GroupNameEmpty | ErrorKind::GroupNameInvalid | ErrorKind::GroupNameUnexpectedEof => {
            wrong("invalid named capture", pattern)
        }
        _ => wrong("invalid or unsupported Perl syntax", at),
    }
}

/// Looks for what RE2 reads in another way.
struct Difference<'a> {
    pattern: &'a str,
}

impl Difference<'_> {
    fn refuse<T>(&self, what: &str, span: &ast::Span) -> Result<T, String> {
        Err(wrong(what, text(self.pattern, span)))
    }

    fn flags(&self, items: &[ast::FlagsItem], span: &ast::Span) -> Result<(), String> {
        let known = items.iter().all(|item| match item.kind {
            FlagsItemKind::Negation => true,
            FlagsItemKind::Flag(flag) => !matches!(flag, Flag::IgnoreWhitespace | Flag::Unicode | Flag::CRLF),
        });
        if known { Ok(()) } else { self.refuse("invalid or unsupported Perl syntax", span) }
    }

    fn literal(&self, l: &ast::Literal) -> Result<(), String> {
        match l.kind {
            // `\u0041`
            LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
            | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
                self.refuse("invalid escape sequence", &l.span)
            }
            _ => Ok(()),
        }
    }

    fn repetition(&self, r: &ast::Repetition) -> Result<(), String> {
        if let Ast::Repetition(inner) = &*r.ast {
            let span = ast::Span::new(inner.op.span.start, r.op.span.end);
            return self.refuse("invalid nested repetition operator", &span);
        }
        let most = match &r.op.kind {
            RepetitionKind::Range(RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n)) => *n,
            RepetitionKind::Range(RepetitionRange::Bounded(_, n)) => *n,
            _ => 0,
        };
        if most > REPEAT_MAX {
            return self.refuse("invalid repeat count", &r.op.span);
        }
        Ok(())
    }
}

impl Visitor for Difference<'_> {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), String> {
        match ast {
            Ast::Flags(f) => self.flags(&f.flags.items, &f.span),
            Ast::Group(g) => match &g.kind {
                ast::GroupKind::NonCapturing(f) => self.flags(&f.items, &f.span),
                _ => Ok(()),
            },
            Ast::Literal(l) => self.literal(l),
            Ast::Repetition(r) => self.repetition(r),
            Ast::Assertion(a) => match a.kind {
                ast::AssertionKind::StartLine
                | ast::AssertionKind::EndLine
                | ast::AssertionKind::StartText
                | ast::AssertionKind::EndText
                | ast::AssertionKind::WordBoundary
                | ast::AssertionKind::NotWordBoundary => Ok(()),
                _ => self.refuse("invalid escape sequence", &a.span),
            },
            Ast::ClassBracketed(c) => match &c.kind {
                ClassSet::BinaryOp(op) => self.refuse("unsupported operator in character class", &op.span),
                ClassSet::Item(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), String> {
        match item {
            ClassSetItem::Bracketed(b) => {
                self.refuse("unsupported character class in character class", &b.span)
            }
            ClassSetItem::Literal(l) => self.literal(l),
            ClassSetItem::Range(r) => self.literal(&r.start).and_then(|()| self.literal(&r.end)),
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, op: &ClassSetBinaryOp) -> Result<(), String> {
        self.refuse("unsupported operator in character class", &op.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_re2() {
        for pattern in [
            "",
            ".+",
            "(?i:a)b|c",
            r"\d+\.\pL[^a-z\d]*?",
            "(?P<x>a{2,1000})",
            "[[:alpha:]_]",
            r"\bfoo\B",
            "[]a]",
            r"\x41\x{1F600}",
            "(a*)*",
            "(?U)a+",
            "^$",
            r"[\[&-]",
        ] {
            assert_eq!(check_regex(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn other_patterns() {
        for (pattern, what) in [
            ("(", "missing closing ): `(`"),
            ("a)(?:b", "unexpected ): `a)(?:b`"),
            ("x[a", "missing closing ]: `[a`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}+", "invalid nested repetition operator: `{2}+`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a\\", "trailing backslash at end of expression: ``"),
            (r"\q", r"invalid escape sequence: `\q`"),
            (r"(a)\1", r"invalid escape sequence: `\1`"),
            (r"\u0041", r"invalid escape sequence: `\u0041`"),
            (r"\<a", r"invalid escape sequence: `\<`"),
            (r"[\u0041]", r"invalid escape sequence: `\u0041`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?x) a", "invalid or unsupported Perl syntax: `(?x)`"),
            ("[a&&b]", "unsupported operator in character class: `a&&b`"),
            ("[a[b]]", "unsupported character class in character class: `[b]`"),
        ] {
            assert_eq!(check_regex(pattern), Err(format!("error parsing regexp: {what}")), "{pattern}");
        }
    }
}
