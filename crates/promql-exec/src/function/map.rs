//! Functions of each element by itself.

use super::calendar::Part;
use super::{MapFn, MapKernel, math};
use crate::histogram::moments;

/// The function of a name, where it is one of each element by itself.
pub fn find(name: &str) -> Option<MapFn> {
    FUNCTIONS.iter().find(|(n, _)| *n == name).map(|(_, kernel)| MapFn { kernel: *kernel })
}

/// `clamp` and its halves have no result where the bounds cross.
fn clamped(v: f64, min: f64, max: f64) -> Option<f64> {
    let crossed = max < min;
    (!crossed).then(|| math::clamp(v, min, max))
}

macro_rules! part {
    ($part:expr) => {
        MapKernel::Float(|v| $part.of_seconds(v))
    };
}

const FUNCTIONS: &[(&str, MapKernel)] = {
    use MapKernel::{Float, Floats, Histogram};
    &[
        ("abs", Float(f64::abs)),
        ("acos", Float(f64::acos)),
        ("acosh", Float(f64::acosh)),
        ("asin", Float(f64::asin)),
        ("asinh", Float(f64::asinh)),
        ("atan", Float(f64::atan)),
        ("atanh", Float(f64::atanh)),
        ("ceil", Float(f64::ceil)),
        ("clamp", Floats(|v, args| clamped(v, args[0], args[1]))),
        ("clamp_max", Floats(|v, args| clamped(v, f64::NEG_INFINITY, args[0]))),
        ("clamp_min", Floats(|v, args| clamped(v, args[0], f64::INFINITY))),
        ("cos", Float(f64::cos)),
        ("cosh", Float(f64::cosh)),
        ("day_of_month", part!(Part::DayOfMonth)),
        ("day_of_week", part!(Part::DayOfWeek)),
        ("day_of_year", part!(Part::DayOfYear)),
        ("days_in_month", part!(Part::DaysInMonth)),
        ("deg", Float(|v| v * 180.0 / std::f64::consts::PI)),
        ("exp", Float(f64::exp)),
        ("floor", Float(f64::floor)),
        ("histogram_avg", Histogram(|h| moments::avg(h))),
        ("histogram_count", Histogram(|h| h.count)),
        ("histogram_stddev", Histogram(|h| moments::variance(h).sqrt())),
        ("histogram_stdvar", Histogram(|h| moments::variance(h))),
        ("histogram_sum", Histogram(|h| h.sum)),
        ("hour", part!(Part::Hour)),
        ("ln", Float(f64::ln)),
        ("log10", Float(f64::log10)),
        ("log2", Float(f64::log2)),
        ("minute", part!(Part::Minute)),
        ("month", part!(Part::Month)),
        ("rad", Float(|v| v * std::f64::consts::PI / 180.0)),
        ("round", Floats(|v, args| Some(math::round(v, args.first().copied().unwrap_or(1.0))))),
        ("sgn", Float(math::sgn)),
        ("sin", Float(f64::sin)),
        ("sinh", Float(f64::sinh)),
        ("sqrt", Float(f64::sqrt)),
        ("tan", Float(f64::tan)),
        ("tanh", Float(f64::tanh)),
        ("year", part!(Part::Year)),
    ]
};
