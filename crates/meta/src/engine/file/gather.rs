//! Laying a group of entries out as blocks: what is aligned is written from where it lies, the rest is copied together.

use super::format::{ChunkHeader, EntryHeader, padded};
use super::scan::Place;
use crate::engine::checksum;
use crate::port::{Body, Entry};
use bytes::Bytes;
use frazil_base::limits::BLOCK_BYTES;
use frazil_base::{AlignedBuffer, Seq};
use std::ops::Range;

/// A group under construction: the chunk it goes to, and what was added.
#[derive(Debug)]
pub(crate) struct Group {
    nonce: u64,
    first: Seq,
    durable: Seq,
    start: u64,
    end: u64,
    parts: Vec<Part>,
    places: Vec<Place>,
}

/// A run of bytes of the group.
#[derive(Debug)]
enum Part {
    /// Whole blocks at a block boundary, written from where they are.
    Aligned(Bytes),
    /// Copied behind the part before.
    Copied(Bytes),
    /// Zeros up to the next block boundary.
    Padding,
}

impl Group {
    /// An empty group for `position` of a chunk, whose first entry gets the number `first`, while `durable` is the last
    /// durable one. At the start of a chunk it begins with the chunk's header.
    pub(crate) fn new(chunk: ChunkHeader, position: u64, first: Seq, durable: Seq) -> Group {
        let mut group = Group {
            nonce: chunk.nonce,
            first,
            durable,
            start: position,
            end: position,
            parts: Vec::new(),
            places: Vec::new(),
        };
        if position == 0 {
            group.parts.push(Part::Copied(Bytes::copy_from_slice(&chunk.encode())));
            group.end = BLOCK_BYTES as u64;
        }
        group
    }

    /// Adds an entry; its number follows the one before.
    pub(crate) fn push(&mut self, entry: &Entry) {
        let header = EntryHeader {
            seq: Seq(self.first.0 + self.places.len() as u64),
            nonce: self.nonce,
            position: self.end,
            durable: self.durable,
            record_bytes: entry.record.len() as u32,
            record_crc: checksum::of(&entry.record),
            body: entry.body.as_ref().map(|body| (body.len() as u64, checksum::of_body(body))),
        };
        self.parts.push(Part::Copied(Bytes::copy_from_slice(&header.encode())));
        self.parts.push(Part::Copied(entry.record.clone()));
        self.parts.push(Part::Padding);
        if let Some(body) = &entry.body {
            self.push_body(body);
        }
        self.places.push(Place::of(&header));
        self.end = header.end();
    }

    fn push_body(&mut self, body: &Body) {
        let mut filled = 0;
        for slice in body.slices() {
            let mut rest = slice.clone();
            if filled == 0 && (rest.as_ptr() as usize).is_multiple_of(BLOCK_BYTES) && rest.len() >= BLOCK_BYTES {
                self.parts.push(Part::Aligned(rest.split_to(rest.len() / BLOCK_BYTES * BLOCK_BYTES)));
            }
            filled = (filled + rest.len()) % BLOCK_BYTES;
            self.parts.push(Part::Copied(rest));
        }
        self.parts.push(Part::Padding);
    }

    /// Copies what must be copied into one buffer.
    pub(crate) fn gather(self) -> Gathered {
        let copied: u64 = self.end - self.start - self.aligned_bytes();
        let mut scratch = AlignedBuffer::with_capacity(copied as usize);
        let mut runs = Vec::new();
        for part in self.parts {
            let from = scratch.len();
            match part {
                Part::Aligned(bytes) => {
                    runs.push(Run::Aligned(bytes));
                    continue;
                }
                Part::Copied(bytes) => scratch.extend_from_slice(&bytes),
                Part::Padding => scratch.pad_to(BLOCK_BYTES),
            }
            match runs.last_mut() {
                Some(Run::Scratch(range)) => range.end = scratch.len(),
                _ => runs.push(Run::Scratch(from..scratch.len())),
            }
        }
        Gathered { scratch, runs, places: self.places }
    }

    fn aligned_bytes(&self) -> u64 {
        let aligned = self.parts.iter().filter_map(|part| match part {
            Part::Aligned(bytes) => Some(bytes.len() as u64),
            Part::Copied(_) | Part::Padding => None,
        });
        aligned.sum()
    }
}

/// A group ready to be written.
#[derive(Debug)]
pub(crate) struct Gathered {
    scratch: AlignedBuffer,
    runs: Vec<Run>,
    places: Vec<Place>,
}

#[derive(Debug)]
enum Run {
    Aligned(Bytes),
    Scratch(Range<usize>),
}

impl Run {
    fn slice<'a>(&'a self, scratch: &'a AlignedBuffer) -> &'a [u8] {
        match self {
            Run::Aligned(bytes) => bytes,
            Run::Scratch(range) => &scratch.as_slice()[range.clone()],
        }
    }
}

impl Gathered {
    /// The bytes, as whole blocks at block boundaries.
    pub(crate) fn slices(&self) -> Vec<&[u8]> {
        self.runs.iter().map(|run| run.slice(&self.scratch)).filter(|slice| !slice.is_empty()).collect()
    }

    /// Where the entries will stand.
    pub(crate) fn into_places(self) -> Vec<Place> {
        self.places
    }
}

/// Bytes that these entries take in a chunk.
pub(crate) fn bytes_of(entries: &[Entry]) -> u64 {
    let bytes = |entry: &Entry| {
        let body = entry.body.as_ref().map_or(0, |body| body.len() as u64);
        padded((super::format::ENTRY_HEADER_BYTES + entry.record.len()) as u64) + padded(body)
    };
    entries.iter().map(bytes).sum()
}
