//! Walking through a chunk from header to header, and finding where its valid entries end.
//!
//! An entry counts if its header is whole, carries the chunk's nonce, stands where it says, and has the next number;
//! what a recycled chunk held before fails in all of these. The newest chunk ends at the first entry that does not
//! count. A few groups are written at once, so the last ones may be torn or missing, in any order; each header names
//! the number that was durable when its group was laid out. So bodies up to there need no check, whole entries behind
//! the end were never acknowledged, and a valid header behind the end that says the end was durable proves damage, not
//! a torn write. Then opening fails, loudly.

use super::disk::read_blocks;
use super::format::{ChunkHeader, ENTRY_HEADER_BYTES, EntryHeader, padded};
use crate::engine::checksum;
use bytes::Bytes;
use frazil_base::limits::BLOCK_BYTES;
use frazil_base::{AlignedBuffer, Seq};
use std::fs::File;
use std::io;

const WINDOW_BYTES_MIN: usize = 16 << 10;
const WINDOW_BYTES_MAX: usize = 1 << 20;

/// Where an entry stands, and what its bytes must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    position: u64,
    record_bytes: u32,
    body: Option<(u64, u64)>,
}

impl Place {
    pub(crate) fn of(header: &EntryHeader) -> Place {
        Place { position: header.position, record_bytes: header.record_bytes, body: header.body }
    }

    /// Where the header stands.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Where the body starts.
    pub(crate) fn body_position(&self) -> u64 {
        self.position + padded(ENTRY_HEADER_BYTES as u64 + u64::from(self.record_bytes))
    }

    /// Where the next entry stands.
    pub(crate) fn end(&self) -> u64 {
        self.body_position() + padded(self.body.map_or(0, |(bytes, _)| bytes))
    }

    /// Length and checksum of the body.
    pub(crate) fn body(&self) -> Option<(u64, u64)> {
        self.body
    }
}

/// Reads a chunk through a window that grows while the reading is sequential.
pub(crate) struct Scanner<'a> {
    file: &'a File,
    window: AlignedBuffer,
    start: u64,
    window_bytes: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a File) -> Scanner<'a> {
        let window = AlignedBuffer::with_capacity(0);
        Scanner { file, window, start: 0, window_bytes: WINDOW_BYTES_MIN }
    }

    /// Up to `bytes` from `position` (a block boundary) on; fewer at the end of the file.
    fn at(&mut self, position: u64, bytes: usize) -> io::Result<&[u8]> {
        let end = self.start + self.window.len() as u64;
        if position < self.start || position + bytes as u64 > end {
            let sequential = (self.start..=end).contains(&position);
            self.window_bytes =
                if sequential { (self.window_bytes * 2).min(WINDOW_BYTES_MAX) } else { WINDOW_BYTES_MIN };
            self.refill(position, bytes.max(self.window_bytes).next_multiple_of(BLOCK_BYTES))?;
        }
        let from = (position - self.start) as usize;
        let to = (from + bytes).min(self.window.len());
        Ok(&self.window.as_slice()[from.min(to)..to])
    }

    fn refill(&mut self, position: u64, bytes: usize) -> io::Result<()> {
        if self.window.capacity() < bytes {
            self.window = AlignedBuffer::with_capacity(bytes);
        }
        self.start = position;
        self.window.clear();
        read_blocks(self.file, &mut self.window, position, bytes)
    }

    /// The chunk's header, if it is whole.
    pub(crate) fn chunk_header(&mut self) -> io::Result<Option<ChunkHeader>> {
        Ok(ChunkHeader::parse(self.at(0, BLOCK_BYTES)?))
    }

    /// The header of entry `seq` at `position`, if it counts.
    pub(crate) fn entry(&mut self, position: u64, seq: Seq, nonce: u64) -> io::Result<Option<EntryHeader>> {
        let header = EntryHeader::parse(self.at(position, ENTRY_HEADER_BYTES)?);
        Ok(header.filter(|header| header.seq == seq && header.nonce == nonce && header.position == position))
    }

    /// The record of an entry; `None` if its checksum does not fit.
    pub(crate) fn record(&mut self, header: &EntryHeader) -> io::Result<Option<Bytes>> {
        let bytes = self.at(header.position, ENTRY_HEADER_BYTES + header.record_bytes as usize)?;
        let record = bytes.get(ENTRY_HEADER_BYTES..ENTRY_HEADER_BYTES + header.record_bytes as usize);
        Ok(record.filter(|record| checksum::of(record) == header.record_crc).map(Bytes::copy_from_slice))
    }

    /// Whether the body of an entry is whole.
    fn body_is_whole(&mut self, header: &EntryHeader) -> io::Result<bool> {
        let Some((bytes, crc)) = header.body else { return Ok(true) };
        let file_bytes = self.file.metadata()?.len();
        let start = header.position + header.head_bytes();
        // A length beyond the file must not become a buffer of that length.
        if start.saturating_add(bytes) > file_bytes {
            return Ok(false);
        }
        Ok(checksum::of(self.at(start, bytes as usize)?) == crc)
    }
}

/// What a walk found: the places of a chunk's entries from its first on, and where they end.
pub(crate) struct Found {
    pub nonce: u64,
    pub places: Vec<Place>,
    pub end: u64,
}

/// Walks a chunk that is complete: headers only, up to the entry before `next_first`. `None`: it is another chunk by now.
pub(crate) fn walk_sealed(file: &File, first: Seq, next_first: Seq) -> io::Result<Option<Found>> {
    let mut scanner = Scanner::new(file);
    let Some(chunk) = scanner.chunk_header()?.filter(|chunk| chunk.first == first) else { return Ok(None) };
    let mut found = Found { nonce: chunk.nonce, places: Vec::new(), end: BLOCK_BYTES as u64 };
    for seq in first.0..next_first.0 {
        let Some(header) = scanner.entry(found.end, Seq(seq), chunk.nonce)? else { break };
        found.places.push(Place::of(&header));
        found.end = header.end();
    }
    Ok(Some(found))
}

/// Why the newest chunk cannot be opened.
#[derive(Debug)]
pub(crate) enum TailError {
    Io(io::Error),
    /// An entry was durable once and is not valid now.
    Damaged {
        seq: Seq,
        position: u64,
        witness: u64,
    },
}

impl From<io::Error> for TailError {
    fn from(error: io::Error) -> TailError {
        TailError::Io(error)
    }
}

/// Walks the newest chunk, whose last groups may be torn, and finds its end.
pub(crate) fn walk_newest(file: &File, first: Seq) -> Result<Found, TailError> {
    let mut scanner = Scanner::new(file);
    let mut found = Found { nonce: 0, places: Vec::new(), end: 0 };
    let mut durable = Seq::ZERO;
    if let Some(chunk) = scanner.chunk_header()?.filter(|chunk| chunk.first == first) {
        found = Found { nonce: chunk.nonce, places: Vec::new(), end: BLOCK_BYTES as u64 };
        let mut unproven: Vec<EntryHeader> = Vec::new();
        let mut seq = first;
        while let Some(header) = scanner.entry(found.end, seq, chunk.nonce)? {
            if scanner.record(&header)?.is_none() {
                break;
            }
            if header.durable > durable {
                durable = header.durable;
                unproven.retain(|header| header.seq > durable);
            }
            unproven.push(header);
            found.places.push(Place::of(&header));
            found.end = header.end();
            seq = seq.next();
        }
        cut_torn_bodies(&mut scanner, &unproven, &mut found)?;
    }
    let end = Seq(first.0 + found.places.len() as u64);
    check_nothing_durable_is_lost(&mut scanner, end, found.end)?;
    Ok(found)
}

/// Drops the entries that nothing proves durable from the first one on whose body is not whole. They are the last ones.
fn cut_torn_bodies(scanner: &mut Scanner<'_>, unproven: &[EntryHeader], found: &mut Found) -> io::Result<()> {
    for (index, header) in unproven.iter().enumerate() {
        if !scanner.body_is_whole(header)? {
            found.places.truncate(found.places.len() - (unproven.len() - index));
            found.end = header.position;
            break;
        }
    }
    Ok(())
}

/// Looks behind the end for a header that was written after entry `end` had become durable.
fn check_nothing_durable_is_lost(scanner: &mut Scanner<'_>, end: Seq, from: u64) -> Result<(), TailError> {
    let file_bytes = scanner.file.metadata()?.len();
    let mut position = from;
    while position < file_bytes {
        if let Some(header) = EntryHeader::parse(scanner.at(position, ENTRY_HEADER_BYTES)?)
            && header.position == position
            && header.durable >= end
        {
            return Err(TailError::Damaged { seq: end, position: from, witness: position });
        }
        position += BLOCK_BYTES as u64;
    }
    Ok(())
}
