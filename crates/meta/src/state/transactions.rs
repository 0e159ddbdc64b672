//! Transactions: who produces under a transactional id, what the open transaction holds, how the last one ended.
//!
//! One record opens a transaction, adds to it, or ends it on all partitions and groups at once. A transaction is known by
//! the sequence number of the record that opened it. Three things keep what is late or repeated from a later one: the
//! producer epoch, which is raised by every end of the new protocol (KIP-890) and by every abort that its producer did
//! not ask for; that sequence number, which an end may name; and the memory of the last end, whose retry gets the same
//! answer. (KAFKA-17754 is what happens without.)
//!
//! Ids that nobody used for a week are forgotten, by the same clock and sweep as idempotent producers; so are those idle
//! for longest when there are too many.

use super::outcome::{Outcome, Refusal};
use super::{ControlMarker, CoordinatorKind, Mutation, State};
use crate::record::{AddToTransaction, EndReason, EndTransaction, InitTransactions, Record, TxnFence};
use frazil_base::limits::TRANSACTIONAL_IDS_MAX;
use frazil_base::{Seq, TopicId, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// A transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The id.
    pub transactional_id: String,
    /// Its producer id.
    pub producer_id: i64,
    /// Its producer epoch.
    pub epoch: i16,
    /// How long a transaction may stay open, milliseconds.
    pub timeout_ms: i32,
    /// Whether a transaction is open, or how the last one ended.
    pub phase: TransactionPhase,
    /// The record that opened the last transaction; 0 if there was none.
    pub started: Seq,
    /// Partitions of the open transaction.
    pub partitions: BTreeSet<TopicPartition>,
    /// Groups whose offsets belong to the open transaction.
    pub groups: BTreeSet<String>,
    /// The state's clock at its last use; ids that are not used are forgotten by it.
    pub changed_ms: i64,
    /// What its present producer used before: a retry that names it gets the current id and epoch (KIP-360).
    pub(super) previous: Option<(i64, i16)>,
    /// The last end, if its producer asked for it and may ask again.
    pub(super) ended: Option<EndedTransaction>,
}

/// Whether a transaction is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionPhase {
    /// None since the id was taken over.
    Empty,
    /// One is open.
    Ongoing {
        /// Record time of its beginning, milliseconds since 1970.
        started_ms: i64,
    },
    /// The last one was committed.
    Committed,
    /// The last one was aborted.
    Aborted,
}

/// How a producer ended its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndedTransaction {
    pub(super) started: Seq,
    pub(super) producer_id: i64,
    pub(super) epoch: i16,
    pub(super) commit: bool,
}

/// What an `EndTransaction` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It ends the open transaction, or (of an old epoch's producer) raises the epoch.
    Now,
    /// It ended before, just so.
    Before,
}

impl Transaction {
    fn new(transactional_id: &str, producer_id: i64) -> Transaction {
        Transaction {
            transactional_id: transactional_id.to_owned(),
            producer_id,
            epoch: 0,
            timeout_ms: 0,
            phase: TransactionPhase::Empty,
            started: Seq::ZERO,
            partitions: BTreeSet::new(),
            groups: BTreeSet::new(),
            changed_ms: 0,
            previous: None,
            ended: None,
        }
    }

    /// Whether a transaction is open.
    pub fn is_ongoing(&self) -> bool {
        matches!(self.phase, TransactionPhase::Ongoing { .. })
    }

    /// Whether it may be used by this producer id and epoch.
    fn check(&self, producer_id: i64, epoch: i16) -> Result<(), Refusal> {
        if producer_id != self.producer_id {
            return Err(Refusal::InvalidProducerIdMapping);
        }
        if epoch == self.epoch { Ok(()) } else { Err(Refusal::StaleProducerEpoch) }
    }

    fn open(&mut self, seq: Seq, now_ms: i64) {
        if !self.is_ongoing() {
            self.phase = TransactionPhase::Ongoing { started_ms: now_ms };
            self.started = seq;
        }
    }

    /// What an end asks for. It is judged by what it names only: producer id, epoch, result, and perhaps the
    /// transaction.
    fn judge(&self, end: &EndTransaction) -> Result<Ending, Refusal> {
        let is_repeated = self.ended.is_some_and(|ended| {
            let names_it = end.started.is_none_or(|started| started == ended.started);
            (ended.producer_id, ended.epoch, names_it) == (end.producer_id, end.epoch, true)
        });
        let is_current = self.check(end.producer_id, end.epoch);
        let is_meant = self.is_ongoing() && end.started.is_none_or(|started| started == self.started);
        let is_client = matches!(end.reason, EndReason::Client { .. });
        match self.ended {
            _ if is_current.is_ok() && is_meant && (is_client || !end.commit) => Ok(Ending::Now),
            // With the epoch unchanged nobody can tell a late retry from a writer that has not seen the transaction
            // which is open now. The first has nobody waiting for it, the second must not be told that it succeeded.
            _ if is_current.is_ok() && self.is_ongoing() && is_client => Err(Refusal::ConcurrentTransactions),
            Some(ended) if is_repeated && is_client && ended.commit == end.commit => Ok(Ending::Before),
            Some(_) if is_repeated => Err(Refusal::InvalidTxnState),
            _ => {
                is_current?;
                // An abort of nothing: the producer could not know that none of its batches had arrived.
                let is_void_abort = end.reason == EndReason::Client { bump: true } && !end.commit;
                let is_void = is_void_abort && !self.is_ongoing() && end.started.is_none();
                if is_void { Ok(Ending::Now) } else { Err(Refusal::InvalidTxnState) }
            }
        }
    }
}

/// All transactional ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Transactions {
    by_producer: BTreeMap<i64, Transaction>,
    producers: BTreeMap<String, i64>,
}

impl Transactions {
    pub(super) fn get(&self, transactional_id: &str) -> Option<&Transaction> {
        self.producers.get(transactional_id).and_then(|producer| self.by_producer.get(producer))
    }

    fn get_mut(&mut self, transactional_id: &str) -> Option<&mut Transaction> {
        self.producers.get(transactional_id).and_then(|producer| self.by_producer.get_mut(producer))
    }

    pub(super) fn of_producer(&self, producer_id: i64) -> Option<&Transaction> {
        self.by_producer.get(&producer_id)
    }

    pub(super) fn len(&self) -> usize {
        self.producers.len()
    }

    /// By transactional id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Transaction> {
        self.producers.values().filter_map(|producer| self.by_producer.get(producer))
    }

    /// Puts a transaction in. Returns whether neither its id nor its producer id was there.
    pub(super) fn insert(&mut self, transaction: Transaction) -> bool {
        let (id, producer_id) = (transaction.transactional_id.clone(), transaction.producer_id);
        if self.producers.contains_key(&id) || self.by_producer.contains_key(&producer_id) {
            return false;
        }
        self.producers.insert(id, producer_id);
        self.by_producer.insert(producer_id, transaction);
        true
    }

    #[cfg(test)]
    pub(super) fn replace(&mut self, transaction: Transaction) {
        self.remove(&transaction.transactional_id);
        assert!(self.insert(transaction));
    }

    fn remove(&mut self, transactional_id: &str) -> Option<Transaction> {
        let producer = self.producers.remove(transactional_id)?;
        self.by_producer.remove(&producer)
    }

    /// A batch of the producer joins its transaction, which is opened if need be.
    pub(super) fn join(&mut self, producer_id: i64, partition: TopicPartition, seq: Seq, now_ms: i64) {
        if let Some(transaction) = self.by_producer.get_mut(&producer_id) {
            transaction.open(seq, now_ms);
            transaction.partitions.insert(partition);
        }
    }

    pub(super) fn forget_topic(&mut self, topic: TopicId) {
        for transaction in self.by_producer.values_mut().filter(|transaction| transaction.is_ongoing()) {
            transaction.partitions.retain(|partition| partition.topic != topic);
        }
    }

    /// Makes room for one more, if there are too many: those without an open transaction that are idle for longest go.
    fn make_room(&mut self) {
        if self.len() < TRANSACTIONAL_IDS_MAX {
            return;
        }
        let idle = self.by_producer.values().filter(|transaction| !transaction.is_ongoing());
        let mut by_age: Vec<_> = idle.map(|transaction| (transaction.changed_ms, transaction.producer_id)).collect();
        by_age.sort_unstable();
        for (_, producer_id) in by_age.into_iter().take(TRANSACTIONAL_IDS_MAX / 8) {
            if let Some(idle) = self.by_producer.remove(&producer_id) {
                self.producers.remove(&idle.transactional_id);
            }
        }
    }

    /// Forgets ids without an open transaction that were last used before `before_ms`.
    pub(super) fn expire(&mut self, before_ms: i64) {
        self.by_producer.retain(|_, transaction| transaction.is_ongoing() || transaction.changed_ms >= before_ms);
        let by_producer = &self.by_producer;
        self.producers.retain(|_, producer| by_producer.contains_key(producer));
    }
}

impl State {
    pub(super) fn init_transactions(&mut self, record: &Record, init: &InitTransactions) -> Result<Outcome, Refusal> {
        self.check_coordinator(CoordinatorKind::Transaction, &init.transactional_id, record)?;
        self.advance_clock(record.time_ms);
        if let Some(known) = self.transactions.get(&init.transactional_id) {
            let (id, epoch) = (known.producer_id, known.epoch);
            if init.expected.is_some() && init.expected == known.previous {
                return Ok(Outcome::Producer { id, epoch, aborted: Vec::new() });
            }
            if init.expected.is_some_and(|expected| expected != (id, epoch)) {
                return Err(Refusal::StaleProducerEpoch);
            }
        }
        let mut transaction = match self.transactions.remove(&init.transactional_id) {
            Some(known) => known,
            None => {
                self.transactions.make_room();
                let producer_id = self.take_producer_id();
                return Ok(self.insert_new(Transaction::new(&init.transactional_id, producer_id), init));
            }
        };
        let aborted = self.finish(&mut transaction, false, true, record.time_ms);
        self.raise_epoch(&mut transaction, false);
        let Transaction { producer_id: id, epoch, .. } = transaction;
        self.transactions.insert(Transaction {
            timeout_ms: init.timeout_ms,
            phase: TransactionPhase::Empty,
            previous: init.expected,
            ended: None,
            ..transaction
        });
        Ok(Outcome::Producer { id, epoch, aborted })
    }

    fn insert_new(&mut self, transaction: Transaction, init: &InitTransactions) -> Outcome {
        let Transaction { producer_id: id, epoch, .. } = transaction;
        let (timeout_ms, changed_ms) = (init.timeout_ms, self.clock_ms);
        let previous = init.expected;
        self.transactions.insert(Transaction { timeout_ms, changed_ms, previous, ..transaction });
        Outcome::Producer { id, epoch, aborted: Vec::new() }
    }

    pub(super) fn add_to_transaction(
        &mut self,
        seq: Seq,
        record: &Record,
        add: &AddToTransaction,
    ) -> Result<(), Refusal> {
        self.check_coordinator(CoordinatorKind::Transaction, &add.transactional_id, record)?;
        self.advance_clock(record.time_ms);
        let State { transactions, topics, .. } = self;
        let transaction = transactions.get_mut(&add.transactional_id).ok_or(Refusal::InvalidProducerIdMapping)?;
        transaction.check(add.producer_id, add.epoch)?;
        let known = add.partitions.iter().copied().filter(|partition| topics.partition(*partition).is_some());
        let known: Vec<_> = known.collect();
        if !known.is_empty() || !add.groups.is_empty() {
            transaction.open(seq, record.time_ms);
            transaction.partitions.extend(known);
            transaction.groups.extend(add.groups.iter().cloned());
        }
        Ok(())
    }

    /// Offsets of a group are to belong to a transaction. Returns its producer id.
    pub(super) fn join_group(
        &mut self,
        seq: Seq,
        record: &Record,
        group: &str,
        fence: &TxnFence,
    ) -> Result<i64, Refusal> {
        let transaction = self.transactions.get_mut(&fence.transactional_id);
        let transaction = transaction.ok_or(Refusal::InvalidProducerIdMapping)?;
        transaction.check(fence.producer_id, fence.epoch)?;
        if fence.implicit {
            transaction.open(seq, record.time_ms);
            transaction.groups.insert(group.to_owned());
        } else if !transaction.is_ongoing() || !transaction.groups.contains(group) {
            return Err(Refusal::InvalidTxnState);
        }
        Ok(fence.producer_id)
    }

    pub(super) fn end_transaction(&mut self, record: &Record, end: &EndTransaction) -> Result<Outcome, Refusal> {
        if end.reason != EndReason::Admin {
            self.check_coordinator(CoordinatorKind::Transaction, &end.transactional_id, record)?;
        }
        self.advance_clock(record.time_ms);
        let known = self.transactions.get(&end.transactional_id).ok_or(Refusal::InvalidProducerIdMapping)?;
        let ending = match known.judge(end) {
            _ if known.is_ongoing() && self.rules.broken(Mutation::EndLaterTransaction) => Ending::Now,
            judged => judged?,
        };
        if ending == Ending::Before {
            let (producer_id, epoch) = (known.producer_id, known.epoch);
            return Ok(Outcome::TransactionEnded { producer_id, epoch, partitions: Vec::new() });
        }
        let mut transaction = self.transactions.remove(&end.transactional_id).expect("looked up above");
        let before = (transaction.producer_id, transaction.epoch);
        let raises = end.reason != EndReason::Client { bump: false };
        let partitions = self.finish(&mut transaction, end.commit, raises, record.time_ms);
        let is_client = matches!(end.reason, EndReason::Client { .. });
        if raises {
            self.raise_epoch(&mut transaction, !is_client);
            transaction.previous = is_client.then_some(before);
        }
        let (started, (producer_id, epoch)) = (transaction.started, before);
        let ended = EndedTransaction { started, producer_id, epoch, commit: end.commit };
        transaction.ended = is_client.then_some(ended);
        let Transaction { producer_id, epoch, .. } = transaction;
        self.transactions.insert(transaction);
        Ok(Outcome::TransactionEnded { producer_id, epoch, partitions })
    }

    /// Ends the open transaction, if any, on all its partitions and groups. Returns the partitions.
    fn finish(
        &mut self,
        transaction: &mut Transaction,
        commit: bool,
        raises: bool,
        now_ms: i64,
    ) -> Vec<TopicPartition> {
        let producer_id = transaction.producer_id;
        let epoch = if raises { transaction.epoch.saturating_add(1) } else { transaction.epoch };
        let marker = ControlMarker { producer_id, epoch, commit };
        let partitions: Vec<_> = std::mem::take(&mut transaction.partitions).into_iter().collect();
        let torn = partitions.last().filter(|_| self.rules.broken(Mutation::TearEndTransaction)).copied();
        for at in &partitions {
            let marker = if torn == Some(*at) { ControlMarker { commit: !commit, ..marker } } else { marker };
            if let Some(partition) = self.topics.partition_mut(*at) {
                partition.end_transaction(marker, now_ms);
            }
        }
        let keeps_offsets = commit && !self.rules.broken(Mutation::LosePendingOffsets);
        for group in std::mem::take(&mut transaction.groups) {
            self.groups.end_transaction(&group, producer_id, keeps_offsets, now_ms);
        }
        transaction.phase = if commit { TransactionPhase::Committed } else { TransactionPhase::Aborted };
        transaction.changed_ms = self.clock_ms;
        partitions
    }

    /// The next epoch, or a fresh producer id when the epochs are used up. The last epoch of an id is kept for fencing
    /// its producer.
    fn raise_epoch(&mut self, transaction: &mut Transaction, is_fence: bool) {
        let last = if is_fence { i16::MAX } else { i16::MAX - 1 };
        if transaction.epoch < last {
            transaction.epoch += 1;
        } else {
            transaction.producer_id = self.take_producer_id();
            transaction.epoch = 0;
        }
    }

    fn take_producer_id(&mut self) -> i64 {
        let id = self.next_producer_id;
        self.next_producer_id = id.checked_add(1).unwrap_or_else(|| panic!("no producer id after {id}"));
        id
    }
}
