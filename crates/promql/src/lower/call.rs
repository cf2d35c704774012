//! Function calls.

use std::sync::Arc;

use dolmen_model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp};
use dolmen_promql_exec::annotation::Pos;
use dolmen_promql_exec::error::{PromqlError, Result};
use dolmen_promql_exec::function::extended::Reach;
use dolmen_promql_exec::function::{MapKernel, group, map, range};
use dolmen_promql_exec::plan::{GroupNode, InfoNode, Range, RangeCall, Scalar, Selector, Vector};
use dolmen_promql_parser::{Call, Expr, ExprKind, Span, VectorSelector};

use super::{Lowered, Lowering, Node, mistyped, pos};

/// Functions that depend on the time of the step, not only on what they are called with.
const OF_THE_STEP: [&str; 14] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "start",
    "end",
    "step",
    "range",
];

/// The smaller of two numbers; NaN if either is, but for −Inf.
pub(super) fn min_of(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

/// The larger of two numbers; NaN if either is, but for +Inf.
pub(super) fn max_of(a: f64, b: f64) -> f64 {
    -min_of(-a, -b)
}

/// The arguments of a call, by type.
#[derive(Default)]
struct Args {
    vector: Option<Vector>,
    range: Option<Range>,
    scalars: Vec<Scalar>,
    strings: Vec<String>,
    /// Where the vector or range stands.
    vector_pos: Pos,
}

impl Args {
    fn vector(&mut self) -> Result<Vector> {
        self.vector.take().ok_or_else(|| mistyped("instant vector"))
    }

    fn scalar(&mut self) -> Result<Scalar> {
        if self.scalars.is_empty() { Err(mistyped("scalar")) } else { Ok(self.scalars.remove(0)) }
    }
}

impl Lowering {
    pub(super) fn call(&mut self, c: &Call, span: Span) -> Result<Lowered> {
        let name = c.function.name;
        match name {
            "timestamp" => return self.timestamp(c),
            "start_timestamp" => return self.start_timestamp(c),
            "info" => return self.info(c),
            _ => {}
        }
        let outer = self.stats;
        self.stats = outer.below(name);
        let mut lowered = Vec::with_capacity(c.args.len());
        for arg in &c.args {
            lowered.push(self.expr(arg)?);
        }
        self.stats = outer;
        let fixed = !OF_THE_STEP.contains(&name) && lowered.iter().all(|a| a.fixed);
        let selects = lowered.iter().any(|a| a.selects);
        let mut args = Args::default();
        for (arg, expr) in lowered.into_iter().zip(&c.args) {
            let arg = if fixed { arg } else { arg.once() };
            match arg.node {
                Node::Vector(v) => (args.vector, args.vector_pos) = (Some(v), pos(expr.span)),
                Node::Range(r) => (args.range, args.vector_pos) = (Some(r), pos(expr.span)),
                Node::Scalar(s) => args.scalars.push(s),
                Node::String(s) => args.strings.push(s),
            }
        }
        let node = match self.scalar_call(name, &mut args)? {
            Some(scalar) => Node::Scalar(scalar),
            None => Node::Vector(self.vector_call(c, span, args)?),
        };
        Ok(Lowered { node, fixed, selects })
    }

    fn scalar_call(&self, name: &str, args: &mut Args) -> Result<Option<Scalar>> {
        let seconds = |ms: i64| Scalar::Number(ms as f64 / 1000.0);
        Ok(Some(match name {
            "time" => Scalar::Time,
            "pi" => Scalar::Number(std::f64::consts::PI),
            "start" => seconds(self.times.start),
            "end" => seconds(self.times.end),
            "step" => seconds(self.times.step),
            "range" => seconds(self.times.end - self.times.start),
            "min_of" => Scalar::Pair(min_of, Box::new(args.scalar()?), Box::new(args.scalar()?)),
            "max_of" => Scalar::Pair(max_of, Box::new(args.scalar()?), Box::new(args.scalar()?)),
            "scalar" => Scalar::Of(Box::new(args.vector()?)),
            _ => return Ok(None),
        }))
    }

    fn vector_call(&self, c: &Call, span: Span, mut args: Args) -> Result<Vector> {
        let name = c.function.name;
        if name == "vector" {
            return Ok(Vector::Scalar(Box::new(args.scalar()?)));
        }
        let positions: Vec<Pos> = c.args.iter().map(|a| pos(a.span)).collect();
        let first = positions.first().copied().unwrap_or(pos(span));
        if let Some(function) = range::find(name) {
            let range = args.range.ok_or_else(|| mistyped("range vector"))?;
            check_reach(name, &range)?;
            let absent = (name == "absent_over_time").then(|| absent_labels(c.args.first()));
            let call = RangeCall { function, range, scalars: args.scalars, pos: first, absent };
            return Ok(Vector::Range(Box::new(call)));
        }
        if let Some(function) = map::find(name) {
            // The functions of the calendar take the time of the step where nothing is given.
            let of = args.vector.unwrap_or_else(|| Vector::Scalar(Box::new(Scalar::Time)));
            return Ok(Vector::Map { kernel: function.kernel, of: Box::new(of), scalars: args.scalars });
        }
        let Some(function) = group::find(name) else {
            return Err(PromqlError::execution(format!("function {name:?} cannot be evaluated")));
        };
        Ok(Vector::Group(Arc::new(GroupNode {
            function,
            of: args.vector()?,
            scalars: args.scalars,
            strings: args.strings,
            args: positions,
            vector: args.vector_pos,
            pos: pos(span),
            absent: absent_labels(c.args.first()),
        })))
    }

    /// A sample's own time is known only where the argument is a selector itself.
    fn timestamp(&mut self, c: &Call) -> Result<Lowered> {
        let arg = c.args.first().ok_or_else(|| mistyped("instant vector"))?;
        let of = self.expr(arg)?;
        if let Node::Vector(Vector::Select(selector)) = &of.node
            && matches!(arg.unwrapped().kind, ExprKind::Vector(_))
        {
            let node = Node::Vector(Vector::TimeOf(selector.clone()));
            return Ok(Lowered { node, fixed: of.fixed, selects: true });
        }
        let selects = of.selects;
        let node = Node::Vector(Vector::Stamp(Box::new(of.once().vector()?)));
        Ok(Lowered { node, fixed: false, selects })
    }

    /// Samples have no start times here: that of a selector's is 0, anything else has none.
    fn start_timestamp(&mut self, c: &Call) -> Result<Lowered> {
        let arg = c.args.first().ok_or_else(|| mistyped("instant vector"))?;
        let of = self.expr(arg)?;
        let (fixed, selects) = (of.fixed, of.selects);
        let (kernel, of): (MapKernel, _) = match of.node {
            Node::Vector(Vector::Select(selector)) if matches!(arg.unwrapped().kind, ExprKind::Vector(_)) => {
                (MapKernel::Float(|_| 0.0), Vector::TimeOf(selector))
            }
            Node::Vector(of) => (MapKernel::Floats(|_, _| None), of),
            _ => return Err(mistyped("instant vector")),
        };
        let node = Node::Vector(Vector::Map { kernel, of: Box::new(of), scalars: Vec::new() });
        Ok(Lowered { node, fixed, selects })
    }

    fn info(&mut self, c: &Call) -> Result<Lowered> {
        let base = c.args.first().ok_or_else(|| mistyped("instant vector"))?;
        // Info series are looked up at the time that the first selector of the argument looks at.
        let (offset, at) = match first_selector(base) {
            Some(v) => self.when(&v.when)?,
            None => (0, None),
        };
        let of = self.expr(base)?;
        let (fixed, selects) = (of.fixed, of.selects);
        let data = match c.args.get(1).map(Expr::unwrapped) {
            Some(Expr { kind: ExprKind::Vector(v), .. }) => &v.matchers[..],
            Some(_) => return Err(mistyped("instant vector selector")),
            None => &[],
        };
        let (names, matchers) = data.iter().cloned().partition(|m| m.name() == METRIC_NAME);
        let selector = Selector {
            // Asked for when the elements are known.
            slot: usize::MAX,
            matchers: Arc::from([]),
            offset,
            at,
            reach: Reach::Plain,
            stats: false,
            pos: pos(base.span),
        };
        let node = InfoNode { of: of.vector()?, selector: Arc::new(selector), matchers, names };
        Ok(Lowered { node: Node::Vector(Vector::Info(Arc::new(node))), fixed, selects })
    }
}

/// Not all functions know what to do with samples beyond their window.
fn check_reach(function: &str, range: &Range) -> Result<()> {
    let Range::Select { selector, .. } = range else { return Ok(()) };
    let (word, known): (_, &[&str]) = match selector.reach {
        Reach::Plain => return Ok(()),
        Reach::Anchored => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
        Reach::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    if known.contains(&function) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(PromqlError::execution(format!(
        "{word} modifier can only be used with: {known} - not with {function}"
    )))
}

/// The labels of what `absent` gives: those that an equality tells and nothing behind it questions.
fn absent_labels(arg: Option<&Expr>) -> Labels {
    let matchers = match arg.map(|a| &a.kind) {
        Some(ExprKind::Vector(v)) => &v.matchers,
        Some(ExprKind::Matrix(m)) => &m.vector.matchers,
        _ => return Labels::empty(),
    };
    let mut told = LabelsBuilder::default();
    let mut equal: Vec<&str> = Vec::new();
    for m in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        if m.op() == MatchOp::Eq && !equal.contains(&m.name()) {
            told.set(m.name(), m.value());
            equal.push(m.name());
        } else {
            told.remove(m.name());
        }
    }
    told.build()
}

/// The selector that stands first in an expression.
fn first_selector(e: &Expr) -> Option<&VectorSelector> {
    match &e.kind {
        ExprKind::Number(_) | ExprKind::String(_) => None,
        ExprKind::Vector(v) => Some(v),
        ExprKind::Matrix(m) => Some(&m.vector),
        ExprKind::Subquery(q) => first_selector(&q.expr),
        ExprKind::Paren(of) => first_selector(of),
        ExprKind::Unary(u) => first_selector(&u.expr),
        ExprKind::Binary(b) => first_selector(&b.lhs).or_else(|| first_selector(&b.rhs)),
        ExprKind::Call(c) => c.args.iter().find_map(first_selector),
        ExprKind::Aggregate(a) => {
            first_selector(&a.expr).or_else(|| a.param.as_ref().and_then(first_selector))
        }
    }
}
