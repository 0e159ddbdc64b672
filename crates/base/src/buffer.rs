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

/// Keeps up to a number of freed buffers of one capacity.
pub struct BufferPool {
    capacity: usize,
    keep: usize,
    free: Mutex<Vec<(Vec<u8>, usize)>>,
}

impl BufferPool {
    /// A pool of buffers of `capacity` bytes that keeps at most `keep` free ones.
    pub fn new(capacity: usize, keep: usize) -> Arc<BufferPool> {
        Arc::new(BufferPool { capacity, keep, free: Mutex::new(Vec::new()) })
    }

    /// An empty buffer that can take at least `capacity` bytes; one larger than the pool's is made for the occasion.
    pub fn take(self: &Arc<Self>, capacity: usize) -> AlignedBuffer {
        if capacity > self.capacity {
            return AlignedBuffer::with_capacity(capacity);
        }
        let mut buffer = match self.free.lock().pop() {
            Some((memory, start)) => AlignedBuffer { memory, start, len: 0, pool: Weak::new() },
            None => AlignedBuffer::with_capacity(self.capacity),
        };
        buffer.pool = Arc::downgrade(self);
        buffer
    }

    fn give_back(&self, memory: Vec<u8>, start: usize) {
        let mut free = self.free.lock();
        if free.len() < self.keep {
            free.push((memory, start));
        }
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({} bytes each, {} free)", self.capacity, self.free.lock().len())
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
        let pool = BufferPool::new(BLOCK_BYTES, 1);
        let first = pool.take(10);
        let address = first.as_ref().as_ptr();
        drop(first);
        assert_eq!(pool.take(10).as_ref().as_ptr(), address);
    }
}
