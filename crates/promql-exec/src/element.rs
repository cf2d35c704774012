//! Binary operators on single values.

use std::sync::Arc;

use dolmen_model::{FloatHistogram, ResetHint};

use crate::annotation::{Annotations, Pos};
use crate::histogram::{self, Keep};
use crate::plan::Op;

/// One operand.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(&'a Arc<FloatHistogram>),
}

/// What an operator gives.
pub enum Outcome {
    /// A value that passes.
    Value(Value),
    /// A comparison that fails.
    Filtered,
    /// The kinds do not fit: no element, and no match either.
    Unfit,
}

/// A value.
pub enum Value {
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Arc<FloatHistogram>),
}

/// A note that a step keeps only the last of.
pub enum Remark {
    /// Kinds that do not fit.
    Types(&'static str, Op, &'static str),
    /// Layouts that do not fit.
    Layouts(Op),
    /// Reset hints that contradict each other.
    Collision(Op),
    /// Custom bounds that were reconciled.
    Reconciled(Op),
}

impl Remark {
    /// Tells it.
    pub fn tell(&self, pos: Pos, notes: &mut Annotations) {
        let word = |op: Op| if op == Op::Add { "addition" } else { "subtraction" };
        match self {
            Remark::Types(l, op, r) => {
                let op = op.as_str();
                notes.info(
                    format!(
                        "incompatible sample types encountered for binary operator \"{op}\": {l} {op} {r}"
                    ),
                    pos,
                );
            }
            Remark::Layouts(op) => notes.warn(
                format!("incompatible bucket layout encountered for binary operator {}", op.as_str()),
                pos,
            ),
            Remark::Collision(op) => {
                notes.warn(format!("conflicting counter resets during histogram {}", word(*op)), pos);
            }
            Remark::Reconciled(op) => {
                notes.info(format!("mismatched custom buckets were reconciled during {}", word(*op)), pos);
            }
        }
    }
}

/// An operator on two floats, where it is no comparison.
pub fn arithmetic(op: Op, l: f64, r: f64) -> f64 {
    match op {
        Op::Add => l + r,
        Op::Sub => l - r,
        Op::Mul => l * r,
        Op::Div => l / r,
        Op::Mod => l % r,
        Op::Pow => l.powf(r),
        Op::Atan2 => l.atan2(r),
        _ => f64::NAN,
    }
}

/// Whether a comparison of two floats holds.
pub fn holds(op: Op, l: f64, r: f64) -> bool {
    match op {
        Op::Eq => l == r,
        Op::Ne => l != r,
        Op::Gt => l > r,
        Op::Lt => l < r,
        Op::Ge => l >= r,
        Op::Le => l <= r,
        _ => false,
    }
}

/// An operator on two scalars.
pub fn scalars(op: Op, l: f64, r: f64) -> f64 {
    if op.compares() { f64::from(u8::from(holds(op, l, r))) } else { arithmetic(op, l, r) }
}

/// An operator on any two values. Comparisons give the left one.
pub fn apply(op: Op, l: Operand<'_>, r: Operand<'_>, remark: &mut Option<Remark>) -> Outcome {
    match (l, r) {
        (Operand::Float(_), Operand::Float(_)) if matches!(op, Op::TrimLower | Op::TrimUpper) => {
            *remark = Some(Remark::Types("float", op, "float"));
            Outcome::Unfit
        }
        (Operand::Float(l), Operand::Float(r)) if op.compares() => {
            if holds(op, l, r) {
                Outcome::Value(Value::Float(l))
            } else {
                Outcome::Filtered
            }
        }
        (Operand::Float(l), Operand::Float(r)) => Outcome::Value(Value::Float(arithmetic(op, l, r))),
        (Operand::Float(l), Operand::Histogram(r)) if op == Op::Mul => scaled(r, |h| histogram::mul(h, l)),
        (Operand::Float(_), Operand::Histogram(_)) => {
            *remark = Some(Remark::Types("float", op, "histogram"));
            Outcome::Unfit
        }
        (Operand::Histogram(l), Operand::Float(r)) => match op {
            Op::Mul => scaled(l, |h| histogram::mul(h, r)),
            Op::Div => scaled(l, |h| histogram::div(h, r)),
            Op::TrimUpper => trimmed(l, r, Keep::UpTo),
            Op::TrimLower => trimmed(l, r, Keep::From),
            _ => {
                *remark = Some(Remark::Types("histogram", op, "float"));
                Outcome::Unfit
            }
        },
        (Operand::Histogram(l), Operand::Histogram(r)) => histograms(op, l, r, remark),
    }
}

fn scaled(h: &Arc<FloatHistogram>, f: impl FnOnce(&mut FloatHistogram)) -> Outcome {
    let mut h = (**h).clone();
    f(&mut h);
    histogram::compact(&mut h);
    Outcome::Value(Value::Histogram(Arc::new(h)))
}

fn trimmed(h: &Arc<FloatHistogram>, at: f64, keep: Keep) -> Outcome {
    let mut h = (**h).clone();
    histogram::trim(&mut h, at, keep);
    Outcome::Value(Value::Histogram(Arc::new(h)))
}

fn histograms(
    op: Op,
    l: &Arc<FloatHistogram>,
    r: &Arc<FloatHistogram>,
    remark: &mut Option<Remark>,
) -> Outcome {
    match op {
        Op::Eq | Op::Ne => {
            if histogram::equal(&**l, &**r) == (op == Op::Eq) {
                Outcome::Value(Value::Histogram(l.clone()))
            } else {
                Outcome::Filtered
            }
        }
        Op::Add | Op::Sub => {
            let mut out = (**l).clone();
            let done =
                if op == Op::Add { histogram::add(&mut out, &**r) } else { histogram::sub(&mut out, &**r) };
            let Ok(done) = done else {
                *remark = Some(Remark::Layouts(op));
                return Outcome::Unfit;
            };
            if op == Op::Sub {
                out.hint = ResetHint::Gauge;
            }
            if done.hint_conflict {
                // As Prometheus has it, which takes the warning for a failure.
                *remark = Some(Remark::Collision(op));
                return Outcome::Unfit;
            }
            if done.bounds_reconciled {
                *remark = Some(Remark::Reconciled(op));
            }
            histogram::compact(&mut out);
            Outcome::Value(Value::Histogram(Arc::new(out)))
        }
        _ => {
            *remark = Some(Remark::Types("histogram", op, "histogram"));
            Outcome::Unfit
        }
    }
}
