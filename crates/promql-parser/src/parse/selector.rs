//! Vector selectors.

use dolmen_model::{METRIC_NAME, MatchOp, Matcher};

use super::{Parser, Result};
use crate::ast::{BinaryOp, Span, VectorSelector, When};
use crate::regex::check_regex;
use crate::text::unquote;
use crate::token::{Kind, Token};

impl Parser<'_> {
    /// A selector whose name was taken, or that begins with a brace.
    pub(super) fn selector(&mut self, name: Option<Token>) -> Result<(VectorSelector, Span)> {
        let mut selector = VectorSelector {
            name: name.map(|n| self.str(n.span).to_owned()).unwrap_or_default(),
            matchers: Vec::new(),
            when: When::default(),
            anchored: false,
            smoothed: false,
            may_be_empty: false,
        };
        let mut span = name.map(|n| n.span).unwrap_or_default();
        if let Some(open) = self.take(Kind::LeftBrace)? {
            if name.is_none() {
                span.start = open.span.start;
            }
            span.end = self.matchers(&mut selector.matchers)?;
        }
        if name.is_some() {
            selector.matchers.push(Matcher::eq(METRIC_NAME, selector.name.as_str()));
        }
        Ok((selector, span))
    }

    /// What follows the brace; the place after it.
    fn matchers(&mut self, out: &mut Vec<Matcher>) -> Result<u32> {
        if let Some(close) = self.take(Kind::RightBrace)? {
            return Ok(close.span.end);
        }
        loop {
            let token = self.peek()?;
            out.push(self.matcher(token)?);
            if let Some(close) = self.take(Kind::RightBrace)? {
                return Ok(close.span.end);
            }
            if self.take(Kind::Comma)?.is_none() {
                return Err(self.unexpected("label matching", "\",\" or \"}\""));
            }
            if let Some(close) = self.take(Kind::RightBrace)? {
                return Ok(close.span.end);
            }
        }
    }

    fn matcher(&mut self, label: Token) -> Result<Matcher> {
        let quoted = match label.kind {
            Kind::Identifier => false,
            Kind::String => true,
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        self.bump();
        let written = self.str(label.span);
        let name = if quoted { unquote(written) } else { written.to_owned() };
        let op = match self.peek()?.kind {
            Kind::Equal => MatchOp::Eq,
            Kind::Op(BinaryOp::Ne) => MatchOp::Ne,
            Kind::EqualRegex => MatchOp::Re,
            Kind::NotEqualRegex => MatchOp::Nre,
            // A text alone is a metric's name.
            _ if quoted => return Ok(Matcher::eq(METRIC_NAME, name)),
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.bump();
        let Some(value) = self.take(Kind::String)? else {
            return Err(self.unexpected("label matching", "string"));
        };
        let text = unquote(self.str(value.span));
        let checked = match op {
            MatchOp::Re | MatchOp::Nre => check_regex(&text),
            MatchOp::Eq | MatchOp::Ne => Ok(()),
        };
        let matcher = checked.and_then(|()| {
            Matcher::new(op, name, text)
                .map_err(|e| format!("error parsing regexp: {}", one_line(&e.to_string())))
        });
        let span = Span { start: label.span.start, end: value.span.end };
        matcher.map_err(|message| self.error(span, message))
    }
}

/// The text of a regular expression's error, its drawing of the place left out.
fn one_line(text: &str) -> &str {
    let last = text.lines().next_back().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last)
}
