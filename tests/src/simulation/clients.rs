//! Producers and readers at the door of `frazil_log::Log`, as the Kafka server stands there.

use super::chance::Chance;
use super::history::{Event, Value};
use super::world::{Broker, World};
use bytes::Bytes;
use frazil_base::TopicPartition;
use frazil_base::limits::DECOMPRESSED_BATCH_BYTES_MAX;
use frazil_log::{AbortedTransaction, FetchPartition, FetchPlan, Isolation, NewBatch, Placed, ProduceError};
use frazil_meta::record::BatchProducer;
use frazil_wire::batch::{BatchBuilder, Batches, ProducerFields};
use frazil_wire::compression::Compression;
use frazil_wire::record::Records;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Requests that one producer has in flight, as in Kafka's clients.
const IN_FLIGHT: usize = 5;

/// After this long a client gives an attempt up and does not know its outcome.
const PATIENCE: Duration = Duration::from_secs(30);

/// A batch that waits for its acknowledgement.
#[derive(Clone, Debug)]
struct Waiting {
    first: Value,
    count: u32,
    bytes: Bytes,
    producer: Option<BatchProducer>,
    was_sent: bool,
}

/// Sends `batches` batches to one partition and ends when all were acknowledged, or, without idempotence, given up.
pub async fn produce(world: Arc<World>, number: u32, partition: i32, idempotent: bool, batches: u32, chance: Chance) {
    let id = if idempotent { Some(producer_id(&world, &chance).await) } else { None };
    let mut next = Value { producer: number, number: 0, txn: 0 };
    let mut window: VecDeque<Waiting> = VecDeque::new();
    let mut made = 0;
    while made < batches || !window.is_empty() {
        // The first batch goes alone: like Kafka, a partition that knows nothing of a producer accepts any first sequence.
        let first_is_stored = made > 1 || (made == 1 && window.is_empty());
        let in_flight = if first_is_stored { IN_FLIGHT } else { 1 };
        while window.len() < in_flight && made < batches {
            let count = chance.within(1..4) as u32;
            window.push_back(batch(&world, next, count, id));
            next.number += count;
            made += 1;
        }
        attempt(&world, partition, &mut window, idempotent, &chance).await;
        tokio::time::sleep(chance.millis(0..200)).await;
    }
}

async fn producer_id(world: &World, chance: &Chance) -> i64 {
    loop {
        let broker = world.any_broker(chance).await;
        if let Some(Ok(id)) = until_dead(&broker, broker.log.next_producer_id()).await {
            return id;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn batch(world: &World, first: Value, count: u32, id: Option<i64>) -> Waiting {
    let mut builder = BatchBuilder::new(Compression::None);
    let first_sequence = first.number as i32;
    if let Some(id) = id {
        builder = builder.producer(ProducerFields { id, epoch: 0, base_sequence: first_sequence });
    }
    for index in 0..count {
        let value = Value { number: first.number + index, ..first };
        builder.push(world.now_ms(), None, Some(&value.to_bytes()), &[]);
    }
    let producer = id.map(|id| BatchProducer { id, epoch: 0, first_sequence, transactional: None });
    Waiting { first, count, bytes: builder.build(), producer, was_sent: false }
}

/// Sends the whole window to one broker, without waiting in between, and takes out what came to an end.
async fn attempt(world: &World, partition: i32, window: &mut VecDeque<Waiting>, idempotent: bool, chance: &Chance) {
    let broker = world.any_broker(chance).await;
    let mut tickets = Vec::new();
    for waiting in window.iter_mut() {
        if !std::mem::replace(&mut waiting.was_sent, true) {
            let (first, count) = (waiting.first, waiting.count);
            world.note(Event::Sent { partition, first, count, idempotent });
        }
        let new = NewBatch {
            partition: world.partition(partition),
            bytes: waiting.bytes.clone(),
            records: waiting.count,
            max_timestamp: world.now_ms(),
            producer: waiting.producer,
        };
        match until_dead(&broker, broker.log.submit(vec![new])).await {
            Some(ticket) => tickets.push(ticket),
            None => break,
        }
    }
    let sent = tickets.len();
    let mut kept = VecDeque::new();
    for (waiting, ticket) in window.drain(..sent).zip(tickets) {
        let answer = until_dead(&broker, ticket).await.map(|mut placements| placements.remove(0));
        if !settled(world, partition, &waiting, answer) && idempotent {
            kept.push_back(waiting);
        }
    }
    kept.append(window);
    *window = kept;
    if !idempotent {
        window.retain(|waiting| !waiting.was_sent);
    }
}

/// Notes an answer; true when the batch is stored.
fn settled(world: &World, partition: i32, waiting: &Waiting, answer: Option<Result<Placed, ProduceError>>) -> bool {
    let (first, count) = (waiting.first, waiting.count);
    let cause = match answer {
        Some(Ok(placed)) => {
            world.note(Event::Acked { partition, first, count, offset: placed.base_offset });
            return true;
        }
        Some(Err(ProduceError::DuplicateForgotten)) => {
            world.note(Event::Acked { partition, first, count, offset: -1 });
            return true;
        }
        Some(Err(error)) => error.to_string(),
        None => "no answer".to_owned(),
    };
    world.note(Event::Failed { partition, first, cause });
    false
}

/// What a client gets from a broker that may die: nothing, after a while.
pub async fn until_dead<T>(broker: &Broker, answer: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = broker.link.cut() => None,
        answer = tokio::time::timeout(PATIENCE, answer) => answer.ok(),
    }
}

/// What a fetch saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Records by offset; the content is `None` when it is nothing that a run writes.
    pub records: Vec<(i64, Option<Value>)>,
    /// Offsets of markers.
    pub markers: Vec<i64>,
    /// The offset to go on from.
    pub next: i64,
}

/// Follows one partition, now and then looking at old offsets again, until the world's producers are done.
pub async fn read(world: Arc<World>, reader: u32, partition: i32, isolation: Isolation, chance: Chance) {
    let mut next = 0;
    while !world.is_finished() {
        let broker = world.any_broker(&chance).await;
        let offset = if next > 0 && chance.per_mille(200) { chance.within(0..next as u64) as i64 } else { next };
        if let Some(seen) = fetch(&broker, world.partition(partition), offset, isolation, FOLLOWING).await {
            note_read(&world, reader, partition, isolation, &seen);
            next = next.max(seen.next);
        }
        tokio::time::sleep(chance.millis(1..50)).await;
    }
}

/// How long a reader that follows waits for records.
const FOLLOWING: Duration = Duration::from_millis(500);

fn note_read(world: &World, reader: u32, partition: i32, isolation: Isolation, seen: &Seen) {
    let committed = isolation == Isolation::ReadCommitted;
    for (offset, value) in &seen.records {
        world.note(Event::Read { reader, partition, offset: *offset, value: *value, committed });
    }
    for offset in &seen.markers {
        world.note(Event::Marker { reader, partition, offset: *offset });
    }
}

/// Fetches from `offset` on; `None` when the broker could not, or died.
pub async fn fetch(
    broker: &Broker,
    partition: TopicPartition,
    offset: i64,
    isolation: Isolation,
    max_wait: Duration,
) -> Option<Seen> {
    let partitions = vec![FetchPartition { partition, offset, max_bytes: 4096 }];
    let plan = FetchPlan { max_wait, min_bytes: 1, max_bytes: 4096, isolation, partitions };
    let fetched = until_dead(broker, broker.log.fetch(plan)).await?.remove(0);
    fetched.result.ok()?;
    Some(visible(&fetched.slices.concat().into(), offset, fetched.aborted))
}

/// What a client makes of the bytes: it passes over what lies before the offset that it wanted, and over batches of
/// aborted transactions, from their first offset to their marker.
pub fn visible(bytes: &Bytes, from: i64, mut aborted: Vec<AbortedTransaction>) -> Seen {
    aborted.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
    let mut leaving_out = BTreeSet::new();
    let mut seen = Seen { next: from, ..Seen::default() };
    for (position, header) in Batches::new(bytes) {
        seen.next = header.last_offset() + 1;
        while let Some(next) = aborted.pop_if(|next| next.first_offset <= header.last_offset()) {
            leaving_out.insert(next.producer_id);
        }
        let batch = bytes.slice(position..position + header.total_bytes());
        let records = Records::new(&batch, DECOMPRESSED_BATCH_BYTES_MAX).expect("what was stored is readable");
        let records = records.map(|record| record.expect("what was stored is readable"));
        for record in records.filter(|record| record.offset >= from) {
            if header.is_control() {
                leaving_out.remove(&header.producer_id);
                seen.markers.push(record.offset);
            } else if !header.is_transactional() || !leaving_out.contains(&header.producer_id) {
                seen.records.push((record.offset, record.value.and_then(|value| Value::from_bytes(&value))));
            }
        }
    }
    seen
}

/// Reads a whole partition from one broker, after everything was healed.
pub async fn read_all(world: &World, broker: &Broker, reader: u32, partition: i32, isolation: Isolation) {
    let place = world.partition(partition);
    let (log_start, next_offset) = {
        let state = broker.log.state();
        let partition = state.partition(place).expect("the topic exists");
        (partition.log_start, isolation.end_of(partition))
    };
    let mut offset = log_start;
    while offset < next_offset {
        let seen = fetch(broker, place, offset, isolation, Duration::ZERO).await.unwrap_or_default();
        note_read(world, reader, partition, isolation, &seen);
        if seen.next <= offset {
            world.note(Event::Stuck { what: format!("reader {reader} at {partition}/{offset} of {next_offset}") });
            break;
        }
        offset = seen.next;
    }
    if isolation == Isolation::ReadUncommitted {
        world.note(Event::End { partition, log_start, next_offset });
    }
}
