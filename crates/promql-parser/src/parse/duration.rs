//! Durations: literals, and expressions that are computed when the query's times are known.

use super::{Parser, Result, precedence};
use crate::ast::{BinaryOp, Duration, DurationExpr, DurationExprKind, Number, Span};
use crate::number::{nanos, out_of_range};
use crate::token::{Kind, Token};

/// The construct that a duration stands in, and what it may be there.
type Context = (&'static str, &'static str);

const OFFSET: Context = ("offset", "number, duration, step(), or range()");

/// A duration expression and the longest way down from it.
struct Sub {
    expr: DurationExpr,
    height: u32,
}

impl Sub {
    fn new(kind: DurationExprKind, start: u32, end: u32, height: u32) -> Sub {
        Sub { expr: DurationExpr { kind, span: Span { start, end }, wrapped: false }, height }
    }

    /// The value, where it is a literal without parentheses.
    fn literal(&self) -> Option<f64> {
        match self.expr.kind {
            DurationExprKind::Number(n) if !self.expr.wrapped => Some(n.value),
            _ => None,
        }
    }

    fn finish(self) -> Duration {
        match self.literal() {
            // Less than a millisecond counts as nothing.
            Some(seconds) => Duration::Millis(nanos(seconds) / 1_000_000),
            None => Duration::Expr(Box::new(self.expr)),
        }
    }
}

fn is_minus(sign: Token) -> bool {
    sign.kind == Kind::Op(BinaryOp::Sub)
}

impl Parser<'_> {
    /// A range or a step; it must be positive, as far as that is known.
    pub(super) fn bracket_duration(&mut self, context: Context) -> Result<Duration> {
        let duration = self.duration(0, context)?;
        if duration.literal().is_some_and(|v| v <= 0.0) {
            return Err(self.error(duration.expr.span, "duration must be greater than 0"));
        }
        Ok(duration.finish())
    }

    /// What follows `offset`; nothing where it is zero.
    ///
    /// `x offset -2^2` is `(x offset -2)^2`: only what begins with a parenthesis, or has two signs, goes on
    /// after an operator.
    pub(super) fn offset_duration(&mut self) -> Result<Option<Duration>> {
        let first = self.peek()?.kind;
        let duration = match self.sign()? {
            None if first == Kind::LeftParen => self.duration(0, OFFSET)?,
            None => self.duration_operand(OFFSET)?,
            Some(sign) => self.signed_offset(sign)?,
        };
        let zero = duration.literal().is_some_and(|seconds| nanos(seconds) == 0);
        Ok((!zero).then(|| duration.finish()))
    }

    fn signed_offset(&mut self, sign: Token) -> Result<Sub> {
        match self.peek()?.kind {
            Kind::Op(BinaryOp::Add | BinaryOp::Sub) => {
                let operand = self.duration(precedence(BinaryOp::Pow), OFFSET)?;
                let first = self.signed(sign, operand)?;
                self.duration_rest(first, 0, OFFSET)
            }
            Kind::LeftParen => {
                self.bump();
                let inner = self.nested_duration(OFFSET)?;
                self.duration_expect(Kind::RightParen, OFFSET)?;
                let start = inner.expr.span.start;
                let operand = self.wrapped(inner, start)?;
                self.signed(sign, operand)
            }
            // Here a plus is kept, as Prometheus does it.
            Kind::Step | Kind::Range | Kind::MinOf | Kind::MaxOf => {
                let operand = self.duration_operand(OFFSET)?;
                self.unary(sign, operand)
            }
            _ => {
                let operand = self.duration_operand(OFFSET)?;
                self.signed(sign, operand)
            }
        }
    }

    fn duration(&mut self, least: u8, context: Context) -> Result<Sub> {
        let token = self.peek()?;
        let first = match self.sign()? {
            Some(sign) => {
                self.descend(0)?;
                self.depth += 1;
                let operand = self.duration(precedence(BinaryOp::Pow), context)?;
                self.depth -= 1;
                self.signed(sign, operand)?
            }
            None if token.kind == Kind::Eof => return Err(self.unexpected(context.0, context.1)),
            None => self.duration_operand(context)?,
        };
        self.duration_rest(first, least, context)
    }

    /// Operators and operands after the first one.
    fn duration_rest(&mut self, mut left: Sub, least: u8, context: Context) -> Result<Sub> {
        loop {
            let token = self.peek()?;
            let op = match token.kind {
                Kind::Op(
                    op @ (BinaryOp::Add
                    | BinaryOp::Sub
                    | BinaryOp::Mul
                    | BinaryOp::Div
                    | BinaryOp::Mod
                    | BinaryOp::Pow),
                ) if precedence(op) >= least => op,
                _ => return Ok(left),
            };
            self.bump();
            self.descend(0)?;
            self.depth += 1;
            let next = precedence(op) + u8::from(op != BinaryOp::Pow);
            let right = self.duration(next, context)?;
            self.depth -= 1;
            self.check_enabled(left.expr.span)?;
            if right.literal() == Some(0.0) {
                match op {
                    BinaryOp::Div => return Err(self.error(token.span, "division by zero")),
                    BinaryOp::Mod => return Err(self.error(token.span, "modulo by zero")),
                    _ => {}
                }
            }
            let height = self.descend(left.height.max(right.height))?;
            let (start, end) = (left.expr.span.start, right.expr.span.end);
            let (lhs, rhs) = (Box::new(left.expr), Box::new(right.expr));
            left = Sub::new(DurationExprKind::Binary { op, lhs, rhs }, start, end, height);
        }
    }

    fn check_enabled(&self, span: Span) -> Result<()> {
        if self.options.duration_expressions {
            return Ok(());
        }
        Err(self.error(span, "experimental duration expression is not enabled"))
    }

    fn duration_operand(&mut self, context: Context) -> Result<Sub> {
        let token = self.peek()?;
        let start = token.span.start;
        match token.kind {
            Kind::Number | Kind::Duration => {
                self.bump();
                let number = self.number(token)?;
                let sub = Sub::new(DurationExprKind::Number(number), start, token.span.end, 1);
                self.check_range(number, token.span)?;
                Ok(sub)
            }
            Kind::Step | Kind::Range => {
                self.bump();
                self.duration_expect(Kind::LeftParen, context)?;
                let end = self.duration_expect(Kind::RightParen, context)?;
                self.check_enabled(Span { start, end })?;
                let kind =
                    if token.kind == Kind::Step { DurationExprKind::Step } else { DurationExprKind::Range };
                Ok(Sub::new(kind, start, end, 1))
            }
            Kind::MinOf | Kind::MaxOf => {
                self.bump();
                self.duration_expect(Kind::LeftParen, context)?;
                let a = self.nested_duration(context)?;
                self.duration_expect(Kind::Comma, context)?;
                let b = self.nested_duration(context)?;
                self.duration_expect(Kind::RightParen, context)?;
                let height = self.descend(a.height.max(b.height))?;
                let (start, end) = (a.expr.span.start, b.expr.span.end);
                self.check_enabled(Span { start, end })?;
                let (a, b) = (Box::new(a.expr), Box::new(b.expr));
                let min = token.kind == Kind::MinOf;
                let kind = if min { DurationExprKind::Min(a, b) } else { DurationExprKind::Max(a, b) };
                Ok(Sub::new(kind, start, end, height))
            }
            Kind::LeftParen => {
                self.bump();
                let inner = self.nested_duration(context)?;
                self.duration_expect(Kind::RightParen, context)?;
                self.check_enabled(inner.expr.span)?;
                self.wrapped(inner, start)
            }
            _ => Err(self.unexpected(context.0, context.1)),
        }
    }

    fn nested_duration(&mut self, context: Context) -> Result<Sub> {
        self.descend(0)?;
        self.depth += 1;
        let inner = self.duration(0, context)?;
        self.depth -= 1;
        Ok(inner)
    }

    fn duration_expect(&mut self, kind: Kind, context: Context) -> Result<u32> {
        match self.take(kind)? {
            Some(token) => Ok(token.span.end),
            None => Err(self.unexpected(context.0, context.1)),
        }
    }

    fn check_range(&self, number: Number, span: Span) -> Result<()> {
        if out_of_range(number.value) {
            return Err(self.error(span, "duration out of range"));
        }
        Ok(())
    }

    /// In parentheses. A literal goes under a plus, so that it is told from one without parentheses; else the
    /// place stays that of what is inside.
    fn wrapped(&self, mut of: Sub, start: u32) -> Result<Sub> {
        if let DurationExprKind::Number(_) = of.expr.kind {
            let (end, height) = (of.expr.span.end, self.descend(of.height)?);
            let kind = DurationExprKind::Unary { minus: false, of: Box::new(of.expr) };
            of = Sub::new(kind, start, end, height);
        }
        of.expr.wrapped = true;
        Ok(of)
    }

    /// With a sign before it: literals take it in, and a plus says nothing.
    fn signed(&self, sign: Token, mut of: Sub) -> Result<Sub> {
        if let DurationExprKind::Number(n) = &mut of.expr.kind {
            n.value = if is_minus(sign) { -n.value } else { n.value };
            let number = *n;
            self.check_range(number, sign.span)?;
            of.expr.span.start = sign.span.start;
            return Ok(of);
        }
        if is_minus(sign) { self.unary(sign, of) } else { Ok(of) }
    }

    fn unary(&self, sign: Token, of: Sub) -> Result<Sub> {
        let height = self.descend(of.height)?;
        let end = of.expr.span.end;
        let kind = DurationExprKind::Unary { minus: is_minus(sign), of: Box::new(of.expr) };
        Ok(Sub::new(kind, sign.span.start, end, height))
    }
}
