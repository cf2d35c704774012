//! Durations as Prometheus writes them: `1h30m`, `250ms`, `0`; units in descending order, each once.

/// Milliseconds of each unit, largest first.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Milliseconds; `None` where the text is no duration or too long for 64 bits of nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0i64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let n: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        // Only smaller units than the one before are left in the iterator.
        let (_, unit) = units.find(|(name, _)| *name == &rest[..letters])?;
        rest = &rest[letters..];
        total = total.checked_add(n.checked_mul(*unit)?)?;
    }
    (!text.is_empty() && total <= i64::MAX / 1_000_000).then_some(total)
}

/// The canonical text: years and weeks only where nothing is left over.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    let mut rest = ms.unsigned_abs();
    for (name, unit) in UNITS {
        let unit = unit as u64;
        if matches!(name, "y" | "w") && !rest.is_multiple_of(unit) {
            continue;
        }
        if rest >= unit {
            out.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if ms < 0 { format!("-{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_milliseconds() {
        for (text, ms) in
            [("0s", 0), ("1h30m", 5_400_000), ("250ms", 250), ("1d", 86_400_000), ("2w", 14 * 86_400_000)]
        {
            assert_eq!(parse_duration(text), Some(ms), "{text}");
            assert_eq!(format_duration(ms), text);
        }
        assert_eq!(parse_duration("0"), Some(0));
        assert_eq!(format_duration(8 * 86_400_000), "8d");
        for bad in ["", "1", "h", "1m1h", "1s1s", "-1s", "1.5h", "300000000y", "9999999999999999999s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
