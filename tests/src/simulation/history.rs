//! What clients did and saw, in order.

use std::fmt;

/// The content of a record: which producer made it, as its how-manyeth, and in which transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// The producer; from [`COPIES`] on the partition whose records were copied.
    pub producer: u32,
    /// Counts the producer's records; of a copy the offset of the original.
    pub number: u32,
    /// The transaction; 0 if it belongs to none.
    pub txn: u32,
}

/// A copy of a record of partition `p` names `COPIES + p` as its producer.
pub const COPIES: u32 = 1_000_000;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}#{}", self.producer, self.number)?;
        if self.txn > 0 { write!(f, " of transaction {}", self.txn) } else { Ok(()) }
    }
}

impl Value {
    /// As bytes of a record.
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        for (word, place) in [self.producer, self.number, self.txn].into_iter().zip(bytes.chunks_exact_mut(4)) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// From bytes of a record; `None` when a run never wrote such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Value> {
        let bytes: &[u8; 12] = bytes.try_into().ok()?;
        let mut words = bytes.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().expect("four bytes")));
        Some(Value { producer: words.next()?, number: words.next()?, txn: words.next()? })
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A producer sent a batch for the first time: `count` values from `first` on.
    Sent {
        /// The partition.
        partition: i32,
        /// First value.
        first: Value,
        /// How many.
        count: u32,
        /// Whether retries are told apart by sequences.
        idempotent: bool,
    },
    /// It was acknowledged. The offset is of its first record; -1 when the broker no longer remembers it.
    Acked {
        /// The partition.
        partition: i32,
        /// First value.
        first: Value,
        /// How many.
        count: u32,
        /// Offset of the first.
        offset: i64,
    },
    /// An attempt failed.
    Failed {
        /// The partition.
        partition: i32,
        /// First value.
        first: Value,
        /// The error.
        cause: String,
    },
    /// A reader saw a record.
    Read {
        /// Who.
        reader: u32,
        /// The partition.
        partition: i32,
        /// Its offset.
        offset: i64,
        /// Its content; `None` when it is nothing that a run writes.
        value: Option<Value>,
        /// Whether the reader asked for committed records only.
        committed: bool,
    },
    /// A reader saw the marker of a transaction's end.
    Marker {
        /// Who.
        reader: u32,
        /// The partition.
        partition: i32,
        /// Its offset.
        offset: i64,
    },
    /// A producer is about to ask for the end of its transaction, for the first time.
    Ending {
        /// The transaction.
        txn: u32,
        /// Commit, or abort.
        commit: bool,
    },
    /// It was told that the transaction ended so.
    Ended {
        /// The transaction.
        txn: u32,
        /// Committed, or aborted.
        commit: bool,
    },
    /// A member of a group was given its partitions.
    Assigned {
        /// The group.
        group: &'static str,
        /// The generation.
        generation: i32,
        /// The member.
        member: String,
        /// All that it has.
        partitions: Vec<i32>,
    },
    /// A member was told a committed offset.
    OffsetFetched {
        /// The group.
        group: &'static str,
        /// The partition.
        partition: i32,
        /// The offset; 0 if there is none.
        offset: i64,
        /// How many events there were when it asked.
        since: usize,
    },
    /// An offset was committed, or will be with its transaction.
    OffsetCommitted {
        /// The group.
        group: &'static str,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// How many events there were when this was asked for.
        since: usize,
        /// The transaction; 0: it is committed now.
        txn: u32,
    },
    /// A member of a group took a record.
    Consumed {
        /// The group.
        group: &'static str,
        /// The partition.
        partition: i32,
        /// The record's offset.
        offset: i64,
    },
    /// After everything was healed, a group stands here.
    GroupEnd {
        /// The group.
        group: &'static str,
        /// The partition.
        partition: i32,
        /// Its committed offset.
        offset: i64,
    },
    /// After everything was healed, a partition ends here.
    End {
        /// The partition.
        partition: i32,
        /// First offset.
        log_start: i64,
        /// Offset after the last.
        next_offset: i64,
    },
    /// A client could not get on although everything was healed.
    Stuck {
        /// Who, and with what.
        what: String,
    },
    /// Something done to the system.
    Chaos {
        /// What.
        what: String,
    },
}

/// Events with the virtual time at which they happened, in milliseconds since the run began.
#[derive(Clone, Debug, Default)]
pub struct History {
    events: Vec<(u64, Event)>,
}

impl History {
    /// Notes an event.
    pub fn note(&mut self, at_ms: u64, event: Event) {
        self.events.push((at_ms, event));
    }

    /// The events, in order.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().map(|(_, event)| event)
    }

    /// How many events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// One line per event; two runs of a seed give the same text.
    pub fn text(&self) -> String {
        self.events.iter().map(|(at_ms, event)| format!("{at_ms:>8} {event:?}\n")).collect()
    }
}

impl FromIterator<Event> for History {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> History {
        History { events: events.into_iter().enumerate().map(|(at, event)| (at as u64, event)).collect() }
    }
}
