//! An expression with `@` in all its selectors: it gives the same at any time.

use dolmen_promql_parser::{At, Expr, ExprKind, When};

/// Functions that depend on the time of the step whatever their arguments.
const OF_THE_STEP: [&str; 15] = [
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
    "timestamp",
    "start",
    "end",
    "step",
    "range",
];

/// Gives all selectors that have no `@` one; what stands in a subquery that has one stays as it is.
/// `None` where a function depends on the time of the step.
pub fn pinned(mut expr: Expr, t: i64) -> Option<Expr> {
    pin(&mut expr, t, false).then_some(expr)
}

fn set(when: &mut When, t: i64, inside: bool) {
    if when.at.is_none() && !inside {
        when.at = Some(At::Time(t));
    }
}

fn pin(e: &mut Expr, t: i64, inside: bool) -> bool {
    match &mut e.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Vector(v) => {
            set(&mut v.when, t, inside);
            true
        }
        ExprKind::Matrix(m) => {
            set(&mut m.vector.when, t, inside);
            true
        }
        ExprKind::Subquery(q) => {
            set(&mut q.when, t, inside);
            let inside = inside || q.when.at.is_some();
            pin(&mut q.expr, t, inside)
        }
        ExprKind::Paren(of) => pin(of, t, inside),
        ExprKind::Unary(u) => pin(&mut u.expr, t, inside),
        ExprKind::Binary(b) => pin(&mut b.lhs, t, inside) && pin(&mut b.rhs, t, inside),
        ExprKind::Call(c) => {
            !OF_THE_STEP.contains(&c.function.name) && c.args.iter_mut().all(|arg| pin(arg, t, inside))
        }
        ExprKind::Aggregate(a) => {
            pin(&mut a.expr, t, inside) && a.param.as_mut().is_none_or(|p| pin(p, t, inside))
        }
    }
}
