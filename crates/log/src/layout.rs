//! Names of the objects that this crate writes: `wal/…` segments and `snap/…` snapshots.
//!
//! A segment's name must follow from its id alone, since an extent keeps nothing else. Its folders show the hour in
//! which it was opened; so the hour stands in the id: `number` is the wall clock in milliseconds times 65,536, or the
//! previous number plus one where the clock has not moved on.

use frazil_base::{Epoch, ObjectId, Seq};
use frazil_store::Key;

/// All segments that are objects of their own.
pub const SEGMENT_PREFIX: &str = "wal/";
/// All snapshots of the state.
pub const SNAPSHOT_PREFIX: &str = "snap/";

const NUMBERS_PER_MS: u64 = 1 << 16;
const MS_PER_HOUR: u64 = 3_600_000;

/// Hands out the ids of one broker's segments, ascending, none twice.
#[derive(Debug)]
pub(crate) struct ObjectIds {
    epoch: Epoch,
    last: u64,
}

impl ObjectIds {
    pub(crate) fn new(epoch: Epoch) -> ObjectIds {
        ObjectIds { epoch, last: 0 }
    }

    /// The id of a segment opened at `now_ms`.
    pub(crate) fn next(&mut self, now_ms: i64) -> ObjectId {
        let by_clock = u64::try_from(now_ms).unwrap_or(0).saturating_mul(NUMBERS_PER_MS);
        self.last = by_clock.max(self.last + 1);
        ObjectId { epoch: self.epoch, number: self.last }
    }
}

/// `wal/<yyyy>/<mm>/<dd>/<hh>/<id>.seg`
pub fn segment_key(object: ObjectId) -> Key {
    let hours = object.number / NUMBERS_PER_MS / MS_PER_HOUR;
    let (year, month, day) = civil_date(hours / 24);
    Key::new(format!("{SEGMENT_PREFIX}{year:04}/{month:02}/{day:02}/{:02}/{object}.seg", hours % 24))
}

/// The id in a segment's key; `None` for anything else below the prefix.
pub fn segment_of_key(key: &Key) -> Option<ObjectId> {
    let (_, file) = key.as_str().strip_prefix(SEGMENT_PREFIX)?.rsplit_once('/')?;
    let (epoch, number) = file.strip_suffix(".seg")?.split_once('-')?;
    let object =
        ObjectId { epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?), number: u64::from_str_radix(number, 16).ok()? };
    (segment_key(object) == *key).then_some(object)
}

/// `snap/<seq, 20 digits>.snap`
pub fn snapshot_key(seq: Seq) -> Key {
    Key::new(format!("{SNAPSHOT_PREFIX}{:020}.snap", seq.0))
}

/// The number in a snapshot's key.
pub fn snapshot_of_key(key: &Key) -> Option<Seq> {
    let digits = key.as_str().strip_prefix(SNAPSHOT_PREFIX)?.strip_suffix(".snap")?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Seq)).flatten()
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_key_shows_the_hour_in_which_it_was_opened_and_gives_the_id_back() {
        let object = ObjectIds::new(Epoch(7)).next(1_709_211_600_000);
        let key = segment_key(object);
        assert_eq!(key.as_str(), format!("wal/2024/02/29/13/{object}.seg"));
        assert_eq!(segment_of_key(&key), Some(object));
    }

    #[test]
    fn ids_ascend_when_the_clock_stands_still_or_goes_back() {
        let mut ids = ObjectIds::new(Epoch(1));
        let numbers: Vec<u64> = [5, 5, 3, -1, 6].into_iter().map(|now_ms| ids.next(now_ms).number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    }

    #[test]
    fn keys_of_others_are_nobodys() {
        for key in ["wal/x", "wal/2024/02/29/13/1-2.seg", "wal/1999/01/01/00/0000000000000001-0000000000000002.seg"] {
            assert_eq!(segment_of_key(&Key::new(key)), None, "{key}");
        }
        assert_eq!(snapshot_of_key(&snapshot_key(Seq(42))), Some(Seq(42)));
        assert_eq!(snapshot_of_key(&Key::new("snap/42.snap")), None);
    }
}
