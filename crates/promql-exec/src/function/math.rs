//! Functions of one float.

/// The function of a name, where it is a function of one float and nothing else.
pub fn unary(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "sqrt" => f64::sqrt,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sgn" => sgn,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        _ => return None,
    })
}

/// -1, 0 or 1; NaN stays, and so does the sign of zero.
fn sgn(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// The larger of two; NaN wins, except against +Inf.
pub fn max_of(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

/// The smaller of two; NaN wins, except against -Inf.
pub fn min_of(a: f64, b: f64) -> f64 {
    -max_of(-a, -b)
}

/// Within bounds.
pub fn clamp(v: f64, min: f64, max: f64) -> f64 {
    max_of(min, min_of(max, v))
}

/// To the nearest multiple; halves go up.
pub fn round(v: f64, to: f64) -> f64 {
    // By way of the inverse, which is exact for 0.1, 0.01, …
    let inverse = 1.0 / to;
    (v * inverse + 0.5).floor() / inverse
}
