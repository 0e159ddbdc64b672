//! Extents to bytes: from memory, from the writer's hands, or with one read for everybody who asks.
//!
//! A range of a body is read once however many fetches want it (single flight), and neighbouring extents of one body
//! are read together. A load is a task of its own: a client that goes away does not take it from the others. Catch-up
//! readers are read ahead of, within a budget.

use crate::cache::{Block, Cache, Origin, View};
use crate::fetch::FetchError;
use crate::layout::segment_key;
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::segment::LEADER_EPOCH;
use bytes::Bytes;
use frazil_base::{BufferPool, Signal};
use frazil_meta::CommitLog;
use frazil_meta::state::{BodyId, Extent};
use frazil_store::ObjectStorage;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Extents of one body that are no further apart are read together.
const GAP_BYTES: u32 = 64 << 10;
/// Bytes of reads under way at once; a larger read goes alone.
const LOAD_BYTES_MAX: u32 = 32 << 20;

type Loaded = Result<Arc<Block>, FetchError>;
type Place = (BodyId, u32);

/// One per broker; cheap to share.
#[derive(Debug)]
pub(crate) struct Reader {
    engine: Arc<dyn CommitLog>,
    store: Arc<dyn ObjectStorage>,
    replica: Arc<Replica>,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    buffers: Arc<BufferPool>,
    flights: Mutex<BTreeMap<Place, Arc<Load>>>,
    loads: Semaphore,
}

/// An extent in memory, and where a fetch found it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) view: View,
    pub(crate) source: Source,
}

/// Where a fetch found its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// In a segment that this broker wrote.
    Tail,
    /// In memory, loaded before.
    Cache,
    /// It had to be loaded.
    Store,
}

/// A load under way; shows its result in the end.
type Load = Signal<Option<Loaded>>;

/// An extent to load, and everybody who will want to know.
struct Order {
    extent: Extent,
    result: Arc<Load>,
}

impl Drop for Order {
    /// Whoever waits learns that the broker stops, should the task go away with its orders unfilled.
    fn drop(&mut self) {
        self.result.update(|result| {
            let is_unfilled = result.is_none();
            result.get_or_insert_with(|| Err(FetchError::Storage { cause: "the broker is stopping".into() }));
            is_unfilled
        });
    }
}

impl Reader {
    pub(crate) fn new(
        engine: Arc<dyn CommitLog>,
        store: Arc<dyn ObjectStorage>,
        replica: Arc<Replica>,
        cache: Arc<Cache>,
        metrics: Arc<Metrics>,
        buffers: Arc<BufferPool>,
    ) -> Reader {
        let (flights, loads) = (Mutex::new(BTreeMap::new()), Semaphore::new(LOAD_BYTES_MAX as usize));
        Reader { engine, store, replica, cache, metrics, buffers, flights, loads }
    }

    /// The extents' bytes, each by itself: one that cannot be read does not spoil the others.
    pub(crate) async fn read(self: &Arc<Self>, extents: &[Extent]) -> Vec<Result<Found, FetchError>> {
        let mut found = Vec::with_capacity(extents.len());
        for extent in extents {
            found.push(self.in_memory(extent).await);
        }
        let missing = |(extent, found): (&Extent, &Option<Found>)| found.is_none().then_some(*extent);
        let missing: Vec<Extent> = extents.iter().zip(&found).filter_map(missing).collect();
        self.metrics.cache_hits.inc_by((extents.len() - missing.len()) as u64);
        self.metrics.cache_misses.inc_by(missing.len() as u64);
        let mut loads = self.load(&missing).into_iter();
        let mut results = Vec::with_capacity(extents.len());
        for (extent, found) in extents.iter().zip(found) {
            results.push(match found {
                Some(found) => Ok(found),
                None => {
                    let load = loads.next().expect("one load per missing extent");
                    let block = outcome(load).await;
                    block.map(|block| Found { view: View::new(block, *extent), source: Source::Store })
                }
            });
        }
        results
    }

    /// Starts loading what is neither in memory nor under way.
    pub(crate) fn prefetch(self: &Arc<Self>, extents: &[Extent]) {
        let is_missing = |extent: &&Extent| !is_marker(extent) && !self.cache.contains(extent);
        let missing: Vec<Extent> = extents.iter().filter(is_missing).copied().collect();
        self.load(&missing);
    }

    async fn in_memory(&self, extent: &Extent) -> Option<Found> {
        if let BodyId::Marker(marker) = &extent.body {
            let block = Arc::new(Block::marker(extent, marker, LEADER_EPOCH));
            return Some(Found { view: View::new(block, *extent), source: Source::Tail });
        }
        let view = match self.cache.find(extent).await {
            Some(view) => view,
            None if self.replica.arrivals().settled(extent.body).await => self.cache.find(extent).await?,
            None => return None,
        };
        let source = if view.origin() == Origin::Written { Source::Tail } else { Source::Cache };
        Some(Found { view, source })
    }

    /// Joins the loads under way for these extents, or starts them. One receiver per extent.
    fn load(self: &Arc<Self>, extents: &[Extent]) -> Vec<Arc<Load>> {
        let mut orders = Vec::new();
        let mut receivers = Vec::with_capacity(extents.len());
        let mut flights = self.flights.lock();
        for extent in extents {
            let receiver = flights.entry((extent.body, extent.position)).or_insert_with(|| {
                let result = Arc::new(Signal::new(None));
                orders.push(Order { extent: *extent, result: result.clone() });
                result
            });
            receivers.push(receiver.clone());
        }
        drop(flights);
        for orders in coalesce(orders) {
            let reader = self.clone();
            tokio::spawn(async move { reader.fill(orders).await });
        }
        receivers
    }

    /// One read for neighbouring extents of one body.
    async fn fill(&self, orders: Vec<Order>) {
        let (first, last) = (&orders[0].extent, &orders[orders.len() - 1].extent);
        let range = u64::from(first.position)..u64::from(last.position) + u64::from(last.bytes);
        let start = first.position;
        let permits = LOAD_BYTES_MAX.min((range.end - range.start) as u32);
        let _permit = self.loads.acquire_many(permits).await.expect("never closed");
        let bytes = self.fetch_range(first.body, range).await;
        for Order { extent, result } in &orders {
            let loaded = bytes.as_ref().map_err(Clone::clone).and_then(|bytes| self.cut(extent, start, bytes));
            if let Ok(block) = &loaded {
                self.cache.keep(extent, block.clone()).await;
            }
            self.flights.lock().remove(&(extent.body, extent.position));
            result.set(Some(loaded));
        }
    }

    async fn fetch_range(&self, body: BodyId, range: Range<u64>) -> Result<Bytes, FetchError> {
        let expected = (range.end - range.start) as usize;
        let read = match body {
            BodyId::Log(seq) => self.engine.read_body(seq, range.clone()).await.map_err(FetchError::of),
            BodyId::Object(object) => {
                self.store.get(&segment_key(object), Some(range.clone())).await.map_err(FetchError::of)
            }
            BodyId::Marker(_) => Err(FetchError::Storage { cause: "a marker has no bytes to load".into() }),
        };
        let bytes = read.inspect_err(|error| tracing::warn!(?body, ?range, %error, "cannot read a segment"))?;
        self.metrics.loads.inc();
        self.metrics.loaded_bytes.inc_by(bytes.len() as u64);
        if bytes.len() == expected {
            return Ok(bytes);
        }
        tracing::error!(?body, ?range, found = bytes.len(), "a segment is shorter than the metadata says");
        Err(FetchError::Storage { cause: format!("{body:?} holds {} bytes of {range:?}", bytes.len()).into() })
    }

    /// An extent's block out of bytes that start at position `start` of the body. Copied: what was read goes back to where
    /// it came from, and the block lies in memory that was used before, which is cheaper than fresh pages.
    fn cut(&self, extent: &Extent, start: u32, bytes: &[u8]) -> Loaded {
        let from = (extent.position - start) as usize;
        let own = &bytes[from..from + extent.bytes as usize];
        let mut buffer = self.buffers.take(own.len());
        buffer.extend_from_slice(own);
        Block::load(extent, buffer, LEADER_EPOCH).map(Arc::new).map_err(|error| {
            tracing::error!(?extent, %error, "a segment does not hold what the metadata says");
            FetchError::Storage { cause: format!("corrupt extent {extent:?}: {error}").into() }
        })
    }
}

fn is_marker(extent: &Extent) -> bool {
    matches!(extent.body, BodyId::Marker(_))
}

/// Groups of neighbouring extents of one body, in order of position.
fn coalesce(mut orders: Vec<Order>) -> Vec<Vec<Order>> {
    orders.sort_by_key(|order| (order.extent.body, order.extent.position));
    let mut groups: Vec<Vec<Order>> = Vec::new();
    for order in orders {
        let is_near = |group: &&mut Vec<Order>| {
            let last = &group[group.len() - 1].extent;
            let end = last.position + last.bytes;
            last.body == order.extent.body && order.extent.position <= end + GAP_BYTES
        };
        match groups.last_mut().filter(is_near) {
            Some(group) => group.push(order),
            None => groups.push(vec![order]),
        }
    }
    groups
}

async fn outcome(load: Arc<Load>) -> Loaded {
    load.wait_for(Option::is_some).await.expect("waited for it")
}
