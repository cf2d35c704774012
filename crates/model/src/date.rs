//! Dates of the Gregorian calendar, also before it was in use; UTC.

use crate::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Year, month and day of a day since the Unix epoch.
///
/// Counted in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
pub fn civil(day: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    // 1 March 0000 was 719,468 days before the epoch.
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(ERA), day.rem_euclid(ERA));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day_of_month)
}

/// A time as RFC 3339 has it; milliseconds only where there are some. `None` where the year has not four digits.
pub fn rfc3339(t: Timestamp) -> Option<String> {
    let (day, of_day) = (t.div_euclid(DAY_MS), t.rem_euclid(DAY_MS));
    let (year, month, day) = civil(day);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if ms == 0 { String::new() } else { format!(".{ms:03}") };
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (t, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_384_200_050, "2026-11-22T21:50:00.050Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(t).as_deref(), Some(text));
        }
        for t in [i64::MIN, -62_167_219_200_001, 253_402_300_800_000, i64::MAX] {
            assert_eq!(rfc3339(t), None);
        }
    }
}
