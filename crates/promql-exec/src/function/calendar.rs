//! Parts of a date in UTC: `year`, `hour`, `day_of_week`, …

use dolmen_model::civil;

const DAY: i64 = 86_400;
/// 2^63.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;
/// From the day that times are counted from to the epoch: 1 March of the year −292,277,022,400, as Go has it.
const DAYS_BEFORE: u64 = 719_162 + 730_692_556 * 146_097 + 306;

/// A part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// 0 to 59.
    Minute,
    /// 0 to 23.
    Hour,
    /// 1 to 31.
    DayOfMonth,
    /// 0 is Sunday.
    DayOfWeek,
    /// 1 to 366.
    DayOfYear,
    /// 28 to 31.
    DaysInMonth,
    /// 1 to 12.
    Month,
    /// Of the Gregorian calendar, also before it was in use.
    Year,
}

impl Part {
    /// The part of a time in seconds since the Unix epoch; fractions are cut off.
    ///
    /// What is no time, NaN or beyond 64 bits, is the least of them, and times are counted from a day so far
    /// back that the least wraps around: Prometheus' answers on amd64.
    pub fn of_seconds(self, seconds: f64) -> f64 {
        let known = (-BEYOND..BEYOND).contains(&seconds);
        let seconds = if known { seconds as i64 } else { i64::MIN };
        let counted = (seconds as u64).wrapping_add(DAYS_BEFORE * DAY as u64);
        let day = (counted / DAY as u64).wrapping_sub(DAYS_BEFORE) as i64;
        self.of(day, (counted % DAY as u64) as i64)
    }

    fn of(self, day: i64, second: i64) -> f64 {
        let (year, month, day_of_month) = civil(day);
        let n = match self {
            Part::Minute => second / 60 % 60,
            Part::Hour => second / 3600,
            // Day 0 was a Thursday.
            Part::DayOfWeek => (day + 4).rem_euclid(7),
            Part::DayOfMonth => day_of_month,
            Part::DayOfYear => {
                const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
                BEFORE[month as usize - 1] + day_of_month + i64::from(month > 2 && leap(year))
            }
            Part::DaysInMonth => match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            },
            Part::Month => month,
            Part::Year => year,
        };
        n as f64
    }
}

fn leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}
