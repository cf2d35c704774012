//! Duration expressions: computed once per query, in seconds.

use dolmen_promql_exec::error::{PromqlError, Result};
use dolmen_promql_parser::{BinaryOp, DurationExpr, DurationExprKind};

use super::Times;

/// Longest duration in seconds, either way: what fits into 64 bits of nanoseconds.
const SECONDS_MAX: f64 = (1u64 << 63) as f64 / 1e9;

/// The value of a duration expression in milliseconds, fractions cut off.
pub fn millis(e: &DurationExpr, times: Times, positive: bool) -> Result<i64> {
    let seconds = seconds(e, times)?;
    if seconds.is_nan() || seconds.abs() >= SECONDS_MAX {
        return Err(error(e, "duration is out of range"));
    }
    if positive && seconds <= 0.0 {
        return Err(error(e, "duration must be greater than 0"));
    }
    Ok((seconds * 1000.0) as i64)
}

fn seconds(e: &DurationExpr, times: Times) -> Result<f64> {
    Ok(match &e.kind {
        DurationExprKind::Number(n) => n.value,
        DurationExprKind::Step => times.step as f64 / 1000.0,
        DurationExprKind::Range => (times.end - times.start) as f64 / 1000.0,
        DurationExprKind::Unary { minus, of } => {
            let v = seconds(of, times)?;
            if *minus { -v } else { v }
        }
        DurationExprKind::Min(a, b) => super::call::min_of(seconds(a, times)?, seconds(b, times)?),
        DurationExprKind::Max(a, b) => super::call::max_of(seconds(a, times)?, seconds(b, times)?),
        DurationExprKind::Binary { op, lhs, rhs } => {
            let (l, r) = (seconds(lhs, times)?, seconds(rhs, times)?);
            match op {
                BinaryOp::Add => l + r,
                BinaryOp::Sub => l - r,
                BinaryOp::Mul => l * r,
                BinaryOp::Div if r == 0.0 => return Err(error(e, "division by zero")),
                BinaryOp::Div => l / r,
                BinaryOp::Mod if r == 0.0 => return Err(error(e, "modulo by zero")),
                BinaryOp::Mod => l % r,
                BinaryOp::Pow => l.powf(r),
                _ => return Err(error(e, "no operator on durations")),
            }
        }
    })
}

/// Positions are bytes here, from 0.
fn error(e: &DurationExpr, text: &str) -> PromqlError {
    PromqlError::bad_data(format!("{}:{}: {text}", e.span.start, e.span.end))
}

#[cfg(test)]
mod tests {
    use dolmen_promql_parser::{Number, Span};

    use super::*;

    fn number(value: f64) -> Box<DurationExpr> {
        let kind = DurationExprKind::Number(Number { value, duration: false });
        Box::new(DurationExpr { kind, span: Span { start: 1, end: 5 }, wrapped: false })
    }

    fn value(op: BinaryOp, l: f64, r: f64) -> Result<i64> {
        let times = Times { start: 0, end: 60_000, step: 10_000, subquery_step: 60_000 };
        let kind = DurationExprKind::Binary { op, lhs: number(l), rhs: number(r) };
        millis(&DurationExpr { kind, span: Span { start: 1, end: 5 }, wrapped: false }, times, true)
    }

    #[test]
    fn values_and_errors() {
        let cases = [
            (BinaryOp::Add, 1.5, 2.0, Ok(3500)),
            (BinaryOp::Pow, 2.0, 3.0, Ok(8000)),
            (BinaryOp::Mod, 7.0, 4.0, Ok(3000)),
            (BinaryOp::Sub, 1.0, 1.0, Err("1:5: duration must be greater than 0")),
            (BinaryOp::Div, 1.0, 0.0, Err("1:5: division by zero")),
            (BinaryOp::Mod, 1.0, 0.0, Err("1:5: modulo by zero")),
            (BinaryOp::Mul, 1e300, 1e300, Err("1:5: duration is out of range")),
        ];
        for (op, l, r, want) in cases {
            let got = value(op, l, r).map_err(|e| e.text);
            assert_eq!(got, want.map_err(str::to_owned), "{l} {op:?} {r}");
        }
    }
}
