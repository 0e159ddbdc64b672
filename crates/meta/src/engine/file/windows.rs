//! Small reads that stand next to each other share one large read.
//!
//! Entries hold what all partitions got at one time, so whoever catches up on several partitions reads neighbouring parts
//! of the journal at about the same time. Such a part is read with a whole window of a chunk around it, once for all who
//! come, into memory that is used over and over. That pays if most of the window is wanted; a reader of one partition
//! among many wants little of it. So it is noted how much of each window was taken, and when that was little, parts
//! are read by themselves for a while before windows are tried again.
//!
//! A window never reaches beyond the durable end of its chunk: what is not written yet is not remembered as read.

use super::catalogue::OpenChunk;
use bytes::Bytes;
use frazil_base::Seq;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::OnceCell;

/// Length of a window.
const WINDOW_BYTES: u64 = 1 << 20;
/// Windows held; with that, memory for reading is bounded.
const WINDOWS_HELD: usize = 16;
/// Parts that are longer are read by themselves: they are large enough.
const PART_BYTES_MAX: u64 = WINDOW_BYTES / 2;
/// Windows of which less was taken are not worth it.
const WORTH_BYTES: u64 = WINDOW_BYTES / 4;
/// After a window that was not worth it so many parts are read by themselves.
const PARTS_BETWEEN: u32 = 256;
/// The windows of one journal.
#[derive(Debug, Default)]
pub(crate) struct Windows(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// The one used longest ago in front.
    windows: VecDeque<Arc<Window>>,
    /// Parts still to be read by themselves.
    parts_to_go: u32,
}

/// A part of a chunk from a multiple of `WINDOW_BYTES` on.
#[derive(Debug)]
pub(crate) struct Window {
    chunk: Seq,
    index: u64,
    /// Read by the first who comes; the others wait for it.
    pub bytes: OnceCell<Bytes>,
    /// Bytes that readers took from it.
    taken: AtomicU64,
}

impl Windows {
    /// The window in which the range of the chunk's file should be looked for. `None`: it is read by itself.
    pub(crate) fn of(&self, chunk: &OpenChunk, range: &Range<u64>) -> Option<Arc<Window>> {
        let index = range.start / WINDOW_BYTES;
        let end = (index + 1) * WINDOW_BYTES;
        let is_part = range.end <= end && range.end - range.start <= PART_BYTES_MAX;
        if is_part && end <= chunk.durable_end() { self.0.lock().find_or_open(chunk.first, index) } else { None }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.0.lock().windows.clear();
    }
}

impl Window {
    /// Its place in the chunk's file.
    pub(crate) fn range(&self) -> Range<u64> {
        self.index * WINDOW_BYTES..(self.index + 1) * WINDOW_BYTES
    }

    /// A part of its bytes, by the place in the file.
    pub(crate) fn take(&self, bytes: &Bytes, range: &Range<u64>) -> Bytes {
        self.taken.fetch_add(range.end - range.start, Ordering::Relaxed);
        let start = (range.start - self.range().start) as usize;
        bytes.slice(start..start + (range.end - range.start) as usize)
    }
}

impl Held {
    fn find(&mut self, chunk: Seq, index: u64) -> Option<Arc<Window>> {
        let at = self.windows.iter().position(|window| (window.chunk, window.index) == (chunk, index))?;
        let window = self.windows.remove(at)?;
        self.windows.push_back(window.clone());
        Some(window)
    }

    /// The window, to be read if it is new. `None`: windows are not worth it now.
    fn find_or_open(&mut self, chunk: Seq, index: u64) -> Option<Arc<Window>> {
        if let Some(window) = self.find(chunk, index) {
            return Some(window);
        }
        if self.parts_to_go > 0 {
            self.parts_to_go -= 1;
            return None;
        }
        if self.windows.len() == WINDOWS_HELD {
            let oldest = self.windows.pop_front()?;
            if oldest.taken.load(Ordering::Relaxed) < WORTH_BYTES {
                self.parts_to_go = PARTS_BETWEEN;
            }
        }
        let window = Arc::new(Window { chunk, index, bytes: OnceCell::new(), taken: AtomicU64::new(0) });
        self.windows.push_back(window.clone());
        Some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::file::scan::Place;
    use crate::engine::file::{EntryHeader, format};
    use std::fs::File;

    /// A chunk of one durable entry that ends at `durable_end`.
    fn chunk(durable_end: u64) -> OpenChunk {
        let body_bytes = durable_end - format::padded(format::ENTRY_HEADER_BYTES as u64);
        let header = EntryHeader {
            seq: Seq(1),
            nonce: 0,
            position: 0,
            durable: Seq(0),
            record_bytes: 0,
            record_crc: 0,
            body: Some((body_bytes, 0)),
        };
        OpenChunk::new(Seq(1), 0, File::open("/dev/null").expect("open"), vec![Place::of(&header)])
    }

    #[test]
    fn neighbours_share_a_window_and_get_their_own_bytes() {
        let (windows, chunk) = (Windows::default(), chunk(40 * WINDOW_BYTES));
        let first = windows.of(&chunk, &(WINDOW_BYTES + 5..WINDOW_BYTES + 70_000)).expect("a window");
        let second = windows.of(&chunk, &(2 * WINDOW_BYTES - 10..2 * WINDOW_BYTES)).expect("a window");
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(first.range(), WINDOW_BYTES..2 * WINDOW_BYTES);
        let bytes = Bytes::from((0..WINDOW_BYTES).map(|position| (position / 7 % 251) as u8).collect::<Vec<_>>());
        assert_eq!(first.take(&bytes, &(WINDOW_BYTES + 70..WINDOW_BYTES + 90)), bytes[70..90]);
    }

    #[test]
    fn what_is_not_durable_is_not_remembered() {
        let (windows, chunk) = (Windows::default(), chunk(WINDOW_BYTES + 8192));
        assert!(windows.of(&chunk, &(WINDOW_BYTES..WINDOW_BYTES + 100)).is_none(), "the rest may be written later");
        assert!(windows.of(&chunk, &(WINDOW_BYTES - 100..WINDOW_BYTES + 100)).is_none(), "across two");
        assert!(windows.of(&chunk, &(0..WINDOW_BYTES)).is_none(), "large enough by itself");
        assert!(windows.of(&chunk, &(0..100)).is_some());
    }

    #[test]
    fn windows_are_given_up_for_a_while_when_little_is_taken_from_them() {
        let (windows, chunk) = (Windows::default(), chunk(1000 * WINDOW_BYTES));
        let bytes = Bytes::from(vec![0; WINDOW_BYTES as usize]);
        let read = |index: u64, part: u64| {
            let range = index * WINDOW_BYTES..index * WINDOW_BYTES + part;
            windows.of(&chunk, &range).map(|window| window.take(&bytes, &range)).is_some()
        };
        assert!((0..100).all(|index| read(index, WORTH_BYTES)), "all of them were worth it");
        assert!((100..100 + WINDOWS_HELD as u64 + 1).all(|index| read(index, 100)));
        assert!((0..PARTS_BETWEEN.into()).all(|index| !read(200 + index, 100)), "the first of these was hardly used");
        assert!(read(900, 100), "tried again");
    }
}
