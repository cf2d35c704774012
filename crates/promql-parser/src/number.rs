//! Values of numbers and durations.

use crate::text::quote;

/// Milliseconds of the units, largest first.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// The most nanoseconds that a duration can have, in milliseconds.
const MAX_MILLIS: u64 = i64::MAX as u64 / 1_000_000;

/// The value of a number, or what is wrong with it.
pub(crate) fn number(text: &str) -> Result<f64, String> {
    if let Some(n) = integer(text) {
        return Ok(n as f64);
    }
    let failed =
        |why: &str| Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quote(text)));
    match text.to_ascii_lowercase().as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if !underscores_between_digits(text) {
        return failed("invalid syntax");
    }
    match digits.parse::<f64>() {
        Ok(v) if v.is_infinite() => failed("value out of range"),
        Ok(v) => Ok(v),
        Err(_) => failed("invalid syntax"),
    }
}

/// An integer as Go writes them: decimal, `0x…`, and octal where it begins with a zero.
fn integer(text: &str) -> Option<i64> {
    if !underscores_between_digits(text) {
        return None;
    }
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return plain(hex, 16);
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return plain(&digits[1..], 8);
    }
    plain(&digits, 10)
}

fn plain(digits: &str, base: u32) -> Option<i64> {
    if digits.starts_with('+') { None } else { i64::from_str_radix(digits, base).ok() }
}

/// Each underscore stands between two digits, or between the prefix of a hexadecimal number and a digit.
fn underscores_between_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let hex = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let is_digit = |b: u8| if hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    (0..bytes.len()).filter(|i| bytes[*i] == b'_').all(|i| {
        let before = i > 0 && (is_digit(bytes[i - 1]) || hex && i == 2);
        before && bytes.get(i + 1).is_some_and(|b| is_digit(*b))
    })
}

/// The seconds of a duration, or what is wrong with it.
pub(crate) fn duration(text: &str) -> Result<f64, String> {
    let invalid = || format!("not a valid duration string: {}", quote(text));
    let (mut rest, mut total, mut next_unit) = (text, 0u64, 0);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let n: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(|b| !b.is_ascii_digit()).count();
        let name = &rest[..letters];
        rest = &rest[letters..];
        if name.is_empty() {
            return Err(invalid());
        }
        let Some(unit) = UNITS.iter().position(|(n, _)| *n == name) else {
            return Err(format!("unknown unit {} in duration {}", quote(name), quote(text)));
        };
        if unit < next_unit {
            return Err(invalid());
        }
        next_unit = unit + 1;
        let millis = n.checked_mul(UNITS[unit].1).and_then(|ms| ms.checked_add(total));
        total = millis.filter(|ms| *ms <= MAX_MILLIS).ok_or("duration out of range")?;
    }
    Ok((total / 1000) as f64 + (total % 1000) as f64 / 1000.0)
}

/// Whether so many seconds are more than 64 bits of nanoseconds hold.
pub(crate) fn out_of_range(seconds: f64) -> bool {
    let most = 2f64.powi(63) / 1e9;
    seconds > most || seconds < -most
}

/// Seconds in whole nanoseconds.
pub(crate) fn nanos(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, value) in [
            ("0x1F", 31.0),
            ("0X_1f", 31.0),
            ("010", 8.0),
            ("08", 8.0),
            ("08.5", 8.5),
            ("1_000", 1000.0),
            ("1_000.5", 1000.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("9223372036854775808", 9.223_372_036_854_776e18),
            ("INF", f64::INFINITY),
        ] {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        assert!(number("nan").is_ok_and(f64::is_nan));
        let text = "error parsing number: strconv.ParseFloat: parsing \"1e400\": value out of range";
        assert_eq!(number("1e400"), Err(text.to_owned()));
        for text in ["0x", "1e", "1_", "1__0", "0xffffffffffffffffffff"] {
            assert!(number(text).is_err_and(|e| e.ends_with("invalid syntax")), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1h30m"), Ok(5400.0));
        assert_eq!(duration("1s1ms"), Ok(1.001));
        assert_eq!(duration("106751d"), Ok(9_223_286_400.0));
        for (text, why) in [
            ("1m1m", "not a valid duration string: \"1m1m\""),
            ("1s1h", "not a valid duration string: \"1s1h\""),
            ("1e5m", "unknown unit \"e\" in duration \"1e5m\""),
            ("5hs", "unknown unit \"hs\" in duration \"5hs\""),
            ("106752d", "duration out of range"),
            ("99999999999999999999s", "not a valid duration string: \"99999999999999999999s\""),
        ] {
            assert_eq!(duration(text), Err(why.to_owned()));
        }
    }
}
