//! Where to start reading and where to stop: `newest`, `oldest`, `42`, `-10`, `10:20`, `@-15m`, `@2026-01-01:@-1h`.

use crate::time::Timestamp;

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The first record there is.
    Oldest,
    /// Behind the last record there is.
    Newest,
    /// An offset.
    Offset(i64),
    /// So many records before the end of each partition.
    BeforeEnd(i64),
    /// The first record at or after this time, milliseconds since 1970.
    Time(i64),
}

/// A range of records, the same for all partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// First record to read.
    pub start: Bound,
    /// First record not to read any more; `None`: go on for ever.
    pub end: Option<Bound>,
}

impl OffsetRange {
    /// Reads a range; times before now are counted from `now_ms`.
    ///
    /// `START`, `START:`, `START:END`, `:END`. A bound is `oldest` (`start`, `beginning`), `newest` (`end`,
    /// `latest`), an offset, `-N` (N records before the end), or `@TIME`, where a time is `-15m`, milliseconds since
    /// 1970, or a date and time in UTC.
    pub fn parse(text: &str, now_ms: i64) -> Option<OffsetRange> {
        if let Some(start) = parse_bound(text, now_ms) {
            return Some(OffsetRange { start, end: None });
        }
        // A time holds colons too, so each colon may be the one between the bounds.
        text.match_indices(':').find_map(|(at, _)| {
            let (left, right) = (&text[..at], &text[at + 1..]);
            let start = if left.is_empty() { Some(Bound::Oldest) } else { parse_bound(left, now_ms) };
            let end = if right.is_empty() { Some(None) } else { parse_end(left, right, now_ms).map(Some) };
            let not_alone = !left.is_empty() || !right.is_empty();
            Some(OffsetRange { start: start?, end: end? }).filter(|_| not_alone)
        })
    }
}

/// Behind `@T1:` the second time may go without its `@`.
fn parse_end(left: &str, right: &str, now_ms: i64) -> Option<Bound> {
    let as_time = || parse_bound(&format!("@{right}"), now_ms);
    match left.starts_with('@') && !right.starts_with('@') {
        true => as_time().or_else(|| parse_bound(right, now_ms)),
        false => parse_bound(right, now_ms),
    }
}

fn parse_bound(text: &str, now_ms: i64) -> Option<Bound> {
    match text {
        "oldest" | "start" | "beginning" | "earliest" => return Some(Bound::Oldest),
        "newest" | "end" | "latest" => return Some(Bound::Newest),
        _ => {}
    }
    if let Some(time) = text.strip_prefix('@') {
        return Timestamp::parse_from(time, now_ms).map(|time| Bound::Time(time.0));
    }
    match text.strip_prefix('-') {
        Some(back) => parse_count(back).map(Bound::BeforeEnd),
        None => parse_count(text).map(Bound::Offset),
    }
}

fn parse_count(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_709_210_096_789; // 2024-02-29T12:34:56.789Z

    fn range(start: Bound, end: Option<Bound>) -> Option<OffsetRange> {
        Some(OffsetRange { start, end })
    }

    #[test]
    fn starts_are_read_as_kcat_and_rpk_write_them() {
        for (text, start) in [
            ("newest", Bound::Newest),
            ("end", Bound::Newest),
            ("oldest", Bound::Oldest),
            ("beginning", Bound::Oldest),
            ("42", Bound::Offset(42)),
            ("-10", Bound::BeforeEnd(10)),
            ("@-15m", Bound::Time(NOW - 900_000)),
            ("@1709210096789", Bound::Time(NOW)),
            ("@2024-02-29", Bound::Time(1_709_164_800_000)),
            ("@2024-02-29T12:34:56.789Z", Bound::Time(NOW)),
            ("@2024-02-29T12:34", Bound::Time(1_709_210_040_000)),
        ] {
            assert_eq!(OffsetRange::parse(text, NOW), range(start, None), "{text}");
        }
    }

    #[test]
    fn ranges_are_read_with_either_end_left_out() {
        let hour_ago = Bound::Time(NOW - 3_600_000);
        for (text, start, end) in [
            ("10:20", Bound::Offset(10), Some(Bound::Offset(20))),
            (":20", Bound::Oldest, Some(Bound::Offset(20))),
            ("10:", Bound::Offset(10), None),
            ("10:end", Bound::Offset(10), Some(Bound::Newest)),
            ("oldest:newest", Bound::Oldest, Some(Bound::Newest)),
            ("-10:newest", Bound::BeforeEnd(10), Some(Bound::Newest)),
            ("@-1h:@-15m", hour_ago, Some(Bound::Time(NOW - 900_000))),
            ("@-1h:-15m", hour_ago, Some(Bound::Time(NOW - 900_000))),
            ("@-1h:newest", hour_ago, Some(Bound::Newest)),
            ("@2024-02-29T12:34:@2024-02-29T12:34:56.789", Bound::Time(1_709_210_040_000), Some(Bound::Time(NOW))),
        ] {
            assert_eq!(OffsetRange::parse(text, NOW), range(start, end), "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", ":", "soon", "--1", "1.5", "@", "@tomorrow", "10:soon", "soon:10", "10:20:30", "@-15"] {
            assert_eq!(OffsetRange::parse(text, NOW), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,30}") {
            let _ = OffsetRange::parse(&text, NOW);
        }

        #[test]
        fn every_pair_of_offsets_is_read_back(start in 0i64..i64::MAX, end in 0i64..i64::MAX) {
            let parsed = OffsetRange::parse(&format!("{start}:{end}"), NOW);
            prop_assert_eq!(parsed, range(Bound::Offset(start), Some(Bound::Offset(end))));
        }
    }
}
