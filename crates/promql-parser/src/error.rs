//! Why a text is no query.

use std::fmt;

use crate::ast::Span;

/// The first thing that is wrong in a text; displays as `line:column: parse error: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, without the place.
    pub message: String,
    /// Where it is wrong.
    pub span: Span,
    /// Line and column in bytes, both from 1; `None` in an empty text.
    pub place: Option<(usize, usize)>,
}

impl ParseError {
    pub(crate) fn new(text: &str, span: Span, message: impl Into<String>) -> ParseError {
        let before = text.as_bytes().get(..span.start as usize).unwrap_or(text.as_bytes());
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        let place = (!text.is_empty()).then_some((line, column));
        ParseError { message: message.into(), span, place }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}
