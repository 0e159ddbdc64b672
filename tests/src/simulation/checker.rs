//! Finds in a history what must never be.
//!
//! The log of a partition is rebuilt from what readers saw: one value per offset, for ever. Against it stand the
//! promises made to producers. The names of the findings are those of Jepsen's Kafka work, where it has one.

mod groups;
mod transactions;

use super::history::{Event, History, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two reads saw different values at one offset.
    InconsistentOffset(String),
    /// A record was acknowledged and is not there.
    LostWrite(String),
    /// A record is there, but not at the offset that was acknowledged.
    MovedWrite(String),
    /// A record is there twice.
    Duplicate(String),
    /// Records of one producer stand in another order than they were sent.
    Reordered(String),
    /// Something was read that nobody wrote.
    Invented(String),
    /// Offsets without a record.
    Gap(String),
    /// A client that never got on.
    Stuck(String),
    /// A reader of committed records saw one of a transaction that was not committed (G1a), or not yet.
    DirtyRead(String),
    /// A part of a committed transaction is not visible.
    TornTransaction(String),
    /// Offsets that were committed in transactions disagree with the records of these.
    CopyMismatch(String),
    /// A group's committed offset went back.
    OffsetWentBack(String),
    /// Two members of one generation had the same partition.
    SharedPartition(String),
    /// A group went past a record that none of its members was given.
    SkippedRecord(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What was sent: the partition, and whether the producer was idempotent.
type Sent = BTreeMap<Value, (i32, bool)>;

/// Every violation in the history; empty when all promises were kept.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = stuck(history);
    let sent = sent(history);
    let logs = logs(history, &mut found);
    for (partition, log) in &logs {
        invented(*partition, log, &sent, &mut found);
        duplicates(*partition, log, &mut found);
        reordered(*partition, log, &sent, &mut found);
    }
    acknowledged(history, &logs, &mut found);
    gaps(history, &logs, &mut found);
    let committed = committed(history);
    transactions::check(history, &committed, &mut found);
    groups::check(history, &committed, &mut found);
    found
}

/// Per partition the value at each offset.
type Logs = BTreeMap<i32, BTreeMap<i64, Value>>;

fn stuck(history: &History) -> Vec<Violation> {
    let stuck = history.events().filter_map(|event| match event {
        Event::Stuck { what } => Some(Violation::Stuck(what.clone())),
        _ => None,
    });
    stuck.collect()
}

fn values(first: Value, count: u32) -> impl Iterator<Item = Value> {
    (0..count).map(move |index| Value { number: first.number + index, ..first })
}

fn sent(history: &History) -> Sent {
    let mut sent = Sent::new();
    for event in history.events() {
        if let Event::Sent { partition, first, count, idempotent } = event {
            sent.extend(values(*first, *count).map(|value| (value, (*partition, *idempotent))));
        }
    }
    sent
}

/// Per partition the value at each offset, as readers saw it.
fn logs(history: &History, found: &mut Vec<Violation>) -> Logs {
    let mut logs = Logs::new();
    for event in history.events() {
        let Event::Read { reader, partition, offset, value, .. } = event else { continue };
        let Some(value) = value else {
            found.push(Violation::Invented(format!("reader {reader}: {partition}/{offset} is no record of this run")));
            continue;
        };
        let before = logs.entry(*partition).or_default().insert(*offset, *value);
        if before.is_some_and(|before| before != *value) {
            let text = format!("reader {reader}: {partition}/{offset} was {before:?}, now {value}");
            found.push(Violation::InconsistentOffset(text));
        }
    }
    logs
}

/// The same, as readers of committed records saw it.
fn committed(history: &History) -> Logs {
    let mut logs = Logs::new();
    for event in history.events() {
        if let Event::Read { partition, offset, value: Some(value), committed: true, .. } = event {
            logs.entry(*partition).or_default().insert(*offset, *value);
        }
    }
    logs
}

fn invented(partition: i32, log: &BTreeMap<i64, Value>, sent: &Sent, found: &mut Vec<Violation>) {
    for (offset, value) in log {
        if sent.get(value).is_none_or(|(sent_to, _)| *sent_to != partition) {
            found.push(Violation::Invented(format!(
                "{partition}/{offset} holds {value}, sent to {:?}",
                sent.get(value)
            )));
        }
    }
}

fn duplicates(partition: i32, log: &BTreeMap<i64, Value>, found: &mut Vec<Violation>) {
    let mut seen: BTreeMap<Value, i64> = BTreeMap::new();
    for (offset, value) in log {
        if let Some(before) = seen.insert(*value, *offset) {
            found.push(Violation::Duplicate(format!("{value} at {partition}/{before} and {partition}/{offset}")));
        }
    }
}

/// Only idempotent producers are promised their order across failures. What transactions left behind may come again.
fn reordered(partition: i32, log: &BTreeMap<i64, Value>, sent: &Sent, found: &mut Vec<Violation>) {
    let mut newest: BTreeMap<u32, Value> = BTreeMap::new();
    let is_ordered = |value: &Value| value.txn == 0 && sent.get(value).is_some_and(|(_, idempotent)| *idempotent);
    for (offset, value) in log.iter().filter(|(_, value)| is_ordered(value)) {
        if let Some(before) = newest.insert(value.producer, *value).filter(|before| before.number > value.number) {
            found.push(Violation::Reordered(format!("{value} at {partition}/{offset} stands behind {before}")));
        }
    }
}

fn acknowledged(history: &History, logs: &Logs, found: &mut Vec<Violation>) {
    let empty = BTreeMap::new();
    let present: BTreeSet<Value> = logs.values().flat_map(|log| log.values().copied()).collect();
    for event in history.events() {
        let Event::Acked { partition, first, count, offset } = event else { continue };
        let log = logs.get(partition).unwrap_or(&empty);
        for (index, value) in values(*first, *count).enumerate() {
            let at = offset + index as i64;
            if !present.contains(&value) {
                found.push(Violation::LostWrite(format!("{value} was acknowledged at {partition}/{at}")));
            } else if *offset >= 0 && log.get(&at) != Some(&value) {
                let there = log.get(&at);
                found.push(Violation::MovedWrite(format!(
                    "{value} acknowledged at {partition}/{at}: there is {there:?}"
                )));
            }
        }
    }
}

fn gaps(history: &History, logs: &Logs, found: &mut Vec<Violation>) {
    let markers: BTreeSet<(i32, i64)> = history.events().filter_map(marker).collect();
    for event in history.events() {
        let Event::End { partition, log_start, next_offset } = event else { continue };
        let is_missing = |offset: &i64| {
            let is_record = logs.get(partition).is_some_and(|log| log.contains_key(offset));
            // Neither, or both at different times.
            is_record == markers.contains(&(*partition, *offset))
        };
        let missing = (*log_start..*next_offset).find(is_missing);
        if let Some(offset) = missing {
            found.push(Violation::Gap(format!("{partition}/{offset} below the end {next_offset}")));
        }
        let beyond = logs.get(partition).and_then(|log| log.keys().next_back()).filter(|last| *last >= next_offset);
        if let Some(last) = beyond {
            found.push(Violation::LostWrite(format!("{partition}/{last} was read, the log now ends at {next_offset}")));
        }
    }
}

fn marker(event: &Event) -> Option<(i32, i64)> {
    if let Event::Marker { partition, offset, .. } = event { Some((*partition, *offset)) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Value = Value { producer: 1, number: 0, txn: 0 };
    const B: Value = Value { producer: 1, number: 1, txn: 0 };

    fn sent(first: Value) -> Event {
        Event::Sent { partition: 0, first, count: 1, idempotent: true }
    }

    fn acked(first: Value, offset: i64) -> Event {
        Event::Acked { partition: 0, first, count: 1, offset }
    }

    fn read(offset: i64, value: Value) -> Event {
        Event::Read { reader: 0, partition: 0, offset, value: Some(value), committed: false }
    }

    fn end(next_offset: i64) -> Event {
        Event::End { partition: 0, log_start: 0, next_offset }
    }

    fn found(events: Vec<Event>) -> Vec<Violation> {
        check(&events.into_iter().collect())
    }

    #[test]
    fn a_kept_promise_is_no_finding() {
        let events = vec![sent(A), sent(B), acked(A, 0), acked(B, 1), read(0, A), read(1, B), read(0, A), end(2)];
        assert_eq!(found(events), []);
    }

    #[test]
    fn each_broken_promise_is_found() {
        use Violation::*;
        let lost = found(vec![sent(A), acked(A, 0), end(0)]);
        assert!(matches!(lost[..], [LostWrite(_)]), "{lost:?}");
        let moved = found(vec![sent(A), sent(B), acked(A, 1), read(0, A), read(1, B), end(2)]);
        assert!(matches!(moved[..], [MovedWrite(_)]), "{moved:?}");
        let duplicate = found(vec![sent(A), read(0, A), read(1, A), end(2)]);
        assert!(matches!(duplicate[..], [Duplicate(_)]), "{duplicate:?}");
        let reordered = found(vec![sent(A), sent(B), read(0, B), read(1, A), end(2)]);
        assert!(matches!(reordered[..], [Reordered(_)]), "{reordered:?}");
        let changed = found(vec![sent(A), sent(B), read(0, A), read(0, B), end(1)]);
        assert!(matches!(changed[..], [InconsistentOffset(_)]), "{changed:?}");
        let invented = found(vec![read(0, A), end(1)]);
        assert!(matches!(invented[..], [Invented(_)]), "{invented:?}");
        let gap = found(vec![sent(A), read(1, A), end(2)]);
        assert!(matches!(gap[..], [Gap(_)]), "{gap:?}");
        let shrunk = found(vec![sent(A), read(0, A), end(0)]);
        assert!(matches!(shrunk[..], [LostWrite(_)]), "{shrunk:?}");
        let stuck = found(vec![Event::Stuck { what: "a producer".into() }]);
        assert!(matches!(stuck[..], [Stuck(_)]), "{stuck:?}");
    }
}
