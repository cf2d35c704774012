//! What a query is made of once it is typed: each node knows whether it gives a vector, a scalar or a range.
//!
//! Times are resolved (`@`, `start()`), durations are milliseconds, functions are their kernels. Subtrees that
//! do not depend on the step stand under [`Vector::Once`].

use std::sync::Arc;

use dolmen_model::{Labels, Matcher, Timestamp};
use smol_str::SmolStr;

use crate::annotation::Pos;
use crate::function::extended::Reach;
use crate::function::{GroupFn, MapKernel, RangeFn};

/// A selector of series.
#[derive(Clone, Debug)]
pub struct Selector {
    /// Its place among the query's selectors.
    pub slot: usize,
    /// What series must match.
    pub matchers: Arc<[Matcher]>,
    /// By how much it looks back from the time of the step.
    pub offset: i64,
    /// The time that stands for that of every step.
    pub at: Option<Timestamp>,
    /// `anchored`, `smoothed`.
    pub reach: Reach,
    /// Whether counts and sums of histograms are enough.
    pub stats: bool,
    /// Where it stands.
    pub pos: Pos,
}

impl Selector {
    /// The time it looks at for a step.
    pub fn time(&self, step: Timestamp) -> Timestamp {
        self.at.unwrap_or(step) - self.offset
    }

    /// Whether all its series have one name: then they differ without it too.
    pub fn has_one_name(&self) -> bool {
        use dolmen_model::{METRIC_NAME, MatchOp};
        self.matchers
            .iter()
            .any(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Eq && !m.value().is_empty())
    }
}

/// Gives elements at each step.
#[derive(Clone)]
pub enum Vector {
    /// The newest samples.
    Select(Arc<Selector>),
    /// The times of the newest samples, in seconds.
    TimeOf(Arc<Selector>),
    /// A function of windows.
    Range(Box<RangeCall>),
    /// A function of each element.
    Map {
        /// What it computes.
        kernel: MapKernel,
        /// Of which elements.
        of: Box<Vector>,
        /// Scalar arguments.
        scalars: Vec<Scalar>,
    },
    /// The time of the step, for each element.
    Stamp(Box<Vector>),
    /// A function of all elements.
    Group(Arc<GroupNode>),
    /// Unary minus.
    Negate(Box<Vector>),
    /// An operator between elements and a scalar.
    WithScalar(Box<WithScalar>),
    /// An operator between elements of two vectors.
    Binary(Arc<Binary>),
    /// `and`, `or`, `unless`.
    Set(Arc<SetNode>),
    /// An aggregation.
    Aggregate(Arc<Aggregate>),
    /// One element without labels.
    Scalar(Box<Scalar>),
    /// The same at every step: computed once.
    Once(Box<Vector>),
    /// `info`.
    Info(Arc<InfoNode>),
}

/// Gives one number at each step.
#[derive(Clone)]
pub enum Scalar {
    /// A number.
    Number(f64),
    /// The time of the step in seconds.
    Time,
    /// Unary minus.
    Negate(Box<Scalar>),
    /// An operator; comparisons give 0 or 1.
    Binary(Op, Box<Scalar>, Box<Scalar>),
    /// A function of two numbers.
    Pair(fn(f64, f64) -> f64, Box<Scalar>, Box<Scalar>),
    /// The only float of a vector, else NaN.
    Of(Box<Vector>),
}

/// Gives samples of a window.
#[derive(Clone)]
pub enum Range {
    /// Of stored series.
    Select {
        /// Which.
        selector: Arc<Selector>,
        /// How long the window is.
        range: i64,
    },
    /// Of an inner evaluation.
    Subquery(Box<Subquery>),
}

/// An evaluation on a grid of its own, whose steps are multiples of its interval.
#[derive(Clone)]
pub struct Subquery {
    /// What is evaluated.
    pub inner: Vector,
    /// How long the window is.
    pub range: i64,
    /// The interval.
    pub step: i64,
    /// By how much it looks back from the time of the step.
    pub offset: i64,
    /// The time that stands for that of every step.
    pub at: Option<Timestamp>,
    /// Where it stands.
    pub pos: Pos,
}

impl Subquery {
    /// The time that its window ends for a step.
    pub fn time(&self, step: Timestamp) -> Timestamp {
        self.at.unwrap_or(step) - self.offset
    }
}

/// A function of windows.
#[derive(Clone)]
pub struct RangeCall {
    /// What it computes.
    pub function: RangeFn,
    /// Of what.
    pub range: Range,
    /// Scalar arguments.
    pub scalars: Vec<Scalar>,
    /// Where its first argument stands.
    pub pos: Pos,
    /// For `absent_over_time`: the labels of its element.
    pub absent: Option<Labels>,
}

/// A function of all elements.
#[derive(Clone)]
pub struct GroupNode {
    /// What it computes.
    pub function: GroupFn,
    /// Of which elements.
    pub of: Vector,
    /// Scalar arguments.
    pub scalars: Vec<Scalar>,
    /// String arguments.
    pub strings: Vec<String>,
    /// Where the arguments stand.
    pub args: Vec<Pos>,
    /// Where the vector stands.
    pub vector: Pos,
    /// Where the call stands.
    pub pos: Pos,
    /// For `absent`: the labels of its element.
    pub absent: Labels,
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Op {
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
}

impl Op {
    /// Whether it filters instead of computing.
    pub fn compares(self) -> bool {
        matches!(self, Op::Eq | Op::Ne | Op::Gt | Op::Lt | Op::Ge | Op::Le)
    }

    /// Whether its result is another metric than its operands.
    pub fn drops_name(self) -> bool {
        matches!(self, Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Mod | Op::Pow | Op::Atan2)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Op::Add => "+",
            Op::Sub => "-",
            Op::Mul => "*",
            Op::Div => "/",
            Op::Mod => "%",
            Op::Pow => "^",
            Op::Atan2 => "atan2",
            Op::Eq => "==",
            Op::Ne => "!=",
            Op::Gt => ">",
            Op::Lt => "<",
            Op::Ge => ">=",
            Op::Le => "<=",
            Op::TrimUpper => "</",
            Op::TrimLower => ">/",
        }
    }
}

/// An operator between elements and a scalar.
#[derive(Clone)]
pub struct WithScalar {
    /// The operator.
    pub op: Op,
    /// The elements.
    pub vector: Vector,
    /// The scalar.
    pub scalar: Scalar,
    /// Whether the scalar stands on the left.
    pub swapped: bool,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub bool: bool,
    /// Where the operation stands.
    pub pos: Pos,
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
}

/// Which elements of two vectors match.
#[derive(Clone, Debug)]
pub struct Matching {
    /// Whether `labels` are those that must be equal (`on`), or those that need not (`ignoring`).
    pub on: bool,
    /// Label names, sorted.
    pub labels: Vec<SmolStr>,
}

/// An operator between elements of two vectors.
#[derive(Clone)]
pub struct Binary {
    /// The operator.
    pub op: Op,
    /// Left side.
    pub lhs: Vector,
    /// Right side.
    pub rhs: Vector,
    /// What matches.
    pub matching: Matching,
    /// How many match.
    pub card: Card,
    /// Labels that are taken from the one side.
    pub include: Vec<SmolStr>,
    /// Stands for missing elements of the left side.
    pub fill_left: Option<f64>,
    /// Stands for missing elements of the right side.
    pub fill_right: Option<f64>,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub bool: bool,
    /// Where the operation stands.
    pub pos: Pos,
}

/// `and`, `or`, `unless`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum SetOp {
    And,
    Or,
    Unless,
}

/// A set operation.
#[derive(Clone)]
pub struct SetNode {
    /// The operator.
    pub op: SetOp,
    /// Left side.
    pub lhs: Vector,
    /// Right side.
    pub rhs: Vector,
    /// What matches.
    pub matching: Matching,
}

/// What an aggregation computes of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Aggregation {
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
#[derive(Clone)]
pub struct Aggregate {
    /// What it computes.
    pub op: Aggregation,
    /// Of which elements.
    pub of: Vector,
    /// `k`, `q` or the ratio.
    pub param: Option<Scalar>,
    /// The label of `count_values`.
    pub label: String,
    /// Whether `labels` are those that are left out.
    pub without: bool,
    /// Label names, sorted.
    pub labels: Vec<SmolStr>,
    /// Where the aggregation stands.
    pub pos: Pos,
    /// Where its argument stands.
    pub of_pos: Pos,
    /// Where its parameter stands.
    pub param_pos: Pos,
}

/// `info`.
#[derive(Clone)]
pub struct InfoNode {
    /// The elements that get labels.
    pub of: Vector,
    /// The info series.
    pub selector: Arc<Selector>,
    /// Matchers on labels other than the name; empty: all labels are added.
    pub matchers: Vec<Matcher>,
    /// Matchers on the name.
    pub names: Vec<Matcher>,
}

/// A whole query.
pub enum Root {
    /// A vector.
    Vector(Vector),
    /// A scalar.
    Scalar(Scalar),
    /// A string.
    String(String),
    /// Samples of windows; only where there is one step.
    Range(Range),
}

/// A query that can be run.
pub struct Plan {
    /// What it is.
    pub root: Root,
    /// How many selectors it has.
    pub slots: usize,
}
