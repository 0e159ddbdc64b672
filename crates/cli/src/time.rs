//! Timestamps as text: ISO 8601 in UTC, both ways.

use std::fmt;

const MS_PER_DAY: i64 = 86_400_000;

/// Milliseconds since 1970; prints as `2026-02-03T04:05:06.789Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp(pub i64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(MS_PER_DAY), self.0.rem_euclid(MS_PER_DAY));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second, millisecond) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
    }
}

impl Timestamp {
    /// Reads `2026-02-03`, `2026-02-03T04:05`, `2026-02-03T04:05:06`, `2026-02-03T04:05:06.789`, each with an
    /// optional `Z`; a space may stand for the `T`. Always UTC.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let text = text.trim().strip_suffix('Z').unwrap_or(text.trim());
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
        let (year, rest) = date.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let days = days_from_civil(number(year, 4)?, number(month, 2)?, number(day, 2)?)?;
        let mut parts = time.split(':');
        let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
        let (second, millisecond) = match parts.next() {
            None => (0, 0),
            Some(seconds) => match seconds.split_once('.') {
                None => (number(seconds, 2)?, 0),
                Some((second, fraction)) => (number(second, 2)?, number(fraction, 3)?),
            },
        };
        let valid = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
        let of_day = ((hour * 60 + minute) * 60 + second) * 1_000 + millisecond;
        valid.then_some(Timestamp(days * MS_PER_DAY + of_day))
    }
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let wellformed = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| wellformed)
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted_year = year - i64::from(month <= 2);
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments_print_as_expected() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(1_709_210_096_789).to_string(), "2024-02-29T12:34:56.789Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn shorter_forms_are_read_as_utc() {
        for (text, ms) in [
            ("2024-02-29", 1_709_164_800_000),
            ("2024-02-29T12:34", 1_709_210_040_000),
            ("2024-02-29 12:34:56", 1_709_210_096_000),
            ("2024-02-29T12:34:56.789Z", 1_709_210_096_789),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(ms)), "{text}");
        }
    }

    #[test]
    fn impossible_moments_are_refused() {
        for text in ["", "2023-02-29", "2024-13-01", "2024-00-01", "2024-01-01T24:00", "2024-1-1", "today"] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_of_four_digit_years_is_read_back(ms in -62_135_596_800_000i64..253_402_300_800_000) {
            prop_assert_eq!(Timestamp::parse(&Timestamp(ms).to_string()), Some(Timestamp(ms)));
        }
    }
}
