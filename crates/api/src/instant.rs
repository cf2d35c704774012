//! Times, durations and other parameters as text.
//!
//! ```text
//! time      seconds with a fraction, or RFC 3339       1795385795.125   2026-11-22T21:50:00.5Z
//! duration  seconds with a fraction, or Prometheus'    0.25             1h30m
//! ```

use chrono::DateTime;
use dolmen_model::{Timestamp, parse_duration, quote};

/// Seconds between year 1 and 1970, less one: Prometheus keeps away from the ends of 64 bits by so much.
const MARGIN: i64 = 62_135_596_801;
/// The least time that Prometheus' API knows: the default of `start`.
pub const MIN_TIME: Timestamp = (i64::MIN / 1000 + MARGIN) * 1000;
/// The greatest: the default of `end`.
pub const MAX_TIME: Timestamp = (i64::MAX / 1000 - MARGIN) * 1000 + 999;
/// How clients write these two.
const MIN_TEXT: &str = "-292273086-05-16T16:47:06Z";
const MAX_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// A time in milliseconds.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    if let Some(seconds) = text.parse::<f64>().ok().filter(|s| !s.is_nan()) {
        // Whole seconds and the fraction apart, the fraction to the millisecond: the sum of both keeps all digits.
        let fraction = (seconds.fract() * 1000.0).round() as i64;
        let ms = (seconds.trunc() as i64).saturating_mul(1000).saturating_add(fraction);
        return Ok(ms.clamp(MIN_TIME, MAX_TIME));
    }
    match (DateTime::parse_from_rfc3339(text), text) {
        (Ok(t), _) => Ok(t.timestamp_millis()),
        (_, MIN_TEXT) => Ok(MIN_TIME),
        (_, MAX_TEXT) => Ok(MAX_TIME),
        _ => Err(format!("cannot parse {} to a valid timestamp", quote(text.as_bytes()))),
    }
}

/// A duration in nanoseconds.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    if let Some(seconds) = text.parse::<f64>().ok().filter(|s| !s.is_nan()) {
        let ns = seconds * 1e9;
        if ns.abs() > i64::MAX as f64 {
            let text = quote(text.as_bytes());
            return Err(format!("cannot parse {text} to a valid duration. It overflows int64"));
        }
        return Ok(ns as i64);
    }
    let ms = parse_duration(text).and_then(|ms| ms.checked_mul(1_000_000));
    ms.ok_or_else(|| format!("cannot parse {} to a valid duration", quote(text.as_bytes())))
}

/// A limit; `None` where there is none.
pub(crate) fn limit(text: &str) -> Result<Option<usize>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.Atoi: parsing {}: invalid syntax", quote(text.as_bytes())));
    }
    match text.parse::<i64>() {
        Ok(n) if n < 0 => Err("limit must be non-negative".to_owned()),
        Ok(n) => Ok(usize::try_from(n).ok().filter(|n| *n > 0)),
        Err(_) => Err(format!("strconv.Atoi: parsing {}: value out of range", quote(text.as_bytes()))),
    }
}

/// Yes or no; empty text is `default`.
pub(crate) fn boolean(text: &str, default: bool) -> Result<bool, String> {
    match text {
        "" => Ok(default),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quote(text.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in [
            ("0", 0),
            ("1795385795.125", 1_795_385_795_125),
            ("1795385795.1256", 1_795_385_795_126),
            ("-1.5", -1500),
            ("1e3", 1_000_000),
            ("1e30", MAX_TIME),
            ("-Inf", MIN_TIME),
            ("2026-11-22T21:50:00.5Z", 1_795_384_200_500),
            ("2026-11-22T22:50:00+01:00", 1_795_384_200_000),
            (MIN_TEXT, MIN_TIME),
            (MAX_TEXT, MAX_TIME),
        ] {
            assert_eq!(time(text), Ok(ms), "{text}");
        }
        for bad in ["", "yesterday", "NaN", "2026-11-22", "1h"] {
            assert_eq!(time(bad), Err(format!("cannot parse \"{bad}\" to a valid timestamp")));
        }
    }

    #[test]
    fn every_millisecond_survives() {
        for ms in 0..1000 {
            assert_eq!(time(&format!("1795385795.{ms:03}")), Ok(1_795_385_795_000 + ms));
            assert_eq!(time(&format!("{ms}.{ms:03}")), Ok(ms * 1001));
        }
    }

    #[test]
    fn durations() {
        for (text, ns) in [
            ("0.25", 250_000_000),
            ("1m", 60_000_000_000),
            ("-5", -5_000_000_000),
            ("1h30m", 5_400_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(ns), "{text}");
        }
        assert_eq!(duration("x"), Err("cannot parse \"x\" to a valid duration".to_owned()));
        assert_eq!(
            duration("1e20"),
            Err("cannot parse \"1e20\" to a valid duration. It overflows int64".to_owned())
        );
    }

    #[test]
    fn limits_and_booleans() {
        assert_eq!((limit(""), limit("0"), limit("7")), (Ok(None), Ok(None), Ok(Some(7))));
        assert_eq!(limit("-1"), Err("limit must be non-negative".to_owned()));
        assert_eq!(limit("x"), Err("strconv.Atoi: parsing \"x\": invalid syntax".to_owned()));
        assert_eq!(
            limit("99999999999999999999"),
            Err("strconv.Atoi: parsing \"99999999999999999999\": value out of range".to_owned())
        );
        assert_eq!(
            (boolean("", true), boolean("F", true), boolean("1", false)),
            (Ok(true), Ok(false), Ok(true))
        );
        assert!(boolean("yes", true).is_err());
    }
}
