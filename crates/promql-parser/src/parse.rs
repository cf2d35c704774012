//! Words -> tree, by precedence climbing.
//!
//! Errors are those of Prometheus' table-driven parser: the first thing that is wrong, told with the construct
//! that it broke. Where that parser reads a word ahead before it judges what it has, so does this one: it
//! decides which of two errors comes first.

use crate::ast::{Binary, BinaryOp, Expr, ExprKind, Span, Unary};
use crate::check;
use crate::error::ParseError;
use crate::lex::Lexer;
use crate::token::{Kind, Token};

mod call;
mod duration;
mod matching;
mod modifier;
mod primary;
mod selector;

/// How deep expressions may be nested, chains of operators included. What walks a tree takes stack for each
/// level: evaluating one of this depth fits into the 2 MiB that threads have where nobody asks for more.
pub const MAX_DEPTH: u32 = 128;

/// What of the language is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Functions and aggregations that are experimental.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left`, `fill_right`.
    pub fill_modifiers: bool,
    /// `[5m + step()]`
    pub duration_expressions: bool,
}

impl Default for Options {
    /// As a server without flags has them.
    fn default() -> Options {
        Options {
            experimental_functions: false,
            extended_range_selectors: false,
            fill_modifiers: false,
            duration_expressions: true,
        }
    }
}

impl Options {
    /// All of the language.
    pub fn all() -> Options {
        Options {
            experimental_functions: true,
            extended_range_selectors: true,
            fill_modifiers: true,
            duration_expressions: true,
        }
    }
}

/// The expression that a text says, its types checked.
pub fn parse(text: &str, options: &Options) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(text, options)?;
    if parser.peek()?.kind == Kind::Eof {
        return Err(parser.error(Span::default(), "no expression found in input"));
    }
    let mut expr = parser.expression(0)?.expr;
    if parser.peek()?.kind != Kind::Eof {
        return Err(parser.unexpected_here());
    }
    check::check(text, &mut expr)?;
    Ok(expr)
}

/// The matchers of a series selector, as `match[]` holds it; whether one of them selects is not checked.
pub fn parse_selector(text: &str, options: &Options) -> Result<Vec<dolmen_model::Matcher>, ParseError> {
    let mut parser = Parser::new(text, options)?;
    let name = parser.peek()?;
    let selector = if name.kind.names_metric() {
        parser.bump();
        parser.selector(Some(name))?
    } else if name.kind == Kind::LeftBrace {
        parser.selector(None)?
    } else {
        return Err(parser.unexpected_here());
    };
    if parser.peek()?.kind != Kind::Eof {
        return Err(parser.unexpected_here());
    }
    Ok(selector.0.matchers)
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

/// An expression and the longest way down from it.
struct Sub {
    expr: Expr,
    height: u32,
}

impl Sub {
    fn leaf(kind: ExprKind, span: Span) -> Sub {
        Sub { expr: Expr { kind, span }, height: 1 }
    }
}

struct Parser<'a> {
    text: &'a str,
    options: &'a Options,
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    /// The place after the last word that was taken.
    last_end: u32,
    /// How many aggregations are open: errors inside of one are told as the aggregation's.
    aggregations: u32,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: &'a Options) -> Result<Parser<'a>> {
        if u32::try_from(text.len()).is_err() {
            return Err(ParseError::new(text, Span::default(), "the text is too long"));
        }
        Ok(Parser {
            text,
            options,
            lexer: Lexer::new(text),
            ahead: None,
            last_end: 0,
            aggregations: 0,
            depth: 0,
        })
    }

    /// The next word; an error where there is none that the language has.
    fn peek(&mut self) -> Result<Token> {
        match self.ahead {
            Some(token) => Ok(token),
            None => Ok(*self.ahead.insert(self.lexer.next()?)),
        }
    }

    /// Takes the word that was peeked at.
    fn bump(&mut self) {
        if let Some(token) = self.ahead.take() {
            self.last_end = token.span.end;
        }
    }

    fn take(&mut self, kind: Kind) -> Result<Option<Token>> {
        let token = self.peek()?;
        if token.kind != kind {
            return Ok(None);
        }
        self.bump();
        Ok(Some(token))
    }

    fn str(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.text, span, message)
    }

    /// The next word does not fit.
    fn unexpected(&mut self, context: &str, expected: &str) -> ParseError {
        let token = match self.peek() {
            Ok(token) => token,
            Err(e) => return e,
        };
        let mut message = format!("unexpected {}", token.kind.describe(self.str(token.span)));
        for (word, text) in [(" in ", context), (", expected ", expected)] {
            if !text.is_empty() {
                message.push_str(word);
                message.push_str(text);
            }
        }
        self.error(token.span, message)
    }

    /// The next word does not fit into an expression.
    fn unexpected_here(&mut self) -> ParseError {
        self.unexpected(if self.aggregations > 0 { "aggregation" } else { "" }, "")
    }

    fn expect(&mut self, kind: Kind) -> Result<Token> {
        match self.take(kind)? {
            Some(token) => Ok(token),
            None => Err(self.unexpected_here()),
        }
    }

    fn descend(&self, height: u32) -> Result<u32> {
        if self.depth.max(height) >= MAX_DEPTH {
            let span = self.ahead.map(|t| t.span).unwrap_or_default();
            return Err(self.error(span, format!("expressions may be nested {MAX_DEPTH} deep at most")));
        }
        Ok(height + 1)
    }

    /// An expression of operators of at least a precedence.
    fn expression(&mut self, least: u8) -> Result<Sub> {
        self.descend(0)?;
        self.depth += 1;
        let mut left = self.prefixed()?;
        loop {
            let token = self.peek()?;
            let Kind::Op(op) = token.kind else { break };
            let level = precedence(op);
            if level < least {
                break;
            }
            self.bump();
            let (bool, matching) = self.matching()?;
            let right = self.expression(if op == BinaryOp::Pow { level } else { level + 1 })?;
            let span = Span { start: left.expr.span.start, end: right.expr.span.end };
            if !self.options.fill_modifiers && (matching.fill_left.or(matching.fill_right)).is_some() {
                return Err(self.error(span, "binop fill modifiers are experimental and not enabled"));
            }
            let height = self.descend(left.height.max(right.height))?;
            let (lhs, rhs) = (left.expr, right.expr);
            let binary = Binary { op, op_span: token.span, lhs, rhs, bool, matching: Some(matching) };
            left = Sub { expr: Expr { kind: ExprKind::Binary(Box::new(binary)), span }, height };
        }
        self.depth -= 1;
        Ok(left)
    }

    fn prefixed(&mut self) -> Result<Sub> {
        let token = self.peek()?;
        let minus = match token.kind {
            Kind::Op(BinaryOp::Add) => false,
            Kind::Op(BinaryOp::Sub) => true,
            _ => {
                let primary = self.primary(token)?;
                return self.modified(primary);
            }
        };
        self.bump();
        // A sign binds as multiplication does.
        let mut of = self.expression(precedence(BinaryOp::Pow))?;
        let span = Span { start: token.span.start, end: of.expr.span.end };
        if let ExprKind::Number(n) = &mut of.expr.kind {
            n.value = if minus { -n.value } else { n.value };
            of.expr.span = span;
            return Ok(of);
        }
        let height = self.descend(of.height)?;
        let kind = ExprKind::Unary(Unary { minus, expr: Box::new(of.expr) });
        Ok(Sub { expr: Expr { kind, span }, height })
    }
}

/// How strongly an operator binds.
fn precedence(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Gt | BinaryOp::Lt | BinaryOp::Ge | BinaryOp::Le => 3,
        BinaryOp::TrimUpper | BinaryOp::TrimLower => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Atan2 => 5,
        BinaryOp::Pow => 6,
    }
}
