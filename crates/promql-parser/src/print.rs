//! Tree -> text, as Prometheus prints it: the same tree always gives the same text.

use std::fmt::{self, Display, Formatter, Write};

use dolmen_model::{METRIC_NAME, MatchOp, Matcher, format_duration, format_float, format_float_general};
use smol_str::SmolStr;

use crate::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Card, Duration, DurationExpr, DurationExprKind, Expr,
    ExprKind, Matching, Number, Subquery, VectorSelector, When,
};
use crate::text::{Quoted, is_plain_name};

impl BinaryOp {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Gt => ">",
            BinaryOp::Lt => "<",
            BinaryOp::Ge => ">=",
            BinaryOp::Le => "<=",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
        }
    }
}

impl AggregateOp {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Count => "count",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Quantile => "quantile",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Topk => "topk",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Whether something stands before the expression.
    pub fn has_param(self) -> bool {
        use AggregateOp::{Bottomk, CountValues, LimitRatio, Limitk, Quantile, Topk};
        matches!(self, Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio)
    }

    pub(crate) fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(n) => n.fmt(f),
            ExprKind::String(s) => Quoted(s).fmt(f),
            ExprKind::Vector(v) => {
                selector(f, v)?;
                at(f, &v.when)?;
                extended(f, v)?;
                offset(f, &v.when)
            }
            ExprKind::Matrix(m) => {
                selector(f, &m.vector)?;
                write!(f, "[{}]", m.range)?;
                extended(f, &m.vector)?;
                at(f, &m.vector.when)?;
                offset(f, &m.vector.when)
            }
            ExprKind::Subquery(q) => {
                q.expr.fmt(f)?;
                SubquerySuffix(q).fmt(f)
            }
            ExprKind::Paren(of) => write!(f, "({of})"),
            ExprKind::Unary(u) => write!(f, "{}{}", if u.minus { '-' } else { '+' }, u.expr),
            ExprKind::Binary(b) => write!(f, "{} {} {}", b.lhs, Operator(b), b.rhs),
            ExprKind::Call(c) => {
                write!(f, "{}(", c.function.name)?;
                for (i, arg) in c.args.iter().enumerate() {
                    f.write_str(if i > 0 { ", " } else { "" })?;
                    arg.fmt(f)?;
                }
                f.write_char(')')
            }
            ExprKind::Aggregate(a) => {
                write!(f, "{}(", Aggregation(a))?;
                if let Some(param) = &a.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", a.expr)
            }
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.duration {
            f.write_str(&format_duration((self.value * 1e9) as i64 / 1_000_000))
        } else {
            f.write_str(&format_float(self.value))
        }
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Duration::Millis(ms) => f.write_str(&format_duration(*ms)),
            Duration::Expr(e) => e.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            f.write_char('(')?;
        }
        match &self.kind {
            DurationExprKind::Number(n) => n.fmt(f)?,
            DurationExprKind::Step => f.write_str("step()")?,
            DurationExprKind::Range => f.write_str("range()")?,
            DurationExprKind::Unary { minus, of } => write!(f, "{}{of}", if *minus { "-" } else { "" })?,
            DurationExprKind::Binary { op, lhs, rhs } => write!(f, "{lhs} {} {rhs}", op.name())?,
            DurationExprKind::Min(a, b) => write!(f, "min_of({a}, {b})")?,
            DurationExprKind::Max(a, b) => write!(f, "max_of({a}, {b})")?,
        }
        if self.wrapped {
            f.write_char(')')?;
        }
        Ok(())
    }
}

/// `sum by (a) `, what stands before the arguments.
pub(crate) struct Aggregation<'a>(pub(crate) &'a Aggregate);

impl Display for Aggregation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.name())?;
        if self.0.without || !self.0.labels.is_empty() {
            f.write_str(if self.0.without { " without (" } else { " by (" })?;
            names(f, &self.0.labels)?;
            f.write_str(") ")?;
        }
        Ok(())
    }
}

/// An operator with all that modifies it.
pub(crate) struct Operator<'a>(pub(crate) &'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.name())?;
        if self.0.bool {
            f.write_str(" bool")?;
        }
        self.0.matching.as_ref().map_or(Ok(()), |m| matching(f, m))
    }
}

fn matching(f: &mut Formatter<'_>, m: &Matching) -> fmt::Result {
    let group = match m.card {
        Card::ManyToOne => Some(" group_left ("),
        Card::OneToMany => Some(" group_right ("),
        Card::OneToOne | Card::ManyToMany => None,
    };
    if m.on || group.is_some() || !m.labels.is_empty() {
        f.write_str(if m.on { " on (" } else { " ignoring (" })?;
        names(f, &m.labels)?;
        f.write_char(')')?;
    }
    if let Some(group) = group {
        f.write_str(group)?;
        names(f, &m.include)?;
        f.write_char(')')?;
    }
    match (m.fill_left, m.fill_right) {
        (Some(l), Some(r)) if l.to_bits() == r.to_bits() => write!(f, " fill ({})", fill(l)),
        (l, r) => {
            if let Some(l) = l {
                write!(f, " fill_left ({})", fill(l))?;
            }
            r.map_or(Ok(()), |r| write!(f, " fill_right ({})", fill(r)))
        }
    }
}

/// With an exponent where Go's default layout has one.
fn fill(v: f64) -> String {
    let size = v.abs();
    if v.is_finite() && v != 0.0 && !(1e-4..1e21).contains(&size) {
        format_float_general(v)
    } else {
        format_float(v)
    }
}

fn names(f: &mut Formatter<'_>, names: &[SmolStr]) -> fmt::Result {
    for (i, name) in names.iter().enumerate() {
        f.write_str(if i > 0 { ", " } else { "" })?;
        label_name(f, name)?;
    }
    Ok(())
}

fn label_name(f: &mut impl Write, name: &str) -> fmt::Result {
    if is_plain_name(name) { f.write_str(name) } else { write!(f, "{}", Quoted(name)) }
}

fn selector(f: &mut Formatter<'_>, v: &VectorSelector) -> fmt::Result {
    f.write_str(&v.name)?;
    let is_name = |m: &Matcher| {
        m.name() == METRIC_NAME && m.op() == MatchOp::Eq && m.value() == v.name && !v.name.is_empty()
    };
    let mut texts = Vec::new();
    for m in v.matchers.iter().filter(|m| !is_name(m)) {
        let mut text = String::new();
        label_name(&mut text, m.name())?;
        write!(text, "{}{}", match_op(m.op()), Quoted(m.value()))?;
        texts.push(text);
    }
    if texts.is_empty() {
        return Ok(());
    }
    texts.sort();
    write!(f, "{{{}}}", texts.join(","))
}

/// As it is written.
pub(crate) fn match_op(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Eq => "=",
        MatchOp::Ne => "!=",
        MatchOp::Re => "=~",
        MatchOp::Nre => "!~",
    }
}

fn extended(f: &mut Formatter<'_>, v: &VectorSelector) -> fmt::Result {
    f.write_str(match (v.anchored, v.smoothed) {
        (true, _) => " anchored",
        (false, true) => " smoothed",
        (false, false) => "",
    })
}

fn at(f: &mut Formatter<'_>, when: &When) -> fmt::Result {
    match when.at {
        Some(At::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        None => Ok(()),
    }
}

fn offset(f: &mut Formatter<'_>, when: &When) -> fmt::Result {
    when.offset.as_ref().map_or(Ok(()), |d| write!(f, " offset {d}"))
}

/// What follows the expression of a subquery.
pub(crate) struct SubquerySuffix<'a>(pub(crate) &'a Subquery);

impl Display for SubquerySuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        if let Some(step) = &self.0.step {
            step.fmt(f)?;
        }
        f.write_char(']')?;
        at(f, &self.0.when)?;
        offset(f, &self.0.when)
    }
}
