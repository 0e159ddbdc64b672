//! What is promised of groups: one owner per partition and generation, offsets that only advance, nothing passed over.

use super::{Logs, Violation};
use crate::simulation::history::{Event, History};
use crate::simulation::world::CONSUMERS;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(history: &History, committed: &Logs, found: &mut Vec<Violation>) {
    shared(history, found);
    went_back(history, found);
    skipped(history, committed, found);
}

/// In one generation a partition has one owner.
fn shared(history: &History, found: &mut Vec<Violation>) {
    let mut owners: BTreeMap<(&str, i32, i32), &str> = BTreeMap::new();
    for event in history.events() {
        let Event::Assigned { group, generation, member, partitions } = event else { continue };
        for partition in partitions {
            let before = owners.insert((group, *generation, *partition), member);
            if let Some(before) = before.filter(|before| before != member) {
                let text = format!("{group} in generation {generation}: {partition} is of {before} and of {member}");
                found.push(Violation::SharedPartition(text));
            }
        }
    }
}

/// An offset that was committed stays: whatever is committed or read by a request that began later is no less.
#[derive(Debug, Default)]
struct Offsets<'a> {
    /// Per group and partition: the number of the event that confirmed an offset, and the offset; ascending in both.
    confirmed: BTreeMap<(&'a str, i32), Vec<(usize, i64)>>,
}

impl<'a> Offsets<'a> {
    /// The greatest offset that was confirmed before the event `since`.
    fn least(&self, group: &str, partition: i32, since: usize) -> i64 {
        let confirmed = self.confirmed.get(&(group, partition)).map(Vec::as_slice).unwrap_or_default();
        let before = confirmed.partition_point(|(at, _)| *at < since);
        confirmed[..before].last().map_or(0, |(_, offset)| *offset)
    }

    fn confirm(&mut self, group: &'a str, partition: i32, at: usize, offset: i64) {
        let confirmed = self.confirmed.entry((group, partition)).or_default();
        if confirmed.last().is_none_or(|(_, last)| *last < offset) {
            confirmed.push((at, offset));
        }
    }
}

fn went_back(history: &History, found: &mut Vec<Violation>) {
    let mut offsets = Offsets::default();
    let mut pending: BTreeMap<u32, Vec<(&str, i32, i64)>> = BTreeMap::new();
    for (at, event) in history.events().enumerate() {
        let (what, group, partition, offset, since) = match event {
            Event::OffsetCommitted { group, partition, offset, since, txn } => {
                match txn {
                    0 => offsets.confirm(group, *partition, at, *offset),
                    txn => pending.entry(*txn).or_default().push((group, *partition, *offset)),
                }
                ("committed", group, *partition, *offset, *since)
            }
            Event::OffsetFetched { group, partition, offset, since } => ("read", group, *partition, *offset, *since),
            Event::GroupEnd { group, partition, offset } => ("there at the end", group, *partition, *offset, at),
            Event::Ended { txn, commit: true } => {
                for (group, partition, offset) in pending.remove(txn).unwrap_or_default() {
                    offsets.confirm(group, partition, at, offset);
                }
                continue;
            }
            _ => continue,
        };
        let least = offsets.least(group, partition, since);
        if offset < least {
            let text = format!("event {at}: {group} at {partition}: {offset} {what} after {least}");
            found.push(Violation::OffsetWentBack(text));
        }
    }
}

/// Below the committed offset every committed record was given to some member.
fn skipped(history: &History, committed: &Logs, found: &mut Vec<Violation>) {
    let consumed = history.events().filter_map(|event| match event {
        Event::Consumed { group, partition, offset } => Some((*group, *partition, *offset)),
        _ => None,
    });
    let consumed: BTreeSet<_> = consumed.collect();
    for event in history.events() {
        let Event::GroupEnd { group, partition, offset: end } = event else { continue };
        let records = committed.get(partition).into_iter().flat_map(|log| log.range(..end));
        let mut missed = records.filter(|(offset, _)| !consumed.contains(&(*group, *partition, **offset)));
        if let Some((offset, value)) = missed.next().filter(|_| *group == CONSUMERS) {
            let text = format!("{group} committed {end} at {partition} and nobody was given {offset}, {value}");
            found.push(Violation::SkippedRecord(text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::checker::check;
    use crate::simulation::history::Value;

    const GROUP: &str = CONSUMERS;

    fn found(events: impl IntoIterator<Item = Event>) -> Vec<Violation> {
        check(&events.into_iter().collect())
    }

    fn assigned(generation: i32, member: &str, partitions: &[i32]) -> Event {
        Event::Assigned { group: GROUP, generation, member: member.into(), partitions: partitions.to_vec() }
    }

    #[test]
    fn a_partition_with_two_owners_in_one_generation_is_found() {
        assert_eq!(found([assigned(1, "a", &[10, 11]), assigned(1, "b", &[12]), assigned(2, "b", &[10])]), []);
        let shared = found([assigned(1, "a", &[10, 11]), assigned(1, "b", &[11])]);
        assert!(matches!(shared[..], [Violation::SharedPartition(_)]), "{shared:?}");
    }

    fn committed(offset: i64, since: usize, txn: u32) -> Event {
        Event::OffsetCommitted { group: GROUP, partition: 10, offset, since, txn }
    }

    fn fetched(offset: i64, since: usize) -> Event {
        Event::OffsetFetched { group: GROUP, partition: 10, offset, since }
    }

    #[test]
    fn an_offset_that_goes_back_is_found() {
        assert_eq!(found([committed(5, 0, 0), fetched(5, 1), fetched(3, 0), committed(6, 1, 0)]), []);
        for later in [fetched(3, 1), committed(3, 1, 0)] {
            let back = found([committed(5, 0, 0), later]);
            assert!(matches!(back[..], [Violation::OffsetWentBack(_)]), "{back:?}");
        }
        let pending = [committed(5, 0, 7), fetched(3, 1), Event::Ended { txn: 7, commit: true }, fetched(3, 2)];
        assert_eq!(found(pending), [], "the end was not confirmed yet");
        let ended = found([committed(5, 0, 7), Event::Ended { txn: 7, commit: true }, fetched(3, 2)]);
        assert!(matches!(ended[..], [Violation::OffsetWentBack(_)]), "{ended:?}");
    }

    #[test]
    fn a_record_that_a_group_passed_over_is_found() {
        let value = Value { producer: 1, number: 0, txn: 0 };
        let read = Event::Read { reader: 0, partition: 10, offset: 4, value: Some(value), committed: true };
        let sent = Event::Sent { partition: 10, first: value, count: 1, idempotent: true };
        let end = |offset| Event::GroupEnd { group: GROUP, partition: 10, offset };
        assert_eq!(found([sent.clone(), read.clone(), end(4)]), []);
        let consumed = Event::Consumed { group: GROUP, partition: 10, offset: 4 };
        assert_eq!(found([sent.clone(), read.clone(), consumed, end(5)]), []);
        let skipped = found([sent, read, end(5)]);
        assert!(matches!(skipped[..], [Violation::SkippedRecord(_)]), "{skipped:?}");
    }
}
