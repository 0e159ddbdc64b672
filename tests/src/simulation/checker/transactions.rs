//! What is promised of transactions: all or nothing, nothing before its time, each copy once and at its offset.

use super::{Logs, Violation};
use crate::simulation::history::{COPIES, Event, History, Value};
use crate::simulation::world::{COPIERS, INPUT, OUTPUT};
use std::collections::{BTreeMap, BTreeSet};

/// What became of a transaction, as far as its producer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was told that it is committed.
    Committed,
    /// Its commit was asked for, and never confirmed.
    Unknown,
    /// It was aborted, or its commit never asked for.
    Aborted,
}

/// Transactions by number.
#[derive(Debug, Default)]
struct Transactions {
    /// Those whose commit was asked for.
    asked: BTreeSet<u32>,
    ended: BTreeMap<u32, bool>,
    stored: BTreeMap<u32, Vec<(i32, Value)>>,
}

impl Transactions {
    fn of(history: &History) -> Transactions {
        let mut transactions = Transactions::default();
        for event in history.events() {
            match event {
                Event::Ending { txn, commit: true } => drop(transactions.asked.insert(*txn)),
                Event::Ended { txn, commit } => drop(transactions.ended.insert(*txn, *commit)),
                Event::Acked { partition, first, .. } if first.txn > 0 => {
                    transactions.stored.entry(first.txn).or_default().push((*partition, *first));
                }
                _ => {}
            }
        }
        transactions
    }

    fn fate(&self, txn: u32) -> Fate {
        match self.ended.get(&txn) {
            Some(true) => Fate::Committed,
            None if self.asked.contains(&txn) => Fate::Unknown,
            Some(false) | None => Fate::Aborted,
        }
    }
}

pub(super) fn check(history: &History, committed: &Logs, found: &mut Vec<Violation>) {
    let transactions = Transactions::of(history);
    dirty(history, &transactions, found);
    torn(&transactions, committed, found);
    for (partition, log) in committed {
        repeated(*partition, log, found);
    }
    copies(history, committed, found);
}

/// Nothing is visible of what was aborted, nor of what nobody asked to commit yet.
fn dirty(history: &History, transactions: &Transactions, found: &mut Vec<Violation>) {
    let mut asked = BTreeSet::new();
    for event in history.events() {
        match event {
            Event::Ending { txn, commit: true } => drop(asked.insert(*txn)),
            Event::Read { reader, partition, offset, value: Some(value), committed: true } if value.txn > 0 => {
                let fate = transactions.fate(value.txn);
                if fate == Fate::Aborted || !asked.contains(&value.txn) {
                    let text = format!("reader {reader}: {partition}/{offset} holds {value}, which is {fate:?}");
                    found.push(Violation::DirtyRead(text));
                }
            }
            _ => {}
        }
    }
}

/// All of a transaction is visible, or nothing.
fn torn(transactions: &Transactions, committed: &Logs, found: &mut Vec<Violation>) {
    let visible: BTreeSet<(i32, Value)> =
        committed.iter().flat_map(|(at, log)| log.values().map(|value| (*at, *value))).collect();
    for (txn, stored) in &transactions.stored {
        let fate = transactions.fate(*txn);
        let missing: Vec<_> = stored.iter().filter(|stored| !visible.contains(stored)).collect();
        let is_torn = match fate {
            Fate::Committed => !missing.is_empty(),
            Fate::Unknown => !missing.is_empty() && missing.len() < stored.len(),
            // What is visible of it is a dirty read.
            Fate::Aborted => false,
        };
        if is_torn {
            let (count, of) = (missing.len(), stored.len());
            found.push(Violation::TornTransaction(format!(
                "{fate:?} transaction {txn}: {count} of {of} records are not there, first {:?}",
                missing[0]
            )));
        }
    }
}

/// Among committed records each is there once, and those of one producer in its order, whatever transaction they are of.
fn repeated(partition: i32, log: &BTreeMap<i64, Value>, found: &mut Vec<Violation>) {
    let mut newest: BTreeMap<u32, (u32, i64)> = BTreeMap::new();
    for (offset, value) in log.iter().filter(|(_, value)| value.txn > 0) {
        let before = newest.insert(value.producer, (value.number, *offset));
        let Some((number, before)) = before.filter(|(number, _)| *number >= value.number) else { continue };
        let text = format!("{value} at {partition}/{offset} stands behind #{number} at {before}");
        let is_same = number == value.number;
        found.push(if is_same { Violation::Duplicate(text) } else { Violation::Reordered(text) });
    }
}

/// Up to the offset that the copiers committed each committed record of the input has its copy, and none beyond.
fn copies(history: &History, committed: &Logs, found: &mut Vec<Violation>) {
    let empty = BTreeMap::new();
    for event in history.events() {
        let Event::GroupEnd { group, partition, offset: end } = event else { continue };
        if *group != COPIERS {
            continue;
        }
        let originals: BTreeSet<i64> =
            committed.get(partition).unwrap_or(&empty).range(..end).map(|(offset, _)| *offset).collect();
        let output = committed.get(&(partition - INPUT.start + OUTPUT.start)).unwrap_or(&empty);
        let is_copy = |value: &&Value| value.producer == COPIES + *partition as u32;
        let copies: BTreeSet<i64> = output.values().filter(is_copy).map(|value| i64::from(value.number)).collect();
        for (missing, what) in
            [(&originals - &copies, "was not copied"), (&copies - &originals, "should not be copied")]
        {
            if let Some(offset) = missing.first() {
                let text = format!("{partition}/{offset} {what}; {} such, committed up to {end}", missing.len());
                found.push(Violation::CopyMismatch(text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::checker::check;

    const A: Value = Value { producer: 1_000, number: 0, txn: 7 };
    const B: Value = Value { producer: 1_000, number: 1, txn: 7 };

    fn stored(value: Value, partition: i32) -> [Event; 2] {
        [
            Event::Sent { partition, first: value, count: 1, idempotent: true },
            Event::Acked { partition, first: value, count: 1, offset: 0 },
        ]
    }

    fn read(partition: i32, offset: i64, value: Value, committed: bool) -> Event {
        Event::Read { reader: 0, partition, offset, value: Some(value), committed }
    }

    fn found(events: impl IntoIterator<Item = Event>) -> Vec<Violation> {
        check(&events.into_iter().collect())
    }

    /// Both records are stored, one in each of two partitions.
    fn begun() -> Vec<Event> {
        let mut events = [stored(A, 10), stored(B, 11)].concat();
        events.extend([read(10, 0, A, false), read(11, 0, B, false)]);
        events
    }

    #[test]
    fn a_transaction_that_is_whole_and_in_time_is_no_finding() {
        let mut events = begun();
        events.extend([Event::Ending { txn: 7, commit: true }, read(10, 0, A, true), read(11, 0, B, true)]);
        assert_eq!(found(events.clone()), [], "confirmed or not");
        events.push(Event::Ended { txn: 7, commit: true });
        assert_eq!(found(events), []);
        assert_eq!(found(begun()), [], "open");
    }

    #[test]
    fn what_is_visible_too_early_or_after_an_abort_is_found() {
        let mut early = begun();
        early.extend([read(10, 0, A, true), read(11, 0, B, true)]);
        early.extend([Event::Ending { txn: 7, commit: true }, Event::Ended { txn: 7, commit: true }]);
        assert!(matches!(found(early)[..], [Violation::DirtyRead(_), Violation::DirtyRead(_)]));
        let mut aborted = begun();
        aborted.extend([Event::Ending { txn: 7, commit: true }, Event::Ending { txn: 7, commit: false }]);
        aborted.extend([Event::Ended { txn: 7, commit: false }, read(10, 0, A, true)]);
        assert!(matches!(found(aborted)[..], [Violation::DirtyRead(_)]));
    }

    #[test]
    fn what_is_missing_of_a_committed_transaction_is_found() {
        let mut torn = begun();
        torn.extend([Event::Ending { txn: 7, commit: true }, read(10, 0, A, true)]);
        assert!(matches!(found(torn)[..], [Violation::TornTransaction(_)]), "of one that was not confirmed");
        let mut invisible = begun();
        invisible.extend([Event::Ending { txn: 7, commit: true }, Event::Ended { txn: 7, commit: true }]);
        assert!(matches!(found(invisible)[..], [Violation::TornTransaction(_)]));
    }

    /// An input record at 10/5, its copies as given, the group's offset at the end.
    fn copied(copies: &[(i64, Value)], end: i64) -> Vec<Violation> {
        let original = Value { producer: 1_000, number: 0, txn: 1 };
        let mut events = vec![Event::Sent { partition: 10, first: original, count: 1, idempotent: true }];
        events.extend([Event::Ending { txn: 1, commit: true }, read(10, 5, original, true)]);
        for (offset, copy) in copies {
            events.push(Event::Ending { txn: copy.txn, commit: true });
            events.push(Event::Sent { partition: 20, first: *copy, count: 1, idempotent: true });
            events.push(read(20, *offset, *copy, true));
        }
        events.push(Event::GroupEnd { group: COPIERS, partition: 10, offset: end });
        found(events)
    }

    #[test]
    fn copies_that_disagree_with_the_committed_offset_are_found() {
        let copy = Value { producer: COPIES + 10, number: 5, txn: 2 };
        assert_eq!(copied(&[(0, copy)], 6), []);
        assert_eq!(copied(&[], 5), []);
        assert!(matches!(copied(&[], 6)[..], [Violation::CopyMismatch(_)]), "an offset without a copy");
        assert!(matches!(copied(&[(0, copy)], 5)[..], [Violation::CopyMismatch(_)]), "a copy without its offset");
        let again = Value { txn: 3, ..copy };
        assert!(matches!(copied(&[(0, copy), (2, again)], 6)[..], [Violation::Duplicate(_)]));
    }
}
