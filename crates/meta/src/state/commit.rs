//! A commit: each run of a segment gets its offsets, or is rejected.
//!
//! Runs are taken in the record's order, so that a producer's batches never overtake each other. Accepted runs that
//! stand next to each other become one extent; a rejected run's bytes stay in the segment as garbage, between extents.

use super::bodies::BodyState;
use super::mutation::{Mutation, Rules};
use super::producers::Verdict;
use super::{BodyId, Extent, Outcome, Partition, Refusal, RunOutcome, State};
use crate::record::{BatchProducer, Commit, CommitPart, Record, Run};
use frazil_base::Seq;

/// What the runs of one segment have in common.
struct Segment {
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
        let mut segment = Segment { body, clock_ms: self.clock_ms, rules: self.rules, live_extents: 0, live_bytes: 0 };
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
        let Some(partition) = self.topics.partition_mut(part.partition) else {
            return vec![RunOutcome::UnknownPartition; part.runs.len()];
        };
        let mut position = part.position;
        let mut commit_run = |run: &Run| {
            let outcome = partition.commit_run(segment, position, run);
            position = position.saturating_add(run.bytes);
            outcome
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
                self.bodies.release(&newest, record.time_ms);
            }
        }
    }
}

impl Partition {
    fn commit_run(&mut self, segment: &mut Segment, position: u32, run: &Run) -> RunOutcome {
        let verdict = run.producer.map_or(Verdict::New, |producer| self.judge(segment.rules, producer, run.records));
        match verdict {
            Verdict::Duplicate(base_offset) => RunOutcome::Duplicate { base_offset: base_offset.unwrap_or(-1) },
            Verdict::OutOfOrder => RunOutcome::OutOfOrderSequence,
            Verdict::StaleEpoch => RunOutcome::StaleProducerEpoch,
            Verdict::New => RunOutcome::Accepted { base_offset: self.accept(segment, position, run) },
        }
    }

    fn judge(&self, rules: Rules, producer: BatchProducer, records: u32) -> Verdict {
        match self.producers.judge(producer, records) {
            Verdict::Duplicate(_) if rules.broken(Mutation::SkipDuplicateCheck) => Verdict::New,
            Verdict::OutOfOrder if rules.broken(Mutation::AcceptSequenceGap) => Verdict::New,
            verdict => verdict,
        }
    }

    /// Gives the run its offsets and remembers where its bytes are. Returns the first offset.
    fn accept(&mut self, segment: &mut Segment, position: u32, run: &Run) -> i64 {
        let base_offset = self.next_offset;
        let end = base_offset.checked_add(i64::from(run.records));
        assert!(end.is_some(), "{} records after offset {base_offset}", run.records);
        let position = if segment.rules.broken(Mutation::MisplaceExtent) { 0 } else { position };
        let Run { bytes, records, max_timestamp, .. } = *run;
        let is_new = self.push(Extent { base_offset, records, body: segment.body, position, bytes, max_timestamp });
        segment.live_extents += u32::from(is_new);
        segment.live_bytes += u64::from(bytes);
        if let Some(producer) = run.producer {
            self.producers.store(producer, records, base_offset, segment.clock_ms);
        }
        base_offset
    }
}
