//! Which chunks there are, which entries stand where, and which chunks can go.
//!
//! Chunks are named after their first entry, so a name finds the chunk of a number; where in the chunk is found by a
//! walk over its headers when somebody reads from it for the first time. Open files and walks are kept for the chunks
//! read last. A reader holds its chunk while it reads: one that is trimmed meanwhile is unlinked (the reader keeps the
//! bytes), and only a chunk without readers is recycled. So no reader ever sees the next use of a file.

use super::disk::{open_to_read, read_blocks};
use super::scan::{Place, Scanner, walk_sealed};
use crate::engine::checksum;
use crate::port::{LiveBodies, ReadError};
use bytes::Bytes;
use frazil_base::limits::BLOCK_BYTES;
use frazil_base::{BufferPool, Seq};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// Chunks kept open for readers, and places kept for them in all (32 bytes each).
const OPEN_CHUNKS_MAX: usize = 64;
const OPEN_PLACES_MAX: usize = 128 << 10;

/// Larger reads get a buffer of their own.
const READ_BUFFER_MAX: usize = 2 << 20;
/// Memory kept for the reads to come.
const SPARE_BYTES: usize = 8 << 20;

/// An open chunk.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    pub first: Seq,
    pub nonce: u64,
    /// For reading.
    pub file: File,
    /// Of its entries, from the first on.
    pub places: Mutex<Vec<Place>>,
}

impl OpenChunk {
    /// A chunk whose `file` is open for reading.
    pub(crate) fn new(first: Seq, nonce: u64, file: File, places: Vec<Place>) -> OpenChunk {
        OpenChunk { first, nonce, file, places: Mutex::new(places) }
    }

    /// Where its last durable entry ends.
    pub(crate) fn durable_end(&self) -> u64 {
        self.places.lock().last().map_or(0, Place::end)
    }

    fn place(&self, seq: Seq) -> Option<Place> {
        self.places.lock().get(seq.0.checked_sub(self.first.0)? as usize).copied()
    }
}

/// All chunks of a journal.
#[derive(Debug)]
pub(crate) struct Catalogue {
    dir: PathBuf,
    direct: bool,
    /// For reading bodies.
    buffers: Arc<BufferPool>,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    /// By first entry. The newest one is never removed: it is what tells the last number after a restart.
    chunks: BTreeMap<Seq, Weak<OpenChunk>>,
    /// Chunks kept open, the one used longest ago in front; the newest one is always among them.
    used: VecDeque<Arc<OpenChunk>>,
    /// Files to recycle.
    spares: Vec<PathBuf>,
}

/// Name of the chunk that starts with `first`.
pub(crate) fn chunk_path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{:020}.chunk", first.0))
}

/// The first entry of the chunk with this file name.
pub(crate) fn chunk_first(name: &str) -> Option<Seq> {
    let digits = name.strip_suffix(".chunk").filter(|digits| digits.len() == 20)?;
    digits.parse().ok().map(Seq)
}

impl Catalogue {
    /// A catalogue of the chunks that start with `firsts`.
    pub(crate) fn new(dir: &Path, direct: bool, firsts: impl IntoIterator<Item = Seq>) -> Catalogue {
        let chunks = firsts.into_iter().map(|first| (first, Weak::new())).collect();
        let shelf = Shelf { chunks, ..Shelf::default() };
        let buffers = BufferPool::new(READ_BUFFER_MAX, SPARE_BYTES);
        Catalogue { dir: dir.to_path_buf(), direct, buffers, shelf: Mutex::new(shelf) }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether files are read and written past the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct
    }

    /// First number that may still be readable; `None` if there is no chunk.
    pub(crate) fn first(&self) -> Option<Seq> {
        self.shelf.lock().chunks.keys().next().copied()
    }

    /// Adds a chunk, or replaces what is known of it.
    pub(crate) fn insert(&self, chunk: Arc<OpenChunk>) {
        let mut shelf = self.shelf.lock();
        shelf.chunks.insert(chunk.first, Arc::downgrade(&chunk));
        shelf.touch(chunk);
    }

    /// A file to recycle, if there is one.
    pub(crate) fn take_spare(&self) -> Option<PathBuf> {
        self.shelf.lock().spares.pop()
    }

    /// The chunk of entry `seq`, and where the entry stands. `Ok(None)`: the entry is not there.
    fn find(&self, seq: Seq) -> io::Result<Option<(Arc<OpenChunk>, Place)>> {
        let Some(chunk) = self.open(seq)? else { return Ok(None) };
        Ok(chunk.place(seq).map(|place| (chunk, place)))
    }

    /// The chunk in which entry `seq` would stand.
    pub(crate) fn open(&self, seq: Seq) -> io::Result<Option<Arc<OpenChunk>>> {
        let (first, next_first) = {
            let mut shelf = self.shelf.lock();
            let Some((first, open)) = shelf.chunks.range(..=seq).next_back() else { return Ok(None) };
            let (first, open) = (*first, open.upgrade());
            if let Some(open) = open {
                shelf.touch(open.clone());
                return Ok(Some(open));
            }
            let next_first = shelf.chunks.range(first.next()..).next().map(|(first, _)| *first);
            (first, next_first.expect("the newest chunk is always open"))
        };
        let file = match open_to_read(&chunk_path(&self.dir, first), self.direct) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(found) = walk_sealed(&file, first, next_first)? else { return Ok(None) };
        Ok(self.shelf.lock().keep(OpenChunk::new(first, found.nonce, file, found.places)))
    }

    /// Records after `after` up to `last`, about `max_bytes` of them, at least one.
    pub(crate) fn read(&self, after: Seq, last: Seq, max_bytes: usize) -> Result<Vec<(Seq, Bytes)>, ReadError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        let mut seq = after.next();
        while seq <= last && bytes < max_bytes.max(1) {
            let found = self.find(seq).map_err(|error| self.unavailable(&error))?;
            let Some((chunk, _)) = found else { return Err(ReadError::NotFound { seq }) };
            let mut scanner = Scanner::new(&chunk.file);
            while let Some(place) = chunk.place(seq).filter(|_| seq <= last && bytes < max_bytes.max(1)) {
                let record = self.read_record(&mut scanner, &chunk, seq, place)?;
                bytes += record.len().max(1);
                records.push((seq, record));
                seq = seq.next();
            }
        }
        Ok(records)
    }

    fn read_record(
        &self,
        scanner: &mut Scanner<'_>,
        chunk: &OpenChunk,
        seq: Seq,
        place: Place,
    ) -> Result<Bytes, ReadError> {
        let entry = scanner.entry(place.position(), seq, chunk.nonce).and_then(|header| match header {
            Some(header) => scanner.record(&header),
            None => Ok(None),
        });
        entry.map_err(|error| self.unavailable(&error))?.ok_or_else(|| self.corrupt(seq, chunk, "record", place))
    }

    /// Bytes `range` of the body of entry `seq`. A body read whole is checked.
    pub(crate) fn read_body(&self, seq: Seq, range: Range<u64>) -> Result<Bytes, ReadError> {
        let found = self.find(seq).map_err(|error| self.unavailable(&error))?;
        let (chunk, place) = found.ok_or(ReadError::NotFound { seq })?;
        let (body_bytes, crc) = place.body().ok_or(ReadError::NotFound { seq })?;
        if range.start > range.end || range.end > body_bytes {
            let detail = format!("bytes {range:?} of a body of {body_bytes}");
            return Err(ReadError::Corrupt { seq, detail: detail.into() });
        }
        let bytes = self
            .read_range(&chunk, place.body_position() + range.start..place.body_position() + range.end)
            .map_err(|error| self.unavailable(&error))?
            .ok_or_else(|| self.corrupt(seq, &chunk, "body (the file is too short)", place))?;
        if bytes.len() as u64 == body_bytes && checksum::of(&bytes) != crc {
            return Err(self.corrupt(seq, &chunk, "body", place));
        }
        Ok(bytes)
    }

    /// Where bytes `range` of the body of entry `seq` stand, if that is known without reading. A body read whole is left
    /// to [`Catalogue::read_body`], which checks it.
    pub(crate) fn part_of_body(&self, seq: Seq, range: &Range<u64>) -> Option<(Arc<OpenChunk>, Range<u64>)> {
        let chunk = self.shelf.lock().chunks.range(..=seq).next_back()?.1.upgrade()?;
        let place = chunk.place(seq)?;
        let (body_bytes, _) = place.body()?;
        let is_part = range.start <= range.end && range.end <= body_bytes && range.end - range.start < body_bytes;
        let start = place.body_position();
        is_part.then(|| (chunk, start + range.start..start + range.end))
    }

    /// A range of a chunk's file; `None` if the file ends before. Read in whole blocks, not copied.
    pub(crate) fn read_range(&self, chunk: &OpenChunk, range: Range<u64>) -> io::Result<Option<Bytes>> {
        let skip = (range.start % BLOCK_BYTES as u64) as usize;
        let wanted = (range.end - range.start) as usize;
        let mut buffer = self.buffers.take((skip + wanted).next_multiple_of(BLOCK_BYTES));
        read_blocks(&chunk.file, &mut buffer, range.start - skip as u64, skip + wanted)?;
        Ok((buffer.len() >= skip + wanted).then(|| Bytes::from_owner(buffer).slice(skip..skip + wanted)))
    }

    fn corrupt(&self, seq: Seq, chunk: &OpenChunk, what: &str, place: Place) -> ReadError {
        let path = chunk_path(&self.dir, chunk.first);
        let detail = format!("{what} does not fit its checksum, {} at {}", path.display(), place.position());
        ReadError::Corrupt { seq, detail: detail.into() }
    }

    fn unavailable(&self, error: &io::Error) -> ReadError {
        ReadError::Unavailable { cause: format!("read in {}: {error}", self.dir.display()).into() }
    }

    /// Removes chunks that lie below `below` and hold no live body; keeps up to `spares_max` of their files to recycle.
    pub(crate) fn trim(&self, below: Seq, live: &LiveBodies, spares_max: usize) -> io::Result<()> {
        let dead = self.shelf.lock().take_dead(below, live);
        dead.into_iter().map(|(first, open)| self.remove(first, &open, spares_max)).fold(Ok(()), Result::and)
    }

    fn remove(&self, first: Seq, open: &Weak<OpenChunk>, spares_max: usize) -> io::Result<()> {
        let path = chunk_path(&self.dir, first);
        // Nobody new can come to a chunk that is off the shelf: who is just opening it will notice that.
        if open.strong_count() > 0 || self.shelf.lock().spares.len() >= spares_max {
            return fs::remove_file(&path);
        }
        let spare = path.with_extension("spare");
        fs::rename(&path, &spare)?;
        self.shelf.lock().spares.push(spare);
        Ok(())
    }

    /// Gives the disk space of spare files back.
    pub(crate) fn drop_spares(&self) -> io::Result<()> {
        let spares = std::mem::take(&mut self.shelf.lock().spares);
        spares.iter().try_for_each(fs::remove_file)
    }
}

impl Shelf {
    fn touch(&mut self, chunk: Arc<OpenChunk>) {
        self.used.retain(|used| used.first != chunk.first);
        self.used.push_back(chunk);
        self.close_unused();
    }

    /// Keeps a chunk open, unless it was trimmed meanwhile.
    fn keep(&mut self, chunk: OpenChunk) -> Option<Arc<OpenChunk>> {
        let slot = self.chunks.get_mut(&chunk.first)?;
        // Another reader may have been faster.
        let chunk = slot.upgrade().unwrap_or_else(|| Arc::new(chunk));
        *slot = Arc::downgrade(&chunk);
        self.touch(chunk.clone());
        Some(chunk)
    }

    fn close_unused(&mut self) {
        let newest = self.chunks.keys().next_back().copied();
        while self.used.len() > OPEN_CHUNKS_MAX || self.open_places() > OPEN_PLACES_MAX {
            let Some(index) = self.used.iter().position(|chunk| Some(chunk.first) != newest) else { break };
            self.used.remove(index);
        }
    }

    fn open_places(&self) -> usize {
        self.used.iter().map(|chunk| chunk.places.lock().len()).sum()
    }

    fn take_dead(&mut self, below: Seq, live: &LiveBodies) -> Vec<(Seq, Weak<OpenChunk>)> {
        let firsts: Vec<Seq> = self.chunks.keys().copied().collect();
        let dead = firsts.windows(2).filter(|pair| pair[1] <= below && !live.any_in(pair[0]..pair[1]));
        let dead: Vec<Seq> = dead.map(|pair| pair[0]).collect();
        self.used.retain(|used| !dead.contains(&used.first));
        dead.into_iter().filter_map(|first| Some((first, self.chunks.remove(&first)?))).collect()
    }
}
