//! The journal's bytes: a chunk's header and an entry's header (`docs/format/journal.md`).

use crate::engine::checksum::{self, u16_at, u32_at, u64_at};
use frazil_base::Seq;
use frazil_base::limits::{BLOCK_BYTES, META_RECORD_BYTES_MAX};

/// Length of an entry's header; the record follows at once.
pub(crate) const ENTRY_HEADER_BYTES: usize = 80;

const CHUNK_MAGIC: &[u8; 4] = b"FRZC";
const ENTRY_MAGIC: &[u8; 4] = b"FRZE";
const VERSION: u16 = 1;
const HAS_BODY: u16 = 1;
const CHUNK_CHECKED_BYTES: usize = 24;
const ENTRY_CHECKED_BYTES: usize = 72;

/// First block of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    /// Number of its first entry; the file is named after it.
    pub first: Seq,
    /// Random; tells this use of the file from every earlier one.
    pub nonce: u64,
}

impl ChunkHeader {
    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[0..4].copy_from_slice(CHUNK_MAGIC);
        block[4..6].copy_from_slice(&VERSION.to_le_bytes());
        block[8..16].copy_from_slice(&self.first.0.to_le_bytes());
        block[16..24].copy_from_slice(&self.nonce.to_le_bytes());
        let crc = checksum::of(&block[..CHUNK_CHECKED_BYTES]);
        block[24..32].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// `None`: these bytes are no chunk's header, or a torn one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<ChunkHeader> {
        let wellformed = bytes.len() >= CHUNK_CHECKED_BYTES + 8
            && bytes.starts_with(CHUNK_MAGIC)
            && u16_at(bytes, 4) == VERSION
            && u64_at(bytes, CHUNK_CHECKED_BYTES) == checksum::of(&bytes[..CHUNK_CHECKED_BYTES]);
        wellformed.then(|| ChunkHeader { first: Seq(u64_at(bytes, 8)), nonce: u64_at(bytes, 16) })
    }
}

/// Header of an entry. The record follows; the body, if there is one, starts on the next block boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub seq: Seq,
    /// The chunk's.
    pub nonce: u64,
    /// Where in the chunk this header stands.
    pub position: u64,
    /// Greatest number known to be durable when this was written: what stands up to there was acknowledged.
    pub durable: Seq,
    pub record_bytes: u32,
    pub record_crc: u64,
    /// Length and checksum of the body.
    pub body: Option<(u64, u64)>,
}

impl EntryHeader {
    pub(crate) fn encode(&self) -> [u8; ENTRY_HEADER_BYTES] {
        let (body_bytes, body_crc) = self.body.unwrap_or_default();
        let flags = if self.body.is_some() { HAS_BODY } else { 0 };
        let mut bytes = [0; ENTRY_HEADER_BYTES];
        bytes[0..4].copy_from_slice(ENTRY_MAGIC);
        bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.nonce.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.position.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable.0.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.record_bytes.to_le_bytes());
        bytes[48..56].copy_from_slice(&body_bytes.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.record_crc.to_le_bytes());
        bytes[64..72].copy_from_slice(&body_crc.to_le_bytes());
        let crc = checksum::of(&bytes[..ENTRY_CHECKED_BYTES]);
        bytes[72..80].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None`: these bytes are no entry's header, or a torn one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<EntryHeader> {
        let wellformed = bytes.len() >= ENTRY_HEADER_BYTES
            && bytes.starts_with(ENTRY_MAGIC)
            && u16_at(bytes, 4) == VERSION
            && u64_at(bytes, ENTRY_CHECKED_BYTES) == checksum::of(&bytes[..ENTRY_CHECKED_BYTES])
            && u32_at(bytes, 40) as usize <= META_RECORD_BYTES_MAX;
        wellformed.then(|| EntryHeader {
            seq: Seq(u64_at(bytes, 8)),
            nonce: u64_at(bytes, 16),
            position: u64_at(bytes, 24),
            durable: Seq(u64_at(bytes, 32)),
            record_bytes: u32_at(bytes, 40),
            record_crc: u64_at(bytes, 56),
            body: (u16_at(bytes, 6) & HAS_BODY != 0).then(|| (u64_at(bytes, 48), u64_at(bytes, 64))),
        })
    }

    /// Bytes of header and record, with padding.
    pub(crate) fn head_bytes(&self) -> u64 {
        padded((ENTRY_HEADER_BYTES + self.record_bytes as usize) as u64)
    }

    /// Bytes of the body, without padding.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body.map_or(0, |(bytes, _)| bytes)
    }

    /// Where the next entry starts.
    pub(crate) fn end(&self) -> u64 {
        self.position.saturating_add(self.head_bytes()).saturating_add(padded(self.body_bytes()))
    }
}

/// `bytes`, rounded up to whole blocks.
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(BLOCK_BYTES as u64).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn entry() -> EntryHeader {
        EntryHeader {
            seq: Seq(0x0102),
            nonce: 0x1112_1314_1516_1718,
            position: 4096,
            durable: Seq(0x0101),
            record_bytes: 3,
            record_crc: checksum::of(b"abc"),
            body: Some((5, checksum::of(b"hello"))),
        }
    }

    #[test]
    fn yesterdays_chunk_header_is_read_today() {
        let header = ChunkHeader { first: Seq(7), nonce: 0x0807_0605_0403_0201 };
        let block = header.encode();
        assert_eq!(hex(&block[..32]), "46525a430100000007000000000000000102030405060708d2ce2c5fd62c909e");
        assert!(block[32..].iter().all(|byte| *byte == 0));
        assert_eq!(ChunkHeader::parse(&block), Some(header));
    }

    #[test]
    fn yesterdays_entry_header_is_read_today() {
        let bytes = entry().encode();
        assert_eq!(
            hex(&bytes),
            concat!(
                "46525a4501000100020100000000000018171615141312110010000000000000010100000000000003000000000000000500000000000000",
                "ebfac13fbbcae50557425206708577332f3649071ac71876"
            )
        );
        assert_eq!(EntryHeader::parse(&bytes), Some(entry()));
        assert_eq!(entry().end(), 3 * 4096);
    }

    #[test]
    fn a_header_with_any_byte_changed_is_refused() {
        let (chunk, entry) = (ChunkHeader { first: Seq(7), nonce: 1 }.encode(), entry().encode());
        for position in 0..ENTRY_HEADER_BYTES {
            let mut damaged = entry;
            damaged[position] ^= 0x10;
            assert_eq!(EntryHeader::parse(&damaged), None, "byte {position}");
        }
        for position in 0..32 {
            let mut damaged = chunk;
            damaged[position] ^= 0x10;
            assert_eq!(ChunkHeader::parse(&damaged), None, "byte {position}");
        }
    }
}
