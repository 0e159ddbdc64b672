//! Record batches of format 2, seen from outside.
//!
//! A batch is 61 bytes of header and then the records, compressed or not. Base offset and leader epoch stand before the
//! CRC's range, so the broker can write them into a producer's batch in place; everything after is the producer's and is
//! kept as it is, except that LogAppendTime changes attributes and greatest timestamp and so the CRC.
//!
//! ```text
//! 0 base offset i64 | 8 length i32 (of all that follows) | 12 leader epoch i32 | 16 magic i8 | 17 CRC32C u32
//! 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 max timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 record count i32 | 61 records
//! ```
//! Attributes: bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon.
//!
//! [`check_produced`] is what a batch from a producer must pass; [`spans`] is the cheap walk of the fetch path.

mod builder;
mod marker;

pub use builder::{BatchBuilder, ProducerFields};
pub use marker::{MARKER_BYTES, Marker};

use crate::compression::Compression;

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;

/// Bytes before the batch's length counts: base offset and the length itself.
const LENGTH_COUNTS_FROM: usize = 12;

/// Where the CRC's range begins.
const CRC_COVERS_FROM: usize = 21;

const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

const COMPRESSION_BITS: i16 = 0b111;
const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;

/// The header of a batch of format 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 from producers.
    pub base_offset: i64,
    /// Bytes after this field.
    pub batch_length: i32,
    /// Epoch of the partition's leader; outside the CRC.
    pub leader_epoch: i32,
    /// Format; always 2.
    pub magic: i8,
    /// CRC32C from the attributes to the end.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: i16,
    /// Offset of the last record, relative to the first.
    pub last_offset_delta: i32,
    /// The timestamp that the records' timestamps are relative to, in milliseconds.
    pub base_timestamp: i64,
    /// Greatest timestamp, in milliseconds; -1 if there is none.
    pub max_timestamp: i64,
    /// Id of the idempotent producer; -1 if there is none.
    pub producer_id: i64,
    /// Epoch of the idempotent producer; -1 if there is none.
    pub producer_epoch: i16,
    /// Sequence of the first record; -1 if the producer is not idempotent.
    pub base_sequence: i32,
    /// How many records.
    pub record_count: i32,
}

/// Why bytes are not the batch they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a batch header.
    #[error("{0} bytes are less than a batch header")]
    Truncated(usize),
    /// The length field does not fit the bytes: too few of them, or smaller than a header.
    #[error("the batch claims {claimed} bytes, {present} are there")]
    Length {
        /// Bytes of the whole batch according to its header; negative if the length is.
        claimed: i64,
        /// Bytes present.
        present: usize,
    },
    /// More than one batch for one partition.
    #[error("{0} bytes follow the batch; a partition takes one batch per request")]
    Trailing(usize),
    /// A format other than 2.
    #[error("batch format {0}; only 2 is known")]
    Magic(i8),
    /// Larger than the partition takes.
    #[error("a batch of {bytes} bytes; at most {max} are allowed")]
    TooLarge {
        /// Bytes of the batch.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The bytes were damaged.
    #[error("CRC32C is {computed:#010x}, the header says {stored:#010x}")]
    Crc {
        /// In the header.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A producer gave offsets itself.
    #[error("base offset {0}; a producer's is 0")]
    BaseOffset(i64),
    /// No record, or offsets with gaps.
    #[error("{count} records with a last offset delta of {last_offset_delta}")]
    Counts {
        /// Records according to the header.
        count: i32,
        /// Last offset delta according to the header.
        last_offset_delta: i32,
    },
    /// Producers may not write control batches.
    #[error("a control batch from a producer")]
    Control,
    /// A codec that Kafka does not have.
    #[error("compression codec {0} is unknown")]
    UnknownCompression(u8),
    /// A codec that the request's version does not have (zstd came with Produce 7).
    #[error("{0} is not allowed in this version of the request")]
    CompressionNotAllowed(Compression),
    /// Id, epoch and sequence do not go together.
    #[error("producer id {id}, epoch {epoch} and sequence {sequence} do not go together")]
    Producer {
        /// Producer id.
        id: i64,
        /// Producer epoch.
        epoch: i16,
        /// Base sequence.
        sequence: i32,
    },
}

/// What a producer's batch has to keep to besides the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRules {
    /// Largest batch; Kafka's `max.message.bytes`.
    pub batch_bytes_max: usize,
    /// Whether zstd may be used.
    pub zstd_allowed: bool,
}

impl BatchRules {
    /// The rules of a Produce request of `version` for partitions that take batches of `batch_bytes_max`.
    pub fn of_produce(version: i16, batch_bytes_max: usize) -> BatchRules {
        BatchRules { batch_bytes_max, zstd_allowed: version >= 7 }
    }
}

impl BatchHeader {
    /// Reads the header that `bytes` begin with. Checks the format and that the length is possible, not whether the whole batch is there.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let head = match (bytes.first_chunk::<HEADER_BYTES>(), bytes.get(MAGIC)) {
            (_, Some(&magic)) if magic != 2 => return Err(BatchError::Magic(magic as i8)),
            (Some(head), _) => head,
            (None, _) => return Err(BatchError::Truncated(bytes.len())),
        };
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(field(head, 0)),
            batch_length: i32::from_be_bytes(field(head, 8)),
            leader_epoch: i32::from_be_bytes(field(head, LEADER_EPOCH)),
            magic: i8::from_be_bytes(field(head, MAGIC)),
            crc: u32::from_be_bytes(field(head, CRC)),
            attributes: i16::from_be_bytes(field(head, ATTRIBUTES)),
            last_offset_delta: i32::from_be_bytes(field(head, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(field(head, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(field(head, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(field(head, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(field(head, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(field(head, BASE_SEQUENCE)),
            record_count: i32::from_be_bytes(field(head, RECORD_COUNT)),
        };
        if header.batch_length < (HEADER_BYTES - LENGTH_COUNTS_FROM) as i32 {
            let claimed = i64::from(header.batch_length) + LENGTH_COUNTS_FROM as i64;
            return Err(BatchError::Length { claimed, present: bytes.len() });
        }
        Ok(header)
    }

    /// Bytes of the whole batch.
    pub fn total_bytes(&self) -> usize {
        self.batch_length as usize + LENGTH_COUNTS_FROM
    }

    /// How the records are compressed.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let codec = (self.attributes & COMPRESSION_BITS) as u8;
        Compression::from_code(codec).ok_or(BatchError::UnknownCompression(codec))
    }

    /// Whether it holds a marker instead of records.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether it belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Whether all its records have `max_timestamp`, set by a broker.
    pub fn has_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    /// Whether it comes from an idempotent producer.
    pub fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence of the last record; sequences go on with 0 after the greatest.
    pub fn last_sequence(&self) -> i32 {
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last & i64::from(i32::MAX)) as i32
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(self.last_offset_delta.into())
    }
}

/// Checks that `bytes` are exactly one whole batch that a producer may send, and gives its header.
///
/// Looks at the header and the CRC; the records inside are the consumer's (see [`crate::record::check`]).
pub fn check_produced(bytes: &[u8], rules: &BatchRules) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let claimed = header.total_bytes();
    if claimed > bytes.len() {
        return Err(BatchError::Length { claimed: claimed as i64, present: bytes.len() });
    }
    if claimed < bytes.len() {
        return Err(BatchError::Trailing(bytes.len() - claimed));
    }
    if claimed > rules.batch_bytes_max {
        return Err(BatchError::TooLarge { bytes: claimed, max: rules.batch_bytes_max });
    }
    check_fields(&header, rules)?;
    check_crc(bytes, header.crc)?;
    Ok(header)
}

fn check_fields(header: &BatchHeader, rules: &BatchRules) -> Result<(), BatchError> {
    if header.base_offset != 0 {
        return Err(BatchError::BaseOffset(header.base_offset));
    }
    let (count, last_offset_delta) = (header.record_count, header.last_offset_delta);
    if count <= 0 || count - 1 != last_offset_delta {
        return Err(BatchError::Counts { count, last_offset_delta });
    }
    if header.is_control() {
        return Err(BatchError::Control);
    }
    let compression = header.compression()?;
    if compression == Compression::Zstd && !rules.zstd_allowed {
        return Err(BatchError::CompressionNotAllowed(compression));
    }
    check_producer(header)
}

fn check_producer(header: &BatchHeader) -> Result<(), BatchError> {
    let (id, epoch, sequence) = (header.producer_id, header.producer_epoch, header.base_sequence);
    let anonymous = id < 0 && !header.is_transactional();
    let idempotent = id >= 0 && epoch >= 0 && sequence >= 0;
    if anonymous || idempotent { Ok(()) } else { Err(BatchError::Producer { id, epoch, sequence }) }
}

/// Checks the CRC of a whole batch, as a reader of stored bytes does.
pub fn check_stored(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    if header.total_bytes() != bytes.len() {
        return Err(BatchError::Length { claimed: header.total_bytes() as i64, present: bytes.len() });
    }
    check_crc(bytes, header.crc)?;
    Ok(header)
}

fn check_crc(batch: &[u8], stored: u32) -> Result<(), BatchError> {
    let computed = crc32c(&batch[CRC_COVERS_FROM..]);
    if stored == computed { Ok(()) } else { Err(BatchError::Crc { stored, computed }) }
}

/// CRC32C (Castagnoli, iSCSI) of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// Writes the batch's place in the log into it. Both fields are outside the CRC.
///
/// # Panics
/// When `batch` is shorter than a header: only batches that were checked have a place.
pub fn patch_place(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    assert!(batch.len() >= HEADER_BYTES, "a place for {} bytes", batch.len());
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[LEADER_EPOCH..LEADER_EPOCH + 4].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Writes places into batches that stand one after the other and whose first record has `base_offset`; gives the offset
/// after their last record. Bytes behind the last whole batch are an error: whoever has a run knows where it ends.
pub fn patch_run(run: &mut [u8], base_offset: i64, leader_epoch: i32) -> Result<i64, BatchError> {
    let (mut position, mut offset) = (0, base_offset);
    while position < run.len() {
        let span = span_at(run, position)?;
        patch_place(&mut run[position..position + span.bytes], offset, leader_epoch);
        position += span.bytes;
        offset += i64::from(span.offsets);
    }
    Ok(offset)
}

/// Makes `ms` the timestamp of all records of a batch (`message.timestamp.type=LogAppendTime`), with a new CRC.
///
/// # Panics
/// When `batch` is shorter than a header: only batches that were checked are changed.
pub fn set_log_append_time(batch: &mut [u8], ms: i64) {
    assert!(batch.len() >= HEADER_BYTES, "a time for {} bytes", batch.len());
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES], batch[ATTRIBUTES + 1]]) | LOG_APPEND_TIME_BIT;
    batch[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&attributes.to_be_bytes());
    batch[MAX_TIMESTAMP..MAX_TIMESTAMP + 8].copy_from_slice(&ms.to_be_bytes());
    let crc = crc32c(&batch[CRC_COVERS_FROM..]);
    batch[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
}

/// Where one batch stands among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of its first byte.
    pub position: usize,
    /// Bytes of the batch.
    pub bytes: usize,
    /// Offsets it takes.
    pub offsets: u32,
}

/// The batch that begins at `position`, by its length and last offset delta only.
#[inline]
pub fn span_at(bytes: &[u8], position: usize) -> Result<Span, BatchError> {
    let rest = bytes.get(position..).unwrap_or_default();
    let head = rest.first_chunk::<HEADER_BYTES>().ok_or(BatchError::Truncated(rest.len()))?;
    let length = i32::from_be_bytes(field(head, 8));
    let last_offset_delta = i32::from_be_bytes(field(head, LAST_OFFSET_DELTA));
    let claimed = i64::from(length) + LENGTH_COUNTS_FROM as i64;
    if claimed < HEADER_BYTES as i64 || claimed > rest.len() as i64 {
        return Err(BatchError::Length { claimed, present: rest.len() });
    }
    if last_offset_delta < 0 || last_offset_delta == i32::MAX {
        return Err(BatchError::Counts { count: i32::from_be_bytes(field(head, RECORD_COUNT)), last_offset_delta });
    }
    Ok(Span { position, bytes: claimed as usize, offsets: last_offset_delta as u32 + 1 })
}

/// Walks batches that stand one after the other, reading two fields of each. Ends before the first bytes that are not a whole batch.
pub fn spans(bytes: &[u8]) -> impl Iterator<Item = Span> + '_ {
    let mut position = 0;
    std::iter::from_fn(move || {
        let span = span_at(bytes, position).ok()?;
        position += span.bytes;
        Some(span)
    })
}

/// Walks batches that stand one after the other: position and header of each.
///
/// Ends before the first bytes that are not a whole batch; [`Batches::position`] tells where that was.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Batches<'a> {
    /// Walks `bytes` from the start.
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches { bytes, position: 0 }
    }

    /// Where the next batch is expected; the length of the bytes if all of them were batches.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl Iterator for Batches<'_> {
    type Item = (usize, BatchHeader);

    fn next(&mut self) -> Option<(usize, BatchHeader)> {
        let rest = &self.bytes[self.position..];
        let header = BatchHeader::parse(rest).ok().filter(|header| header.total_bytes() <= rest.len())?;
        let position = self.position;
        self.position += header.total_bytes();
        Some((position, header))
    }
}

/// `N` bytes of the header; the compiler sees the bounds.
#[inline]
fn field<const N: usize>(head: &[u8; HEADER_BYTES], position: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[position..position + N]);
    bytes
}

#[cfg(test)]
mod tests;
