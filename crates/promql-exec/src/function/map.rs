//! The functions of each element by itself, by name.

use super::{MapFn, MapKernel, calendar, math};
use crate::histogram::moments;

/// The function of a name.
pub fn find(name: &str) -> Option<MapFn> {
    if let Some(f) = math::unary(name) {
        return Some(MapFn { kernel: MapKernel::Float(f) });
    }
    let kernel = match name {
        "clamp" => MapKernel::Floats(|v, a| (a[0] <= a[1] || a[0].is_nan() || a[1].is_nan()).then(|| math::clamp(v, a[0], a[1]))),
        "clamp_min" => MapKernel::Floats(|v, a| Some(math::max_of(a[0], v))),
        "clamp_max" => MapKernel::Floats(|v, a| Some(math::min_of(a[0], v))),
        "round" => MapKernel::Floats(|v, a| Some(math::round(v, a.first().copied().unwrap_or(1.0)))),
        "histogram_count" => MapKernel::Histogram(|h| h.count),
        "histogram_sum" => MapKernel::Histogram(|h| h.sum),
        "histogram_avg" => MapKernel::Histogram(|h| moments::avg(h)),
        "histogram_stdvar" => MapKernel::Histogram(|h| moments::variance(h)),
        "histogram_stddev" => MapKernel::Histogram(|h| moments::variance(h).sqrt()),
        _ => MapKernel::Float(part_of_date(name)?),
    };
    Some(MapFn { kernel })
}

fn part_of_date(name: &str) -> Option<fn(f64) -> f64> {
    use calendar::Part;
    Some(match Part::of_function(name)? {
        Part::Minute => |v| Part::Minute.of_seconds(v),
        Part::Hour => |v| Part::Hour.of_seconds(v),
        Part::DayOfMonth => |v| Part::DayOfMonth.of_seconds(v),
        Part::DayOfWeek => |v| Part::DayOfWeek.of_seconds(v),
        Part::DayOfYear => |v| Part::DayOfYear.of_seconds(v),
        Part::DaysInMonth => |v| Part::DaysInMonth.of_seconds(v),
        Part::Month => |v| Part::Month.of_seconds(v),
        Part::Year => |v| Part::Year.of_seconds(v),
    })
}
