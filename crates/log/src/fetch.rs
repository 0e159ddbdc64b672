//! A fetch: planned from the local state, read from memory or the store, cut to whole batches.
//!
//! Sizes follow KIP-74: partitions in the order of the request, whole batches, and the first partition that has
//! anything gives at least one batch however small the limits are. A fetch from inside a batch gets the whole batch.
//! With too little to answer the fetch waits until something is committed to one of its partitions, by whichever broker.
//!
//! A reader of committed data sees nothing from the first open transaction on (the last stable offset), and is told which
//! transactions to leave out below it. Both come from the same look at the state as the extents.

use crate::metrics::Metrics;
use crate::polls::Poll;
use crate::reader::{Found, Reader, Source};
use crate::replica::Replica;
use bytes::Bytes;
use frazil_base::TopicPartition;
use frazil_meta::ReadError;
use frazil_meta::state::{AbortedTransaction as Aborted, Extent, Partition, State};
use frazil_store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Longer waits are cut to this.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// Extents that one fetch takes of one partition; beyond it, a further fetch.
const EXTENTS_MAX: usize = 1024;
/// Extents that are read ahead for one fetch, however small they are.
const EXTENTS_AHEAD_MAX: usize = 512;

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct FetchPlan {
    /// How long to wait for `min_bytes`; zero answers at once.
    pub max_wait: Duration,
    /// Answer as soon as so many bytes are there.
    pub min_bytes: usize,
    /// No more than this in all, but for the first batch.
    pub max_bytes: usize,
    /// Whether records of open and aborted transactions may be seen.
    pub isolation: Isolation,
    /// From where, in the order of preference.
    pub partitions: Vec<FetchPartition>,
}

/// What a reader may see of transactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everything.
    #[default]
    ReadUncommitted,
    /// What lies before the first open transaction, with a list of what was aborted in it.
    ReadCommitted,
}

impl Isolation {
    /// The offset that a reader gets up to, the first one it does not see.
    pub fn end_of(self, partition: &Partition) -> i64 {
        match self {
            Isolation::ReadUncommitted => partition.next_offset,
            Isolation::ReadCommitted => partition.last_stable_offset(),
        }
    }
}

/// A partition of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct FetchPartition {
    /// Which.
    pub partition: TopicPartition,
    /// From this offset on.
    pub offset: i64,
    /// No more than this, but for the first batch of the first partition.
    pub max_bytes: usize,
}

/// What a partition of a fetch got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// Which.
    pub partition: TopicPartition,
    /// Whether it could be served.
    pub result: Result<(), FetchError>,
    /// The offset that the next record gets; -1 for an unknown partition.
    pub high_watermark: i64,
    /// The offset of the first record of an open transaction, or `high_watermark`; -1 for an unknown partition.
    pub last_stable_offset: i64,
    /// The first readable offset; -1 for an unknown partition.
    pub log_start: i64,
    /// For readers of committed data: the aborted transactions with records or markers in `slices`, by first offset.
    pub aborted: Vec<AbortedTransaction>,
    /// Whole batches in order of offset, ready for the client: offsets and leader epoch are in their headers.
    pub slices: Vec<Bytes>,
}

/// A transaction whose records a reader of committed data has to leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// Its first offset in the partition.
    pub first_offset: i64,
}

/// Why a partition could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The offset lies below the log start or beyond the end.
    #[error("the offset is out of range")]
    OffsetOutOfRange,
    /// There is no such partition.
    #[error("the partition does not exist")]
    UnknownPartition,
    /// The bytes cannot be read now, or are not what they should be.
    #[error("the data cannot be read: {cause}")]
    Storage {
        /// What was seen.
        cause: Arc<str>,
    },
}

impl FetchError {
    pub(crate) fn of(error: impl Into<ReadFailure>) -> FetchError {
        FetchError::Storage { cause: error.into().0 }
    }
}

/// An engine's or a store's refusal to read, as text.
pub(crate) struct ReadFailure(Arc<str>);

impl From<ReadError> for ReadFailure {
    fn from(error: ReadError) -> ReadFailure {
        ReadFailure(error.to_string().into())
    }
}

impl From<StoreError> for ReadFailure {
    fn from(error: StoreError) -> ReadFailure {
        ReadFailure(error.to_string().into())
    }
}

/// Serves fetches. One per broker.
#[derive(Debug)]
pub(crate) struct Fetcher {
    pub(crate) replica: Arc<Replica>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) read_ahead_bytes: usize,
}

/// What the state says to a request.
struct Plan {
    partitions: Vec<Planned>,
    /// About how much there is to answer.
    bytes: usize,
    has_error: bool,
}

struct Planned {
    wanted: FetchPartition,
    answer: FetchedPartition,
    extents: Vec<Extent>,
    /// The first offset that the reader must not see.
    end: i64,
}

impl Fetcher {
    pub(crate) async fn fetch(&self, request: FetchPlan) -> Vec<FetchedPartition> {
        let deadline = Instant::now() + request.max_wait.min(WAIT_MAX);
        let mut poll: Option<Waiting<'_>> = None;
        loop {
            let plan = plan(&self.replica.state(), &request);
            if plan.answers(&request) || Instant::now() >= deadline {
                drop(poll);
                return self.collect(plan, &request).await;
            }
            match &poll {
                // Enrolled first, planned again after: nothing committed in between is missed.
                None => poll = Some(self.wait_for(&request)),
                Some(waiting) => tokio::select! {
                    biased;
                    () = waiting.poll.changed() => {}
                    () = tokio::time::sleep_until(deadline) => {}
                },
            }
        }
    }

    fn wait_for(&self, request: &FetchPlan) -> Waiting<'_> {
        let partitions = request.partitions.iter().map(|wanted| wanted.partition).collect();
        self.metrics.long_polls.inc();
        Waiting { poll: self.replica.polls().enrol(partitions), metrics: &self.metrics }
    }

    async fn collect(&self, plan: Plan, request: &FetchPlan) -> Vec<FetchedPartition> {
        let extents: Vec<Extent> = plan.partitions.iter().flat_map(|planned| &planned.extents).copied().collect();
        let mut found = self.reader.read(&extents).await.into_iter();
        let mut budget = Budget { rest: request.max_bytes, is_first: true };
        let mut answers = Vec::with_capacity(plan.partitions.len());
        let mut behind = Vec::new();
        for Planned { wanted, mut answer, extents, end } in plan.partitions {
            let found: Vec<_> = found.by_ref().take(extents.len()).collect();
            let is_loaded = |found: &Result<Found, _>| matches!(found, Ok(found) if found.source != Source::Tail);
            if found.iter().any(is_loaded) {
                behind.extend(extents.last().map(|last| (wanted.partition, last.end_offset())));
            }
            let returned_end = self.fill(&wanted, end, &mut answer, found, &mut budget);
            answer.aborted.retain(|aborted| aborted.first_offset < returned_end);
            answers.push(answer);
        }
        self.read_ahead(&behind);
        answers
    }

    /// Cuts a partition's extents to what its limits allow. Returns the offset after the last batch taken.
    fn fill(
        &self,
        wanted: &FetchPartition,
        end_offset: i64,
        answer: &mut FetchedPartition,
        found: Vec<Result<Found, FetchError>>,
        budget: &mut Budget,
    ) -> i64 {
        let mut rest = wanted.max_bytes.min(budget.rest);
        let mut returned_end = wanted.offset;
        for found in found {
            let Found { view, source } = match found {
                Ok(found) => found,
                Err(error) if answer.slices.is_empty() => {
                    answer.result = Err(error);
                    return returned_end;
                }
                // What came before it is worth sending; the next fetch meets the error again.
                Err(_) => return returned_end,
            };
            let start = view.seek(wanted.offset);
            let visible = view.visible_before(end_offset);
            let end = view.end_within(start, rest, budget.is_first).min(visible);
            if end > start {
                let slice = view.bytes().slice(start..end);
                self.count(source, slice.len());
                budget.take(slice.len());
                rest = rest.saturating_sub(slice.len());
                answer.slices.push(slice);
                returned_end = view.offset_at(end);
            }
            if end < view.extent().bytes as usize {
                return returned_end;
            }
        }
        returned_end
    }

    fn count(&self, source: Source, bytes: usize) {
        let counter = match source {
            Source::Tail => &self.metrics.fetched_from_tail,
            Source::Cache => &self.metrics.fetched_from_cache,
            Source::Store => &self.metrics.fetched_from_store,
        };
        counter.inc_by(bytes as u64);
    }

    /// Readers whose bytes had to be loaded will want the next ones soon.
    fn read_ahead(&self, behind: &[(TopicPartition, i64)]) {
        let Some(share) = self.read_ahead_bytes.checked_div(behind.len()) else { return };
        let count = EXTENTS_AHEAD_MAX.div_ceil(behind.len());
        let mut extents = Vec::new();
        for (partition, offset) in behind {
            if let Some(partition) = self.replica.state().partition(*partition) {
                extents.extend(partition.extents_from(*offset).take(count).scan(share as u64, within).copied());
            }
        }
        self.reader.prefetch(&extents);
    }
}

/// Lets extents pass until their bytes exceed what is left.
fn within<'a>(rest: &mut u64, extent: &'a Extent) -> Option<&'a Extent> {
    let passes = *rest > 0;
    *rest = rest.saturating_sub(u64::from(extent.bytes));
    passes.then_some(extent)
}

/// A long poll that counts itself.
struct Waiting<'a> {
    poll: Poll,
    metrics: &'a Metrics,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.metrics.long_polls.dec();
    }
}

/// What a response may still take.
struct Budget {
    rest: usize,
    /// Nothing is in it yet: the next batch goes in whatever its size.
    is_first: bool,
}

impl Budget {
    fn take(&mut self, bytes: usize) {
        self.rest = self.rest.saturating_sub(bytes);
        self.is_first = false;
    }
}

impl Plan {
    /// Whether there is no reason to wait.
    fn answers(&self, request: &FetchPlan) -> bool {
        self.has_error || self.bytes >= request.min_bytes || request.max_wait.is_zero()
    }
}

fn plan(state: &State, request: &FetchPlan) -> Plan {
    let mut plan = Plan { partitions: Vec::with_capacity(request.partitions.len()), bytes: 0, has_error: false };
    for wanted in &request.partitions {
        let rest = request.max_bytes.saturating_sub(plan.bytes);
        let mut planned = Planned { wanted: *wanted, answer: unknown(wanted.partition), extents: Vec::new(), end: -1 };
        if let Some(partition) = state.partition(wanted.partition) {
            planned.look_up(partition, request.isolation);
        }
        match &planned.answer.result {
            Err(_) => plan.has_error = true,
            Ok(()) => {
                let partition = state.partition(wanted.partition).expect("looked up above");
                let limit = wanted.max_bytes.min(rest);
                plan.bytes += planned.choose(partition, limit, plan.bytes == 0);
                if request.isolation == Isolation::ReadCommitted {
                    planned.list_aborted(partition);
                }
            }
        }
        plan.partitions.push(planned);
    }
    plan
}

fn unknown(partition: TopicPartition) -> FetchedPartition {
    let result = Err(FetchError::UnknownPartition);
    FetchedPartition {
        partition,
        result,
        high_watermark: -1,
        last_stable_offset: -1,
        log_start: -1,
        aborted: Vec::new(),
        slices: Vec::new(),
    }
}

impl Planned {
    fn look_up(&mut self, partition: &Partition, isolation: Isolation) {
        self.end = isolation.end_of(partition);
        self.answer.high_watermark = partition.next_offset;
        self.answer.last_stable_offset = partition.last_stable_offset();
        self.answer.log_start = partition.log_start;
        let is_readable = (partition.log_start..=partition.next_offset).contains(&self.wanted.offset);
        self.answer.result = if is_readable { Ok(()) } else { Err(FetchError::OffsetOutOfRange) };
    }

    /// Takes extents up to about `limit` bytes. Returns how many of these bytes will be sent, about.
    fn choose(&mut self, partition: &Partition, limit: usize, is_first: bool) -> usize {
        if limit == 0 && !is_first {
            return 0;
        }
        let mut bytes = 0;
        let visible = partition.extents_from(self.wanted.offset).take_while(|extent| extent.base_offset < self.end);
        for extent in visible.take(EXTENTS_MAX) {
            bytes += bytes_between(extent, self.wanted.offset, self.end);
            self.extents.push(*extent);
            if bytes >= limit {
                break;
            }
        }
        if is_first { bytes.min(limit.max(1)) } else { bytes.min(limit) }
    }

    /// The aborted transactions that the chosen extents may hold something of. A later fetch starts behind these.
    fn list_aborted(&mut self, partition: &Partition) {
        let Some(last) = self.extents.last() else { return };
        let range = self.wanted.offset..last.end_offset().min(self.end);
        let of = |aborted: Aborted| AbortedTransaction {
            producer_id: aborted.producer_id,
            first_offset: aborted.first_offset,
        };
        self.answer.aborted = partition.aborted_in(range).into_iter().map(of).collect();
        self.answer.aborted.sort_unstable_by_key(|aborted| (aborted.first_offset, aborted.producer_id));
    }
}

/// About how many bytes of an extent lie at or behind `offset` and before `end`, taking its records as equally long; at
/// least 1, but 0 where there is none.
fn bytes_between(extent: &Extent, offset: i64, end: i64) -> usize {
    let (from, to) = (offset.max(extent.base_offset), end.min(extent.end_offset()));
    let Some(between) = u64::try_from(to - from).ok().filter(|between| *between > 0) else { return 0 };
    let share = u64::from(extent.bytes) * between / u64::from(extent.records).max(1);
    share.max(1) as usize
}
