//! Groups, transactions, quotas and credentials to bytes; snapshots write their parts the same way.

use super::super::{
    AddToTransaction, Assignment, ClassicMember, ConsumerGroupUpdate, ConsumerMember, EndReason, EndTransaction,
    GroupCommit, GroupFence, GroupGeneration, InitTransactions, MemberState, OffsetCommit, QuotaEntity,
    ScramCredential, TxnFence,
};
use crate::codec::Writer;
use bytes::Bytes;
use frazil_base::{TopicId, TopicPartition};

pub(crate) fn list<T>(writer: &mut Writer, items: &[T], mut write: impl FnMut(&mut Writer, &T)) {
    writer.count(items.len());
    items.iter().for_each(|item| write(writer, item));
}

pub(crate) fn number(writer: &mut Writer, value: i32) {
    writer.zigzag(i64::from(value));
}

pub(crate) fn strings(writer: &mut Writer, strings: &[String]) {
    list(writer, strings, |writer, string| writer.string(string));
}

/// A partition in relation to the topic of the one before.
pub(crate) fn partition(writer: &mut Writer, before: &mut Option<TopicId>, partition: TopicPartition) {
    let TopicPartition { topic, partition } = partition;
    let is_same = *before == Some(topic);
    let folded = (partition << 1 ^ (partition >> 31)) as u32;
    writer.varint(u64::from(folded) << 1 | u64::from(is_same));
    if !is_same {
        writer.u128(topic.0);
    }
    *before = Some(topic);
}

pub(crate) fn partitions<'a>(writer: &mut Writer, partitions: impl ExactSizeIterator<Item = &'a TopicPartition>) {
    writer.count(partitions.len());
    let mut before = None;
    partitions.for_each(|at| partition(writer, &mut before, *at));
}

pub(crate) fn group_generation(writer: &mut Writer, generation: &GroupGeneration) {
    writer.string(&generation.group);
    number(writer, generation.generation);
    writer.string(&generation.protocol_type);
    writer.optional_string(generation.protocol.as_deref());
    writer.optional_string(generation.leader.as_deref());
    list(writer, &generation.members, classic_member);
    writer.varint(generation.seen.0);
}

pub(crate) fn classic_member(writer: &mut Writer, member: &ClassicMember) {
    writer.string(&member.member_id);
    writer.optional_string(member.instance_id.as_deref());
    writer.string(&member.client_id);
    writer.string(&member.client_host);
    number(writer, member.rebalance_timeout_ms);
    number(writer, member.session_timeout_ms);
    protocols(writer, &member.protocols);
    writer.bytes(&member.assignment);
}

fn protocols(writer: &mut Writer, protocols: &[(String, Bytes)]) {
    list(writer, protocols, |writer, (name, metadata)| {
        writer.string(name);
        writer.bytes(metadata);
    });
}

pub(crate) fn consumer_group(writer: &mut Writer, update: &ConsumerGroupUpdate) {
    writer.string(&update.group);
    number(writer, update.group_epoch);
    number(writer, update.target_epoch);
    writer.string(&update.assignor);
    list(writer, &update.upserted, consumer_member);
    strings(writer, &update.removed);
    writer.varint(update.seen.0);
}

pub(crate) fn consumer_member(writer: &mut Writer, member: &ConsumerMember) {
    writer.string(&member.member_id);
    writer.optional_string(member.instance_id.as_deref());
    writer.optional_string(member.rack.as_deref());
    writer.string(&member.client_id);
    writer.string(&member.client_host);
    number(writer, member.rebalance_timeout_ms);
    strings(writer, &member.topics);
    writer.optional_string(member.regex.as_deref());
    writer.optional_string(member.server_assignor.as_deref());
    writer.bool(member.classic.is_some());
    if let Some(classic) = &member.classic {
        number(writer, classic.session_timeout_ms);
        protocols(writer, &classic.protocols);
    }
    number(writer, member.member_epoch);
    number(writer, member.previous_member_epoch);
    writer.u8(member_state(member.state));
    assignment(writer, &member.assigned);
    assignment(writer, &member.revoking);
    assignment(writer, &member.target);
}

fn member_state(state: MemberState) -> u8 {
    match state {
        MemberState::Stable => 0,
        MemberState::Unrevoked => 1,
        MemberState::Unreleased => 2,
    }
}

/// Topics ascending; a topic's partitions each as the delta to the one that would follow the one before.
fn assignment(writer: &mut Writer, assignment: &Assignment) {
    writer.count(assignment.len());
    for (topic, partitions) in assignment {
        writer.u128(topic.0);
        let mut expected = 0i32;
        list(writer, partitions, |writer, partition| {
            number(writer, partition.wrapping_sub(expected));
            expected = partition.wrapping_add(1);
        });
    }
}

pub(crate) fn group_commit(writer: &mut Writer, commit: &GroupCommit) {
    writer.string(&commit.group);
    match &commit.fence {
        GroupFence::None => writer.u8(0),
        GroupFence::Classic { member_id, generation } => {
            writer.u8(1);
            writer.string(member_id);
            number(writer, *generation);
        }
        GroupFence::Consumer { member_id, member_epoch } => {
            writer.u8(2);
            writer.string(member_id);
            number(writer, *member_epoch);
        }
        GroupFence::Transactional => writer.u8(3),
    }
    match &commit.txn {
        None => writer.u8(0),
        Some(TxnFence { transactional_id, producer_id, epoch, implicit }) => {
            writer.u8(1 + u8::from(*implicit));
            writer.string(transactional_id);
            writer.zigzag(*producer_id);
            writer.zigzag(i64::from(*epoch));
        }
    }
    let mut before = None;
    list(writer, &commit.offsets, |writer, (at, commit)| {
        partition(writer, &mut before, *at);
        offset_commit(writer, commit);
    });
}

pub(crate) fn offset_commit(writer: &mut Writer, commit: &OffsetCommit) {
    writer.zigzag(commit.offset);
    number(writer, commit.leader_epoch);
    writer.string(&commit.metadata);
}

pub(crate) fn init_transactions(writer: &mut Writer, init: &InitTransactions) {
    writer.string(&init.transactional_id);
    number(writer, init.timeout_ms);
    optional_producer(writer, init.expected);
}

/// A producer id with its epoch, or a zero.
pub(crate) fn optional_producer(writer: &mut Writer, producer: Option<(i64, i16)>) {
    writer.bool(producer.is_some());
    if let Some((id, epoch)) = producer {
        writer.zigzag(id);
        writer.zigzag(i64::from(epoch));
    }
}

pub(crate) fn add_to_transaction(writer: &mut Writer, add: &AddToTransaction) {
    writer.string(&add.transactional_id);
    writer.zigzag(add.producer_id);
    writer.zigzag(i64::from(add.epoch));
    partitions(writer, add.partitions.iter());
    strings(writer, &add.groups);
}

pub(crate) fn end_transaction(writer: &mut Writer, end: &EndTransaction) {
    writer.string(&end.transactional_id);
    writer.zigzag(end.producer_id);
    writer.zigzag(i64::from(end.epoch));
    writer.bool(end.commit);
    writer.u8(match end.reason {
        EndReason::Client { bump: false } => 0,
        EndReason::Client { bump: true } => 1,
        EndReason::Timeout => 2,
        EndReason::Admin => 3,
    });
    writer.bool(end.started.is_some());
    if let Some(started) = end.started {
        writer.varint(started.0);
    }
}

pub(crate) fn quota_entity(writer: &mut Writer, entity: &QuotaEntity) {
    list(writer, &entity.0, |writer, (kind, name)| {
        writer.string(kind);
        writer.optional_string(name.as_deref());
    });
}

pub(crate) fn quota_change(writer: &mut Writer, (name, value): &(String, Option<u64>)) {
    writer.string(name);
    writer.bool(value.is_some());
    if let Some(bits) = value {
        writer.raw(&bits.to_be_bytes());
    }
}

pub(crate) fn optional_credential(writer: &mut Writer, credential: Option<&ScramCredential>) {
    writer.bool(credential.is_some());
    if let Some(set) = credential {
        scram_credential(writer, set);
    }
}

pub(crate) fn scram_credential(writer: &mut Writer, credential: &ScramCredential) {
    writer.bytes(&credential.salt);
    writer.bytes(&credential.stored_key);
    writer.bytes(&credential.server_key);
    number(writer, credential.iterations);
}
