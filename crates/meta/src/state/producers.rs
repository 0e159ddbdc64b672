//! Idempotent producers of one partition: which of their batches are stored.
//!
//! Kafka's rules (KIP-98): of each producer the last five batches are remembered, so that a retry gets the offset of
//! the original; a new batch must continue the sequence; a newer producer epoch starts at 0. A retry older than what is
//! remembered is called a duplicate only if every sequence of it is known to be stored: `stored` counts how far back
//! the unbroken row of sequences reaches. A producer that is not known may begin anywhere, and what would come before
//! its first batch is then missing, not stored.
//!
//! Bounded: producers that have not written for a day (Kafka's `producer.id.expiration.ms`) are dropped by an hourly
//! sweep, and a partition remembers a limited number of them, forgetting those silent for longest. Both are decided by
//! a clock that follows the commits' times and never goes back, and so fall together on every broker. A sweep costs as
//! much as there are partitions, once an hour; looking only at partitions that are written to would keep the producers
//! of all others for ever.

use crate::record::BatchProducer;
use frazil_base::limits::{PRODUCER_BATCHES_REMEMBERED, PRODUCERS_PER_PARTITION_MAX};

/// Sequences count 0, 1, … `i32::MAX`, 0, …
const SEQUENCES: i64 = 1 << 31;

/// Half a round: a sequence further back than this cannot be told from one further ahead.
pub(super) const STORED_MAX: u32 = 1 << 30;

/// A stored batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredBatch {
    pub(super) base_offset: i64,
    pub(super) first_sequence: i32,
    pub(super) records: u32,
}

impl StoredBatch {
    /// The sequence that continues it.
    fn next_sequence(&self) -> i32 {
        sequence_after(self.first_sequence, self.records)
    }
}

/// What a partition knows of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Producer {
    pub(super) id: i64,
    /// The state's clock when its last batch was stored.
    pub(super) last_ms: i64,
    /// How many sequences before the next one are stored without a gap, counted up to `STORED_MAX`.
    pub(super) stored: u32,
    pub(super) epoch: i16,
    remembered: u8,
    /// Oldest first.
    batches: [StoredBatch; PRODUCER_BATCHES_REMEMBERED],
}

/// What the rules say about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    /// Stored at this offset; `None` if that is forgotten.
    Duplicate(Option<i64>),
    OutOfOrder,
    StaleEpoch,
}

impl Producer {
    pub(super) fn new(id: i64, epoch: i16) -> Producer {
        Producer { id, last_ms: 0, stored: 0, epoch, remembered: 0, batches: Default::default() }
    }

    pub(super) fn batches(&self) -> &[StoredBatch] {
        &self.batches[..usize::from(self.remembered)]
    }

    /// Sequence of its last record; -1 if nothing is remembered.
    pub(super) fn last_sequence(&self) -> i32 {
        self.batches().last().map_or(-1, |last| sequence_after(last.first_sequence, last.records - 1))
    }

    fn judge(&self, batch: BatchProducer, records: u32) -> Verdict {
        if batch.epoch < self.epoch {
            return Verdict::StaleEpoch;
        }
        if batch.epoch > self.epoch {
            return if batch.first_sequence == 0 { Verdict::New } else { Verdict::OutOfOrder };
        }
        let same = |stored: &&StoredBatch| stored.first_sequence == batch.first_sequence && stored.records == records;
        if let Some(stored) = self.batches().iter().find(same) {
            return Verdict::Duplicate(Some(stored.base_offset));
        }
        match self.batches().last() {
            Some(last) if last.next_sequence() != batch.first_sequence => self.judge_old(batch, records),
            _ => Verdict::New,
        }
    }

    /// A batch that neither is remembered nor continues the sequence: forgotten, or out of order.
    fn judge_old(&self, batch: BatchProducer, records: u32) -> Verdict {
        let (Some(oldest), Some(newest)) = (self.batches().first(), self.batches().last()) else {
            return Verdict::OutOfOrder;
        };
        let next = newest.next_sequence();
        let back_to_its_first = steps(batch.first_sequence, next);
        let back_to_its_end = back_to_its_first - i64::from(records);
        let is_stored = back_to_its_first <= i64::from(self.stored);
        let is_forgotten = back_to_its_end >= steps(oldest.first_sequence, next);
        if is_stored && is_forgotten { Verdict::Duplicate(None) } else { Verdict::OutOfOrder }
    }

    pub(super) fn remember(&mut self, batch: StoredBatch) {
        if usize::from(self.remembered) == PRODUCER_BATCHES_REMEMBERED {
            self.batches.rotate_left(1);
            self.remembered -= 1;
        }
        self.batches[usize::from(self.remembered)] = batch;
        self.remembered += 1;
    }

    fn store(&mut self, epoch: i16, batch: StoredBatch, clock_ms: i64) {
        if epoch != self.epoch {
            *self = Producer::new(self.id, epoch);
        }
        self.stored = self.stored.saturating_add(batch.records).min(STORED_MAX);
        self.last_ms = clock_ms;
        self.remember(batch);
    }
}

/// How many steps forward lead from one sequence to another.
fn steps(from: i32, to: i32) -> i64 {
    (i64::from(to) - i64::from(from)).rem_euclid(SEQUENCES)
}

/// The sequence `records` after `first`, past `i32::MAX` from 0 again.
pub(crate) fn sequence_after(first: i32, records: u32) -> i32 {
    let after = (i64::from(first) + i64::from(records)).rem_euclid(SEQUENCES);
    i32::try_from(after).expect("sequences are below 2^31")
}

/// The producers of a partition, by ascending id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Producers(Vec<Producer>);

impl Producers {
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Producer> {
        self.0.iter()
    }

    /// Whether anything is known of a producer.
    pub(super) fn knows(&self, id: i64) -> bool {
        self.0.binary_search_by_key(&id, |producer| producer.id).is_ok()
    }

    /// What the rules say about a batch of `records` records.
    pub(super) fn judge(&self, batch: BatchProducer, records: u32) -> Verdict {
        match self.0.binary_search_by_key(&batch.id, |producer| producer.id) {
            Ok(index) => self.0[index].judge(batch, records),
            Err(_) => Verdict::New,
        }
    }

    /// Remembers a batch that was stored.
    pub(super) fn store(&mut self, batch: BatchProducer, records: u32, base_offset: i64, clock_ms: i64) {
        let index = match self.0.binary_search_by_key(&batch.id, |producer| producer.id) {
            Ok(index) => index,
            Err(_) => self.insert(Producer::new(batch.id, batch.epoch)),
        };
        let stored = StoredBatch { base_offset, first_sequence: batch.first_sequence, records };
        self.0[index].store(batch.epoch, stored, clock_ms);
    }

    /// Makes room and inserts a producer that is not there.
    fn insert(&mut self, producer: Producer) -> usize {
        if self.0.len() >= PRODUCERS_PER_PARTITION_MAX {
            self.forget_oldest(PRODUCERS_PER_PARTITION_MAX / 8);
        }
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact((self.0.len() / 2).max(1));
        }
        let index = self.0.partition_point(|other| other.id < producer.id);
        self.0.insert(index, producer);
        index
    }

    fn forget_oldest(&mut self, count: usize) {
        let mut by_age: Vec<_> = self.0.iter().map(|producer| (producer.last_ms, producer.id)).collect();
        by_age.sort_unstable();
        let Some(&first_kept) = by_age.get(count) else { return };
        self.0.retain(|producer| (producer.last_ms, producer.id) >= first_kept);
    }

    /// Forgets producers that last wrote before `before_ms`.
    pub(super) fn expire(&mut self, before_ms: i64) {
        let before = self.0.len();
        self.0.retain(|producer| producer.last_ms >= before_ms);
        if self.0.len() < before {
            self.0.shrink_to_fit();
        }
    }

    /// From a snapshot, ascending.
    pub(super) fn push(&mut self, producer: Producer) -> Result<(), &'static str> {
        if self.0.last().is_some_and(|last| last.id >= producer.id) {
            return Err("the order of producers");
        }
        self.0.push(producer);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn with_capacity(capacity: usize) -> Producers {
        Producers(Vec::with_capacity(capacity))
    }
}
