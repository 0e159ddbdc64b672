//! The block-aligned buffer in which a segment is built.
//!
//! One buffer lives through the whole data path: the writer copies batches into it, the journal writes it with direct
//! I/O (which wants its start on a block boundary) or the store uploads it, then its batch headers are patched with
//! the offsets that the log gave, and the cache serves fetches from it. Page-faulting 8 MiB anew for every segment
//! costs more than filling it, so freed buffers go back to a pool.

use crate::limits::BLOCK_BYTES;
use parking_lot::Mutex;
use std::fmt;
use std::sync::{Arc, Weak};

/// Bytes that start on a block boundary. Its length grows up to its capacity, never beyond.
pub struct AlignedBuffer {
    memory: Vec<u8>,
    start: usize,
    len: usize,
    pool: Weak<BufferPool>,
}

impl AlignedBuffer {
    /// An empty buffer, of no pool, that can take `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> AlignedBuffer {
        let memory = vec![0; capacity + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        assert!(start < BLOCK_BYTES, "a byte pointer can always be aligned: {start}");
        AlignedBuffer { memory, start, len: 0, pool: Weak::new() }
    }

    /// Bytes it can take in all.
    pub fn capacity(&self) -> usize {
        self.memory.len() - BLOCK_BYTES
    }

    /// Bytes of memory it takes.
    pub fn memory(&self) -> usize {
        self.memory.len()
    }

    /// Bytes it can still take.
    pub fn remaining(&self) -> usize {
        self.capacity() - self.len
    }

    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends `bytes`, which must fit.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.remaining(), "{} bytes into a rest of {}", bytes.len(), self.remaining());
        let end = self.start + self.len;
        self.memory[end..end + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends zeros until the length is a multiple of `unit`.
    pub fn pad_to(&mut self, unit: usize) {
        let padded = self.len.next_multiple_of(unit);
        assert!(padded <= self.capacity(), "padding to {padded} in a buffer of {}", self.capacity());
        let (from, to) = (self.start + self.len, self.start + padded);
        self.memory[from..to].fill(0);
        self.len = padded;
    }

    /// Forgets the content.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes the length `len`; bytes beyond the old length keep whatever the memory held. For reads into the buffer.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "length {len} in a buffer of {}", self.capacity());
        self.len = len;
    }

    /// The content.
    pub fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// The content, to patch or to read into.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuffer({} of {} bytes)", self.len, self.capacity())
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.give_back(std::mem::take(&mut self.memory), self.start);
        }
    }
}

/// Keeps freed buffers for those who come next, up to a number of bytes in all.
///
/// What a buffer takes in all, with the slack before its first block, is one of four sizes per power of two: so it is at
/// most a quarter larger than what was asked for (some stay in a cache for long), and just what mimalloc hands out: its
/// size classes are the same, and one byte more would cost another quarter.
pub struct BufferPool {
    largest: usize,
    keep_bytes: usize,
    free: Mutex<Free>,
}

/// Freed buffers by class of capacity.
#[derive(Default)]
struct Free {
    bytes: usize,
    classes: Vec<Vec<(Vec<u8>, usize)>>,
}

/// So many classes above the right one are looked at for a free buffer: it is at most half as large again.
const CLASSES_ABOVE: usize = 2;
/// Memory of the first class: a block, and the slack before it.
const LEAST_MEMORY: usize = 2 * BLOCK_BYTES;

impl BufferPool {
    /// A pool of buffers up to `largest` bytes that keeps at most `keep_bytes` of free ones.
    pub fn new(largest: usize, keep_bytes: usize) -> Arc<BufferPool> {
        Arc::new(BufferPool { largest, keep_bytes, free: Mutex::default() })
    }

    /// An empty buffer that can take at least `bytes`; one larger than the pool's is made for the occasion.
    pub fn take(self: &Arc<Self>, bytes: usize) -> AlignedBuffer {
        if bytes > self.largest {
            return AlignedBuffer::with_capacity(bytes);
        }
        let class = class_of(bytes);
        let mut buffer = match self.free.lock().take(class) {
            Some((memory, start)) => AlignedBuffer { memory, start, len: 0, pool: Weak::new() },
            None => AlignedBuffer::with_capacity(memory_of(class) - BLOCK_BYTES),
        };
        buffer.pool = Arc::downgrade(self);
        buffer
    }

    fn give_back(&self, memory: Vec<u8>, start: usize) {
        let surplus = self.free.lock().put(memory, start, self.keep_bytes);
        // Giving memory back to the system takes its time; not under the lock.
        drop(surplus);
    }
}

impl Free {
    /// A buffer of the class, or of one of the next that are not much larger: fresh memory costs more than some waste.
    fn take(&mut self, class: usize) -> Option<(Vec<u8>, usize)> {
        let end = (class + 1 + CLASSES_ABOVE).min(self.classes.len());
        let taken = self.classes.get_mut(class..end)?.iter_mut().find_map(Vec::pop)?;
        self.bytes -= taken.0.len();
        Some(taken)
    }

    /// Keeps a buffer. If that is too much, the class that takes most gives some up: what is needed now is kept, whatever
    /// was needed before.
    fn put(&mut self, memory: Vec<u8>, start: usize, keep_bytes: usize) -> Vec<Vec<u8>> {
        let class = class_of(memory.len() - BLOCK_BYTES);
        if self.classes.len() <= class {
            self.classes.resize_with(class + 1, Vec::new);
        }
        self.bytes += memory.len();
        self.classes[class].push((memory, start));
        let mut surplus = Vec::new();
        while self.bytes > keep_bytes {
            let bytes_of =
                |free: &Vec<(Vec<u8>, usize)>| free.first().map_or(0, |(memory, _)| free.len() * memory.len());
            let Some((memory, _)) = self.classes.iter_mut().max_by_key(|free| bytes_of(free)).and_then(Vec::pop) else {
                break;
            };
            self.bytes -= memory.len();
            surplus.push(memory);
        }
        surplus
    }
}

/// The class of the least memory that holds `bytes`, in whole blocks, from wherever its first block begins.
fn class_of(bytes: usize) -> usize {
    let memory = bytes.div_ceil(BLOCK_BYTES).max(1) * BLOCK_BYTES + BLOCK_BYTES;
    let doublings = (memory / LEAST_MEMORY).ilog2() as usize;
    let quarter = (LEAST_MEMORY << doublings) / 4;
    4 * doublings + (memory - 4 * quarter).div_ceil(quarter)
}

/// Bytes of memory of a class: 8, 10, 12, 14, 16, 20, 24, 28, 32 KiB and so on.
fn memory_of(class: usize) -> usize {
    (LEAST_MEMORY << (class / 4)) / 4 * (4 + class % 4)
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({} free bytes)", self.free.lock().bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_starts_on_a_block_and_pads_with_zeros() {
        let mut buffer = AlignedBuffer::with_capacity(2 * BLOCK_BYTES);
        buffer.extend_from_slice(b"abc");
        buffer.pad_to(BLOCK_BYTES);
        assert_eq!(buffer.as_slice().as_ptr() as usize % BLOCK_BYTES, 0);
        assert_eq!(buffer.len(), BLOCK_BYTES);
        assert_eq!(&buffer.as_slice()[..4], b"abc\0");
    }

    #[test]
    fn a_pool_hands_the_same_memory_out_again() {
        let pool = BufferPool::new(BLOCK_BYTES, 4 * BLOCK_BYTES);
        let first = pool.take(10);
        let address = first.as_ref().as_ptr();
        drop(first);
        assert_eq!(pool.take(10).as_ref().as_ptr(), address);
    }

    #[test]
    fn a_buffer_takes_at_most_a_quarter_more_than_what_was_asked_for() {
        for bytes in (1..200).chain((1..4000).map(|step| step * 2503)) {
            let memory = memory_of(class_of(bytes));
            let wanted = bytes.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES;
            assert!(memory >= wanted, "{memory} bytes for {wanted}");
            assert!(memory * 4 <= wanted * 5, "{memory} bytes for {wanted}");
        }
    }

    #[test]
    fn freed_memory_goes_back_to_its_class() {
        for bytes in (1..200).chain((1..4000).map(|step| step * 2503)) {
            let class = class_of(bytes);
            assert_eq!(class_of(memory_of(class) - BLOCK_BYTES), class, "{bytes} bytes");
        }
    }

    #[test]
    fn a_pool_keeps_no_more_than_it_may_and_favours_what_is_used_now() {
        let pool = BufferPool::new(1 << 20, 1 << 20);
        let large: Vec<_> = (0..4).map(|_| pool.take(400 << 10)).collect();
        drop(large);
        let small: Vec<_> = (0..100).map(|_| pool.take(30 << 10)).collect();
        drop(small);
        let free = pool.free.lock();
        assert!(free.bytes <= 1 << 20, "{} bytes", free.bytes);
        assert!(free.classes[class_of(30 << 10)].len() >= 14, "half of it at least");
        assert_eq!(free.bytes, free.classes.iter().flatten().map(|(memory, _)| memory.len()).sum::<usize>());
    }
}
