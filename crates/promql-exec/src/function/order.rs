//! Orders of `sort`, `sort_desc`, `sort_by_label` and `sort_by_label_desc`.

use std::cmp::Ordering;

use dolmen_model::LabelsRef;

mod ties;

/// Sorts by value; NaN behind all others, whichever way.
pub fn by_value<T: Copy>(items: &mut [(f64, T)], descending: bool) {
    // Prometheus' order is not a strict one: a NaN is less than another.
    ties::sort(items, |(a, _), (b, _)| b.is_nan() || if descending { a > b } else { a < b });
}

/// By the values of labels in natural order, then by the whole label sets.
pub fn by_labels<'a>(
    a: LabelsRef<'_>,
    b: LabelsRef<'_>,
    names: impl IntoIterator<Item = &'a str>,
    descending: bool,
) -> Ordering {
    let value = |labels: LabelsRef<'_>, name: &str| labels.get(name).unwrap_or_default().to_owned();
    let named = names.into_iter().map(|name| natural(&value(a, name), &value(b, name)));
    let order = named.fold(Ordering::Equal, Ordering::then);
    let order = order.then_with(|| a.iter().cmp(b.iter()));
    if descending { order.reverse() } else { order }
}

/// Runs of digits compare as numbers, everything else as text.
pub fn natural(mut a: &str, mut b: &str) -> Ordering {
    loop {
        match (a.is_empty(), b.is_empty()) {
            (false, false) => {}
            (a_ends, b_ends) => return b_ends.cmp(&a_ends),
        }
        let (x, y) = (take_run(&mut a), take_run(&mut b));
        let digits = |run: &str| run.as_bytes()[0].is_ascii_digit();
        let order = if digits(x) && digits(y) {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes the leading run of digits, or of what is no digit.
fn take_run<'a>(text: &mut &'a str) -> &'a str {
    let digit = |c: char| c.is_ascii_digit();
    let first = text.starts_with(digit);
    let end = text.find(|c: char| digit(c) != first).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    run
}
