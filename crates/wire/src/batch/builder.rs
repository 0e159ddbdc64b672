//! Makes batches, for the command line, tests and benchmarks.

use super::{
    ATTRIBUTES, BASE_SEQUENCE, BASE_TIMESTAMP, CONTROL_BIT, CRC, CRC_COVERS_FROM, HEADER_BYTES, LAST_OFFSET_DELTA,
    LENGTH_COUNTS_FROM, LOG_APPEND_TIME_BIT, MAGIC, MAX_TIMESTAMP, PRODUCER_EPOCH, PRODUCER_ID, RECORD_COUNT,
    TRANSACTIONAL_BIT, crc32c, patch_place,
};
use crate::compression::{Compression, compress};
use crate::write::put_varint;
use bytes::Bytes;

/// What an idempotent producer adds to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    /// Producer id.
    pub id: i64,
    /// Producer epoch.
    pub epoch: i16,
    /// Sequence of the first record.
    pub base_sequence: i32,
}

/// Collects records and makes one batch of them.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    flags: i16,
    base_offset: i64,
    leader_epoch: i32,
    producer: ProducerFields,
    records: Vec<u8>,
    count: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// A batch without records, as a producer without idempotence makes it.
    pub fn new(compression: Compression) -> BatchBuilder {
        BatchBuilder {
            compression,
            flags: 0,
            base_offset: 0,
            leader_epoch: -1,
            producer: ProducerFields { id: -1, epoch: -1, base_sequence: -1 },
            records: Vec::new(),
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
        }
    }

    /// Makes it a batch of an idempotent producer.
    pub fn producer(mut self, producer: ProducerFields) -> BatchBuilder {
        self.producer = producer;
        self
    }

    /// Makes it part of a transaction.
    pub fn transactional(mut self) -> BatchBuilder {
        self.flags |= TRANSACTIONAL_BIT;
        self
    }

    /// Makes it a control batch; its record is the marker.
    pub fn control(mut self) -> BatchBuilder {
        self.flags |= CONTROL_BIT;
        self
    }

    /// Gives all records the greatest of their timestamps, as a broker with LogAppendTime does.
    pub fn log_append_time(mut self) -> BatchBuilder {
        self.flags |= LOG_APPEND_TIME_BIT;
        self
    }

    /// Gives the batch a place in the log.
    pub fn place(mut self, base_offset: i64, leader_epoch: i32) -> BatchBuilder {
        (self.base_offset, self.leader_epoch) = (base_offset, leader_epoch);
        self
    }

    /// Adds a record. `timestamp` in milliseconds.
    ///
    /// # Panics
    /// When a record exceeds 2 GiB.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        if self.count == 0 {
            (self.base_timestamp, self.max_timestamp) = (timestamp, timestamp);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let mut body = vec![0]; // attributes: none are defined
        put_varint(&mut body, timestamp.wrapping_sub(self.base_timestamp));
        put_varint(&mut body, self.count.into());
        put_bytes(&mut body, key);
        put_bytes(&mut body, value);
        put_varint(&mut body, headers.len() as i64);
        for (key, value) in headers {
            put_bytes(&mut body, Some(key));
            put_bytes(&mut body, *value);
        }
        assert!(i32::try_from(body.len()).is_ok(), "a record of {} bytes", body.len());
        put_varint(&mut self.records, body.len() as i64);
        self.records.extend_from_slice(&body);
        self.count += 1;
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, before compression.
    pub fn uncompressed_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The encoded batch.
    pub fn build(&self) -> Bytes {
        let mut batch = vec![0; HEADER_BYTES];
        batch.extend_from_slice(&compress(self.compression, &self.records));
        let mut put = |position: usize, bytes: &[u8]| batch[position..position + bytes.len()].copy_from_slice(bytes);
        put(MAGIC, &[2]);
        put(ATTRIBUTES, &(self.flags | i16::from(self.compression.code())).to_be_bytes());
        put(LAST_OFFSET_DELTA, &(self.count - 1).to_be_bytes());
        put(BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(PRODUCER_ID, &self.producer.id.to_be_bytes());
        put(PRODUCER_EPOCH, &self.producer.epoch.to_be_bytes());
        put(BASE_SEQUENCE, &self.producer.base_sequence.to_be_bytes());
        put(RECORD_COUNT, &self.count.to_be_bytes());
        seal(&mut batch);
        patch_place(&mut batch, self.base_offset, self.leader_epoch);
        batch.into()
    }
}

/// Writes length and CRC.
fn seal(batch: &mut [u8]) {
    let length = i32::try_from(batch.len() - LENGTH_COUNTS_FROM).expect("a batch stays below 2 GiB");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&batch[CRC_COVERS_FROM..]);
    batch[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
}

fn put_bytes(buffer: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(buffer, bytes.map_or(-1, |bytes| bytes.len() as i64));
    buffer.extend_from_slice(bytes.unwrap_or_default());
}
