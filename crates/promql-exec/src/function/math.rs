//! Functions of one float.

/// -1, 0 or 1; NaN stays, and so does the sign of zero.
pub fn sgn(v: f64) -> f64 {
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
