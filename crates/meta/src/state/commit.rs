//! A commit: each run of a segment gets its offsets, or is rejected.
//!
//! Runs are taken in the record's order, so that a producer's batches never overtake each other. Accepted runs that
//! stand next to each other become one extent; a rejected run's bytes stay in the segment as garbage, between extents.
//!
//! A batch of a transactional producer must carry the epoch that its transactional id has at this point of the log, and
//! belong to the transaction that is open there. So nothing that arrives late gets into a later transaction.

use super::bodies::BodyState;
use super::mutation::{Mutation, Rules};
use super::producers::Verdict;
use super::transactions::{Transaction, Transactions};
use super::{BodyId, Extent, Outcome, Partition, Refusal, RunOutcome, State};
use crate::record::{BatchProducer, Commit, CommitPart, Joining, Record, Run};
use frazil_base::{Seq, TopicPartition};

/// What the runs of one segment have in common.
struct Segment {
    seq: Seq,
    time_ms: i64,
    body: BodyId,
    clock_ms: i64,
    rules: Rules,
    live_extents: u32,
    live_bytes: u64,
}

impl State {
    pub(super) fn commit(&mut self, seq: Seq, record: &Record, commit: &Commit) -> Outcome {
        let body = if commit.in_log { BodyId::Log(seq) } else { BodyId::Object(commit.object) };
        if let Err(refusal) = self.check_body(record, commit, body) {
            return Outcome::Refused(refusal);
        }
        if self.rules.broken(Mutation::ReuseOffset) {
            self.drop_newest_extents(record, commit);
        }
        self.advance_clock(record.time_ms);
        let (time_ms, clock_ms, rules) = (record.time_ms, self.clock_ms, self.rules);
        let mut segment = Segment { seq, time_ms, body, clock_ms, rules, live_extents: 0, live_bytes: 0 };
        let outcomes = commit.parts.iter().map(|part| self.commit_part(&mut segment, part)).collect();
        let Segment { live_extents, live_bytes, .. } = segment;
        let state = BodyState { bytes: commit.bytes, live_extents, live_bytes, committed_ms: record.time_ms };
        self.bodies.add(body, state);
        Outcome::Committed(outcomes)
    }

    /// An object belongs to the registration that wrote it, because it may be collected when that is closed; and it is
    /// committed once.
    fn check_body(&self, record: &Record, commit: &Commit, body: BodyId) -> Result<(), Refusal> {
        let is_own = commit.in_log || commit.object.epoch == record.epoch;
        if !is_own && !self.rules.broken(Mutation::AcceptClosedEpoch) {
            return Err(Refusal::ClosedEpoch);
        }
        if self.bodies.knows(body) { Err(Refusal::Repeated) } else { Ok(()) }
    }

    fn commit_part(&mut self, segment: &mut Segment, part: &CommitPart) -> Vec<RunOutcome> {
        let State { topics, transactions, .. } = self;
        let Some(partition) = topics.partition_mut(part.partition) else {
            return vec![RunOutcome::UnknownPartition; part.runs.len()];
        };
        let mut position = part.position;
        let mut commit_run = |run: &Run| {
            let at = Place { partition: part.partition, position };
            position = position.saturating_add(run.bytes);
            partition.commit_run(transactions, segment, at, run)
        };
        part.runs.iter().map(&mut commit_run).collect()
    }

    /// The mutation `ReuseOffset`: the partitions of the commit lose what they got last, and its offsets.
    fn drop_newest_extents(&mut self, record: &Record, commit: &Commit) {
        for part in &commit.parts {
            let Some(partition) = self.topics.partition_mut(part.partition) else { continue };
            let log_start = partition.log_start;
            if let Some(newest) = partition.extents.pop_back_if(|newest| newest.base_offset >= log_start) {
                partition.next_offset = newest.base_offset;
                partition.truncate_transactions();
                self.bodies.release(&newest, record.time_ms);
            }
        }
    }
}

/// Where a run belongs and where its bytes start in the segment.
#[derive(Clone, Copy)]
struct Place {
    partition: TopicPartition,
    position: u32,
}

impl Partition {
    fn commit_run(
        &mut self,
        transactions: &mut Transactions,
        segment: &mut Segment,
        at: Place,
        run: &Run,
    ) -> RunOutcome {
        let Some(producer) = run.producer else {
            return RunOutcome::Accepted { base_offset: self.accept(segment, at, run) };
        };
        let transaction = transactions.of_producer(producer.id);
        let owner = Owner { transaction, rules: segment.rules };
        if let Some(rejected) = self.judge(&owner, at.partition, producer, run.records) {
            return rejected;
        }
        let belongs = producer.transactional.is_some() && owner.keeps_open(producer);
        let base_offset = self.accept(segment, at, run);
        self.producers.store(producer, run.records, base_offset, segment.clock_ms);
        if belongs {
            transactions.join(producer.id, at.partition, segment.seq, segment.time_ms);
            self.note_open(producer.id, base_offset);
        }
        RunOutcome::Accepted { base_offset }
    }

    /// What a batch is rejected with, if it is. A retry of what is stored is a duplicate even after its transaction
    /// ended, as long as the epoch is the same.
    fn judge(
        &self,
        owner: &Owner<'_>,
        at: TopicPartition,
        producer: BatchProducer,
        records: u32,
    ) -> Option<RunOutcome> {
        if let Err(rejected) = owner.check_epoch(producer) {
            return Some(rejected);
        }
        let verdict = self.producers.judge(producer, records);
        if let Verdict::Duplicate(base_offset) = verdict
            && !owner.rules.broken(Mutation::SkipDuplicateCheck)
        {
            return Some(RunOutcome::Duplicate { base_offset: base_offset.unwrap_or(-1) });
        }
        if !owner.admits(self, at, producer) {
            return Some(RunOutcome::InvalidTxnState);
        }
        match verdict {
            Verdict::StaleEpoch => Some(RunOutcome::StaleProducerEpoch),
            _ if owner.rules.broken(Mutation::AcceptSequenceGap) => None,
            Verdict::OutOfOrder => Some(RunOutcome::OutOfOrderSequence),
            // The first batch of a producer that nothing is known of may be a later one whose first ones are missing;
            // with implicit joining there is no other way to notice.
            _ if self.lacks_first(producer) => Some(RunOutcome::OutOfOrderSequence),
            Verdict::New | Verdict::Duplicate(_) => None,
        }
    }

    fn lacks_first(&self, producer: BatchProducer) -> bool {
        let is_implicit = producer.transactional == Some(Joining::Implicit);
        is_implicit && producer.first_sequence != 0 && !self.producers.knows(producer.id)
    }

    /// Gives the run its offsets and remembers where its bytes are. Returns the first offset.
    fn accept(&mut self, segment: &mut Segment, at: Place, run: &Run) -> i64 {
        let base_offset = self.next_offset;
        let end = base_offset.checked_add(i64::from(run.records));
        assert!(end.is_some(), "{} records after offset {base_offset}", run.records);
        let position = if segment.rules.broken(Mutation::MisplaceExtent) { 0 } else { at.position };
        let Run { bytes, records, max_timestamp, .. } = *run;
        let is_new = self.push(Extent { base_offset, records, body: segment.body, position, bytes, max_timestamp });
        segment.live_extents += u32::from(is_new);
        segment.live_bytes += u64::from(bytes);
        base_offset
    }
}

/// The transactional id to which a batch's producer id belongs, if any.
struct Owner<'a> {
    transaction: Option<&'a Transaction>,
    rules: Rules,
}

impl Owner<'_> {
    /// The producer must be the one that has the transactional id now.
    fn check_epoch(&self, producer: BatchProducer) -> Result<(), RunOutcome> {
        let is_transactional = producer.transactional.is_some();
        match self.transaction {
            None if is_transactional => Err(RunOutcome::InvalidProducerIdMapping),
            None => Ok(()),
            Some(_) if self.rules.broken(Mutation::AcceptEndedTransaction) => Ok(()),
            Some(owner) if producer.epoch < owner.epoch => Err(RunOutcome::StaleProducerEpoch),
            Some(owner) if producer.epoch > owner.epoch && is_transactional => Err(RunOutcome::StaleProducerEpoch),
            Some(_) => Ok(()),
        }
    }

    /// Whether a transactional batch may join the transaction, or a plain one may pass it by.
    fn admits(&self, partition: &Partition, at: TopicPartition, producer: BatchProducer) -> bool {
        let is_open_here = || partition.open_since(producer.id).is_some();
        match (producer.transactional, self.transaction) {
            (None, None) => true,
            (None, Some(_)) => !is_open_here(),
            (Some(Joining::Implicit), _) => true,
            (Some(Joining::Explicit), owner) => {
                let is_in = |owner: &Transaction| owner.is_ongoing() && owner.partitions.contains(&at);
                is_open_here() || owner.is_some_and(is_in) || self.rules.broken(Mutation::AcceptEndedTransaction)
            }
        }
    }

    /// Whether an accepted batch keeps its partition from being stable.
    fn keeps_open(&self, producer: BatchProducer) -> bool {
        let is_current = self.transaction.is_some_and(|owner| {
            producer.epoch == owner.epoch && (owner.is_ongoing() || producer.transactional == Some(Joining::Implicit))
        });
        is_current && !self.rules.broken(Mutation::ForgetOpenTransaction)
    }
}
