//! Fetch responses as lists of slices.

use super::{FLEXIBLE_FROM, SESSIONS_FROM, TOPIC_IDS_FROM};
use crate::write::FrameWriter;
use bytes::{BufMut, Bytes};
use frazil_base::TopicId;

/// Everything in a fetch response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchResponseParts {
    /// How long the client was, or should be, held back.
    pub throttle_time_ms: i32,
    /// Kafka's error code for the whole request, 0 for success (version 7 on).
    pub error_code: i16,
    /// The fetch session; 0 for none (version 7 on).
    pub session_id: i32,
    /// The topics.
    pub topics: Vec<TopicPart>,
}

/// What was read of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicPart {
    /// As in the request; sent before version 13.
    pub name: String,
    /// As in the request; sent from version 13 on.
    pub id: TopicId,
    /// The partitions.
    pub partitions: Vec<PartitionPart>,
}

/// What was read of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionPart {
    /// The partition's number.
    pub index: i32,
    /// Kafka's error code, 0 for success.
    pub error_code: i16,
    /// The offset after the last record; -1 on errors.
    pub high_watermark: i64,
    /// The offset up to which transactions are decided; -1 on errors.
    pub last_stable_offset: i64,
    /// First offset of the partition; -1 on errors (version 5 on).
    pub log_start_offset: i64,
    /// The transactions to leave out; null for read uncommitted.
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    /// The replica to read from instead; -1 for this one (version 11 on).
    pub preferred_read_replica: i32,
    /// Whole batches, in order.
    pub records: Vec<Bytes>,
}

/// A transaction whose records a reader of committed data must leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Its first offset in the partition.
    pub first_offset: i64,
}

impl PartitionPart {
    /// Batches of a partition without open transactions.
    pub fn read(index: i32, high_watermark: i64, log_start_offset: i64, records: Vec<Bytes>) -> PartitionPart {
        PartitionPart {
            index,
            error_code: 0,
            high_watermark,
            last_stable_offset: high_watermark,
            log_start_offset,
            aborted_transactions: None,
            preferred_read_replica: -1,
            records,
        }
    }

    /// A partition that could not be read.
    pub fn failed(index: i32, error_code: i16) -> PartitionPart {
        PartitionPart { error_code, ..PartitionPart::read(index, -1, -1, Vec::new()) }
    }
}

/// Where record slices go into the buffer that holds everything else.
struct Splice<'a> {
    position: usize,
    records: &'a [Bytes],
}

/// The whole response frame, with its size and header, as slices to be written one after the other.
///
/// # Panics
/// When the frame exceeds 2 GiB: the broker's own limit of a fetch is far below.
pub fn encode_response(version: i16, correlation_id: i32, parts: &FetchResponseParts) -> Vec<Bytes> {
    let partitions: usize = parts.topics.iter().map(|topic| topic.partitions.len()).sum();
    let capacity = 24 + parts.topics.len() * 48 + partitions * 56;
    let mut writer = FrameWriter::response(correlation_id, version >= FLEXIBLE_FROM, capacity);
    let mut splices = Vec::with_capacity(partitions);
    writer.buffer.put_i32(parts.throttle_time_ms);
    if version >= SESSIONS_FROM {
        writer.buffer.put_i16(parts.error_code);
        writer.buffer.put_i32(parts.session_id);
    }
    writer.count(parts.topics.len());
    for topic in &parts.topics {
        write_topic(&mut writer, version, topic, &mut splices);
    }
    writer.no_tags();
    let spliced = splices.iter().flat_map(|splice| splice.records).map(Bytes::len).sum();
    splice(writer.finish(spliced), &splices)
}

fn write_topic<'a>(writer: &mut FrameWriter, version: i16, topic: &'a TopicPart, splices: &mut Vec<Splice<'a>>) {
    if version >= TOPIC_IDS_FROM {
        writer.buffer.put_u128(topic.id.0);
    } else {
        writer.string(Some(&topic.name));
    }
    writer.count(topic.partitions.len());
    for partition in &topic.partitions {
        write_partition(writer, version, partition);
        if !partition.records.is_empty() {
            splices.push(Splice { position: writer.buffer.len(), records: &partition.records });
        }
        writer.no_tags();
    }
    writer.no_tags();
}

/// Everything of a partition up to its records.
fn write_partition(writer: &mut FrameWriter, version: i16, partition: &PartitionPart) {
    writer.buffer.put_i32(partition.index);
    writer.buffer.put_i16(partition.error_code);
    writer.buffer.put_i64(partition.high_watermark);
    writer.buffer.put_i64(partition.last_stable_offset);
    if version >= 5 {
        writer.buffer.put_i64(partition.log_start_offset);
    }
    writer.nullable_count(partition.aborted_transactions.as_ref().map(Vec::len));
    for transaction in partition.aborted_transactions.iter().flatten() {
        writer.buffer.put_i64(transaction.producer_id);
        writer.buffer.put_i64(transaction.first_offset);
        writer.no_tags();
    }
    if version >= 11 {
        writer.buffer.put_i32(partition.preferred_read_replica);
    }
    writer.bytes_length(partition.records.iter().map(Bytes::len).sum());
}

/// Cuts `frame` where records belong and puts them there.
fn splice(mut frame: Bytes, splices: &[Splice<'_>]) -> Vec<Bytes> {
    let records: usize = splices.iter().map(|splice| splice.records.len()).sum();
    let mut slices = Vec::with_capacity(splices.len() + records + 1);
    let mut cut = 0;
    for splice in splices {
        slices.push(frame.split_to(splice.position - cut));
        cut = splice.position;
        slices.extend(splice.records.iter().filter(|slice| !slice.is_empty()).cloned());
    }
    if !frame.is_empty() {
        slices.push(frame);
    }
    slices
}
