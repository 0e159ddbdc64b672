//! Record batches of format 2, seen from inside.
//!
//! Keys, values and headers are slices of the batch or of its decompressed records. Headers stay a list: Kafka allows
//! a key twice, and keys are bytes that need not be UTF-8. Null and empty are different things everywhere but for header keys.

use crate::batch::{BatchError, BatchHeader, HEADER_BYTES};
use crate::compression::{Compression, DecompressError, decompress};
use bytes::{Buf, Bytes};
use frazil_base::limits::{RECORD_FAULTS_MAX, RECORD_HEADERS_MAX};

/// One record of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its offset, if the batch has its place in the log; else its position in the batch.
    pub offset: i64,
    /// In milliseconds; -1 if there is none.
    pub timestamp: i64,
    /// The key; may be null.
    pub key: Option<Bytes>,
    /// The value; may be null.
    pub value: Option<Bytes>,
    /// The headers, in order; keys may repeat.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// Why a batch's records cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The batch's header is wrong.
    #[error("the batch header is wrong")]
    Batch(#[from] BatchError),
    /// The records cannot be decompressed.
    #[error("the records cannot be decompressed")]
    Decompress(#[from] DecompressError),
    /// A record does not follow the format, or ends too early.
    #[error("record {index} of the batch is malformed")]
    Malformed {
        /// Which record, from 0.
        index: u32,
    },
    /// Fewer or more records than the header says.
    #[error("{found} records or more, the batch header says {expected}")]
    Count {
        /// Records found.
        found: u32,
        /// Records according to the header.
        expected: i32,
    },
    /// A record whose offset is not the next one.
    #[error("record {index} has offset delta {offset_delta}")]
    OffsetDelta {
        /// Which record, from 0.
        index: u32,
        /// Its offset, relative to the first.
        offset_delta: i64,
    },
}

/// The records of one batch, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    rest: Bytes,
    next: u32,
    failed: bool,
}

impl Records {
    /// Reads the batch that `batch` begins with; the CRC is not checked. Compressed records may become `decompressed_max` bytes.
    pub fn new(batch: &Bytes, decompressed_max: usize) -> Result<Records, RecordError> {
        let header = BatchHeader::parse(batch)?;
        let total = header.total_bytes();
        if total > batch.len() {
            return Err(BatchError::Length { claimed: total as i64, present: batch.len() }.into());
        }
        let rest = match header.compression()? {
            Compression::None => batch.slice(HEADER_BYTES..total),
            codec => decompress(codec, &batch[HEADER_BYTES..total], decompressed_max)?,
        };
        Ok(Records { header, rest, next: 0, failed: false })
    }

    /// The batch's header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    fn remaining(&self) -> u32 {
        u32::try_from(self.header.record_count).unwrap_or(0).saturating_sub(self.next)
    }

    fn read(&mut self) -> Result<Record, RecordError> {
        let index = self.next;
        let malformed = RecordError::Malformed { index };
        let Some(mut body) = take_sized(&mut self.rest).flatten() else { return Err(malformed) };
        let record = parse(&self.header, &mut body).filter(|_| body.is_empty()).ok_or(malformed)?;
        self.next += 1;
        Ok(record)
    }
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Result<Record, RecordError>> {
        if self.failed {
            return None;
        }
        let item = match (self.remaining(), self.rest.is_empty()) {
            (0, true) => return None,
            (0, false) => Err(RecordError::Count { found: self.next + 1, expected: self.header.record_count }),
            (_, true) => Err(RecordError::Count { found: self.next, expected: self.header.record_count }),
            (_, false) => self.read(),
        };
        self.failed = item.is_err();
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining() as usize + 1))
    }
}

/// What reading all records of a produced batch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsSeen {
    /// Greatest timestamp; -1 without records.
    pub max_timestamp: i64,
    /// Smallest timestamp; -1 without records.
    pub min_timestamp: i64,
    /// Records without a key, counted from 0; the first `RECORD_FAULTS_MAX` of them.
    pub without_key: Vec<u32>,
}

/// Reads a whole produced batch: as many records as the header says, with offset deltas 0, 1, 2 and so on.
///
/// This decompresses; the produce path asks for it only where a topic's settings need a look at the records.
pub fn check(batch: &Bytes, decompressed_max: usize) -> Result<RecordsSeen, RecordError> {
    let records = Records::new(batch, decompressed_max)?;
    let base_offset = records.header.base_offset;
    let mut seen = RecordsSeen { max_timestamp: -1, min_timestamp: -1, without_key: Vec::new() };
    for (index, record) in (0..).zip(records) {
        let record = record?;
        let offset_delta = record.offset.wrapping_sub(base_offset);
        if offset_delta != i64::from(index) {
            return Err(RecordError::OffsetDelta { index, offset_delta });
        }
        seen.max_timestamp = if index == 0 { record.timestamp } else { seen.max_timestamp.max(record.timestamp) };
        seen.min_timestamp = if index == 0 { record.timestamp } else { seen.min_timestamp.min(record.timestamp) };
        if record.key.is_none() && seen.without_key.len() < RECORD_FAULTS_MAX {
            seen.without_key.push(index);
        }
    }
    Ok(seen)
}

/// Attributes, timestamp delta, offset delta, key, value, headers.
fn parse(header: &BatchHeader, body: &mut Bytes) -> Option<Record> {
    body.try_get_u8().ok()?; // attributes: none are defined
    let timestamp_delta = take_varint(body)?;
    let offset_delta = take_varint(body)?;
    let timestamp = match header.has_log_append_time() {
        true => header.max_timestamp,
        false => header.base_timestamp.wrapping_add(timestamp_delta),
    };
    Some(Record {
        offset: header.base_offset.wrapping_add(offset_delta),
        timestamp,
        key: take_sized(body)?,
        value: take_sized(body)?,
        headers: parse_headers(body)?,
    })
}

fn parse_headers(body: &mut Bytes) -> Option<Vec<(Bytes, Option<Bytes>)>> {
    let count = usize::try_from(take_varint(body)?).ok()?;
    if count > body.len() / 2 || count > RECORD_HEADERS_MAX {
        return None;
    }
    let mut headers = Vec::with_capacity(count);
    for _ in 0..count {
        headers.push((take_sized(body)??, take_sized(body)?));
    }
    Some(headers)
}

/// A varint length, -1 for null, and that many bytes. Outer `None`: malformed.
fn take_sized(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    match take_varint(bytes)? {
        -1 => Some(None),
        length => {
            let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len())?;
            Some(Some(bytes.split_to(length)))
        }
    }
}

/// A zigzag varint of up to 64 bits.
fn take_varint(bytes: &mut Bytes) -> Option<i64> {
    let mut zigzag = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        zigzag |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            bytes.advance(index + 1);
            return Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests;
