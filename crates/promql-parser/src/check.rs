//! Types and the rules that need them. The order of the checks is that of the errors: the first one counts.

use dolmen_model::METRIC_NAME;

use crate::ast::{
    AggregateOp, Binary, BinaryOp, Call, Card, Expr, ExprKind, Span, ValueType, VectorSelector,
};
use crate::error::ParseError;
use crate::text::quote;

type Result<T> = std::result::Result<T, ParseError>;

/// Checks a tree; matching is taken off operators that do not match vectors.
pub(crate) fn check(text: &str, expr: &mut Expr) -> Result<()> {
    Checker { text }.check(expr).map(|_| ())
}

/// As error texts name types.
pub(crate) fn type_name(t: ValueType) -> &'static str {
    match t {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "instant vector",
        ValueType::Matrix => "range vector",
    }
}

struct Checker<'a> {
    text: &'a str,
}

impl Checker<'_> {
    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T> {
        Err(ParseError::new(self.text, span, message))
    }

    fn check(&self, expr: &mut Expr) -> Result<ValueType> {
        let span = expr.span;
        match &mut expr.kind {
            ExprKind::Number(_) => Ok(ValueType::Scalar),
            ExprKind::String(_) => Ok(ValueType::String),
            ExprKind::Vector(v) => {
                self.vector(v, span)?;
                Ok(ValueType::Vector)
            }
            ExprKind::Matrix(m) => {
                self.vector(&m.vector, m.vector_span)?;
                Ok(ValueType::Matrix)
            }
            ExprKind::Subquery(q) => match self.check(&mut q.expr)? {
                ValueType::Vector => Ok(ValueType::Matrix),
                t => {
                    let t = if t == ValueType::Matrix { "matrix" } else { type_name(t) };
                    self.fail(span, format!("subquery is only allowed on instant vector, got {t} instead"))
                }
            },
            ExprKind::Paren(of) => self.check(of),
            ExprKind::Unary(u) => match self.check(&mut u.expr)? {
                t @ (ValueType::Scalar | ValueType::Vector) => Ok(t),
                t => {
                    let t = type_name(t);
                    let only =
                        "unary expression only allowed on expressions of type scalar or instant vector";
                    self.fail(span, format!("{only}, got \"{t}\""))
                }
            },
            ExprKind::Binary(b) => self.binary(b, span),
            ExprKind::Call(c) => self.call(c, span),
            ExprKind::Aggregate(a) => {
                self.expect(&mut a.expr, ValueType::Vector, "aggregation expression")?;
                let param =
                    if a.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
                if let Some(p) = &mut a.param {
                    self.expect(p, param, "aggregation parameter")?;
                }
                Ok(ValueType::Vector)
            }
        }
    }

    fn expect(&self, expr: &mut Expr, want: ValueType, context: &str) -> Result<()> {
        let got = self.check(expr)?;
        if got == want {
            return Ok(());
        }
        let (want, got) = (type_name(want), type_name(got));
        self.fail(expr.span, format!("expected type {want} in {context}, got {got}"))
    }

    fn vector(&self, v: &VectorSelector, span: Span) -> Result<()> {
        if !v.name.is_empty() {
            let others = v.matchers.split_last().map_or(&[][..], |(_, others)| others);
            if let Some(m) = others.iter().find(|m| m.name() == METRIC_NAME) {
                let (a, b) = (quote(&v.name), quote(m.value()));
                return self.fail(span, format!("metric name must not be set twice: {a} or {b}"));
            }
            return Ok(());
        }
        if v.may_be_empty || v.matchers.iter().any(|m| !m.matches_empty()) {
            return Ok(());
        }
        self.fail(span, "vector selector must contain at least one non-empty matcher")
    }

    /// Where the operator of a binary expression stands, as errors tell it: after the left side.
    fn op_span(&self, b: &Binary) -> Span {
        let after = self.text.as_bytes().get(b.lhs.span.end as usize..).unwrap_or_default();
        let spaces = after.iter().take_while(|b| b.is_ascii_whitespace()).count();
        Span { start: b.lhs.span.end + spaces as u32, end: b.op_span.end }
    }

    fn binary(&self, b: &mut Binary, span: Span) -> Result<ValueType> {
        let lt = self.check(&mut b.lhs)?;
        let rt = self.check(&mut b.rhs)?;
        let scalars = lt == ValueType::Scalar && rt == ValueType::Scalar;
        if b.bool && !b.op.is_comparison() {
            return self.fail(self.op_span(b), "bool modifier can only be used on comparison operators");
        }
        if b.op.is_comparison() && !b.bool && scalars {
            return self.fail(self.op_span(b), "comparisons between scalars must use BOOL modifier");
        }
        let is_set = b.op.is_set();
        if let Some(m) = &mut b.matching {
            if is_set && m.card == Card::OneToOne {
                m.card = Card::ManyToMany;
            }
            if m.on
                && let Some(l) = m.labels.iter().find(|l| m.include.contains(l))
            {
                let text = format!("label {} must not occur in ON and GROUP clause at once", quote(l));
                return self.fail(self.op_span(b), text);
            }
        }
        for (t, side) in [(lt, &b.lhs), (rt, &b.rhs)] {
            if !matches!(t, ValueType::Scalar | ValueType::Vector) {
                let text = "binary expression must contain only scalar and instant vector types";
                return self.fail(side.span, text);
            }
        }
        let vectors = lt == ValueType::Vector && rt == ValueType::Vector;
        let name = b.op.name();
        if let Some(m) = &b.matching {
            let fills = m.fill_left.or(m.fill_right).is_some();
            if !vectors && !m.labels.is_empty() {
                return self.fail(span, "vector matching only allowed between instant vectors");
            }
            if !vectors && fills {
                return self.fail(span, "filling in missing series only allowed between instant vectors");
            }
            if vectors && is_set && m.card != Card::ManyToMany {
                return self.fail(span, format!("no grouping allowed for \"{name}\" operation"));
            }
            if vectors && is_set && fills {
                return self.fail(span, "filling in missing series not allowed for set operators");
            }
        }
        if !vectors {
            b.matching = None;
        }
        if !vectors && is_set {
            return self
                .fail(span, format!("set operator \"{name}\" not allowed in binary scalar expression"));
        }
        Ok(if scalars { ValueType::Scalar } else { ValueType::Vector })
    }

    fn call(&self, c: &mut Call, span: Span) -> Result<ValueType> {
        let f = c.function;
        let (wanted, got) = (f.args.len(), c.args.len());
        let least = if f.variadic == 0 { wanted } else { wanted.saturating_sub(1) };
        let most = usize::try_from(f.variadic).map_or(usize::MAX, |n| least + n);
        if got < least || got > most {
            let (bound, n) = match (f.variadic, got < least) {
                (0, _) => ("", wanted),
                (_, true) => ("at least ", least),
                (_, false) => ("at most ", most),
            };
            let text = format!("expected {bound}{n} argument(s) in call to \"{}\", got {got}", f.name);
            return self.fail(span, text);
        }
        if f.name == "info"
            && let Some(selector) = c.args.get_mut(1)
        {
            self.data_selector(selector, span)?;
        }
        let context = format!("call to function \"{}\"", f.name);
        let last = f.args.last().copied();
        for (i, arg) in c.args.iter_mut().enumerate() {
            if let Some(want) = f.args.get(i).copied().or(last) {
                self.expect(arg, want, &context)?;
            }
        }
        Ok(f.returns)
    }

    /// The second argument of `info`: matchers alone, and they may let anything pass.
    fn data_selector(&self, selector: &mut Expr, call: Span) -> Result<()> {
        let t = selector.value_type();
        if t != ValueType::Vector {
            let t = type_name(t);
            let text = format!("expected type instant vector in call to function \"info\", got {t}");
            return self.fail(call, text);
        }
        match &mut selector.kind {
            ExprKind::Vector(v) if v.name.is_empty() => {
                v.may_be_empty = true;
                Ok(())
            }
            ExprKind::Vector(_) => {
                self.fail(selector.span, "expected label selectors only, got vector selector instead")
            }
            _ => self.fail(selector.span, "expected label selectors only"),
        }
    }
}

impl BinaryOp {
    fn is_comparison(self) -> bool {
        use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
        matches!(self, Eq | Ne | Gt | Lt | Ge | Le)
    }

    fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}
