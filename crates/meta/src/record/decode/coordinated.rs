//! Bytes to groups, transactions, quotas and credentials.

use super::super::{
    AddToTransaction, Assignment, ClassicMember, ClassicProtocols, ConsumerGroupUpdate, ConsumerMember, EndReason,
    EndTransaction, GroupCommit, GroupFence, GroupGeneration, InitTransactions, MemberState, OffsetCommit, QuotaEntity,
    ScramCredential, TxnFence,
};
use super::read_list;
use crate::codec::{DecodeError, Reader};
use bytes::Bytes;
use frazil_base::{Seq, TopicId, TopicPartition};

pub(crate) fn strings(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    read_list(reader, 1, |reader| reader.string())
}

/// A partition in relation to the topic of the one before.
pub(crate) fn partition(reader: &mut Reader<'_>, before: &mut Option<TopicId>) -> Result<TopicPartition, DecodeError> {
    let head = reader.varint()?;
    let folded = u32::try_from(head >> 1).map_err(|_| reader.invalid("a partition"))?;
    let partition = (folded >> 1) as i32 ^ -((folded & 1) as i32);
    let topic = match (head & 1, *before) {
        (1, Some(topic)) => topic,
        (1, None) => return Err(reader.invalid("the first topic")),
        (_, before) => {
            let topic = TopicId(reader.u128()?);
            if before == Some(topic) {
                return Err(reader.invalid("a repeated topic"));
            }
            topic
        }
    };
    *before = Some(topic);
    Ok(TopicPartition { topic, partition })
}

pub(crate) fn partitions(reader: &mut Reader<'_>) -> Result<Vec<TopicPartition>, DecodeError> {
    let mut before = None;
    read_list(reader, 1, |reader| partition(reader, &mut before))
}

pub(crate) fn group_generation(reader: &mut Reader<'_>) -> Result<GroupGeneration, DecodeError> {
    Ok(GroupGeneration {
        group: reader.string()?,
        generation: reader.signed("a generation")?,
        protocol_type: reader.string()?,
        protocol: reader.optional_string()?,
        leader: reader.optional_string()?,
        members: read_list(reader, 8, classic_member)?,
        seen: Seq(reader.varint()?),
    })
}

pub(crate) fn classic_member(reader: &mut Reader<'_>) -> Result<ClassicMember, DecodeError> {
    Ok(ClassicMember {
        member_id: reader.string()?,
        instance_id: reader.optional_string()?,
        client_id: reader.string()?,
        client_host: reader.string()?,
        rebalance_timeout_ms: reader.signed("a timeout")?,
        session_timeout_ms: reader.signed("a timeout")?,
        protocols: protocols(reader)?,
        assignment: reader.bytes()?,
    })
}

fn protocols(reader: &mut Reader<'_>) -> Result<Vec<(String, Bytes)>, DecodeError> {
    read_list(reader, 2, |reader| Ok((reader.string()?, reader.bytes()?)))
}

pub(crate) fn consumer_group(reader: &mut Reader<'_>) -> Result<ConsumerGroupUpdate, DecodeError> {
    Ok(ConsumerGroupUpdate {
        group: reader.string()?,
        group_epoch: reader.signed("a group epoch")?,
        target_epoch: reader.signed("a group epoch")?,
        assignor: reader.string()?,
        upserted: read_list(reader, 16, consumer_member)?,
        removed: strings(reader)?,
        seen: Seq(reader.varint()?),
    })
}

pub(crate) fn consumer_member(reader: &mut Reader<'_>) -> Result<ConsumerMember, DecodeError> {
    Ok(ConsumerMember {
        member_id: reader.string()?,
        instance_id: reader.optional_string()?,
        rack: reader.optional_string()?,
        client_id: reader.string()?,
        client_host: reader.string()?,
        rebalance_timeout_ms: reader.signed("a timeout")?,
        topics: strings(reader)?,
        regex: reader.optional_string()?,
        server_assignor: reader.optional_string()?,
        classic: optional(reader, classic_protocols)?,
        member_epoch: reader.signed("a member epoch")?,
        previous_member_epoch: reader.signed("a member epoch")?,
        state: member_state(reader)?,
        assigned: assignment(reader)?,
        revoking: assignment(reader)?,
        target: assignment(reader)?,
    })
}

fn classic_protocols(reader: &mut Reader<'_>) -> Result<ClassicProtocols, DecodeError> {
    Ok(ClassicProtocols { session_timeout_ms: reader.signed("a timeout")?, protocols: protocols(reader)? })
}

fn member_state(reader: &mut Reader<'_>) -> Result<MemberState, DecodeError> {
    Ok(match reader.u8()? {
        0 => MemberState::Stable,
        1 => MemberState::Unrevoked,
        2 => MemberState::Unreleased,
        _ => return Err(reader.invalid("a member's state")),
    })
}

fn assignment(reader: &mut Reader<'_>) -> Result<Assignment, DecodeError> {
    let mut assignment = Assignment::new();
    for _ in 0..reader.count(17)? {
        let topic = TopicId(reader.u128()?);
        if assignment.last_key_value().is_some_and(|(last, _)| *last >= topic) {
            return Err(reader.invalid("the order of topics"));
        }
        let mut expected = 0i32;
        let partitions = read_list(reader, 1, |reader| {
            let partition = expected.wrapping_add(reader.signed("a partition")?);
            expected = partition.wrapping_add(1);
            Ok(partition)
        })?;
        assignment.insert(topic, partitions);
    }
    Ok(assignment)
}

pub(crate) fn group_commit(reader: &mut Reader<'_>) -> Result<GroupCommit, DecodeError> {
    let group = reader.string()?;
    let fence = match reader.u8()? {
        0 => GroupFence::None,
        1 => GroupFence::Classic { member_id: reader.string()?, generation: reader.signed("a generation")? },
        2 => GroupFence::Consumer { member_id: reader.string()?, member_epoch: reader.signed("a member epoch")? },
        3 => GroupFence::Transactional,
        _ => return Err(reader.invalid("a group's fence")),
    };
    let txn = match reader.u8()? {
        0 => None,
        kind @ (1 | 2) => Some(TxnFence {
            transactional_id: reader.string()?,
            producer_id: reader.zigzag()?,
            epoch: reader.signed("a producer epoch")?,
            implicit: kind == 2,
        }),
        _ => return Err(reader.invalid("a transaction's fence")),
    };
    let mut before = None;
    let offsets = read_list(reader, 4, |reader| Ok((partition(reader, &mut before)?, offset_commit(reader)?)))?;
    Ok(GroupCommit { group, fence, txn, offsets })
}

pub(crate) fn offset_commit(reader: &mut Reader<'_>) -> Result<OffsetCommit, DecodeError> {
    Ok(OffsetCommit {
        offset: reader.zigzag()?,
        leader_epoch: reader.signed("a leader epoch")?,
        metadata: reader.string()?,
    })
}

pub(crate) fn init_transactions(reader: &mut Reader<'_>) -> Result<InitTransactions, DecodeError> {
    Ok(InitTransactions {
        transactional_id: reader.string()?,
        timeout_ms: reader.signed("a timeout")?,
        expected: optional_producer(reader)?,
    })
}

pub(crate) fn optional_producer(reader: &mut Reader<'_>) -> Result<Option<(i64, i16)>, DecodeError> {
    optional(reader, |reader| Ok((reader.zigzag()?, reader.signed("a producer epoch")?)))
}

pub(crate) fn add_to_transaction(reader: &mut Reader<'_>) -> Result<AddToTransaction, DecodeError> {
    Ok(AddToTransaction {
        transactional_id: reader.string()?,
        producer_id: reader.zigzag()?,
        epoch: reader.signed("a producer epoch")?,
        partitions: partitions(reader)?,
        groups: strings(reader)?,
    })
}

pub(crate) fn end_transaction(reader: &mut Reader<'_>) -> Result<EndTransaction, DecodeError> {
    Ok(EndTransaction {
        transactional_id: reader.string()?,
        producer_id: reader.zigzag()?,
        epoch: reader.signed("a producer epoch")?,
        commit: reader.bool("a transaction's result")?,
        reason: match reader.u8()? {
            0 => EndReason::Client { bump: false },
            1 => EndReason::Client { bump: true },
            2 => EndReason::Timeout,
            3 => EndReason::Admin,
            _ => return Err(reader.invalid("the reason of an end")),
        },
        started: optional(reader, |reader| reader.varint().map(Seq))?,
    })
}

pub(crate) fn quota_entity(reader: &mut Reader<'_>) -> Result<QuotaEntity, DecodeError> {
    read_list(reader, 2, |reader| Ok((reader.string()?, reader.optional_string()?))).map(QuotaEntity)
}

pub(crate) fn quota_change(reader: &mut Reader<'_>) -> Result<(String, Option<u64>), DecodeError> {
    let name = reader.string()?;
    Ok((name, optional(reader, Reader::u64)?))
}

pub(crate) fn optional_credential(reader: &mut Reader<'_>) -> Result<Option<ScramCredential>, DecodeError> {
    optional(reader, scram_credential)
}

pub(crate) fn scram_credential(reader: &mut Reader<'_>) -> Result<ScramCredential, DecodeError> {
    Ok(ScramCredential {
        salt: reader.bytes()?,
        stored_key: reader.bytes()?,
        server_key: reader.bytes()?,
        iterations: reader.signed("a number of rounds")?,
    })
}

fn optional<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    if reader.bool("a flag")? { read(reader).map(Some) } else { Ok(None) }
}
