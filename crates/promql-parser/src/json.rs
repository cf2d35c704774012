//! Tree -> JSON, as `parse_query` of Prometheus' HTTP API tells it.

use std::fmt::Write;

use dolmen_model::format_float;

use crate::ast::{
    At, Binary, BinaryOp, Card, Duration, DurationExpr, DurationExprKind, Expr, ExprKind, Matching,
    ValueType, VectorSelector, When,
};
use crate::print::match_op;

/// The tree as a JSON text.
pub fn to_json(expr: &Expr) -> String {
    let mut out = String::new();
    write_expr(&mut out, expr);
    out
}

/// Writing into a string cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

fn write_expr(out: &mut String, expr: &Expr) {
    match &expr.kind {
        ExprKind::Number(n) => put!(out, r#"{{"type":"numberLiteral","val":"{}"}}"#, format_float(n.value)),
        ExprKind::String(s) => {
            out.push_str(r#"{"type":"stringLiteral","val":"#);
            string(out, s);
            out.push('}');
        }
        ExprKind::Vector(v) => {
            vector(out, "vectorSelector", v);
            out.push('}');
        }
        ExprKind::Matrix(m) => {
            vector(out, "matrixSelector", &m.vector);
            duration(out, "range", Some(&m.range));
            out.push('}');
        }
        ExprKind::Subquery(q) => {
            out.push_str(r#"{"type":"subquery","expr":"#);
            write_expr(out, &q.expr);
            duration(out, "range", Some(&q.range));
            duration(out, "step", q.step.as_ref());
            when(out, &q.when);
            out.push('}');
        }
        ExprKind::Paren(of) => {
            out.push_str(r#"{"type":"parenExpr","expr":"#);
            write_expr(out, of);
            out.push('}');
        }
        ExprKind::Unary(u) => {
            put!(out, r#"{{"type":"unaryExpr","op":"{}","expr":"#, if u.minus { '-' } else { '+' });
            write_expr(out, &u.expr);
            out.push('}');
        }
        ExprKind::Binary(b) => binary(out, b),
        ExprKind::Call(c) => {
            let f = c.function;
            put!(out, r#"{{"type":"call","func":{{"name":"{}","argTypes":"#, f.name);
            list(out, f.args, |out, t| put!(out, r#""{}""#, type_name(*t)));
            put!(out, r#","variadic":{},"returnType":"{}"}},"args":"#, f.variadic, type_name(f.returns));
            list(out, &c.args, write_expr);
            out.push('}');
        }
        ExprKind::Aggregate(a) => {
            put!(out, r#"{{"type":"aggregation","op":"{}","expr":"#, a.op.name());
            write_expr(out, &a.expr);
            out.push_str(r#","param":"#);
            match &a.param {
                Some(param) => write_expr(out, param),
                None => out.push_str("null"),
            }
            out.push_str(r#","grouping":"#);
            list(out, &a.labels, |out, l| string(out, l));
            put!(out, r#","without":{}}}"#, a.without);
        }
    }
}

fn type_name(t: ValueType) -> &'static str {
    match t {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::Vector => "vector",
        ValueType::Matrix => "matrix",
    }
}

fn list<T>(out: &mut String, items: &[T], mut item: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (i, t) in items.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        item(out, t);
    }
    out.push(']');
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if crate::text::has_stray_bytes(c.encode_utf8(&mut [0; 4])) => out.push('\u{fffd}'),
            c if c.is_ascii_control() => {
                put!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// All of a selector but the closing brace.
fn vector(out: &mut String, kind: &str, v: &VectorSelector) {
    put!(out, r#"{{"type":"{kind}","name":"#);
    string(out, &v.name);
    put!(out, r#","anchored":{},"smoothed":{},"matchers":"#, v.anchored, v.smoothed);
    list(out, &v.matchers, |out, m| {
        out.push_str(r#"{"name":"#);
        string(out, m.name());
        put!(out, r#","type":"{}","value":"#, match_op(m.op()));
        string(out, m.value());
        out.push('}');
    });
    when(out, &v.when);
}

fn when(out: &mut String, when: &When) {
    duration(out, "offset", when.offset.as_ref());
    let (time, edge) = match when.at {
        Some(At::Time(ms)) => (ms.to_string(), "null"),
        Some(At::Start) => ("null".to_owned(), r#""start""#),
        Some(At::End) => ("null".to_owned(), r#""end""#),
        None => ("null".to_owned(), "null"),
    };
    put!(out, r#","timestamp":{time},"startOrEnd":{edge}"#);
}

/// The literal under a name, the expression under another; no duration is zero.
fn duration(out: &mut String, name: &str, d: Option<&Duration>) {
    match d {
        Some(Duration::Expr(e)) => {
            put!(out, r#","{name}":0,"{name}Expr":"#);
            duration_expr(out, e);
        }
        Some(Duration::Millis(ms)) => put!(out, r#","{name}":{ms},"{name}Expr":null"#),
        None => put!(out, r#","{name}":0,"{name}Expr":null"#),
    }
}

fn duration_expr(out: &mut String, e: &DurationExpr) {
    let (op, lhs, rhs) = match &e.kind {
        DurationExprKind::Number(n) => {
            let val = format_float(n.value);
            put!(out, r#"{{"type":"numberLiteral","val":"{val}","duration":{}}}"#, n.duration);
            return;
        }
        DurationExprKind::Step => ("step", None, None),
        DurationExprKind::Range => ("range", None, None),
        DurationExprKind::Unary { minus, of } => (if *minus { "-" } else { "+" }, None, Some(of)),
        DurationExprKind::Binary { op, lhs, rhs } => (BinaryOp::name(*op), Some(lhs), Some(rhs)),
        DurationExprKind::Min(a, b) => ("min_of", Some(a), Some(b)),
        DurationExprKind::Max(a, b) => ("max_of", Some(a), Some(b)),
    };
    put!(out, r#"{{"type":"durationExpr","op":"{op}","wrapped":{}"#, e.wrapped);
    for (name, side) in [("lhs", lhs), ("rhs", rhs)] {
        put!(out, r#","{name}":"#);
        match side {
            Some(side) => duration_expr(out, side),
            None => out.push_str("null"),
        }
    }
    out.push('}');
}

fn binary(out: &mut String, b: &Binary) {
    put!(out, r#"{{"type":"binaryExpr","op":"{}","lhs":"#, b.op.name());
    write_expr(out, &b.lhs);
    out.push_str(r#","rhs":"#);
    write_expr(out, &b.rhs);
    out.push_str(r#","matching":"#);
    match &b.matching {
        Some(m) => matching(out, m),
        None => out.push_str("null"),
    }
    put!(out, r#","bool":{}}}"#, b.bool);
}

fn matching(out: &mut String, m: &Matching) {
    let card = match m.card {
        Card::OneToOne => "one-to-one",
        Card::ManyToOne => "many-to-one",
        Card::OneToMany => "one-to-many",
        Card::ManyToMany => "many-to-many",
    };
    put!(out, r#"{{"card":"{card}","on":{},"labels":"#, m.on);
    list(out, &m.labels, |out, l| string(out, l));
    out.push_str(r#","include":"#);
    list(out, &m.include, |out, l| string(out, l));
    // JSON has no infinities.
    let fill = |v: Option<f64>| v.filter(|v| v.is_finite()).map_or("null".to_owned(), format_float);
    put!(out, r#","fillValues":{{"lhs":{},"rhs":{}}}}}"#, fill(m.fill_left), fill(m.fill_right));
}
