//! Tree -> text over lines, for people: what is longer than a line is split at its own level.

use std::fmt::{self, Write};

use crate::ast::{Expr, ExprKind};
use crate::print::{Aggregation, Operator, SubquerySuffix};

/// Longest text that is left on one line, in bytes.
const LINE: usize = 100;

/// The expression laid out over lines, as Prometheus' `format_query` does it.
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write_pretty(&mut out, expr, 0);
    out
}

/// Counts up to a line.
struct Room(usize);

impl Write for Room {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(s.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

fn fits(expr: &Expr) -> bool {
    write!(Room(LINE), "{expr}").is_ok()
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

fn write_pretty(out: &mut String, expr: &Expr, level: usize) -> fmt::Result {
    if fits(expr) {
        // Prometheus does not indent a subquery.
        if !matches!(expr.kind, ExprKind::Subquery(_)) {
            indent(out, level);
        }
        return write!(out, "{expr}");
    }
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {
            indent(out, level);
            write!(out, "{expr}")
        }
        ExprKind::Subquery(q) => {
            write_pretty(out, &q.expr, level)?;
            write!(out, "{}", SubquerySuffix(q))
        }
        ExprKind::Paren(of) => {
            indent(out, level);
            list(out, "(", [&**of], level)
        }
        ExprKind::Unary(u) => {
            let mut of = String::new();
            write_pretty(&mut of, &u.expr, level)?;
            indent(out, level);
            write!(out, "{}{}", if u.minus { '-' } else { '+' }, of.trim())
        }
        ExprKind::Binary(b) => {
            write_pretty(out, &b.lhs, level + 1)?;
            out.push('\n');
            indent(out, level);
            writeln!(out, "{}", Operator(b))?;
            write_pretty(out, &b.rhs, level + 1)
        }
        ExprKind::Call(c) => {
            indent(out, level);
            out.push_str(c.function.name);
            list(out, "(", &c.args, level)
        }
        ExprKind::Aggregate(a) => {
            indent(out, level);
            write!(out, "{}", Aggregation(a))?;
            list(out, "(", a.param.iter().chain([&a.expr]), level)
        }
    }
}

fn list<'a>(
    out: &mut String,
    open: &str,
    items: impl IntoIterator<Item = &'a Expr>,
    level: usize,
) -> fmt::Result {
    out.push_str(open);
    for (i, item) in items.into_iter().enumerate() {
        out.push_str(if i > 0 { ",\n" } else { "\n" });
        write_pretty(out, item, level + 1)?;
    }
    out.push('\n');
    indent(out, level);
    out.push(')');
    Ok(())
}
