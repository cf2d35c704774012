//! What stands between operators.

use super::{Parser, Result, Sub};
use crate::ast::{Expr, ExprKind, Number, Span};
use crate::number;
use crate::text::unquote;
use crate::token::{Kind, Token};

impl Parser<'_> {
    /// An expression without operators, and without what may follow it.
    pub(super) fn primary(&mut self, token: Token) -> Result<Sub> {
        match token.kind {
            Kind::Number | Kind::Duration => {
                self.bump();
                Ok(Sub::leaf(ExprKind::Number(self.number(token)?), token.span))
            }
            Kind::String => {
                self.bump();
                Ok(Sub::leaf(ExprKind::String(unquote(self.str(token.span))), token.span))
            }
            Kind::LeftParen => {
                self.bump();
                let of = self.expression(0)?;
                let end = self.expect(Kind::RightParen)?.span.end;
                let height = self.descend(of.height)?;
                let kind = ExprKind::Paren(Box::new(of.expr));
                Ok(Sub { expr: Expr { kind, span: Span { start: token.span.start, end } }, height })
            }
            Kind::LeftBrace => {
                let (selector, span) = self.selector(None)?;
                Ok(Sub::leaf(ExprKind::Vector(selector), span))
            }
            kind if kind.names_metric() => {
                self.bump();
                self.named(token)
            }
            _ => Err(self.unexpected_here()),
        }
    }

    /// A call, an aggregation or a selector: what follows the name tells.
    fn named(&mut self, name: Token) -> Result<Sub> {
        let next = self.peek()?.kind;
        match name.kind {
            Kind::Aggregate(op) if matches!(next, Kind::LeftParen | Kind::By | Kind::Without) => {
                return self.aggregate(op, name);
            }
            Kind::Identifier
            | Kind::Start
            | Kind::End
            | Kind::Step
            | Kind::Range
            | Kind::MinOf
            | Kind::MaxOf
                if next == Kind::LeftParen =>
            {
                return self.call(name);
            }
            _ => {}
        }
        let (selector, span) = self.selector(Some(name))?;
        Ok(Sub::leaf(ExprKind::Vector(selector), span))
    }

    /// The value of a number or duration that was taken.
    pub(super) fn number(&self, token: Token) -> Result<Number> {
        let text = self.str(token.span);
        let duration = token.kind == Kind::Duration;
        let value = if duration { number::duration(text) } else { number::number(text) };
        match value {
            Ok(value) => Ok(Number { value, duration }),
            Err(message) => Err(self.error(token.span, message)),
        }
    }
}
