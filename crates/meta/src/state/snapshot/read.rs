//! Bytes to state. The checksum was right, but nothing is trusted all the same.

use super::super::brokers::{Broker, Registration};
use super::super::producers::{Producer, Producers, STORED_MAX, StoredBatch};
use super::super::{
    BodyId, BodyState, CONTROL_BATCH_BYTES, ControlMarker, Extent, FEATURE_LEVEL_KNOWN, Partition, State, Topic,
    sequence_after,
};
use super::{VERSION, coordinated};
use crate::codec::{DecodeError, Reader};
use crate::record::{ConfigResource, read_resource};
use frazil_base::limits::{PARTITIONS_PER_TOPIC_MAX, PRODUCER_BATCHES_REMEMBERED, PRODUCERS_PER_PARTITION_MAX};
use frazil_base::{BrokerId, Epoch, ObjectId, Seq, TopicId};
use std::collections::{BTreeMap, VecDeque};

/// Numbers that only count up are at most this in a snapshot, so that no record can make them overflow.
const COUNTER_MAX: i64 = i64::MAX / 2;

/// The live bodies, by index; their live extents are counted while extents are read.
type BodyTable = Vec<(BodyId, BodyState)>;

/// Everything between the magic bytes and the checksum.
pub(super) fn body(bytes: &[u8]) -> Result<State, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8()?;
    if version > VERSION {
        return Err(DecodeError::NewerVersion { version, known: VERSION });
    }
    if version == 0 {
        return Err(reader.invalid("the snapshot's version"));
    }
    let mut state = read_numbers(&mut reader)?;
    read_brokers(&mut reader, &mut state)?;
    read_configs(&mut reader, &mut state)?;
    let mut bodies = read_bodies(&mut reader)?;
    read_dead(&mut reader, &mut state)?;
    for _ in 0..reader.count(22)? {
        let topic = read_topic(&mut reader, version, &mut bodies)?;
        if !state.topics.insert(topic) {
            return Err(reader.invalid("a topic that is there twice"));
        }
    }
    if bodies.iter().any(|(body, live)| live.live_extents == 0 || state.bodies.knows(*body)) {
        return Err(reader.invalid("a live body without extents"));
    }
    bodies.into_iter().for_each(|(body, live)| state.bodies.add(body, live));
    if version > 1 {
        coordinated::read(&mut reader, &mut state)?;
    }
    reader.finish()?;
    Ok(state)
}

fn read_numbers(reader: &mut Reader<'_>) -> Result<State, DecodeError> {
    let applied = Seq(reader.varint()?);
    let hash = u64::from_be_bytes(reader.raw(8)?.try_into().expect("8 bytes were asked for"));
    let feature_level = reader.unsigned("a feature level")?;
    if feature_level > FEATURE_LEVEL_KNOWN {
        return Err(DecodeError::NewerFeatureLevel { level: feature_level, known: FEATURE_LEVEL_KNOWN });
    }
    let next_producer_id = read_counter(reader, "the next producer id")?;
    let (clock_ms, sweep_due_ms) = (reader.zigzag()?, reader.zigzag()?);
    let topics_changed = applied;
    Ok(State { applied, hash, feature_level, next_producer_id, clock_ms, sweep_due_ms, topics_changed, ..State::new() })
}

fn read_counter(reader: &mut Reader<'_>, what: &'static str) -> Result<i64, DecodeError> {
    let value = reader.zigzag()?;
    if (0..=COUNTER_MAX).contains(&value) { Ok(value) } else { Err(reader.invalid(what)) }
}

fn read_brokers(reader: &mut Reader<'_>, state: &mut State) -> Result<(), DecodeError> {
    for _ in 0..reader.count(22)? {
        let id = BrokerId(reader.signed("a broker id")?);
        let epoch = Epoch(reader.varint()?);
        let incarnation = reader.u128()?;
        let last_number = reader.varint()?;
        let (host, port, zone) = (reader.string()?, reader.unsigned("a port")?, reader.optional_string()?);
        let broker = Broker { epoch, id, host, port, zone };
        let is_new =
            !state.brokers.is_open(epoch) && state.brokers.restore(Registration { broker, incarnation, last_number });
        if !is_new {
            return Err(reader.invalid("a broker that is there twice"));
        }
    }
    Ok(())
}

fn read_configs(reader: &mut Reader<'_>, state: &mut State) -> Result<(), DecodeError> {
    for _ in 0..reader.count(2)? {
        let resource = read_resource(reader)?;
        let settings = read_settings(reader)?;
        let is_kept_elsewhere = matches!(resource, ConfigResource::Topic(_));
        if is_kept_elsewhere || settings.is_empty() || state.configs.insert(resource, settings).is_some() {
            return Err(reader.invalid("the settings of a resource"));
        }
    }
    Ok(())
}

fn read_settings(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>, DecodeError> {
    (0..reader.count(2)?).map(|_| Ok((reader.string()?, reader.string()?))).collect()
}

fn read_bodies(reader: &mut Reader<'_>) -> Result<BodyTable, DecodeError> {
    let log_count = reader.unsigned::<usize>("a count")?;
    let object_count = reader.unsigned::<usize>("a count")?;
    let count = log_count.saturating_add(object_count);
    if count > reader.remaining() / 3 {
        return Err(reader.invalid("a count beyond the bytes that follow"));
    }
    let mut bodies = BodyTable::with_capacity(count);
    let (mut seq, mut epoch, mut committed_ms) = (0u64, 0u64, 0i64);
    for index in 0..count {
        let body = if index < log_count {
            seq = seq.saturating_add(reader.varint()?);
            BodyId::Log(Seq(seq))
        } else {
            epoch = epoch.saturating_add(reader.varint()?);
            BodyId::Object(ObjectId { epoch: Epoch(epoch), number: reader.varint()? })
        };
        let bytes = reader.unsigned("a body's length")?;
        committed_ms = committed_ms.wrapping_add(reader.zigzag()?);
        if bodies.last().is_some_and(|(before, _)| *before >= body) {
            return Err(reader.invalid("the order of bodies"));
        }
        bodies.push((body, BodyState { bytes, live_extents: 0, live_bytes: 0, committed_ms }));
    }
    Ok(bodies)
}

fn read_dead(reader: &mut Reader<'_>, state: &mut State) -> Result<(), DecodeError> {
    for _ in 0..reader.count(3)? {
        let object = ObjectId { epoch: Epoch(reader.varint()?), number: reader.varint()? };
        let died_ms = reader.zigzag()?;
        if state.bodies.knows(BodyId::Object(object)) {
            return Err(reader.invalid("an object that died twice"));
        }
        state.bodies.bury(BodyId::Object(object), died_ms);
    }
    Ok(())
}

fn read_topic(reader: &mut Reader<'_>, version: u8, bodies: &mut BodyTable) -> Result<Topic, DecodeError> {
    let id = TopicId(reader.u128()?);
    let name = reader.string()?;
    let replication_factor = reader.signed("a replication factor")?;
    let created_ms = reader.zigzag()?;
    let configs = read_settings(reader)?;
    let count = reader.count(4)?;
    if count > PARTITIONS_PER_TOPIC_MAX as usize {
        return Err(reader.invalid("a number of partitions"));
    }
    let partitions = (0..count).map(|_| read_partition(reader, version, bodies)).collect::<Result<_, _>>()?;
    Ok(Topic { id, name, partitions, replication_factor, configs, created_ms })
}

fn read_partition(reader: &mut Reader<'_>, version: u8, bodies: &mut BodyTable) -> Result<Partition, DecodeError> {
    let log_start = read_counter(reader, "a log start")?;
    let readable = reader.unsigned::<i64>("a number of offsets")?;
    let next_offset = log_start.checked_add(readable).filter(|next| *next <= COUNTER_MAX);
    let next_offset = next_offset.ok_or_else(|| reader.invalid("a next offset"))?;
    let mut extents = read_extents(reader, version, bodies)?;
    place_extents(&mut extents, log_start, next_offset).ok_or_else(|| reader.invalid("the lengths of extents"))?;
    let producers = read_producers(reader)?;
    let mut partition = Partition { next_offset, log_start, extents, producers, transactions: None };
    if version > 1 {
        coordinated::read_partition(reader, &mut partition)?;
    }
    Ok(partition)
}

/// Extents without their offsets.
fn read_extents(reader: &mut Reader<'_>, version: u8, bodies: &mut BodyTable) -> Result<VecDeque<Extent>, DecodeError> {
    // A marker takes at least 5 bytes too.
    let count = reader.count(5)?;
    let mut extents = VecDeque::with_capacity(count);
    let mut before = Before::default();
    for _ in 0..count {
        let head = reader.varint()?;
        let (records, is_marker) = if version > 1 { (head >> 1, head & 1 == 1) } else { (head, false) };
        let records = u32::try_from(records).ok().and_then(|records| records.checked_add(1));
        let records = records.ok_or_else(|| reader.invalid("a number of records"))?;
        let (body, position, bytes) = match is_marker {
            true if records > 1 => return Err(reader.invalid("a marker's length")),
            true => (read_marker(reader, &mut before)?, 0, CONTROL_BATCH_BYTES),
            false => read_place(reader, &mut before, bodies)?,
        };
        before.max_timestamp = before.max_timestamp.wrapping_add(reader.zigzag()?);
        let max_timestamp = before.max_timestamp;
        extents.push_back(Extent { base_offset: 0, records, body, position, bytes, max_timestamp });
    }
    Ok(extents)
}

/// What an extent is read in relation to.
#[derive(Default)]
struct Before {
    body: i64,
    producer_id: i64,
    max_timestamp: i64,
}

fn read_marker(reader: &mut Reader<'_>, before: &mut Before) -> Result<BodyId, DecodeError> {
    before.producer_id = before.producer_id.wrapping_add(reader.zigzag()?);
    let (epoch, commit) = (reader.signed("a producer epoch")?, reader.bool("a transaction's result")?);
    Ok(BodyId::Marker(ControlMarker { producer_id: before.producer_id, epoch, commit }))
}

/// Body, position and length of an extent.
fn read_place(
    reader: &mut Reader<'_>,
    before: &mut Before,
    bodies: &mut BodyTable,
) -> Result<(BodyId, u32, u32), DecodeError> {
    before.body = before.body.wrapping_add(reader.zigzag()?);
    let position = reader.unsigned("a position")?;
    let bytes = reader.unsigned("an extent's length")?;
    let body = usize::try_from(before.body).ok().and_then(|index| bodies.get_mut(index));
    let body = body.and_then(|body| reference(body, position, bytes));
    let body = body.ok_or_else(|| reader.invalid("where an extent's bytes are"))?;
    Ok((body, position, bytes))
}

/// Counts one more live extent of a body, if it lies inside.
fn reference((body, state): &mut (BodyId, BodyState), position: u32, bytes: u32) -> Option<BodyId> {
    let end = position.checked_add(bytes)?;
    if end > state.bytes {
        return None;
    }
    state.live_extents = state.live_extents.checked_add(1)?;
    state.live_bytes += u64::from(bytes);
    Some(*body)
}

/// Gives the extents the offsets that end at `next_offset`. They must reach the log start, and no further than needed.
fn place_extents(extents: &mut VecDeque<Extent>, log_start: i64, next_offset: i64) -> Option<()> {
    let mut offset = next_offset;
    for extent in extents.iter_mut().rev() {
        if offset <= log_start {
            return None;
        }
        offset = offset.checked_sub(i64::from(extent.records))?;
        extent.base_offset = offset;
    }
    (0..=log_start).contains(&offset).then_some(())
}

fn read_producers(reader: &mut Reader<'_>) -> Result<Producers, DecodeError> {
    let count = reader.count(8)?;
    if count > PRODUCERS_PER_PARTITION_MAX {
        return Err(reader.invalid("a number of producers"));
    }
    let mut producers = Producers::with_capacity(count);
    for _ in 0..count {
        let producer = read_producer(reader)?;
        producers.push(producer).map_err(|what| reader.invalid(what))?;
    }
    Ok(producers)
}

fn read_producer(reader: &mut Reader<'_>) -> Result<Producer, DecodeError> {
    let mut producer = Producer::new(reader.zigzag()?, reader.signed("a producer epoch")?);
    producer.last_ms = reader.zigzag()?;
    producer.stored = reader.unsigned("a number of sequences")?;
    let count = reader.count(3)?;
    if !(1..=PRODUCER_BATCHES_REMEMBERED).contains(&count) || producer.stored > STORED_MAX {
        return Err(reader.invalid("what is remembered of a producer"));
    }
    let (mut base_offset, mut sequence) = (0i64, 0i32);
    for _ in 0..count {
        base_offset = base_offset.wrapping_add(reader.zigzag()?);
        let first_sequence = sequence.wrapping_add(reader.signed("a sequence")?);
        let records = reader.unsigned::<u32>("a number of records")?;
        let records = records.checked_add(1).ok_or_else(|| reader.invalid("a number of records"))?;
        producer.remember(StoredBatch { base_offset, first_sequence, records });
        sequence = sequence_after(first_sequence, records);
    }
    Ok(producer)
}
