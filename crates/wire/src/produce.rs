//! Produce (API 0), versions 3 to 13, around the record bytes.
//!
//! Version 9 is the first flexible one, 13 names topics by id. The records of a partition stay a slice of the frame.

use crate::api::{self, PRODUCE};
use crate::read::{DecodeError, Reader};
use crate::write::FrameWriter;
use bytes::{BufMut, Bytes};
use frazil_base::TopicId;

/// First version in the flexible dialect.
const FLEXIBLE_FROM: i16 = 9;
/// First version with topic ids instead of names.
const TOPIC_IDS_FROM: i16 = 13;

/// What a producer wants written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceRequest {
    /// Of a transactional producer.
    pub transactional_id: Option<String>,
    /// -1: all replicas, 1: the leader, 0: no response is expected.
    pub acks: i16,
    /// How long the client waits.
    pub timeout_ms: i32,
    /// The topics.
    pub topics: Vec<ProduceTopic>,
}

/// What is to be written to one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProduceTopic {
    /// Its name; empty from version 13 on.
    pub name: String,
    /// Its id; zero before version 13.
    pub id: TopicId,
    /// The partitions.
    pub partitions: Vec<ProducePartition>,
}

/// What is to be written to one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducePartition {
    /// The partition's number.
    pub index: i32,
    /// The batch, a slice of the frame.
    pub records: Option<Bytes>,
}

impl ProduceRequest {
    /// Reads the body of a request. Record bytes are slices of `body`.
    pub fn decode(version: i16, body: Bytes) -> Result<ProduceRequest, DecodeError> {
        api::check(PRODUCE, version).map_err(|_| DecodeError::Version { key: PRODUCE, version })?;
        let mut reader = Reader::new(body, version >= FLEXIBLE_FROM);
        let transactional_id = reader.nullable_string()?;
        let acks = reader.i16()?;
        let timeout_ms = reader.i32()?;
        let mut topics = Vec::new();
        for _ in 0..reader.count(3)? {
            topics.push(ProduceTopic::decode(version, &mut reader)?);
        }
        reader.skip_tags()?;
        Ok(ProduceRequest { transactional_id, acks, timeout_ms, topics })
    }
}

impl ProduceTopic {
    fn decode(version: i16, reader: &mut Reader) -> Result<ProduceTopic, DecodeError> {
        let by_id = version >= TOPIC_IDS_FROM;
        let name = if by_id { String::new() } else { reader.string()? };
        let id = if by_id { reader.topic_id()? } else { TopicId::default() };
        let count = reader.count(6)?;
        let mut partitions = Vec::with_capacity(count);
        for _ in 0..count {
            let partition = ProducePartition { index: reader.i32()?, records: reader.nullable_bytes()? };
            reader.skip_tags()?;
            partitions.push(partition);
        }
        reader.skip_tags()?;
        Ok(ProduceTopic { name, id, partitions })
    }
}

/// What became of one topic's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResponse {
    /// As in the request; sent before version 13.
    pub name: String,
    /// As in the request; sent from version 13 on.
    pub id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionResponse>,
}

/// What became of one partition's batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionResponse {
    /// The partition's number.
    pub index: i32,
    /// Kafka's error code, 0 for success.
    pub error_code: i16,
    /// Offset of the first record; -1 if nothing was written.
    pub base_offset: i64,
    /// The timestamp that all records got; -1 if they keep their own.
    pub log_append_time_ms: i64,
    /// First offset of the partition; -1 if unknown.
    pub log_start_offset: i64,
    /// The records that are to blame (version 8 on).
    pub record_errors: Vec<RecordFault>,
    /// What is wrong, for people (version 8 on).
    pub error_message: Option<String>,
}

/// A record that made its batch unacceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFault {
    /// Which record of the batch, from 0.
    pub batch_index: i32,
    /// What is wrong with it.
    pub message: Option<String>,
}

impl PartitionResponse {
    /// A batch that was written.
    pub fn written(index: i32, base_offset: i64, log_start_offset: i64) -> PartitionResponse {
        PartitionResponse { base_offset, log_start_offset, ..PartitionResponse::failed(index, 0, None) }
    }

    /// A batch that was not written.
    pub fn failed(index: i32, error_code: i16, error_message: Option<String>) -> PartitionResponse {
        let record_errors = Vec::new();
        PartitionResponse {
            index,
            error_code,
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors,
            error_message,
        }
    }
}

/// The whole response frame, with its size and header.
pub fn encode_response(version: i16, correlation_id: i32, topics: &[TopicResponse], throttle_time_ms: i32) -> Bytes {
    let partitions: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
    let flexible = version >= FLEXIBLE_FROM;
    let mut writer = FrameWriter::response(correlation_id, flexible, topics.len() * 48 + partitions * 40);
    writer.count(topics.len());
    for topic in topics {
        write_topic(&mut writer, version, topic);
    }
    writer.buffer.put_i32(throttle_time_ms);
    writer.no_tags();
    writer.finish(0)
}

fn write_topic(writer: &mut FrameWriter, version: i16, topic: &TopicResponse) {
    if version >= TOPIC_IDS_FROM {
        writer.buffer.put_u128(topic.id.0);
    } else {
        writer.string(Some(&topic.name));
    }
    writer.count(topic.partitions.len());
    for partition in &topic.partitions {
        write_partition(writer, version, partition);
    }
    writer.no_tags();
}

fn write_partition(writer: &mut FrameWriter, version: i16, partition: &PartitionResponse) {
    writer.buffer.put_i32(partition.index);
    writer.buffer.put_i16(partition.error_code);
    writer.buffer.put_i64(partition.base_offset);
    writer.buffer.put_i64(partition.log_append_time_ms);
    if version >= 5 {
        writer.buffer.put_i64(partition.log_start_offset);
    }
    if version >= 8 {
        writer.count(partition.record_errors.len());
        for fault in &partition.record_errors {
            writer.buffer.put_i32(fault.batch_index);
            writer.string(fault.message.as_deref());
            writer.no_tags();
        }
        writer.string(partition.error_message.as_deref());
    }
    writer.no_tags();
}

#[cfg(test)]
mod tests;
