//! Binary operators and aggregations.

use std::sync::Arc;

use dolmen_promql_exec::error::Result;
use dolmen_promql_exec::plan::{
    Aggregate, Aggregation, Binary, Card, Matching, Op, Scalar, SetNode, SetOp, Vector, WithScalar,
};
use dolmen_promql_parser::{self as ast, AggregateOp, BinaryOp, Expr, Span};
use smol_str::SmolStr;

use super::{Lowered, Lowering, Node, mistyped, pos};

impl Lowering {
    pub(super) fn binary(&mut self, b: &ast::Binary, span: Span) -> Result<Lowered> {
        let outer = std::mem::take(&mut self.stats);
        let (mut lhs, mut rhs) = (self.expr(&b.lhs)?, self.expr(&b.rhs)?);
        self.stats = outer;
        let fixed = lhs.fixed && rhs.fixed;
        let selects = lhs.selects || rhs.selects;
        if !fixed {
            (lhs, rhs) = (lhs.once(), rhs.once());
        }
        let pos = pos(span);
        let node = match (operator(b.op), lhs.node, rhs.node) {
            (Operator::Of(op), Node::Scalar(l), Node::Scalar(r)) => {
                Node::Scalar(Scalar::Binary(op, Box::new(l), Box::new(r)))
            }
            (Operator::Of(op), Node::Vector(vector), Node::Scalar(scalar)) => {
                let node = WithScalar { op, vector, scalar, swapped: false, bool: b.bool, pos };
                Node::Vector(Vector::WithScalar(Box::new(node)))
            }
            (Operator::Of(op), Node::Scalar(scalar), Node::Vector(vector)) => {
                let node = WithScalar { op, vector, scalar, swapped: true, bool: b.bool, pos };
                Node::Vector(Vector::WithScalar(Box::new(node)))
            }
            (Operator::Of(op), Node::Vector(lhs), Node::Vector(rhs)) => {
                let m = b.matching.as_ref();
                let card = match m.map(|m| m.card) {
                    Some(ast::Card::ManyToOne) => Card::ManyToOne,
                    Some(ast::Card::OneToMany) => Card::OneToMany,
                    _ => Card::OneToOne,
                };
                let mut fills = (m.and_then(|m| m.fill_left), m.and_then(|m| m.fill_right));
                if card == Card::OneToMany {
                    // Prometheus swaps the sides before it fills: with group_right, left is right.
                    fills = (fills.1, fills.0);
                }
                let node = Binary {
                    op,
                    lhs,
                    rhs,
                    matching: matching(m),
                    card,
                    include: m.map_or_else(Vec::new, |m| m.include.clone()),
                    fill_left: fills.0,
                    fill_right: fills.1,
                    bool: b.bool,
                    pos,
                };
                Node::Vector(Vector::Binary(Arc::new(node)))
            }
            (Operator::OfSets(op), Node::Vector(lhs), Node::Vector(rhs)) => {
                let node = SetNode { op, lhs, rhs, matching: matching(b.matching.as_ref()) };
                Node::Vector(Vector::Set(Arc::new(node)))
            }
            _ => return Err(mistyped("scalar or instant vector")),
        };
        Ok(Lowered { node, fixed, selects })
    }

    pub(super) fn aggregate(&mut self, a: &ast::Aggregate, span: Span) -> Result<Lowered> {
        let mut of = self.expr(&a.expr)?;
        let param = a.param.as_ref().map(|p| self.expr(p)).transpose()?;
        let fixed = of.fixed && param.as_ref().is_none_or(|p| p.fixed);
        let selects = of.selects || param.as_ref().is_some_and(|p| p.selects);
        if !fixed {
            of = of.once();
        }
        let (param, label) = match param.map(|p| p.node) {
            None => (None, String::new()),
            Some(Node::Scalar(s)) => (Some(s), String::new()),
            Some(Node::String(label)) => (None, label),
            Some(_) => return Err(mistyped("scalar")),
        };
        let start = |e: &Expr| pos(e.span);
        let node = Aggregate {
            op: aggregation(a.op),
            of: of.vector()?,
            param,
            label,
            without: a.without,
            labels: sorted(&a.labels),
            pos: pos(span),
            of_pos: start(&a.expr),
            param_pos: a.param.as_ref().map(start).unwrap_or_default(),
        };
        Ok(Lowered { node: Node::Vector(Vector::Aggregate(Arc::new(node))), fixed, selects })
    }
}

enum Operator {
    Of(Op),
    OfSets(SetOp),
}

fn operator(op: BinaryOp) -> Operator {
    Operator::Of(match op {
        BinaryOp::And => return Operator::OfSets(SetOp::And),
        BinaryOp::Or => return Operator::OfSets(SetOp::Or),
        BinaryOp::Unless => return Operator::OfSets(SetOp::Unless),
        BinaryOp::Add => Op::Add,
        BinaryOp::Sub => Op::Sub,
        BinaryOp::Mul => Op::Mul,
        BinaryOp::Div => Op::Div,
        BinaryOp::Mod => Op::Mod,
        BinaryOp::Pow => Op::Pow,
        BinaryOp::Atan2 => Op::Atan2,
        BinaryOp::Eq => Op::Eq,
        BinaryOp::Ne => Op::Ne,
        BinaryOp::Gt => Op::Gt,
        BinaryOp::Lt => Op::Lt,
        BinaryOp::Ge => Op::Ge,
        BinaryOp::Le => Op::Le,
        BinaryOp::TrimUpper => Op::TrimUpper,
        BinaryOp::TrimLower => Op::TrimLower,
    })
}

fn aggregation(op: AggregateOp) -> Aggregation {
    match op {
        AggregateOp::Sum => Aggregation::Sum,
        AggregateOp::Avg => Aggregation::Avg,
        AggregateOp::Min => Aggregation::Min,
        AggregateOp::Max => Aggregation::Max,
        AggregateOp::Count => Aggregation::Count,
        AggregateOp::Group => Aggregation::Group,
        AggregateOp::Stddev => Aggregation::Stddev,
        AggregateOp::Stdvar => Aggregation::Stdvar,
        AggregateOp::Quantile => Aggregation::Quantile,
        AggregateOp::CountValues => Aggregation::CountValues,
        AggregateOp::Topk => Aggregation::Topk,
        AggregateOp::Bottomk => Aggregation::Bottomk,
        AggregateOp::Limitk => Aggregation::Limitk,
        AggregateOp::LimitRatio => Aggregation::LimitRatio,
    }
}

fn matching(m: Option<&ast::Matching>) -> Matching {
    Matching { on: m.is_some_and(|m| m.on), labels: m.map_or_else(Vec::new, |m| sorted(&m.labels)) }
}

fn sorted(names: &[SmolStr]) -> Vec<SmolStr> {
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    names
}
