//! PromQL text -> expression tree with positions, checked types, and back to text.

mod ast;

pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Card, Duration, DurationExpr, DurationExprKind, Expr,
    ExprKind, Matching, MatrixSelector, Number, Span, Subquery, Unary, ValueType, VectorSelector, When,
};

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What its arguments must be; a variadic function may repeat or leave out the last.
    pub args: &'static [ValueType],
    /// 0: none; n > 0: the last arguments may be left out or up to n given beyond the first ones; −1: any number.
    pub variadic: i32,
    /// What it gives.
    pub returns: ValueType,
    /// Whether it must be switched on.
    pub experimental: bool,
}
