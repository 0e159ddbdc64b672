//! Groups, transactions, quotas and credentials of a snapshot, both ways.
//!
//! Checked when read: what is open in a partition belongs to an open transaction that holds the partition, pending
//! offsets to one that holds the group, and every partition named is there.

use super::super::aborted::{AbortedTransaction, OpenTransaction, PartitionTransactions};
use super::super::groups::{ClassicGroup, CommittedOffset, ConsumerGroup, Group, GroupKind};
use super::super::transactions::{EndedTransaction, Transaction, TransactionPhase};
use super::super::{Partition, State};
use crate::codec::{DecodeError, Reader, Writer};
use crate::record::{self, OffsetCommit, QuotaEntity, ScramCredential, read_list, write};
use frazil_base::{Epoch, Seq, TopicPartition};
use std::collections::{BTreeMap, VecDeque};

/// Offsets of a group.
type Offsets = BTreeMap<TopicPartition, CommittedOffset>;

pub(super) fn write(writer: &mut Writer, state: &State) {
    writer.count(state.groups.iter().len());
    state.groups.iter().for_each(|(id, group)| write_group(writer, id, group));
    writer.count(state.transactions.len());
    state.transactions.iter().for_each(|transaction| write_transaction(writer, transaction));
    write_quotas(writer, state);
    write_scram_users(writer, state);
}

pub(super) fn read(reader: &mut Reader<'_>, state: &mut State) -> Result<(), DecodeError> {
    for _ in 0..reader.count(5)? {
        let (id, group) = (reader.string()?, read_group(reader)?);
        if state.groups.iter().last().is_some_and(|(last, _)| last >= id.as_str()) || !state.groups.restore(id, group) {
            return Err(reader.invalid("a group"));
        }
    }
    for _ in 0..reader.count(12)? {
        let transaction = read_transaction(reader)?;
        let is_fresh = transaction.producer_id >= state.next_producer_id;
        if is_fresh || !state.transactions.insert(transaction) {
            return Err(reader.invalid("a transactional id"));
        }
    }
    read_quotas(reader, state)?;
    read_scram_users(reader, state)?;
    if is_consistent(state) { Ok(()) } else { Err(reader.invalid("what belongs to a transaction or group")) }
}

fn is_consistent(state: &State) -> bool {
    let is_there = |partition: &TopicPartition| state.partition(*partition).is_some();
    let holds = |group: &str, producer: &i64| {
        state.transaction_of(*producer).is_some_and(|open| open.is_ongoing() && open.groups.contains(group))
    };
    let groups = state.groups().all(|(id, group)| {
        let pending = group.pending.values().flat_map(BTreeMap::keys);
        group.offsets.keys().chain(pending).all(is_there) && group.pending.keys().all(|producer| holds(id, producer))
    });
    groups
        && state.transactions().flat_map(|open| &open.partitions).all(is_there)
        && state.topics().all(|topic| {
            topic.partitions.iter().zip(0..).all(|(partition, number)| {
                let at = TopicPartition { topic: topic.id, partition: number };
                is_open_rightly(state, at, partition)
            })
        })
}

fn is_open_rightly(state: &State, at: TopicPartition, partition: &Partition) -> bool {
    let Some(transactions) = &partition.transactions else { return true };
    let owner = |open: &OpenTransaction| state.transaction_of(open.producer_id);
    transactions.open.iter().all(|open| owner(open).is_some_and(|owner| owner.partitions.contains(&at)))
}

pub(super) fn write_partition(writer: &mut Writer, partition: &Partition) {
    let none = PartitionTransactions::default();
    let transactions = partition.transactions.as_deref().unwrap_or(&none);
    writer.count(transactions.open.len());
    for open in &transactions.open {
        writer.zigzag(open.producer_id);
        writer.varint((partition.next_offset - open.first_offset) as u64);
    }
    writer.count(transactions.aborted.len());
    for aborted in &transactions.aborted {
        writer.zigzag(aborted.producer_id);
        writer.varint((partition.next_offset - aborted.last_offset) as u64);
        writer.varint((aborted.last_offset - aborted.first_offset) as u64);
        writer.varint((partition.next_offset - aborted.stable_offset) as u64);
    }
}

pub(super) fn read_partition(reader: &mut Reader<'_>, partition: &mut Partition) -> Result<(), DecodeError> {
    let next_offset = partition.next_offset;
    // An offset so far below another one, and not below 0.
    let below = |reader: &mut Reader<'_>, offset: i64| {
        let distance = reader.unsigned::<i64>("an offset")?;
        offset.checked_sub(distance).filter(|below| *below >= 0).ok_or_else(|| reader.invalid("an offset"))
    };
    let open = read_list(reader, 2, |reader| {
        Ok(OpenTransaction { producer_id: reader.zigzag()?, first_offset: below(reader, next_offset)? })
    })?;
    let aborted: VecDeque<_> = read_list(reader, 4, |reader| {
        let producer_id = reader.zigzag()?;
        let last_offset = below(reader, next_offset)?;
        let (first_offset, stable_offset) = (below(reader, last_offset)?, below(reader, next_offset)?);
        Ok(AbortedTransaction { producer_id, first_offset, last_offset, stable_offset })
    })?
    .into();
    let is_ascending = open.is_sorted_by(|one, next| one.first_offset < next.first_offset)
        && aborted.iter().is_sorted_by(|one, next| one.last_offset < next.last_offset);
    let is_kept = aborted.front().is_none_or(|first| first.last_offset >= partition.log_start);
    let is_written = open.last().is_none_or(|last| last.first_offset < next_offset)
        && aborted
            .iter()
            .all(|aborted| aborted.first_offset < aborted.last_offset && aborted.last_offset < next_offset);
    if !(is_ascending && is_kept && is_written) {
        return Err(reader.invalid("the transactions of a partition"));
    }
    let is_empty = open.is_empty() && aborted.is_empty();
    partition.transactions = (!is_empty).then(|| Box::new(PartitionTransactions { open, aborted }));
    Ok(())
}

fn write_group(writer: &mut Writer, id: &str, group: &Group) {
    writer.string(id);
    match &group.kind {
        GroupKind::Offsets => writer.u8(0),
        GroupKind::Classic(classic) => {
            writer.u8(1);
            write::number(writer, classic.generation);
            writer.string(&classic.protocol_type);
            writer.optional_string(classic.protocol.as_deref());
            writer.optional_string(classic.leader.as_deref());
            writer.count(classic.members.len());
            classic.members.values().for_each(|member| write::classic_member(writer, member));
        }
        GroupKind::Consumer(consumer) => {
            writer.u8(2);
            write::number(writer, consumer.group_epoch);
            write::number(writer, consumer.target_epoch);
            writer.string(&consumer.assignor);
            writer.count(consumer.members.len());
            consumer.members.values().for_each(|member| write::consumer_member(writer, member));
        }
    }
    writer.zigzag(group.changed_ms);
    writer.varint(group.changed_at.0);
    writer.varint(group.changed_by.0);
    write_offsets(writer, &group.offsets, group.changed_ms);
    writer.count(group.pending.len());
    for (producer, offsets) in &group.pending {
        writer.zigzag(*producer);
        write_offsets(writer, offsets, group.changed_ms);
    }
}

fn write_offsets(writer: &mut Writer, offsets: &Offsets, changed_ms: i64) {
    writer.count(offsets.len());
    let (mut topic, mut time_ms, mut seq) = (None, changed_ms, 0);
    for (partition, CommittedOffset { offset, leader_epoch, metadata, committed_ms, recorded }) in offsets {
        write::partition(writer, &mut topic, *partition);
        writer.zigzag(*offset);
        write::number(writer, *leader_epoch);
        writer.string(metadata);
        writer.zigzag(committed_ms.wrapping_sub(time_ms));
        writer.zigzag(recorded.0.wrapping_sub(seq) as i64);
        (time_ms, seq) = (*committed_ms, recorded.0);
    }
}

fn read_group(reader: &mut Reader<'_>) -> Result<Group, DecodeError> {
    let kind = match reader.u8()? {
        0 => GroupKind::Offsets,
        1 => GroupKind::Classic(ClassicGroup {
            generation: reader.signed("a generation")?,
            protocol_type: reader.string()?,
            protocol: reader.optional_string()?,
            leader: reader.optional_string()?,
            members: read_map(reader, 8, |reader| {
                let member = record::read::classic_member(reader)?;
                Ok((member.member_id.clone(), member))
            })?,
        }),
        2 => GroupKind::Consumer(ConsumerGroup {
            group_epoch: reader.signed("a group epoch")?,
            target_epoch: reader.signed("a group epoch")?,
            assignor: reader.string()?,
            members: read_map(reader, 16, |reader| {
                let member = record::read::consumer_member(reader)?;
                Ok((member.member_id.clone(), member))
            })?,
        }),
        _ => return Err(reader.invalid("a kind of group")),
    };
    let changed_ms = reader.zigzag()?;
    let (changed_at, changed_by) = (Seq(reader.varint()?), Epoch(reader.varint()?));
    let offsets = read_offsets(reader, changed_ms)?;
    let pending = read_map(reader, 2, |reader| {
        let (producer_id, offsets) = (reader.zigzag()?, read_offsets(reader, changed_ms)?);
        if offsets.is_empty() { Err(reader.invalid("no offsets")) } else { Ok((producer_id, offsets)) }
    })?;
    Ok(Group { kind, offsets, pending, changed_ms, changed_at, changed_by })
}

fn read_offsets(reader: &mut Reader<'_>, changed_ms: i64) -> Result<Offsets, DecodeError> {
    let (mut topic, mut committed_ms, mut seq) = (None, changed_ms, 0u64);
    read_map(reader, 6, |reader| {
        let partition = record::read::partition(reader, &mut topic)?;
        let OffsetCommit { offset, leader_epoch, metadata } = record::read::offset_commit(reader)?;
        committed_ms = committed_ms.wrapping_add(reader.zigzag()?);
        seq = seq.wrapping_add(reader.zigzag()? as u64);
        Ok((partition, CommittedOffset { offset, leader_epoch, metadata, committed_ms, recorded: Seq(seq) }))
    })
}

/// Entries with strictly ascending keys.
fn read_map<K: Ord, V>(
    reader: &mut Reader<'_>,
    bytes_each_min: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<(K, V), DecodeError>,
) -> Result<BTreeMap<K, V>, DecodeError> {
    let mut map = BTreeMap::new();
    for _ in 0..reader.count(bytes_each_min)? {
        let (key, value) = read(reader)?;
        if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(reader.invalid("the order of keys"));
        }
        map.insert(key, value);
    }
    Ok(map)
}

fn write_transaction(writer: &mut Writer, transaction: &Transaction) {
    writer.string(&transaction.transactional_id);
    writer.zigzag(transaction.producer_id);
    writer.zigzag(i64::from(transaction.epoch));
    write::number(writer, transaction.timeout_ms);
    match transaction.phase {
        TransactionPhase::Empty => writer.u8(0),
        TransactionPhase::Ongoing { started_ms } => {
            writer.u8(1);
            writer.zigzag(started_ms);
        }
        TransactionPhase::Committed => writer.u8(2),
        TransactionPhase::Aborted => writer.u8(3),
    }
    writer.varint(transaction.started.0);
    write::partitions(writer, transaction.partitions.iter());
    writer.count(transaction.groups.len());
    transaction.groups.iter().for_each(|group| writer.string(group));
    writer.zigzag(transaction.changed_ms);
    write::optional_producer(writer, transaction.previous);
    writer.bool(transaction.ended.is_some());
    if let Some(EndedTransaction { started, producer_id, epoch, commit }) = transaction.ended {
        writer.varint(started.0);
        writer.zigzag(producer_id);
        writer.zigzag(i64::from(epoch));
        writer.bool(commit);
    }
}

fn read_transaction(reader: &mut Reader<'_>) -> Result<Transaction, DecodeError> {
    let transactional_id = reader.string()?;
    let (producer_id, epoch) = (reader.zigzag()?, reader.signed("a producer epoch")?);
    let timeout_ms = reader.signed("a timeout")?;
    let phase = match reader.u8()? {
        0 => TransactionPhase::Empty,
        1 => TransactionPhase::Ongoing { started_ms: reader.zigzag()? },
        2 => TransactionPhase::Committed,
        3 => TransactionPhase::Aborted,
        _ => return Err(reader.invalid("a transaction's phase")),
    };
    let started = Seq(reader.varint()?);
    let partitions = record::read::partitions(reader)?;
    let groups = record::read::strings(reader)?;
    let is_ascending = partitions.is_sorted_by(|one, next| one < next) && groups.is_sorted_by(|one, next| one < next);
    let holds_some = !(partitions.is_empty() && groups.is_empty());
    if !is_ascending || holds_some && !matches!(phase, TransactionPhase::Ongoing { .. }) {
        return Err(reader.invalid("what a transaction holds"));
    }
    let (partitions, groups) = (partitions.into_iter().collect(), groups.into_iter().collect());
    let changed_ms = reader.zigzag()?;
    let previous = record::read::optional_producer(reader)?;
    let ended = if reader.bool("a flag")? { Some(read_ended(reader)?) } else { None };
    Ok(Transaction {
        transactional_id,
        producer_id,
        epoch,
        timeout_ms,
        phase,
        started,
        partitions,
        groups,
        changed_ms,
        previous,
        ended,
    })
}

fn read_ended(reader: &mut Reader<'_>) -> Result<EndedTransaction, DecodeError> {
    Ok(EndedTransaction {
        started: Seq(reader.varint()?),
        producer_id: reader.zigzag()?,
        epoch: reader.signed("a producer epoch")?,
        commit: reader.bool("a transaction's result")?,
    })
}

fn write_quotas(writer: &mut Writer, state: &State) {
    writer.count(state.quotas.len());
    for (entity, quotas) in &state.quotas {
        write::quota_entity(writer, entity);
        writer.count(quotas.len());
        for (name, bits) in quotas {
            writer.string(name);
            writer.raw(&bits.to_be_bytes());
        }
    }
}

fn read_quotas(reader: &mut Reader<'_>, state: &mut State) -> Result<(), DecodeError> {
    state.quotas = read_map(reader, 2, |reader| {
        let entity: QuotaEntity = record::read::quota_entity(reader)?;
        let quotas = read_map(reader, 9, |reader| Ok((reader.string()?, reader.u64()?)))?;
        if quotas.is_empty() { Err(reader.invalid("quotas of nothing")) } else { Ok((entity, quotas)) }
    })?;
    Ok(())
}

fn write_scram_users(writer: &mut Writer, state: &State) {
    writer.count(state.scram_users.len());
    for (user, credentials) in &state.scram_users {
        writer.string(user);
        writer.count(credentials.len());
        for (mechanism, credential) in credentials {
            writer.u8(*mechanism);
            write::scram_credential(writer, credential);
        }
    }
}

fn read_scram_users(reader: &mut Reader<'_>, state: &mut State) -> Result<(), DecodeError> {
    state.scram_users = read_map(reader, 2, |reader| {
        let user = reader.string()?;
        let credentials: BTreeMap<u8, ScramCredential> =
            read_map(reader, 5, |reader| Ok((reader.u8()?, record::read::scram_credential(reader)?)))?;
        if credentials.is_empty() { Err(reader.invalid("credentials of nothing")) } else { Ok((user, credentials)) }
    })?;
    Ok(())
}
