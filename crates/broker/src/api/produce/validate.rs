//! What a produced batch has to pass, and what is changed in it.

use crate::config::{TimestampType, TopicRules};
use crate::error_code;
use crate::node::Node;
use bytes::{Bytes, BytesMut};
use frazil_base::TopicId;
use frazil_base::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use frazil_base::{TopicPartition, limits::BATCH_BYTES_MAX};
use frazil_log::NewBatch;
use frazil_meta::record::{BatchProducer, Joining};
use frazil_wire::batch::{self, BatchHeader, BatchRules, ProducerFields};
use frazil_wire::produce::{PartitionResponse, ProducePartition, ProduceTopic, RecordFault};
use frazil_wire::record::{self, RecordError, Records};
use frazil_wire::{BatchBuilder, Compression};
use kafka_protocol::error::ResponseError;

/// First version whose batches open a transaction on their partition, or join the one that is open (KIP-890).
const IMPLICIT_JOINING_FROM: i16 = 12;

/// Why a batch is refused.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    code: ResponseError,
    message: String,
    records: Vec<RecordFault>,
}

impl Fault {
    pub fn new(code: ResponseError, message: impl Into<String>) -> Fault {
        Fault { code, message: message.into(), records: Vec::new() }
    }

    /// Names each bad record: clients fail these and send the others again.
    fn of_records(code: ResponseError, indexes: &[u32], message: &str) -> Fault {
        let fault = |index: &u32| RecordFault {
            batch_index: i32::try_from(*index).unwrap_or(i32::MAX),
            message: Some(message.to_owned()),
        };
        let count = indexes.len();
        let summary =
            format!("One or more records have been rejected due to {count} record errors in total: {message}");
        Fault { code, message: summary, records: indexes.iter().map(fault).collect() }
    }

    pub fn response(self, index: i32) -> PartitionResponse {
        let failed = PartitionResponse::failed(index, self.code.code(), Some(self.message));
        PartitionResponse { record_errors: self.records, ..failed }
    }
}

impl From<batch::BatchError> for Fault {
    fn from(error: batch::BatchError) -> Fault {
        Fault::new(error_code::of_batch(&error), error.to_string())
    }
}

impl From<RecordError> for Fault {
    fn from(error: RecordError) -> Fault {
        Fault::new(error_code::of_record(&error), error.to_string())
    }
}

/// Checks the batches of one request.
pub(super) struct Validator<'a> {
    node: &'a Node,
    version: i16,
    transactional_id: Option<&'a str>,
    now_ms: i64,
}

/// A topic that exists, and what it asks of batches.
pub(super) struct Target<'a> {
    validator: &'a Validator<'a>,
    topic: TopicId,
    partitions: usize,
    rules: TopicRules,
}

impl<'a> Validator<'a> {
    pub fn new(node: &'a Node, version: i16, transactional_id: Option<&'a str>) -> Validator<'a> {
        Validator { node, version, transactional_id, now_ms: node.log.env().clock.now_ms() }
    }

    /// Finds a topic of the request, by name or (from version 13 on) by id.
    pub fn topic(&'a self, wanted: &ProduceTopic) -> Result<Target<'a>, Fault> {
        let state = self.node.log.state();
        let by_id = wanted.id != TopicId::default() || wanted.name.is_empty();
        let topic = if by_id { state.topic(wanted.id) } else { state.topic_by_name(&wanted.name) };
        let Some(topic) = topic else {
            let unknown = if by_id { ResponseError::UnknownTopicId } else { ResponseError::UnknownTopicOrPartition };
            return Err(Fault::new(unknown, "the topic does not exist"));
        };
        let rules = self.node.topic_rules(&state, topic);
        Ok(Target { validator: self, topic: topic.id, partitions: topic.partitions.len(), rules })
    }

    /// What the log has to know of the batch's producer.
    fn producer(&self, header: &BatchHeader) -> Result<Option<BatchProducer>, Fault> {
        let (id, epoch, first_sequence) = (header.producer_id, header.producer_epoch, header.base_sequence);
        let transactional = header.is_transactional().then_some(self.joining());
        if transactional.is_some() {
            self.check_mapping(id)?;
        }
        Ok(header.is_idempotent().then_some(BatchProducer { id, epoch, first_sequence, transactional }))
    }

    fn joining(&self) -> Joining {
        if self.version >= IMPLICIT_JOINING_FROM { Joining::Implicit } else { Joining::Explicit }
    }

    /// An id that is known to belong to another transactional id is refused. One that is not known here may be so new
    /// that the log decides.
    fn check_mapping(&self, producer_id: i64) -> Result<(), Fault> {
        let state = self.node.log.state();
        let owner = state.transaction_of(producer_id).map(|transaction| transaction.transactional_id.as_str());
        match owner {
            Some(owner) if self.transactional_id != Some(owner) => {
                let message = "the producer id belongs to another transactional id";
                Err(Fault::new(ResponseError::InvalidProducerIdMapping, message))
            }
            _ => Ok(()),
        }
    }
}

impl Target<'_> {
    /// The partition's batch as the log takes it, with the timestamp that all its records got (-1: they keep their own);
    /// else the partition and what is wrong.
    pub fn batch(&self, partition: &ProducePartition) -> Result<(NewBatch, i64), (i32, Fault)> {
        self.check(partition).map_err(|fault| (partition.index, fault))
    }

    fn check(&self, partition: &ProducePartition) -> Result<(NewBatch, i64), Fault> {
        if !usize::try_from(partition.index).is_ok_and(|index| index < self.partitions) {
            return Err(Fault::new(ResponseError::UnknownTopicOrPartition, "the partition does not exist"));
        }
        let Some(records) = partition.records.as_ref().filter(|records| !records.is_empty()) else {
            return Err(Fault::new(ResponseError::InvalidRecord, "a partition takes exactly one record batch"));
        };
        let rules = BatchRules::of_produce(self.validator.version, self.rules.max_message_bytes.min(BATCH_BYTES_MAX));
        let header = batch::check_produced(records, &rules)?;
        let producer = self.validator.producer(&header)?;
        self.check_timestamps(&header)?;
        self.check_records(records, &header)?;
        let (bytes, header) = self.rewritten(records, header)?;
        let (bytes, log_append_time_ms) = self.stamped(bytes);
        let max_timestamp = if log_append_time_ms < 0 { header.max_timestamp } else { log_append_time_ms };
        let place = TopicPartition { topic: self.topic, partition: partition.index };
        let records = header.last_offset_delta as u32 + 1;
        let batch = NewBatch { partition: place, bytes, records, max_timestamp, producer };
        Ok((batch, log_append_time_ms))
    }

    /// Timestamps that the header alone shows to be too far in the future. (KIP-937)
    fn check_timestamps(&self, header: &BatchHeader) -> Result<(), Fault> {
        let latest = self.validator.now_ms.saturating_add(self.rules.timestamp_after_max_ms);
        if self.rules.timestamp_type == TimestampType::CreateTime && header.max_timestamp > latest {
            let message = format!("Timestamp {} of message is out of range: at most {latest}", header.max_timestamp);
            return Err(Fault::new(ResponseError::InvalidTimestamp, message));
        }
        Ok(())
    }

    /// What only the records can show.
    fn check_records(&self, records: &Bytes, header: &BatchHeader) -> Result<(), Fault> {
        let limits_age =
            self.rules.timestamp_type == TimestampType::CreateTime && self.rules.timestamp_before_max_ms != i64::MAX;
        if !self.rules.compacted && !limits_age {
            return Ok(());
        }
        let seen = record::check(records, DECOMPRESSED_BATCH_BYTES_MAX)?;
        if self.rules.compacted && !seen.without_key.is_empty() {
            let message = "Compacted topic cannot accept message without key";
            return Err(Fault::of_records(ResponseError::InvalidRecord, &seen.without_key, message));
        }
        let earliest = self.validator.now_ms.saturating_sub(self.rules.timestamp_before_max_ms);
        if limits_age && header.base_timestamp >= 0 && seen.min_timestamp < earliest {
            let message = format!("Timestamp {} of message is out of range: at least {earliest}", seen.min_timestamp);
            return Err(Fault::new(ResponseError::InvalidTimestamp, message));
        }
        Ok(())
    }

    /// The batch in the topic's own codec, if it has one and the producer chose another.
    fn rewritten(&self, records: &Bytes, header: BatchHeader) -> Result<(Bytes, BatchHeader), Fault> {
        let Some(codec) = self.rules.compression.as_deref().and_then(codec_named) else {
            return Ok((records.clone(), header));
        };
        if codec == header.compression()? {
            return Ok((records.clone(), header));
        }
        let (id, epoch, base_sequence) = (header.producer_id, header.producer_epoch, header.base_sequence);
        let mut builder = BatchBuilder::new(codec).producer(ProducerFields { id, epoch, base_sequence });
        if header.is_transactional() {
            builder = builder.transactional();
        }
        for record in Records::new(records, DECOMPRESSED_BATCH_BYTES_MAX)? {
            let record = record?;
            let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
            builder.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        }
        let bytes = builder.build();
        let header = BatchHeader::parse(&bytes)?;
        let (found, max) = (bytes.len(), self.rules.max_message_bytes.min(BATCH_BYTES_MAX));
        if found > max {
            return Err(batch::BatchError::TooLarge { bytes: found, max }.into());
        }
        Ok((bytes, header))
    }

    /// With LogAppendTime, the batch with the broker's time, and that time; else the batch and -1.
    fn stamped(&self, bytes: Bytes) -> (Bytes, i64) {
        if self.rules.timestamp_type == TimestampType::CreateTime {
            return (bytes, -1);
        }
        let mut changed = BytesMut::from(bytes);
        batch::set_log_append_time(&mut changed, self.validator.now_ms);
        (changed.freeze(), self.validator.now_ms)
    }
}

fn codec_named(name: &str) -> Option<Compression> {
    match name {
        "uncompressed" => Some(Compression::None),
        "gzip" => Some(Compression::Gzip),
        "snappy" => Some(Compression::Snappy),
        "lz4" => Some(Compression::Lz4),
        "zstd" => Some(Compression::Zstd),
        _ => None,
    }
}
