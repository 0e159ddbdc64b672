//! Bytes to records. Nothing is trusted: every count, length and range is checked, nothing panics.

pub(crate) mod coordinated;

use super::encode::{Before, part_bit, run_kind, tag};
use super::{
    BatchProducer, Command, Commit, CommitPart, ConfigResource, CreateTopic, Joining, RECORD_VERSION, Record,
    RegisterBroker, Run,
};
use crate::codec::{DecodeError, Reader};
use crate::state::FEATURE_LEVEL_KNOWN;
use frazil_base::limits::META_RECORD_BYTES_MAX;
use frazil_base::{BrokerId, Epoch, ObjectId, Seq, TopicId, TopicPartition};

impl Record {
    /// Reads what `encode` wrote, and nothing else: bytes that decode encode to themselves.
    pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
        if bytes.len() > META_RECORD_BYTES_MAX {
            return Err(DecodeError::TooLong { bytes: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version > RECORD_VERSION {
            return Err(DecodeError::NewerVersion { version, known: RECORD_VERSION });
        }
        if version != RECORD_VERSION {
            return Err(reader.invalid("the record's version"));
        }
        let tag = reader.u8()?;
        let epoch = Epoch(reader.varint()?);
        let number = reader.varint()?;
        let time_ms = reader.zigzag()?;
        let command = read_command(&mut reader, tag, epoch, time_ms)?;
        reader.finish()?;
        Ok(Record { epoch, number, time_ms, command })
    }
}

fn read_command(reader: &mut Reader<'_>, tag: u8, epoch: Epoch, time_ms: i64) -> Result<Command, DecodeError> {
    Ok(match tag {
        tag::REGISTER_BROKER => Command::RegisterBroker(read_register(reader)?),
        tag::CLOSE_BROKER => Command::CloseBroker { epoch: Epoch(reader.varint()?) },
        tag::FEATURE_LEVEL => Command::FeatureLevel { level: read_level(reader)? },
        tag::CREATE_TOPIC => Command::CreateTopic(read_create(reader)?),
        tag::DELETE_TOPIC => Command::DeleteTopic { topic: TopicId(reader.u128()?) },
        tag::CREATE_PARTITIONS => Command::CreatePartitions {
            topic: TopicId(reader.u128()?),
            total: reader.signed("a number of partitions")?,
        },
        tag::ALTER_CONFIGS | tag::ALTER_NAMED_CONFIGS => read_alter(reader, tag)?,
        tag::ALLOCATE_PRODUCER_IDS => Command::AllocateProducerIds { count: reader.unsigned("a number of ids")? },
        tag::COMMIT => Command::Commit(read_commit(reader, epoch, Before::new(time_ms, false))?),
        tag::TRANSACTIONAL_COMMIT => Command::Commit(read_transactional_commit(reader, epoch, time_ms)?),
        tag::FORGET_OBJECTS => Command::ForgetObjects { objects: read_list(reader, 2, read_object)? },
        tag::COMPARE_STATE => Command::CompareState { seq: Seq(reader.varint()?), hash: reader.u64()? },
        tag::MOVE_LOG_START => Command::MoveLogStart { starts: read_list(reader, 18, read_start)? },
        tag => return read_coordinated(reader, tag),
    })
}

fn read_coordinated(reader: &mut Reader<'_>, tag: u8) -> Result<Command, DecodeError> {
    Ok(match tag {
        tag::GROUP_GENERATION => Command::GroupGeneration(coordinated::group_generation(reader)?),
        tag::CONSUMER_GROUP => Command::ConsumerGroup(coordinated::consumer_group(reader)?),
        tag::DELETE_GROUPS => Command::DeleteGroups { groups: coordinated::strings(reader)? },
        tag::COMMIT_OFFSETS => Command::CommitOffsets { commits: read_list(reader, 4, coordinated::group_commit)? },
        tag::DELETE_OFFSETS => {
            Command::DeleteOffsets { group: reader.string()?, partitions: coordinated::partitions(reader)? }
        }
        tag::INIT_TRANSACTIONS => Command::InitTransactions(coordinated::init_transactions(reader)?),
        tag::ADD_TO_TRANSACTION => Command::AddToTransaction(coordinated::add_to_transaction(reader)?),
        tag::END_TRANSACTION => Command::EndTransaction(coordinated::end_transaction(reader)?),
        tag::ALTER_QUOTAS => Command::AlterQuotas {
            entity: coordinated::quota_entity(reader)?,
            changes: read_list(reader, 2, coordinated::quota_change)?,
        },
        tag::ALTER_SCRAM_USER => Command::AlterScramUser {
            user: reader.string()?,
            mechanism: reader.u8()?,
            credential: coordinated::optional_credential(reader)?,
        },
        tag => return Err(DecodeError::UnknownCommand { tag }),
    })
}

/// Each kind of resource belongs to one of the two tags.
fn read_alter(reader: &mut Reader<'_>, tag: u8) -> Result<Command, DecodeError> {
    let command = Command::AlterConfigs {
        resource: read_resource(reader)?,
        replace: reader.bool("a flag")?,
        changes: read_list(reader, 2, |reader| Ok((reader.string()?, reader.optional_string()?)))?,
    };
    if command.tag() == tag { Ok(command) } else { Err(reader.invalid("a resource")) }
}

pub(crate) fn read_list<T>(
    reader: &mut Reader<'_>,
    bytes_each_min: usize,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.count(bytes_each_min)?;
    (0..count).map(|_| read(reader)).collect()
}

fn read_register(reader: &mut Reader<'_>) -> Result<RegisterBroker, DecodeError> {
    Ok(RegisterBroker {
        broker: BrokerId(reader.signed("a broker id")?),
        incarnation: reader.u128()?,
        host: reader.string()?,
        port: reader.unsigned("a port")?,
        zone: reader.optional_string()?,
        exclusive: reader.bool("a flag")?,
    })
}

fn read_level(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    let level = reader.unsigned("a feature level")?;
    if level > FEATURE_LEVEL_KNOWN {
        return Err(DecodeError::NewerFeatureLevel { level, known: FEATURE_LEVEL_KNOWN });
    }
    Ok(level)
}

fn read_create(reader: &mut Reader<'_>) -> Result<CreateTopic, DecodeError> {
    Ok(CreateTopic {
        topic: TopicId(reader.u128()?),
        name: reader.string()?,
        partitions: reader.signed("a number of partitions")?,
        replication_factor: reader.signed("a replication factor")?,
        configs: read_list(reader, 2, |reader| Ok((reader.string()?, reader.string()?)))?,
    })
}

pub(crate) fn read_resource(reader: &mut Reader<'_>) -> Result<ConfigResource, DecodeError> {
    Ok(match reader.u8()? {
        0 => ConfigResource::Topic(TopicId(reader.u128()?)),
        1 => ConfigResource::Broker(BrokerId(reader.signed("a broker id")?)),
        2 => ConfigResource::Cluster,
        3 => ConfigResource::Group(reader.string()?),
        4 => ConfigResource::ClientMetrics(reader.string()?),
        _ => return Err(reader.invalid("a resource")),
    })
}

fn read_object(reader: &mut Reader<'_>) -> Result<ObjectId, DecodeError> {
    Ok(ObjectId { epoch: Epoch(reader.varint()?), number: reader.varint()? })
}

fn read_start(reader: &mut Reader<'_>) -> Result<(TopicPartition, i64), DecodeError> {
    let topic = TopicId(reader.u128()?);
    let partition = TopicPartition { topic, partition: reader.signed("a partition")? };
    Ok((partition, reader.zigzag()?))
}

fn read_transactional_commit(reader: &mut Reader<'_>, epoch: Epoch, time_ms: i64) -> Result<Commit, DecodeError> {
    let commit = read_commit(reader, epoch, Before::new(time_ms, true))?;
    if commit.is_transactional() { Ok(commit) } else { Err(reader.invalid("a commit without transactions")) }
}

fn read_commit(reader: &mut Reader<'_>, epoch: Epoch, mut before: Before) -> Result<Commit, DecodeError> {
    let in_log = reader.bool("where a segment is")?;
    let object_epoch = Epoch(epoch.0.wrapping_sub(reader.zigzag()? as u64));
    let object = ObjectId { epoch: object_epoch, number: reader.varint()? };
    let bytes = reader.unsigned("a segment's length")?;
    let parts = read_list(reader, 2, |reader| read_part(reader, &mut before))?;
    if before.end > bytes {
        return Err(reader.invalid("the end of a part"));
    }
    Ok(Commit { object, in_log, bytes, parts })
}

fn read_part(reader: &mut Reader<'_>, before: &mut Before) -> Result<CommitPart, DecodeError> {
    let head = reader.u8()?;
    if head & !part_bit::ALL != 0 {
        return Err(reader.invalid("the head of a part"));
    }
    let partition = read_partition(reader, before, head)?;
    let gap = read_unexpected(reader, head & part_bit::ADJACENT != 0, 0, Reader::varint)?;
    let runs_count = match head & part_bit::ONE_RUN {
        0 => reader.count(3)?,
        _ => 1,
    };
    if head & part_bit::ONE_RUN == 0 && runs_count == 1 {
        return Err(reader.invalid("a number of runs"));
    }
    let runs = (0..runs_count).map(|_| read_run(reader, before)).collect::<Result<Vec<_>, _>>()?;
    let position = u64::from(before.end).saturating_add(gap);
    let end = runs.iter().fold(position, |end, run| end.saturating_add(u64::from(run.bytes)));
    let position = u32::try_from(position).map_err(|_| reader.invalid("the position of a part"))?;
    before.end = u32::try_from(end).map_err(|_| reader.invalid("the end of a part"))?;
    before.partition = Some(partition);
    Ok(CommitPart { partition, position, runs })
}

fn read_partition(reader: &mut Reader<'_>, before: &Before, head: u8) -> Result<TopicPartition, DecodeError> {
    let topic = match before.partition {
        Some(before) if head & part_bit::SAME_TOPIC != 0 => before.topic,
        None if head & part_bit::SAME_TOPIC != 0 => return Err(reader.invalid("the first topic")),
        before => {
            let topic = TopicId(reader.u128()?);
            if before.is_some_and(|before| before.topic == topic) {
                return Err(reader.invalid("a repeated topic"));
            }
            topic
        }
    };
    let expected = before.expected_partition(head & part_bit::SAME_TOPIC != 0);
    let step =
        read_unexpected(reader, head & part_bit::NEXT_PARTITION != 0, 0, |reader| reader.signed::<i32>("a partition"))?;
    Ok(TopicPartition { topic, partition: expected.wrapping_add(step) })
}

/// The expected value, or one that is read and must differ from it.
fn read_unexpected<'a, T: PartialEq>(
    reader: &mut Reader<'a>,
    is_expected: bool,
    expected: T,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    if is_expected {
        return Ok(expected);
    }
    let value = read(reader)?;
    if value == expected { Err(reader.invalid("a value that needs no bytes")) } else { Ok(value) }
}

fn read_run(reader: &mut Reader<'_>, before: &mut Before) -> Result<Run, DecodeError> {
    let bytes_and_kind = reader.varint()?;
    let bytes = u32::try_from(bytes_and_kind >> before.kind_bits).map_err(|_| reader.invalid("a run's length"))?;
    let records = reader.unsigned::<u32>("a number of records")?;
    let records = records.checked_add(1).ok_or_else(|| reader.invalid("a number of records"))?;
    let max_timestamp = before.max_timestamp.wrapping_add(reader.zigzag()?);
    before.max_timestamp = max_timestamp;
    let kind = bytes_and_kind & ((1 << before.kind_bits) - 1);
    let mut producer_of = |transactional| read_producer(reader, before, records, transactional).map(Some);
    let producer = match kind {
        run_kind::PLAIN => None,
        run_kind::IDEMPOTENT => producer_of(None)?,
        run_kind::EXPLICIT => producer_of(Some(Joining::Explicit))?,
        _ => producer_of(Some(Joining::Implicit))?,
    };
    Ok(Run { bytes, records, max_timestamp, producer })
}

fn read_producer(
    reader: &mut Reader<'_>,
    before: &mut Before,
    records: u32,
    transactional: Option<Joining>,
) -> Result<BatchProducer, DecodeError> {
    let id = before.producer_id.wrapping_add(reader.zigzag()?);
    let epoch = before.producer_epoch.wrapping_add(reader.signed("a producer epoch")?);
    let first_sequence = before.next_sequence.wrapping_add(reader.signed("a sequence")?);
    let producer = BatchProducer { id, epoch, first_sequence, transactional };
    before.pass_producer(producer, records);
    Ok(producer)
}
