//! Timestamps as text: RFC 3339 both ways, and moments told from now.

use crate::settings::units;
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
    /// Reads `2026-02-03`, `2026-02-03T04:05`, `2026-02-03T04:05:06`, `2026-02-03T04:05:06.789`, each in UTC (with or
    /// without `Z`) or with an offset such as `+02:00`; a space may stand for the `T`. What is finer than a millisecond
    /// is cut off.
    pub fn parse(text: &str) -> Option<Timestamp> {
        let text = text.trim();
        let (date, time) = text.split_once(['T', ' ']).unwrap_or((text.strip_suffix('Z').unwrap_or(text), "00:00"));
        let (year, rest) = date.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let days = days_from_civil(number(year, 4)?, number(month, 2)?, number(day, 2)?)?;
        let (time, east_ms) = split_zone(time)?;
        Some(Timestamp(days * MS_PER_DAY + time_of_day(time)? - east_ms))
    }

    /// The same, and what people write from now: `-15m` (before now), milliseconds since 1970.
    pub fn parse_from(text: &str, now_ms: i64) -> Option<Timestamp> {
        if let Some(back) = text.strip_prefix('-') {
            let back = units::parse_duration(back).ok()?;
            return Some(Timestamp(now_ms.saturating_sub(i64::try_from(back.as_millis()).ok()?)));
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().ok().map(Timestamp) } else { Timestamp::parse(text) }
    }
}

/// Milliseconds since midnight.
fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let (second, millisecond) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (number(seconds, 2)?, 0),
            Some((second, fraction)) => (number(second, 2)?, milliseconds(fraction)?),
        },
    };
    let is_valid = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    is_valid.then_some(((hour * 60 + minute) * 60 + second) * 1_000 + millisecond)
}

/// The digits behind the point of a second.
fn milliseconds(fraction: &str) -> Option<i64> {
    number(fraction, fraction.len()).filter(|_| (1..=9).contains(&fraction.len()))?;
    number(&format!("{fraction:0<3}")[..3], 3)
}

/// Takes the zone from the end of a time: the rest, and how many milliseconds it is ahead of UTC.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(utc) = time.strip_suffix(['Z', 'z']) {
        return Some((utc, 0));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, 0)) };
    let (hour, minute) = time[at + 1..].split_once(':').or_else(|| time[at + 1..].split_at_checked(2))?;
    let (hour, minute) = (number(hour, 2)?, number(minute, 2)?);
    let sign = if time[at..].starts_with('-') { -1 } else { 1 };
    (hour < 24 && minute < 60).then_some((&time[..at], sign * (hour * 60 + minute) * 60_000))
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
    fn offsets_from_utc_and_fractions_of_any_length_are_read() {
        for (text, ms) in [
            ("2024-02-29T14:34:56.789+02:00", 1_709_210_096_789),
            ("2024-02-29T07:04:56.789-0530", 1_709_210_096_789),
            ("2024-02-29 12:34:56.7Z", 1_709_210_096_700),
            ("2024-02-29T12:34:56.789999999z", 1_709_210_096_789),
            ("2024-02-29T12:34+00:00", 1_709_210_040_000),
            ("2024-02-29Z", 1_709_164_800_000),
        ] {
            assert_eq!(Timestamp::parse(text), Some(Timestamp(ms)), "{text}");
        }
    }

    #[test]
    fn moments_are_told_from_now_or_since_1970() {
        assert_eq!(Timestamp::parse_from("-15m", 1_000_000), Some(Timestamp(100_000)));
        assert_eq!(Timestamp::parse_from("1700000000000", 0), Some(Timestamp(1_700_000_000_000)));
        assert_eq!(Timestamp::parse_from("2024-02-29", 0), Some(Timestamp(1_709_164_800_000)));
        for text in ["", "-", "-15", "soon", "+15m"] {
            assert_eq!(Timestamp::parse_from(text, 0), None, "{text}");
        }
    }

    #[test]
    fn impossible_moments_are_refused() {
        for text in [
            "",
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-01-01T24:00",
            "2024-1-1",
            "today",
            "2024-01-01T00:00+25:00",
            "2024-01-01T00:00+2",
            "2024-01-01T00:00:00.",
            "2024-01-01T00:00:00.1234567890",
            "2024-01-01T00:00:00+",
            "2024-01-01T00:00:00+0é",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_of_four_digit_years_is_read_back(ms in -62_135_596_800_000i64..253_402_300_800_000) {
            prop_assert_eq!(Timestamp::parse(&Timestamp(ms).to_string()), Some(Timestamp(ms)));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-+:.TZ0-9é ]{0,30}") {
            let _ = Timestamp::parse_from(&text, 0);
        }
    }
}
