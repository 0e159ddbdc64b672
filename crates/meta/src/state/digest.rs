//! The state's hash: a chain over everything that was applied and what came of it.
//!
//! It costs as much as the record is long, not as the state is large. Outcomes are in it, and so are the offsets that
//! were given out: two brokers whose states differ in what decides the next outcome differ in the hash soon after.

use super::brokers::mix;
use super::{Outcome, Refusal, RunOutcome};
use crate::codec::Writer;
use crate::record::write;
use crc_fast::{CrcAlgorithm, checksum};
use frazil_base::{Seq, TopicPartition};

/// The hash after a record.
pub(super) fn chain(hash: u64, seq: Seq, record: &[u8], outcome: &Outcome) -> u64 {
    let mut writer = Writer::default();
    write_outcome(&mut writer, outcome);
    let parts = [seq.0, digest(record), digest(writer.as_slice())];
    parts.into_iter().fold(hash, mix)
}

/// CRC-64/NVME of the bytes.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

fn write_outcome(writer: &mut Writer, outcome: &Outcome) {
    match outcome {
        Outcome::Done => writer.u8(0),
        Outcome::Registered(epoch) => {
            writer.u8(1);
            writer.varint(epoch.0);
        }
        Outcome::ProducerIds { first } => {
            writer.u8(2);
            writer.zigzag(*first);
        }
        Outcome::Committed(parts) => {
            writer.u8(3);
            for part in parts {
                writer.count(part.len());
                part.iter().for_each(|run| write_run_outcome(writer, run));
            }
        }
        Outcome::Refused(refusal) => {
            writer.u8(4);
            writer.u8(refusal_code(*refusal));
        }
        Outcome::PerItem(items) => {
            writer.u8(5);
            items.iter().for_each(|item| writer.u8(item.map_or_else(|refusal| 1 + refusal_code(refusal), |()| 0)));
        }
        Outcome::Producer { id, epoch, aborted } => {
            writer.u8(6);
            write_producer(writer, *id, *epoch, aborted);
        }
        Outcome::TransactionEnded { producer_id, epoch, partitions } => {
            writer.u8(7);
            write_producer(writer, *producer_id, *epoch, partitions);
        }
    }
}

fn write_producer(writer: &mut Writer, id: i64, epoch: i16, partitions: &[TopicPartition]) {
    writer.zigzag(id);
    writer.zigzag(i64::from(epoch));
    write::partitions(writer, partitions.iter());
}

fn write_run_outcome(writer: &mut Writer, outcome: &RunOutcome) {
    match outcome {
        RunOutcome::Accepted { base_offset } => {
            writer.u8(0);
            writer.zigzag(*base_offset);
        }
        RunOutcome::Duplicate { base_offset } => {
            writer.u8(1);
            writer.zigzag(*base_offset);
        }
        RunOutcome::UnknownPartition => writer.u8(2),
        RunOutcome::OutOfOrderSequence => writer.u8(3),
        RunOutcome::StaleProducerEpoch => writer.u8(4),
        RunOutcome::InvalidTxnState => writer.u8(5),
        RunOutcome::InvalidProducerIdMapping => writer.u8(6),
    }
}

fn refusal_code(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::ClosedEpoch => 0,
        Refusal::Repeated => 1,
        Refusal::TopicExists => 2,
        Refusal::UnknownTopic => 3,
        Refusal::InvalidPartitions => 4,
        Refusal::NotCoordinator => 5,
        Refusal::UnknownGroup => 6,
        Refusal::NonEmptyGroup => 7,
        Refusal::GroupKind => 8,
        Refusal::StaleGeneration => 9,
        Refusal::StaleMemberEpoch => 10,
        Refusal::UnknownMember => 11,
        Refusal::InvalidProducerIdMapping => 12,
        Refusal::StaleProducerEpoch => 13,
        Refusal::InvalidTxnState => 14,
        Refusal::ConcurrentTransactions => 15,
    }
}
