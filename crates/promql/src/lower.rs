//! Expression tree -> plan: types become node kinds, times and durations numbers, functions kernels.
//!
//! A subtree is *fixed* where it gives the same at every step: all its selectors stand under `@`, and nothing
//! in it depends on the time of the step. Where its parent is not fixed it goes under [`Vector::Once`].

use std::sync::Arc;

use dolmen_promql_exec::annotation::Pos;
use dolmen_promql_exec::error::{PromqlError, Result};
use dolmen_promql_exec::function::extended::Reach;
use dolmen_promql_exec::plan::{Plan, Range, Root, Scalar, Selector, Subquery, Vector};
use dolmen_promql_parser::{At, Duration, Expr, ExprKind, MatrixSelector, Span, VectorSelector, When};

mod call;
mod duration;
mod operator;

/// The times of a query, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// First step.
    pub start: i64,
    /// Not later than this.
    pub end: i64,
    /// From step to step; 0 for an instant query.
    pub step: i64,
    /// Interval of subqueries that name none.
    pub subquery_step: i64,
}

/// The plan of an expression.
pub fn lower(expr: &Expr, times: Times) -> Result<Plan> {
    let mut lowering = Lowering { times, slots: 0, stats: Stats::default() };
    let root = match lowering.expr(expr)? {
        Lowered { node: Node::Vector(v), fixed: true, selects: true } => {
            Root::Vector(Vector::Once(Box::new(v)))
        }
        Lowered { node: Node::Vector(v), .. } => Root::Vector(v),
        Lowered { node: Node::Scalar(s), .. } => Root::Scalar(s),
        Lowered { node: Node::Range(r), .. } => Root::Range(r),
        Lowered { node: Node::String(s), .. } => Root::String(s),
    };
    Ok(Plan { root, slots: lowering.slots })
}

/// A node of any type.
enum Node {
    Vector(Vector),
    Scalar(Scalar),
    Range(Range),
    String(String),
}

/// A node, and what its parent must know of it.
struct Lowered {
    node: Node,
    /// Whether it is the same at every step.
    fixed: bool,
    /// Whether it reads any series: only then it is worth computing once.
    selects: bool,
}

impl Lowered {
    fn constant(node: Node) -> Lowered {
        Lowered { node, fixed: true, selects: false }
    }

    /// For a parent that is not fixed itself.
    fn once(self) -> Lowered {
        match self.node {
            Node::Vector(v) if self.fixed && self.selects => {
                Lowered { node: Node::Vector(Vector::Once(Box::new(v))), fixed: true, selects: true }
            }
            _ => self,
        }
    }

    fn vector(self) -> Result<Vector> {
        match self.node {
            Node::Vector(v) => Ok(v),
            _ => Err(mistyped("instant vector")),
        }
    }
}

/// The parser checks types: this is for trees that it did not make.
fn mistyped(wanted: &str) -> PromqlError {
    PromqlError::bad_data(format!("expected type {wanted}"))
}

fn pos(span: Span) -> Pos {
    Pos(span.start)
}

/// Whether selectors give histograms without their buckets, as below `histogram_count` and its like.
///
/// It follows Prometheus, as it shows: what cannot be added with buckets can be without.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stats {
    /// Nothing above says anything.
    #[default]
    Open,
    /// Counts and sums are enough.
    Enough,
    /// Something above needs the buckets.
    Never,
}

impl Stats {
    /// What holds in the arguments of a function.
    fn below(self, function: &str) -> Stats {
        match function {
            _ if self == Stats::Never => self,
            "histogram_count" | "histogram_sum" | "histogram_avg" => Stats::Enough,
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => Stats::Never,
            _ => self,
        }
    }
}

struct Lowering {
    times: Times,
    slots: usize,
    stats: Stats,
}

impl Lowering {
    fn expr(&mut self, expr: &Expr) -> Result<Lowered> {
        match &expr.kind {
            ExprKind::Number(n) => Ok(Lowered::constant(Node::Scalar(Scalar::Number(n.value)))),
            ExprKind::String(s) => Ok(Lowered::constant(Node::String(s.clone()))),
            ExprKind::Paren(of) => self.expr(of),
            ExprKind::Vector(v) => {
                let selector = Arc::new(self.selector(v, expr.span)?);
                let fixed = selector.at.is_some();
                Ok(Lowered { node: Node::Vector(Vector::Select(selector)), fixed, selects: true })
            }
            ExprKind::Matrix(m) => self.matrix(m),
            ExprKind::Subquery(q) => self.subquery(q, expr.span),
            ExprKind::Unary(u) => {
                let of = self.expr(&u.expr)?;
                if !u.minus {
                    return Ok(of);
                }
                let (fixed, selects) = (of.fixed, of.selects);
                let node = match of.node {
                    Node::Scalar(s) => Node::Scalar(Scalar::Negate(Box::new(s))),
                    Node::Vector(v) => Node::Vector(Vector::Negate(Box::new(v))),
                    _ => return Err(mistyped("scalar or instant vector")),
                };
                Ok(Lowered { node, fixed, selects })
            }
            ExprKind::Binary(b) => self.binary(b, expr.span),
            ExprKind::Call(c) => self.call(c, expr.span),
            ExprKind::Aggregate(a) => self.aggregate(a, expr.span),
        }
    }

    fn matrix(&mut self, m: &MatrixSelector) -> Result<Lowered> {
        let selector = Arc::new(self.selector(&m.vector, m.vector_span)?);
        let range = self.duration(&m.range, true)?;
        let fixed = selector.at.is_some();
        Ok(Lowered { node: Node::Range(Range::Select { selector, range }), fixed, selects: true })
    }

    fn subquery(&mut self, q: &dolmen_promql_parser::Subquery, span: Span) -> Result<Lowered> {
        // Its own grid moves with the steps, even where what is evaluated on it does not.
        let outer = std::mem::replace(&mut self.stats, Stats::Never);
        let inner = self.expr(&q.expr)?.once();
        self.stats = outer;
        let (offset, at) = self.when(&q.when)?;
        let step = match &q.step {
            Some(step) => self.duration(step, true)?,
            None => self.times.subquery_step,
        };
        let range = self.duration(&q.range, true)?;
        let inner = match inner.node {
            Node::Vector(v) => v,
            Node::Scalar(s) => Vector::Scalar(Box::new(s)),
            _ => return Err(mistyped("instant vector")),
        };
        let node = Subquery { inner, range, step, offset, at, pos: pos(span) };
        let node = Node::Range(Range::Subquery(Box::new(node)));
        Ok(Lowered { node, fixed: at.is_some(), selects: true })
    }

    fn selector(&mut self, v: &VectorSelector, span: Span) -> Result<Selector> {
        let (offset, at) = self.when(&v.when)?;
        let slot = self.slots;
        self.slots += 1;
        Ok(Selector {
            slot,
            matchers: v.matchers.clone().into(),
            offset,
            at,
            reach: match (v.anchored, v.smoothed) {
                (_, true) => Reach::Smoothed,
                (true, false) => Reach::Anchored,
                (false, false) => Reach::Plain,
            },
            stats: self.stats == Stats::Enough,
            pos: pos(span),
        })
    }

    fn when(&self, when: &When) -> Result<(i64, Option<i64>)> {
        let offset = when.offset.as_ref().map_or(Ok(0), |d| self.duration(d, false))?;
        let at = when.at.map(|at| match at {
            At::Time(t) => t,
            At::Start => self.times.start,
            At::End => self.times.end,
        });
        Ok((offset, at))
    }

    fn duration(&self, d: &Duration, positive: bool) -> Result<i64> {
        match d {
            Duration::Millis(ms) => Ok(*ms),
            Duration::Expr(e) => duration::millis(e, self.times, positive),
        }
    }
}
