//! The functions of the language.

use crate::ast::ValueType::{self, Matrix, Scalar, String, Vector};

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// What its arguments must be; a variadic function may repeat or leave out the last.
    pub args: &'static [ValueType],
    /// 0: none; n > 0: the last argument may be left out or given up to n times; −1: any number of times.
    pub variadic: i32,
    /// What it gives.
    pub returns: ValueType,
    /// Whether it must be switched on.
    pub experimental: bool,
}

impl Function {
    /// The function of a name; letter case matters.
    pub fn named(name: &str) -> Option<&'static Function> {
        FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
    }
}

const fn vector(name: &'static str, args: &'static [ValueType]) -> Function {
    Function { name, args, variadic: 0, returns: Vector, experimental: false }
}

const fn scalar(name: &'static str, args: &'static [ValueType]) -> Function {
    Function { name, args, variadic: 0, returns: Scalar, experimental: false }
}

const fn variadic(n: i32, f: Function) -> Function {
    Function { variadic: n, ..f }
}

const fn experimental(f: Function) -> Function {
    Function { experimental: true, ..f }
}

/// All functions, sorted by name.
pub static FUNCTIONS: [Function; 90] = [
    vector("abs", &[Vector]),
    vector("absent", &[Vector]),
    vector("absent_over_time", &[Matrix]),
    vector("acos", &[Vector]),
    vector("acosh", &[Vector]),
    vector("asin", &[Vector]),
    vector("asinh", &[Vector]),
    vector("atan", &[Vector]),
    vector("atanh", &[Vector]),
    vector("avg_over_time", &[Matrix]),
    vector("ceil", &[Vector]),
    vector("changes", &[Matrix]),
    vector("clamp", &[Vector, Scalar, Scalar]),
    vector("clamp_max", &[Vector, Scalar]),
    vector("clamp_min", &[Vector, Scalar]),
    vector("cos", &[Vector]),
    vector("cosh", &[Vector]),
    vector("count_over_time", &[Matrix]),
    variadic(1, vector("day_of_month", &[Vector])),
    variadic(1, vector("day_of_week", &[Vector])),
    variadic(1, vector("day_of_year", &[Vector])),
    variadic(1, vector("days_in_month", &[Vector])),
    vector("deg", &[Vector]),
    vector("delta", &[Matrix]),
    vector("deriv", &[Matrix]),
    experimental(vector("double_exponential_smoothing", &[Matrix, Scalar, Scalar])),
    experimental(scalar("end", &[])),
    vector("exp", &[Vector]),
    vector("first_over_time", &[Matrix]),
    vector("floor", &[Vector]),
    vector("histogram_avg", &[Vector]),
    vector("histogram_count", &[Vector]),
    vector("histogram_fraction", &[Scalar, Scalar, Vector]),
    vector("histogram_quantile", &[Scalar, Vector]),
    experimental(variadic(9, vector("histogram_quantiles", &[Vector, String, Scalar, Scalar]))),
    vector("histogram_stddev", &[Vector]),
    vector("histogram_stdvar", &[Vector]),
    vector("histogram_sum", &[Vector]),
    variadic(1, vector("hour", &[Vector])),
    vector("idelta", &[Matrix]),
    vector("increase", &[Matrix]),
    experimental(variadic(1, vector("info", &[Vector, Vector]))),
    vector("irate", &[Matrix]),
    variadic(-1, vector("label_join", &[Vector, String, String, String])),
    vector("label_replace", &[Vector, String, String, String, String]),
    vector("last_over_time", &[Matrix]),
    vector("ln", &[Vector]),
    vector("log10", &[Vector]),
    vector("log2", &[Vector]),
    experimental(vector("mad_over_time", &[Matrix])),
    experimental(scalar("max_of", &[Scalar, Scalar])),
    vector("max_over_time", &[Matrix]),
    experimental(scalar("min_of", &[Scalar, Scalar])),
    vector("min_over_time", &[Matrix]),
    variadic(1, vector("minute", &[Vector])),
    variadic(1, vector("month", &[Vector])),
    scalar("pi", &[]),
    vector("predict_linear", &[Matrix, Scalar]),
    vector("present_over_time", &[Matrix]),
    vector("quantile_over_time", &[Scalar, Matrix]),
    vector("rad", &[Vector]),
    experimental(scalar("range", &[])),
    vector("rate", &[Matrix]),
    vector("resets", &[Matrix]),
    variadic(1, vector("round", &[Vector, Scalar])),
    scalar("scalar", &[Vector]),
    vector("sgn", &[Vector]),
    vector("sin", &[Vector]),
    vector("sinh", &[Vector]),
    vector("sort", &[Vector]),
    experimental(variadic(-1, vector("sort_by_label", &[Vector, String]))),
    experimental(variadic(-1, vector("sort_by_label_desc", &[Vector, String]))),
    vector("sort_desc", &[Vector]),
    vector("sqrt", &[Vector]),
    experimental(scalar("start", &[])),
    experimental(vector("start_timestamp", &[Vector])),
    vector("stddev_over_time", &[Matrix]),
    vector("stdvar_over_time", &[Matrix]),
    experimental(scalar("step", &[])),
    vector("sum_over_time", &[Matrix]),
    vector("tan", &[Vector]),
    vector("tanh", &[Vector]),
    scalar("time", &[]),
    vector("timestamp", &[Vector]),
    experimental(vector("ts_of_first_over_time", &[Matrix])),
    experimental(vector("ts_of_last_over_time", &[Matrix])),
    experimental(vector("ts_of_max_over_time", &[Matrix])),
    experimental(vector("ts_of_min_over_time", &[Matrix])),
    vector("vector", &[Scalar]),
    variadic(1, vector("year", &[Vector])),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_and_found() {
        assert!(FUNCTIONS.windows(2).all(|w| w[0].name < w[1].name));
        assert!(FUNCTIONS.iter().all(|f| Function::named(f.name).is_some_and(|g| g.name == f.name)));
        assert!(Function::named("Rate").is_none() && Function::named("sum").is_none());
    }
}
