//! Function calls and aggregations.

use super::{Parser, Result, Sub};
use crate::ast::{Aggregate, AggregateOp, Call, Expr, ExprKind, Span};
use crate::function::Function;
use crate::text::quote;
use crate::token::{Kind, Token};

/// Arguments, the place after them, and the greatest of their heights.
struct Body {
    args: Vec<Expr>,
    end: u32,
    height: u32,
}

impl Parser<'_> {
    pub(super) fn call(&mut self, name: Token) -> Result<Sub> {
        let body = self.body()?;
        let written = self.str(name.span);
        let Some(function) = Function::named(written) else {
            return Err(self.error(name.span, format!("unknown function with name {}", quote(written))));
        };
        if function.experimental && !self.options.experimental_functions {
            return Err(self.error(name.span, format!("function {} is not enabled", quote(written))));
        }
        let height = self.descend(body.height)?;
        let kind = ExprKind::Call(Call { function, args: body.args });
        Ok(Sub { expr: Expr { kind, span: Span { start: name.span.start, end: body.end } }, height })
    }

    /// `(args)`
    fn body(&mut self) -> Result<Body> {
        self.expect(Kind::LeftParen)?;
        let mut body = Body { args: Vec::new(), end: 0, height: 0 };
        if let Some(close) = self.take(Kind::RightParen)? {
            body.end = close.span.end;
            return Ok(body);
        }
        loop {
            let arg = self.expression(0)?;
            body.height = body.height.max(arg.height);
            body.args.push(arg.expr);
            if let Some(close) = self.take(Kind::RightParen)? {
                body.end = close.span.end;
                return Ok(body);
            }
            let comma = self.expect(Kind::Comma)?;
            if !self.peek()?.kind.begins_expr() {
                return Err(self.error(comma.span, "trailing commas not allowed in function call args"));
            }
        }
    }

    /// An aggregation whose name was taken.
    pub(super) fn aggregate(&mut self, op: AggregateOp, name: Token) -> Result<Sub> {
        self.aggregations += 1;
        let (body, without, labels, end);
        if self.peek()?.kind == Kind::LeftParen {
            body = self.body()?;
            match self.peek()?.kind {
                Kind::By | Kind::Without => ((without, labels), end) = self.grouping_clause()?,
                _ => (without, labels, end) = (false, Vec::new(), body.end),
            }
        } else {
            ((without, labels), _) = self.grouping_clause()?;
            body = self.body()?;
            end = body.end;
        }
        self.aggregations -= 1;
        let span = Span { start: name.span.start, end };
        let height = self.descend(body.height)?;
        let (param, expr) = self.aggregated(op, body.args, span)?;
        let kind = ExprKind::Aggregate(Box::new(Aggregate { op, expr, param, without, labels }));
        Ok(Sub { expr: Expr { kind, span }, height })
    }

    /// `by (labels)`, `without (labels)`, and the place after it.
    #[allow(clippy::type_complexity, reason = "parts of one clause")]
    fn grouping_clause(&mut self) -> Result<((bool, Vec<smol_str::SmolStr>), u32)> {
        let without = self.peek()?.kind == Kind::Without;
        self.bump();
        let (labels, end) = self.grouping()?;
        Ok(((without, labels), end))
    }

    /// Parameter and expression of an aggregation's arguments.
    fn aggregated(&self, op: AggregateOp, mut args: Vec<Expr>, span: Span) -> Result<(Option<Expr>, Expr)> {
        let wanted = 1 + usize::from(op.has_param());
        if !args.is_empty() && op.is_experimental() && !self.options.experimental_functions {
            let name = op.name();
            return Err(self.error(
                span,
                format!(
                    "{name}() is experimental and must be enabled with \
                     --enable-feature=promql-experimental-functions"
                ),
            ));
        }
        let got = args.len();
        match (args.pop(), args.pop()) {
            (None, _) => Err(self.error(span, "no arguments for aggregate expression provided")),
            (Some(expr), param) if got == wanted => Ok((param, expr)),
            _ => Err(self.error(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}"
                ),
            )),
        }
    }
}
