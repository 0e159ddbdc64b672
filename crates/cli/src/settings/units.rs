//! Sizes and durations as people write them: `64MiB`, `1.5GB`, `250ms`, `1h30m`.
//!
//! Arithmetic is exact, in integers. `KiB`, `MiB`, `GiB`, `TiB` are powers of 1024, `kB`, `MB`, `GB`, `TB` of 1000.
//! A lone `K`, `M` or `G` is refused, because tools disagree about what it means.

use std::time::Duration;

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const DURATION_UNITS: &[(&str, u64)] = &[
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// Why a text is no size or duration. Does not hold the text, which may be a secret in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number followed by a size unit.
    #[error("not a size; write it as 64MiB, 1.5GB or 4096B")]
    NotASize,
    /// Not a number followed by a time unit.
    #[error("not a duration; write it as 250ms, 10s, 5m, 1h30m or 7d")]
    NotADuration,
    /// A number without unit where one is needed.
    #[error("the unit is missing; write it as 250ms, 10s, 5m, 1h30m or 7d")]
    UnitMissing,
    /// A unit that tools disagree about.
    #[error("the unit is ambiguous; write MiB for 1,048,576 bytes or MB for 1,000,000 bytes")]
    AmbiguousUnit,
    /// Too large, or not a whole number of bytes or nanoseconds.
    #[error("the number is too large or too fine")]
    OutOfRange,
}

/// Bytes in a text such as `64MiB`. A number without unit is in bytes.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = split_number(text.trim()).ok_or(UnitError::NotASize)?;
    let unit = unit.trim();
    if unit.is_empty() {
        return scale(number, 1);
    }
    if ["k", "K", "m", "M", "g", "G", "t", "T"].contains(&unit) {
        return Err(UnitError::AmbiguousUnit);
    }
    let factor = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(UnitError::NotASize)?.1;
    scale(number, factor)
}

/// Time in a text such as `250ms` or `1h30m`. `0` needs no unit.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(UnitError::NotADuration);
    }
    let mut nanoseconds = 0u64;
    while !rest.is_empty() {
        let (number, after) = split_number(rest).ok_or(UnitError::NotADuration)?;
        let after = after.trim_start();
        let unit_end = after.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        if unit.is_empty() {
            return Err(UnitError::UnitMissing);
        }
        let unit = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or(UnitError::NotADuration)?;
        nanoseconds = nanoseconds.checked_add(scale(number, unit.1)?).ok_or(UnitError::OutOfRange)?;
        rest = next.trim_start();
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The shortest exact text of a number of bytes, with a power of 1024 as unit.
pub fn format_bytes(bytes: u64) -> String {
    let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// A number of bytes for people: three digits and a unit, rounded.
pub fn round_bytes(bytes: u64) -> String {
    let units = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, factor)| bytes >= *factor) {
        Some((name, factor)) => format!("{:.1} {name}", bytes as f64 / *factor as f64),
        None => format!("{bytes} B"),
    }
}

/// The shortest exact text of a duration of whole microseconds.
pub fn format_duration(duration: Duration) -> String {
    let microseconds = duration.as_micros();
    let units = [("d", 86_400_000_000u128), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];
    match units.iter().find(|(_, factor)| microseconds >= *factor && microseconds.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", microseconds / factor),
        None if microseconds == 0 => "0s".to_string(),
        None => format!("{microseconds}us"),
    }
}

/// A decimal number: all its digits as an integer, and how many of them stand behind the point.
type Decimal = (u64, u32);

fn split_number(text: &str) -> Option<(Decimal, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let wellformed = !whole.is_empty() && !number.ends_with('.') && !fraction.contains('.') && fraction.len() <= 9;
    let digits = format!("{whole}{fraction}");
    let parsed = digits.parse().ok().filter(|_| wellformed)?;
    Some(((parsed, fraction.len() as u32), rest))
}

fn scale((digits, behind_point): Decimal, factor: u64) -> Result<u64, UnitError> {
    let product = u128::from(digits) * u128::from(factor);
    let divisor = 10u128.pow(behind_point);
    if !product.is_multiple_of(divisor) {
        return Err(UnitError::OutOfRange);
    }
    u64::try_from(product / divisor).map_err(|_| UnitError::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("64MiB", 64 << 20),
            (" 64 MiB ", 64 << 20),
            ("64mib", 64 << 20),
            ("1.5GiB", 3 << 29),
            ("1.5GB", 1_500_000_000),
            ("8kB", 8_000),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_why() {
        for (text, error) in [
            ("", UnitError::NotASize),
            ("MiB", UnitError::NotASize),
            ("-1", UnitError::NotASize),
            ("1.MiB", UnitError::NotASize),
            ("1..5MiB", UnitError::NotASize),
            ("64 parsecs", UnitError::NotASize),
            ("64m", UnitError::AmbiguousUnit),
            ("64G", UnitError::AmbiguousUnit),
            ("0.3B", UnitError::OutOfRange),
            ("18446744073709551615KiB", UnitError::OutOfRange),
        ] {
            assert_eq!(parse_bytes(text), Err(error), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("0", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("1.5s", 1_500),
            ("5m", 300_000),
            ("5min", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, error) in [
            ("", UnitError::NotADuration),
            ("soon", UnitError::NotADuration),
            ("-5s", UnitError::NotADuration),
            ("5 fortnights", UnitError::NotADuration),
            ("250", UnitError::UnitMissing),
            ("1h30", UnitError::UnitMissing),
            ("99999999w", UnitError::OutOfRange),
        ] {
            assert_eq!(parse_duration(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_size_is_read_back_from_its_text(bytes: u64) {
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }

        #[test]
        fn every_size_in_a_unit_is_read_back(count in 0u64..1 << 20, shift in 0u32..5) {
            let bytes = count << (10 * shift);
            prop_assert_eq!(parse_bytes(&format_bytes(bytes)), Ok(bytes));
        }

        #[test]
        fn every_duration_is_read_back_from_its_text(microseconds in 0u64..1 << 50) {
            let duration = Duration::from_micros(microseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".{0,24}") {
            let _ = (parse_bytes(&text), parse_duration(&text));
        }

        #[test]
        fn no_almost_number_makes_the_parsers_panic(text in "[0-9.]{0,30}[a-zA-Z ]{0,4}[0-9.]{0,5}") {
            let _ = (parse_bytes(&text), parse_duration(&text));
        }
    }
}
