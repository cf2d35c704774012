//! What a query says, as it was written: every node knows the bytes that it stands on.

use dolmen_model::Matcher;
use smol_str::SmolStr;

/// Bytes of the query's text, half-open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `1.5`, `5m`
    Number(Number),
    /// `"text"`
    String(String),
    /// `name{label="value"} offset 5m @ 10`
    Vector(VectorSelector),
    /// `vector[5m]`
    Matrix(MatrixSelector),
    /// `expr[1h:5m]`
    Subquery(Subquery),
    /// `(expr)`
    Paren(Box<Expr>),
    /// `-expr`, `+expr`
    Unary(Unary),
    /// `lhs op rhs`
    Binary(Box<Binary>),
    /// `f(args)`
    Call(Call),
    /// `sum by (l) (expr)`
    Aggregate(Box<Aggregate>),
}

/// A number.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Its value; seconds where it was written as a duration.
    pub value: f64,
    /// Whether it was written as a duration.
    pub duration: bool,
}

/// A sign before an expression.
#[derive(Clone, Debug)]
pub struct Unary {
    /// Whether it is a minus.
    pub minus: bool,
    /// What it stands before.
    pub expr: Box<Expr>,
}

/// A selector of series.
#[derive(Clone, Debug)]
pub struct VectorSelector {
    /// The metric name that stands before the braces; empty if there is none, or if it is quoted in them.
    pub name: String,
    /// What series must match, in the order written; the equality of a name stands last, as in Prometheus.
    pub matchers: Vec<Matcher>,
    /// From what time it looks.
    pub when: When,
    /// `anchored`
    pub anchored: bool,
    /// `smoothed`
    pub smoothed: bool,
    /// Whether its matchers may let anything pass: those of `info`'s data selector alone.
    pub may_be_empty: bool,
}

/// Samples of a time before each step.
#[derive(Clone, Debug)]
pub struct MatrixSelector {
    /// Of which series; its own span is [`MatrixSelector::vector_span`].
    pub vector: VectorSelector,
    /// Where the vector selector stands.
    pub vector_span: Span,
    /// How long before.
    pub range: Duration,
}

/// An expression evaluated on a grid of its own.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// The expression.
    pub expr: Box<Expr>,
    /// How long before each step.
    pub range: Duration,
    /// Its interval; `None` is the default one.
    pub step: Option<Duration>,
    /// From what time it looks.
    pub when: When,
}

/// `offset` and `@`
#[derive(Clone, Debug, Default)]
pub struct When {
    /// By how much it looks back.
    pub offset: Option<Duration>,
    /// The time that stands for that of every step.
    pub at: Option<At>,
}

/// `@`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the epoch.
    Time(i64),
    /// The query's first step.
    Start,
    /// The query's last step.
    End,
}

/// A duration as it was written.
#[derive(Clone, Debug)]
pub enum Duration {
    /// A literal, in milliseconds.
    Millis(i64),
    /// An expression that is computed when the query's times are known.
    Expr(Box<DurationExpr>),
}

/// An expression over durations; all in seconds.
#[derive(Clone, Debug)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationExprKind,
    /// Where it stands.
    pub span: Span,
    /// Whether it stands in parentheses.
    pub wrapped: bool,
}

/// The kinds of duration expressions.
#[derive(Clone, Debug)]
pub enum DurationExprKind {
    /// A literal.
    Number(Number),
    /// The query's step.
    Step,
    /// The query's range.
    Range,
    /// `-d`, `+d`
    Unary {
        /// Whether it is a minus.
        minus: bool,
        /// What it stands before.
        of: Box<DurationExpr>,
    },
    /// `a + b`
    Binary {
        /// `+ - * / % ^`
        op: BinaryOp,
        /// Left side.
        lhs: Box<DurationExpr>,
        /// Right side.
        rhs: Box<DurationExpr>,
    },
    /// `min_of(a, b)`
    Min(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`
    Max(Box<DurationExpr>, Box<DurationExpr>),
}

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eq,
    Ne,
    Gt,
    Lt,
    Ge,
    Le,
    TrimUpper,
    TrimLower,
    And,
    Or,
    Unless,
}

/// `lhs op rhs`
#[derive(Clone, Debug)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Where the operator stands.
    pub op_span: Span,
    /// Left side.
    pub lhs: Expr,
    /// Right side.
    pub rhs: Expr,
    /// `bool`
    pub bool: bool,
    /// Which elements match; there where both sides are vectors.
    pub matching: Option<Matching>,
}

/// How many elements of each side match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// One of each.
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// Of the set operators.
    ManyToMany,
}

/// Which elements of two vectors match.
#[derive(Clone, Debug)]
pub struct Matching {
    /// How many.
    pub card: Card,
    /// Whether `labels` are those that must be equal (`on`); else those that need not (`ignoring`).
    pub on: bool,
    /// Label names as written.
    pub labels: Vec<SmolStr>,
    /// Labels that are taken from the one side, as written.
    pub include: Vec<SmolStr>,
    /// `fill_left(v)`
    pub fill_left: Option<f64>,
    /// `fill_right(v)`
    pub fill_right: Option<f64>,
}

/// A function call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub function: &'static crate::Function,
    /// Its arguments.
    pub args: Vec<Expr>,
}

/// The aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Quantile,
    CountValues,
    Topk,
    Bottomk,
    Limitk,
    LimitRatio,
}

/// An aggregation.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// What it computes.
    pub op: AggregateOp,
    /// Of which elements.
    pub expr: Expr,
    /// `k`, `q`, the ratio or the label.
    pub param: Option<Expr>,
    /// Whether `labels` are those that are left out.
    pub without: bool,
    /// Label names as written.
    pub labels: Vec<SmolStr>,
}

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// One number.
    Scalar,
    /// A text.
    String,
    /// One sample a series.
    Vector,
    /// Many samples a series.
    Matrix,
}

impl Expr {
    /// What it gives.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Paren(of) => of.value_type(),
            ExprKind::Unary(u) => u.expr.value_type(),
            ExprKind::Call(c) => c.function.returns,
            ExprKind::Binary(b) => {
                let scalars =
                    b.lhs.value_type() == ValueType::Scalar && b.rhs.value_type() == ValueType::Scalar;
                if scalars { ValueType::Scalar } else { ValueType::Vector }
            }
        }
    }

    /// The expression without the parentheses around it.
    pub fn unwrapped(&self) -> &Expr {
        let mut e = self;
        while let ExprKind::Paren(of) = &e.kind {
            e = of;
        }
        e
    }
}
