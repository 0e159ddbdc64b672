//! Where a reset of a group's offsets leads: a pure function of what is asked for and what is known.
//!
//! The rules are those of `kafka-consumer-groups.sh --reset-offsets`: a place outside of what is readable becomes the
//! nearest one that is; a time later than all records becomes the end; a shift needs an offset to start from.

use crate::client::{PartitionOffsets, TopicPartition};
use std::collections::BTreeMap;

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The first readable record.
    Earliest,
    /// Behind the last record.
    Latest,
    /// An offset, the same in all partitions.
    Offset(i64),
    /// The first record at or after a moment, milliseconds since 1970.
    Time(i64),
    /// So many records forward (or back) from the committed offset.
    ShiftBy(i64),
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What the group has committed.
    pub committed: Option<i64>,
    /// What is readable.
    pub range: PartitionOffsets,
    /// The first offset at or after the moment of [`Target::Time`], if there is one.
    pub at_time: Option<i64>,
}

/// Why the new offset is not the one that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The place lies before the first readable record.
    BeforeStart,
    /// The place lies behind the last record.
    BehindEnd,
    /// No record is so late.
    NothingSoLate,
}

impl Note {
    /// A few words for a listing.
    pub fn text(self) -> &'static str {
        match self {
            Note::BeforeStart => "was before the start",
            Note::BehindEnd => "was behind the end",
            Note::NothingSoLate => "no record so late",
        }
    }
}

/// A partition's new offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewOffset {
    /// The offset.
    pub offset: i64,
    /// What is to be said about it.
    pub note: Option<Note>,
}

/// A shift without an offset to start from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} has no committed offset to shift")]
pub struct NothingCommitted(pub TopicPartition);

/// The new offset of each partition.
pub fn plan(
    target: Target,
    partitions: &BTreeMap<TopicPartition, Known>,
) -> Result<BTreeMap<TopicPartition, NewOffset>, NothingCommitted> {
    let planned = partitions.iter().map(|(place, known)| {
        let new_offset = new_offset(target, known).ok_or_else(|| NothingCommitted(place.clone()))?;
        Ok((place.clone(), new_offset))
    });
    planned.collect()
}

fn new_offset(target: Target, known: &Known) -> Option<NewOffset> {
    let plain = |offset| NewOffset { offset, note: None };
    let new_offset = match target {
        Target::Earliest => plain(known.range.start),
        Target::Latest => plain(known.range.end),
        Target::Offset(offset) => readable(offset, known.range),
        Target::ShiftBy(records) => readable(known.committed?.saturating_add(records), known.range),
        Target::Time(_) => match known.at_time {
            Some(offset) => plain(offset),
            None => NewOffset { offset: known.range.end, note: Some(Note::NothingSoLate) },
        },
    };
    Some(new_offset)
}

fn readable(offset: i64, range: PartitionOffsets) -> NewOffset {
    if offset > range.end {
        NewOffset { offset: range.end, note: Some(Note::BehindEnd) }
    } else if offset < range.start {
        NewOffset { offset: range.start, note: Some(Note::BeforeStart) }
    } else {
        NewOffset { offset, note: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PartitionOffsets = PartitionOffsets { start: 10, end: 50 };

    fn known(committed: Option<i64>, at_time: Option<i64>) -> Known {
        Known { committed, range: RANGE, at_time }
    }

    #[test]
    fn each_target_leads_where_kafkas_tool_leads() {
        for (target, known, offset, note) in [
            (Target::Earliest, known(Some(20), None), 10, None),
            (Target::Latest, known(None, None), 50, None),
            (Target::Offset(30), known(None, None), 30, None),
            (Target::Offset(50), known(None, None), 50, None),
            (Target::Offset(51), known(None, None), 50, Some(Note::BehindEnd)),
            (Target::Offset(9), known(None, None), 10, Some(Note::BeforeStart)),
            (Target::ShiftBy(5), known(Some(20), None), 25, None),
            (Target::ShiftBy(-5), known(Some(20), None), 15, None),
            (Target::ShiftBy(-15), known(Some(20), None), 10, Some(Note::BeforeStart)),
            (Target::ShiftBy(i64::MAX), known(Some(20), None), 50, Some(Note::BehindEnd)),
            (Target::Time(1), known(Some(20), Some(12)), 12, None),
            (Target::Time(1), known(Some(20), None), 50, Some(Note::NothingSoLate)),
        ] {
            assert_eq!(new_offset(target, &known), Some(NewOffset { offset, note }), "{target:?} {known:?}");
        }
    }

    #[test]
    fn a_shift_needs_a_committed_offset_in_every_partition() {
        let place = |partition| TopicPartition::new("t", partition);
        let partitions = BTreeMap::from([(place(0), known(Some(20), None)), (place(1), known(None, None))]);
        let error = plan(Target::ShiftBy(1), &partitions).unwrap_err();
        assert_eq!(error.to_string(), "t/1 has no committed offset to shift");
        assert_eq!(plan(Target::Latest, &partitions).unwrap().len(), 2);
    }
}
