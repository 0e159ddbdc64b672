//! The segment: the bytes of many partitions, written once, explaining themselves.
//!
//! `header | batches, grouped by partition | footer | trailer`, all numbers big-endian; byte by byte in
//! `docs/format/segment.md`. The same bytes stand in a log entry and in an object of their own. Batches lie in it as
//! the producer sent them; base offset and leader epoch in their headers mean nothing here, since the metadata log
//! gives the offsets later.
//!
//! The checksum covers what frames the batches, not the batches: each carries its own CRC-32C, and `parse` makes sure
//! that their lengths fill their part exactly when [`Segment::check_batches`] walks them.

use frazil_base::{AlignedBuffer, Epoch, ObjectId, TopicId, TopicPartition};
use frazil_wire::batch::{Batches, check_stored};

/// First and last bytes of every segment.
const MAGIC: [u8; 6] = *b"FRAZIL";
/// Format version after the magic.
const VERSION: u16 = 1;
/// Magic and version.
pub const HEADER_BYTES: usize = 8;
/// Object id at the start of the footer.
const IDENTITY_BYTES: usize = 16;
/// One part in the footer.
pub const PART_BYTES: usize = 36;
/// Footer length, checksum, magic, version.
pub const TRAILER_BYTES: usize = 16;

/// What a segment takes beyond its batches.
pub const fn overhead_bytes(parts: usize) -> usize {
    HEADER_BYTES + IDENTITY_BYTES + parts * PART_BYTES + TRAILER_BYTES
}

/// What a segment says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name.
    pub object: ObjectId,
    /// What it holds, by partition, in order, back to back.
    pub parts: Vec<SegmentPart>,
}

/// One partition's batches in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPart {
    /// Whose.
    pub partition: TopicPartition,
    /// Where its batches start in the segment.
    pub position: u32,
    /// How many bytes they take.
    pub bytes: u32,
    /// How many batches.
    pub batches: u32,
    /// How many offsets they take.
    pub records: u32,
}

/// Why bytes are not a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Fewer bytes than the smallest segment, or than the footer claims.
    #[error("{bytes} bytes are too few for a segment that needs {needed}")]
    TooShort {
        /// How many there are.
        bytes: usize,
        /// How many there must be.
        needed: usize,
    },
    /// It starts or ends with something else.
    #[error("no segment: magic {found:02x?} at position {position}")]
    Magic {
        /// Where.
        position: usize,
        /// What stands there.
        found: [u8; 6],
    },
    /// It was written by a newer program.
    #[error("segment version {found} is not known here")]
    Version {
        /// Its version.
        found: u16,
    },
    /// Header, footer or trailer are not what was written.
    #[error("segment footer has checksum {computed:08x} instead of {stored:08x}")]
    Checksum {
        /// In the trailer.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// The parts do not fill the space before the footer, in order.
    #[error("segment part {part} is out of place: position {position}, expected {expected}")]
    Layout {
        /// Index of the part.
        part: usize,
        /// Where it claims to start, or where the parts end.
        position: u64,
        /// Where it should.
        expected: u64,
    },
    /// A part's bytes are not the batches that the footer names.
    #[error("segment part {part}: {detail}")]
    Batches {
        /// Index of the part.
        part: usize,
        /// The values that disagree.
        detail: String,
    },
}

/// Writes a segment front to back into a buffer that is large enough.
#[derive(Debug)]
pub struct SegmentBuilder {
    buffer: AlignedBuffer,
    parts: Vec<SegmentPart>,
}

impl SegmentBuilder {
    /// Starts in an empty buffer.
    pub fn new(mut buffer: AlignedBuffer) -> SegmentBuilder {
        buffer.clear();
        buffer.extend_from_slice(&MAGIC);
        buffer.extend_from_slice(&VERSION.to_be_bytes());
        SegmentBuilder { buffer, parts: Vec::new() }
    }

    /// Appends a batch; partitions come in ascending order, each partition's batches together. Returns its position.
    pub fn push(&mut self, partition: TopicPartition, batch: &[u8], records: u32) -> u32 {
        let position = self.buffer.len() as u32;
        match self.parts.last_mut() {
            Some(part) if part.partition == partition => part.add(batch, records),
            last => {
                assert!(last.is_none_or(|part| part.partition < partition), "{partition:?} is out of order");
                let mut part = SegmentPart { partition, position, bytes: 0, batches: 0, records: 0 };
                part.add(batch, records);
                self.parts.push(part);
            }
        }
        self.buffer.extend_from_slice(batch);
        position
    }

    /// Appends footer and trailer.
    pub fn finish(mut self, object: ObjectId) -> (AlignedBuffer, Vec<SegmentPart>) {
        let footer_start = self.buffer.len();
        self.buffer.extend_from_slice(&object.epoch.0.to_be_bytes());
        self.buffer.extend_from_slice(&object.number.to_be_bytes());
        for part in &self.parts {
            self.buffer.extend_from_slice(&part.encode());
        }
        let footer_bytes = (self.buffer.len() - footer_start) as u32;
        self.buffer.extend_from_slice(&footer_bytes.to_be_bytes());
        let bytes = self.buffer.as_slice();
        let checksum = checksum(&bytes[..HEADER_BYTES], &bytes[footer_start..]);
        self.buffer.extend_from_slice(&checksum.to_be_bytes());
        self.buffer.extend_from_slice(&MAGIC);
        self.buffer.extend_from_slice(&VERSION.to_be_bytes());
        (self.buffer, self.parts)
    }
}

impl SegmentPart {
    fn add(&mut self, batch: &[u8], records: u32) {
        self.bytes += batch.len() as u32;
        self.batches += 1;
        self.records += records;
    }

    fn check_batches(&self, bytes: &[u8]) -> Result<(), String> {
        let (mut batches, mut records) = (0, 0_u64);
        let mut walk = Batches::new(bytes);
        for (position, header) in &mut walk {
            let batch = &bytes[position..position + header.total_bytes()];
            check_stored(batch).map_err(|error| format!("batch at {position}: {error}"))?;
            batches += 1;
            records += header.last_offset_delta as u64 + 1;
        }
        let found = (walk.position(), batches, records);
        let expected = (bytes.len(), self.batches, u64::from(self.records));
        if found == expected {
            return Ok(());
        }
        Err(format!("found (bytes, batches, records) {found:?}, expected {expected:?}"))
    }

    fn encode(&self) -> [u8; PART_BYTES] {
        let mut bytes = [0; PART_BYTES];
        bytes[..16].copy_from_slice(&self.partition.topic.0.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.partition.partition.to_be_bytes());
        for (index, field) in [self.position, self.bytes, self.batches, self.records].into_iter().enumerate() {
            bytes[20 + 4 * index..24 + 4 * index].copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> SegmentPart {
        let topic = TopicId(u128::from_be_bytes(array(bytes, 0)));
        let partition = i32::from_be_bytes(array(bytes, 16));
        let field = |at| u32::from_be_bytes(array(bytes, at));
        SegmentPart {
            partition: TopicPartition { topic, partition },
            position: field(20),
            bytes: field(24),
            batches: field(28),
            records: field(32),
        }
    }
}

impl Segment {
    /// Reads header, footer and trailer of a whole segment, and checks that they fit together.
    pub fn parse(bytes: &[u8]) -> Result<Segment, SegmentError> {
        need(bytes, overhead_bytes(0))?;
        check_magic(bytes, 0)?;
        check_magic(bytes, bytes.len() - HEADER_BYTES)?;
        let trailer = bytes.len() - TRAILER_BYTES;
        let footer_bytes = u32::from_be_bytes(array(bytes, trailer)) as usize;
        need(bytes, HEADER_BYTES + TRAILER_BYTES + footer_bytes.max(IDENTITY_BYTES))?;
        let footer_start = trailer - footer_bytes;
        let stored = u32::from_be_bytes(array(bytes, trailer + 4));
        let computed = checksum(&bytes[..HEADER_BYTES], &bytes[footer_start..trailer + 4]);
        if stored != computed {
            return Err(SegmentError::Checksum { stored, computed });
        }
        let footer = &bytes[footer_start..trailer];
        let epoch = Epoch(u64::from_be_bytes(array(footer, 0)));
        let object = ObjectId { epoch, number: u64::from_be_bytes(array(footer, 8)) };
        let parts = footer[IDENTITY_BYTES..].chunks_exact(PART_BYTES).map(SegmentPart::decode).collect();
        let segment = Segment { object, parts };
        segment.check_layout(footer_start as u64)?;
        Ok(segment)
    }

    /// Walks the batches of every part of the whole segment that this was parsed from: their CRCs, and that their
    /// number, records and bytes are what the footer says.
    pub fn check_batches(&self, bytes: &[u8]) -> Result<(), SegmentError> {
        for (part, entry) in self.parts.iter().enumerate() {
            let batches = &bytes[entry.position as usize..][..entry.bytes as usize];
            entry.check_batches(batches).map_err(|detail| SegmentError::Batches { part, detail })?;
        }
        Ok(())
    }

    fn check_layout(&self, footer_start: u64) -> Result<(), SegmentError> {
        let mut expected = HEADER_BYTES as u64;
        for (part, entry) in self.parts.iter().enumerate() {
            let position = u64::from(entry.position);
            if position != expected {
                return Err(SegmentError::Layout { part, position, expected });
            }
            expected += u64::from(entry.bytes);
        }
        if expected != footer_start {
            return Err(SegmentError::Layout { part: self.parts.len(), position: expected, expected: footer_start });
        }
        Ok(())
    }
}

fn need(bytes: &[u8], needed: usize) -> Result<(), SegmentError> {
    if bytes.len() < needed { Err(SegmentError::TooShort { bytes: bytes.len(), needed }) } else { Ok(()) }
}

fn check_magic(bytes: &[u8], position: usize) -> Result<(), SegmentError> {
    let found: [u8; 6] = array(bytes, position);
    if found != MAGIC {
        return Err(SegmentError::Magic { position, found });
    }
    let version = u16::from_be_bytes(array(bytes, position + 6));
    if version != VERSION {
        return Err(SegmentError::Version { found: version });
    }
    Ok(())
}

fn checksum(header: &[u8], footer: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(header);
    digest.update(footer);
    digest.finalize() as u32
}

/// `N` bytes from `at`, which the caller has checked to exist.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}

#[cfg(test)]
mod tests;
