//! What follows an expression: `offset`, `@`, `anchored`, `smoothed` and brackets.

use super::{Parser, Result, Sub};
use crate::ast::{At, BinaryOp, Expr, ExprKind, MatrixSelector, Span, Subquery, When};
use crate::token::{Kind, Token};

impl Parser<'_> {
    /// An expression and all that follows it.
    pub(super) fn modified(&mut self, mut sub: Sub) -> Result<Sub> {
        loop {
            let token = self.peek()?;
            match token.kind {
                Kind::Offset => {
                    self.bump();
                    self.offset(&mut sub.expr)?;
                }
                Kind::At => {
                    self.bump();
                    self.at(&mut sub.expr)?;
                }
                Kind::Anchored | Kind::Smoothed => {
                    self.bump();
                    self.extend(&mut sub.expr, token.kind == Kind::Anchored)?;
                }
                Kind::LeftBracket => {
                    self.bump();
                    sub = self.brackets(sub, token)?;
                }
                _ => return Ok(sub),
            }
        }
    }

    fn when<'e>(&self, expr: &'e mut Expr, modifier: &str) -> Result<(&'e mut When, &'e mut u32, Span)> {
        let span = expr.span;
        let when = match &mut expr.kind {
            ExprKind::Vector(v) => &mut v.when,
            ExprKind::Matrix(m) => &mut m.vector.when,
            ExprKind::Subquery(q) => &mut q.when,
            _ => {
                let text = format!(
                    "{modifier} modifier must be preceded by an instant vector selector or range vector \
                     selector or a subquery"
                );
                return Err(self.error(span, text));
            }
        };
        Ok((when, &mut expr.span.end, span))
    }

    fn offset(&mut self, expr: &mut Expr) -> Result<()> {
        let offset = self.offset_duration()?;
        let end = self.last_end;
        let (when, span_end, span) = self.when(expr, "offset")?;
        if when.offset.is_some() {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        when.offset = offset;
        *span_end = end;
        Ok(())
    }

    fn at(&mut self, expr: &mut Expr) -> Result<()> {
        let sign = self.sign()?;
        let token = self.peek()?;
        let at = match token.kind {
            Kind::Number | Kind::Duration => {
                self.bump();
                let mut seconds = self.number(token)?.value;
                if sign.is_some_and(|s| s.kind == Kind::Op(BinaryOp::Sub)) {
                    seconds = -seconds;
                }
                if !seconds.is_finite() || seconds.abs() >= i64::MAX as f64 {
                    let text = match seconds {
                        s if s.is_nan() => "NaN".to_owned(),
                        s if s.is_infinite() => if s > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
                        s => format!("{s:.6}"),
                    };
                    let text = format!("timestamp out of bounds for @ modifier: {text}");
                    return Err(self.error(expr.span, text));
                }
                At::Time((seconds * 1000.0).round() as i64)
            }
            Kind::Start | Kind::End if sign.is_none() => {
                self.bump();
                let open = self.take(Kind::LeftParen)?;
                if open.is_none() || self.take(Kind::RightParen)?.is_none() {
                    return Err(self.unexpected("@", "timestamp"));
                }
                if token.kind == Kind::Start { At::Start } else { At::End }
            }
            _ => return Err(self.unexpected("@", "timestamp")),
        };
        let end = self.last_end;
        let (when, span_end, span) = self.when(expr, "@")?;
        if when.at.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        when.at = Some(at);
        *span_end = end;
        Ok(())
    }

    fn extend(&self, expr: &mut Expr, anchored: bool) -> Result<()> {
        let name = if anchored { "anchored" } else { "smoothed" };
        let span = expr.span;
        let fail = |why: &str| Err(self.error(span, format!("{name} modifier is {why}")));
        if !self.options.extended_range_selectors {
            return fail("experimental and not enabled");
        }
        let vector = match &mut expr.kind {
            ExprKind::Vector(v) => v,
            ExprKind::Matrix(m) => &mut m.vector,
            ExprKind::Subquery(_) => return fail("not supported for subqueries"),
            _ => return Err(self.error(span, format!("{name} modifier not implemented"))),
        };
        if anchored {
            vector.anchored = true
        } else {
            vector.smoothed = true
        }
        if vector.anchored && vector.smoothed {
            return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
        }
        Ok(())
    }

    /// What follows `[`.
    fn brackets(&mut self, sub: Sub, open: Token) -> Result<Sub> {
        let range =
            self.bracket_duration(("subquery or range selector", "number, duration, step(), or range()"))?;
        if let Some(close) = self.take(Kind::RightBracket)? {
            let span = Span { start: open.span.start, end: close.span.end };
            let vector = match sub.expr.kind {
                ExprKind::Vector(vector) => vector,
                _ => return Err(self.error(span, "ranges only allowed for vector selectors")),
            };
            if vector.when.offset.is_some() {
                return Err(self.error(span, "no offset modifiers allowed before range"));
            }
            if vector.when.at.is_some() {
                return Err(self.error(span, "no @ modifiers allowed before range"));
            }
            let vector_span = sub.expr.span;
            let span = Span { start: vector_span.start, end: close.span.end };
            let kind = ExprKind::Matrix(MatrixSelector { vector, vector_span, range });
            return Ok(Sub { expr: Expr { kind, span }, height: sub.height });
        }
        if self.take(Kind::Colon)?.is_none() {
            return Err(self.unexpected("subquery or range", "\":\" or \"]\""));
        }
        let mut step = None;
        let close = match self.take(Kind::RightBracket)? {
            Some(close) => close,
            None => {
                step = Some(self.bracket_duration((
                    "subquery selector",
                    "number, duration, step(), range(), or \"]\"",
                ))?);
                match self.take(Kind::RightBracket)? {
                    Some(close) => close,
                    None => return Err(self.unexpected("subquery selector", "\"]\"")),
                }
            }
        };
        let span = Span { start: sub.expr.span.start, end: close.span.end };
        let height = self.descend(sub.height)?;
        let when = When::default();
        let kind = ExprKind::Subquery(Subquery { expr: Box::new(sub.expr), range, step, when });
        Ok(Sub { expr: Expr { kind, span }, height })
    }
}
