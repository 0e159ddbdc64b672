//! Memory by bytes: own segments whole, loaded ranges one extent each.
//!
//! A block holds batches whose headers carry their offsets already, and marks: places of batches about every 16 KiB, so
//! that finding an offset costs a short walk over headers and not one over 8 MiB. Least recently used goes first; the
//! budget counts what a block takes, not what it holds.

use crate::arrivals::Arrival;
use crate::metrics::Metrics;
use bytes::Bytes;
use frazil_base::AlignedBuffer;
use frazil_meta::state::{BodyId, ControlMarker, Extent};
use frazil_wire::batch::{self, BatchError, Marker};
use moka::policy::EvictionPolicy;
use parking_lot::Mutex;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Distance between marks.
const MARK_BYTES: u32 = 16 << 10;
/// moka evicts in its own time; after so many bytes it is told to.
const UPKEEP_BYTES: u64 = 1 << 20;

/// Offsets and positions of some batches of a body, ascending by position.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Vec<Mark>);

#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: i64,
    position: u32,
}

impl Marks {
    /// A batch stands there; remembered if the last mark is far enough away. Positions ascend.
    pub(crate) fn note(&mut self, offset: i64, position: u32) {
        if self.0.last().is_none_or(|last| position >= last.position + MARK_BYTES) {
            self.0.push(Mark { offset, position });
        }
    }

    /// Marks inside an extent.
    fn of(&self, extent: &Extent) -> &[Mark] {
        let from = self.0.partition_point(|mark| mark.position < extent.position);
        let to = self.0.partition_point(|mark| mark.position < extent.position + extent.bytes);
        &self.0[from..to]
    }

    fn memory(&self) -> usize {
        self.0.capacity() * size_of::<Mark>()
    }
}

/// Who put a block into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Our own writer.
    Written,
    /// A load, by an earlier fetch or ahead of one.
    Loaded,
}

/// Patched bytes of a body, or of one extent of it.
#[derive(Debug)]
pub(crate) struct Block {
    bytes: Bytes,
    /// Position in the body of the first byte.
    start: u32,
    marks: Marks,
    origin: Origin,
    /// Bytes of memory it takes.
    memory: u32,
}

impl Block {
    fn written(buffer: AlignedBuffer, marks: Marks) -> Block {
        let memory = (buffer.memory() + marks.memory()) as u32;
        Block { bytes: Bytes::from_owner(buffer), start: 0, marks, origin: Origin::Written, memory }
    }

    /// A marker's batch, which is never stored: the same bytes whenever it is asked for.
    pub(crate) fn marker(extent: &Extent, marker: &ControlMarker, leader_epoch: i32) -> Block {
        let ControlMarker { producer_id, epoch: producer_epoch, commit } = *marker;
        let marker = Marker { producer_id, producer_epoch, commit };
        let bytes = marker.build(extent.base_offset, leader_epoch, extent.max_timestamp);
        let memory = bytes.len() as u32;
        Block { bytes, start: extent.position, marks: Marks::default(), origin: Origin::Written, memory }
    }

    /// An extent's bytes as they stand in the body: checks that they are its batches and writes the offsets in.
    pub(crate) fn load(extent: &Extent, mut buffer: AlignedBuffer, leader_epoch: i32) -> Result<Block, BlockError> {
        let bytes = buffer.as_mut_slice();
        let (mut position, mut offset) = (0, extent.base_offset);
        let mut marks = Marks::default();
        while position < bytes.len() {
            let span = batch::span_at(bytes, position)?;
            batch::check_stored(&bytes[position..position + span.bytes])?;
            batch::patch_place(&mut bytes[position..], offset, leader_epoch);
            marks.note(offset, extent.position + position as u32);
            position += span.bytes;
            offset += i64::from(span.offsets);
        }
        if offset != extent.end_offset() {
            return Err(BlockError::Offsets { found: offset, expected: extent.end_offset() });
        }
        let memory = (buffer.memory() + marks.memory()) as u32;
        Ok(Block { bytes: Bytes::from_owner(buffer), start: extent.position, marks, origin: Origin::Loaded, memory })
    }
}

/// Why the bytes of an extent are not its batches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BlockError {
    #[error("not whole batches")]
    Batch(#[from] BatchError),
    #[error("the batches end at offset {found} instead of {expected}")]
    Offsets { found: i64, expected: i64 },
}

/// An extent in memory.
#[derive(Clone, Debug)]
pub(crate) struct View {
    block: Arc<Block>,
    extent: Extent,
}

impl View {
    pub(crate) fn new(block: Arc<Block>, extent: Extent) -> View {
        View { block, extent }
    }

    pub(crate) fn extent(&self) -> &Extent {
        &self.extent
    }

    pub(crate) fn origin(&self) -> Origin {
        self.block.origin
    }

    /// All bytes of the extent.
    pub(crate) fn bytes(&self) -> Bytes {
        let start = (self.extent.position - self.block.start) as usize;
        self.block.bytes.slice(start..start + self.extent.bytes as usize)
    }

    fn as_slice(&self) -> &[u8] {
        let start = (self.extent.position - self.block.start) as usize;
        &self.block.bytes[start..start + self.extent.bytes as usize]
    }

    /// Where in the extent the batch that holds `offset` starts; at or before the extent's first offset: 0.
    pub(crate) fn seek(&self, offset: i64) -> usize {
        if offset <= self.extent.base_offset {
            return 0;
        }
        let marks = self.block.marks.of(&self.extent);
        let before = marks.partition_point(|mark| mark.offset <= offset).checked_sub(1).map(|index| marks[index]);
        let (mut position, mut base) = match before {
            Some(mark) => ((mark.position - self.extent.position) as usize, mark.offset),
            None => (0, self.extent.base_offset),
        };
        let bytes = self.as_slice();
        while let Ok(span) = batch::span_at(bytes, position)
            && base + i64::from(span.offsets) <= offset
        {
            position += span.bytes;
            base += i64::from(span.offsets);
        }
        position
    }

    /// Where in the extent the bytes end that lie before `offset`, which begins a batch if it lies inside.
    pub(crate) fn visible_before(&self, offset: i64) -> usize {
        if offset >= self.extent.end_offset() { self.extent.bytes as usize } else { self.seek(offset) }
    }

    /// The offset of the batch that starts at `position`; at the end, the offset after the extent.
    pub(crate) fn offset_at(&self, position: usize) -> i64 {
        let bytes = self.as_slice();
        if position >= bytes.len() {
            return self.extent.end_offset();
        }
        let marks = self.block.marks.of(&self.extent);
        let in_body = self.extent.position as usize + position;
        let before = marks.partition_point(|mark| mark.position as usize <= in_body).checked_sub(1);
        let (mut at, mut offset) = match before {
            Some(index) => ((marks[index].position - self.extent.position) as usize, marks[index].offset),
            None => (0, self.extent.base_offset),
        };
        while at < position
            && let Ok(span) = batch::span_at(bytes, at)
        {
            at += span.bytes;
            offset += i64::from(span.offsets);
        }
        offset
    }

    /// The end of the last batch from `start` on that ends within `limit` bytes; with `one_at_least` the first batch
    /// counts whatever its size.
    pub(crate) fn end_within(&self, start: usize, limit: usize, one_at_least: bool) -> usize {
        let bytes = self.as_slice();
        if bytes.len() - start <= limit {
            return bytes.len();
        }
        let marks = self.block.marks.of(&self.extent);
        let last_start = self.extent.position as usize + start + limit;
        let mark = marks.partition_point(|mark| mark.position as usize <= last_start).checked_sub(1);
        let marked = mark.map_or(0, |index| (marks[index].position - self.extent.position) as usize);
        let mut end = marked.max(start);
        while let Ok(span) = batch::span_at(bytes, end)
            && end + span.bytes - start <= limit
        {
            end += span.bytes;
        }
        match batch::span_at(bytes, start) {
            Ok(first) if end == start && one_at_least => start + first.bytes,
            _ => end,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place {
    Whole(BodyId),
    Extent(BodyId, u32),
}

/// Deterministic: which block goes must not depend on a random seed.
type Hasher = BuildHasherDefault<DefaultHasher>;

/// What the cache holds in a place: the block, until it is evicted. moka unlinks an evicted value at once but frees it only
/// when its epochs have moved on, many values later; at half a MiB each that was more than the cache itself.
#[derive(Debug)]
struct Slot(Mutex<Option<Arc<Block>>>);

impl Slot {
    fn new(block: Arc<Block>) -> Arc<Slot> {
        Arc::new(Slot(Mutex::new(Some(block))))
    }

    /// `None`: just evicted.
    fn block(&self) -> Option<Arc<Block>> {
        self.0.lock().clone()
    }

    fn memory(&self) -> u32 {
        self.0.lock().as_ref().map_or(0, |block| block.memory)
    }

    fn clear(&self) {
        let block = self.0.lock().take();
        drop(block);
    }
}

/// The memory cache.
#[derive(Debug)]
pub(crate) struct Cache {
    blocks: moka::future::Cache<Place, Arc<Slot>, Hasher>,
    since_upkeep: AtomicU64,
    metrics: Arc<Metrics>,
}

impl Cache {
    pub(crate) fn new(bytes_max: u64, metrics: Arc<Metrics>) -> Cache {
        let blocks = moka::future::Cache::builder()
            .max_capacity(bytes_max)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, slot: &Arc<Slot>| slot.memory())
            .eviction_listener(|_, slot, _| slot.clear())
            .build_with_hasher(Hasher::default());
        Cache { blocks, since_upkeep: AtomicU64::new(0), metrics }
    }

    /// An own segment, patched: readers who wait for it go on.
    pub(crate) async fn publish(&self, arrival: Arrival, buffer: AlignedBuffer, marks: Marks) {
        self.insert(Place::Whole(arrival.body()), Arc::new(Block::written(buffer, marks))).await;
        drop(arrival);
    }

    /// A loaded extent.
    pub(crate) async fn keep(&self, extent: &Extent, block: Arc<Block>) {
        self.insert(Place::Extent(extent.body, extent.position), block).await;
    }

    pub(crate) async fn find(&self, extent: &Extent) -> Option<View> {
        let block = match self.block(Place::Whole(extent.body)).await {
            Some(block) => Some(block),
            None => self.block(Place::Extent(extent.body, extent.position)).await,
        };
        block.map(|block| View::new(block, *extent))
    }

    async fn block(&self, place: Place) -> Option<Arc<Block>> {
        self.blocks.get(&place).await?.block()
    }

    pub(crate) fn contains(&self, extent: &Extent) -> bool {
        self.blocks.contains_key(&Place::Whole(extent.body))
            || self.blocks.contains_key(&Place::Extent(extent.body, extent.position))
    }

    async fn insert(&self, place: Place, block: Arc<Block>) {
        let memory = u64::from(block.memory);
        self.blocks.insert(place, Slot::new(block)).await;
        if self.since_upkeep.fetch_add(memory, Ordering::Relaxed) + memory >= UPKEEP_BYTES {
            self.since_upkeep.store(0, Ordering::Relaxed);
            self.blocks.run_pending_tasks().await;
            self.metrics.cache_bytes.set(self.blocks.weighted_size() as i64);
        }
    }
}

#[cfg(test)]
mod tests;
