//! What clients did and saw, in order.

use std::fmt;

/// The content of a record: which producer made it, as its how-manyeth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// The producer.
    pub producer: u32,
    /// Counts the producer's records of one partition.
    pub number: u32,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}#{}", self.producer, self.number)
    }
}

impl Value {
    /// As bytes of a record.
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.producer.to_be_bytes());
        bytes[4..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// From bytes of a record; `None` when a run never wrote such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Value> {
        let bytes: [u8; 8] = bytes.try_into().ok()?;
        let (producer, number) = bytes.split_at(4);
        let word = |half: &[u8]| Some(u32::from_be_bytes(half.try_into().ok()?));
        Some(Value { producer: word(producer)?, number: word(number)? })
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
