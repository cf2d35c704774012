//! PromQL text -> expression tree with positions, checked types, and back to text.
//!
//! ```
//! use dolmen_promql_parser::{Options, parse, pretty};
//!
//! let expr = parse("sum(rate(x[5m])) by (job)", &Options::default()).expect("a query");
//! assert_eq!(expr.to_string(), "sum by (job) (rate(x[5m]))");
//! assert_eq!(pretty(&expr), expr.to_string());
//! let error = parse("sum(rate(x))", &Options::default()).expect_err("no range");
//! assert_eq!(
//!     error.to_string(),
//!     "1:10: parse error: expected type range vector in call to function \"rate\", got instant vector"
//! );
//! ```

mod ast;
pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Card, Duration, DurationExpr, DurationExprKind, Expr,
    ExprKind, Matching, MatrixSelector, Number, Span, Subquery, Unary, ValueType, VectorSelector, When,
};

mod function;
pub use function::{FUNCTIONS, Function};

mod error;
pub use error::ParseError;

mod parse;
pub use parse::{MAX_DEPTH, Options, parse, parse_selector};

mod check;
mod lex;
mod number;
mod token;

mod pretty;
mod print;
pub use pretty::pretty;

mod json;
pub use json::to_json;

mod regex;
pub use regex::check_regex;

mod text;
pub use text::{has_stray_bytes, quote};
