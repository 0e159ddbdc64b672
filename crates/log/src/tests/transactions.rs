//! Reading what transactions wrote: markers, the last stable offset, aborted transactions, long polls.

use super::world::*;
use crate::{AbortedTransaction, FetchError, FetchPartition, FetchPlan, FetchedPartition, Isolation, Log, NewBatch};
use frazil_base::TopicPartition;
use frazil_meta::record::{
    AddToTransaction, BatchProducer, Command, EndReason, EndTransaction, InitTransactions, Joining,
};
use frazil_meta::state::{CoordinatorKind, Outcome};
use frazil_wire::batch::{Marker, ProducerFields};
use frazil_wire::{BatchBuilder, Batches, Compression, Records};
use std::time::Duration;
use tokio::time::Instant;

const BOTH: [Bodies; 2] = [Bodies::InLog, Bodies::InStore];
const MINUTE: Duration = Duration::from_secs(60);

/// A producer with a transactional id, as a client sees itself.
#[derive(Clone)]
struct Producer {
    transactional_id: &'static str,
    id: i64,
    epoch: i16,
    sequences: std::collections::BTreeMap<TopicPartition, i32>,
}

impl Producer {
    async fn init(log: &Log, transactional_id: &'static str) -> Producer {
        let init =
            InitTransactions { transactional_id: transactional_id.to_owned(), timeout_ms: 60_000, expected: None };
        match log.propose(Command::InitTransactions(init)).await.expect("the log takes it") {
            Outcome::Producer { id, epoch, .. } => {
                Producer { transactional_id, id, epoch, sequences: Default::default() }
            }
            other => panic!("{other:?}"),
        }
    }

    /// A batch that opens or joins the transaction.
    fn batch(&mut self, partition: TopicPartition, values: &[&str]) -> NewBatch {
        let sequence = self.sequences.entry(partition).or_insert(0);
        let (id, epoch, first_sequence) = (self.id, self.epoch, *sequence);
        *sequence += values.len() as i32;
        let fields = ProducerFields { id, epoch, base_sequence: first_sequence };
        let mut builder = BatchBuilder::new(Compression::None).producer(fields).transactional();
        values.iter().for_each(|value| builder.push(START_MS, None, Some(value.as_bytes()), &[]));
        let transactional = Some(Joining::Implicit);
        NewBatch {
            partition,
            bytes: builder.build(),
            records: values.len() as u32,
            max_timestamp: START_MS,
            producer: Some(BatchProducer { id, epoch, first_sequence, transactional }),
        }
    }

    async fn produce(&mut self, log: &Log, partition: TopicPartition, values: &[&str]) -> i64 {
        produce(log, self.batch(partition, values)).await.expect("it is stored").base_offset
    }

    /// Ends the transaction; the epoch is raised. Gives the partitions that got a marker.
    async fn end(&mut self, log: &Log, commit: bool) -> Vec<TopicPartition> {
        let outcome = log.propose(Command::EndTransaction(self.ending(commit))).await.expect("the log takes it");
        let Outcome::TransactionEnded { producer_id, epoch, partitions } = outcome else { panic!("{outcome:?}") };
        (self.id, self.epoch) = (producer_id, epoch);
        self.sequences.clear();
        partitions
    }

    fn ending(&self, commit: bool) -> EndTransaction {
        EndTransaction {
            transactional_id: self.transactional_id.to_owned(),
            producer_id: self.id,
            epoch: self.epoch,
            commit,
            reason: EndReason::Client { bump: true },
            started: None,
        }
    }
}

async fn fetch(log: &Log, partition: TopicPartition, offset: i64, isolation: Isolation) -> FetchedPartition {
    fetch_within(log, partition, offset, isolation, usize::MAX, Duration::ZERO).await
}

async fn fetch_within(
    log: &Log,
    partition: TopicPartition,
    offset: i64,
    isolation: Isolation,
    max_bytes: usize,
    max_wait: Duration,
) -> FetchedPartition {
    let partitions = vec![FetchPartition { partition, offset, max_bytes }];
    let plan = FetchPlan { max_wait, min_bytes: 1, max_bytes, isolation, partitions };
    let mut fetched = log.fetch(plan).await;
    assert_eq!(fetched.len(), 1);
    fetched.remove(0)
}

/// Offsets of all batches, with their marker where they are one.
fn batches_of(fetched: &FetchedPartition) -> Vec<(i64, Option<Marker>)> {
    let mut found = Vec::new();
    for slice in &fetched.slices {
        for (position, header) in Batches::new(slice) {
            let bytes = slice.slice(position..position + header.total_bytes());
            frazil_wire::batch::check_stored(&bytes).expect("a batch with its CRC");
            let record = Records::new(&bytes, 1 << 20).expect("records").next().expect("one").expect("a record");
            found.push((header.base_offset, Marker::read(&header, &record)));
        }
    }
    found
}

/// What a consumer that reads committed data keeps of a fetch, by the algorithm of Kafka's consumer.
fn committed_values(fetched: &FetchedPartition) -> Vec<String> {
    let mut values = Vec::new();
    let mut leaving_out = std::collections::BTreeSet::new();
    let mut aborted = fetched.aborted.iter().peekable();
    for slice in &fetched.slices {
        for (position, header) in Batches::new(slice) {
            let bytes = slice.slice(position..position + header.total_bytes());
            while let Some(begun) = aborted.next_if(|aborted| aborted.first_offset <= header.last_offset()) {
                leaving_out.insert(begun.producer_id);
            }
            for record in Records::new(&bytes, 1 << 20).expect("records") {
                let record = record.expect("a record");
                match Marker::read(&header, &record) {
                    Some(marker) if !marker.commit => drop(leaving_out.remove(&marker.producer_id)),
                    Some(_) => {}
                    None if header.is_transactional() && leaving_out.contains(&header.producer_id) => {}
                    None => values.push(String::from_utf8_lossy(&record.value.expect("a value")).into_owned()),
                }
            }
        }
    }
    values
}

async fn brokers(world: &World, count: i32) -> Vec<Log> {
    let mut logs = Vec::new();
    for id in 0..count {
        logs.push(world.broker(id).await);
    }
    in_step(&logs).await;
    logs
}

async fn in_step(logs: &[Log]) {
    let target = logs.iter().map(|log| log.state().applied()).max().expect("a broker");
    for log in logs {
        log.applied_changes().wait_for(|applied| *applied >= target).await;
    }
}

/// Which of the brokers coordinates the transactional id.
fn coordinator<'a>(logs: &'a [Log], transactional_id: &str) -> &'a Log {
    let state = logs[0].state();
    let epoch = state.coordinator(CoordinatorKind::Transaction, transactional_id).expect("a broker").epoch;
    logs.iter().find(|log| log.epoch() == epoch).expect("one of them")
}

#[tokio::test(start_paused = true)]
async fn readers_of_committed_data_stop_at_the_first_open_transaction() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let log = world.broker(0).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let mut producer = Producer::init(&log, "shop").await;
        produce_values(&log, orders, &["before"]).await;
        producer.produce(&log, orders, &["inside"]).await;
        produce_values(&log, orders, &["behind"]).await;

        let seen = fetch(&log, orders, 0, Isolation::ReadCommitted).await;
        assert_eq!((seen.high_watermark, seen.last_stable_offset), (3, 1));
        assert_eq!(records_of(&seen.slices), [(0, "before".to_owned())]);
        let all = fetch(&log, orders, 0, Isolation::ReadUncommitted).await;
        assert_eq!((records_of(&all.slices).len(), all.last_stable_offset), (3, 1));
        let behind = fetch(&log, orders, 2, Isolation::ReadCommitted).await;
        assert_eq!((behind.result, behind.slices.len()), (Ok(()), 0), "not out of range, only not to be seen yet");
        let beyond = fetch(&log, orders, 4, Isolation::ReadCommitted).await;
        assert_eq!(beyond.result, Err(FetchError::OffsetOutOfRange));

        assert_eq!(producer.end(&log, true).await, [orders]);
        let seen = fetch(&log, orders, 0, Isolation::ReadCommitted).await;
        assert_eq!(committed_values(&seen), ["before", "inside", "behind"]);
        assert_eq!((seen.high_watermark, seen.last_stable_offset, seen.aborted), (4, 4, vec![]));
    }
}

/// Batches of one submission stand next to each other in one extent; the last stable offset falls between them.
#[tokio::test(start_paused = true)]
async fn an_extent_is_cut_where_an_open_transaction_begins() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let log = world.broker(0).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let mut producer = Producer::init(&log, "shop").await;
        let batches = vec![
            batch(orders, &["a", "b"]),
            batch(orders, &["c"]),
            producer.batch(orders, &["d", "e"]),
            batch(orders, &["f"]),
        ];
        assert!(log.submit(batches).await.await.iter().all(Result::is_ok));
        assert_eq!(log.state().partition(orders).expect("there").extents.len(), 1);
        for (offset, expected) in [(0, vec!["a", "b", "c"]), (1, vec!["a", "b", "c"]), (2, vec!["c"]), (3, vec![])] {
            let seen = fetch(&log, orders, offset, Isolation::ReadCommitted).await;
            let values: Vec<String> = records_of(&seen.slices).into_iter().map(|(_, value)| value).collect();
            assert_eq!(values, expected, "from {offset}");
        }
        producer.end(&log, false).await;
        let seen = fetch(&log, orders, 0, Isolation::ReadCommitted).await;
        assert_eq!(committed_values(&seen), ["a", "b", "c", "f"]);
        assert_eq!(seen.aborted, [AbortedTransaction { producer_id: producer.id, first_offset: 3 }]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_marker_takes_one_offset_and_is_the_same_at_every_fetch_and_broker() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let logs = brokers(&world, 3).await;
        let log = coordinator(&logs, "shop");
        let topic = create_topic(log, "orders", 2).await;
        let places = [partition(topic, 0), partition(topic, 1)];
        let mut producer = Producer::init(log, "shop").await;
        let (id, epoch) = (producer.id, producer.epoch);
        for place in places {
            producer.produce(log, place, &["a", "b"]).await;
        }
        let requests = world.all_requests();
        assert_eq!(producer.end(log, true).await, places);
        assert_eq!(world.all_requests(), requests, "the end of a transaction writes no object");
        in_step(&logs).await;
        let marker = Marker { producer_id: id, producer_epoch: epoch + 1, commit: true };
        let mut seen = Vec::new();
        for log in &logs {
            for place in places {
                let fetched = fetch(log, place, 2, Isolation::ReadCommitted).await;
                assert_eq!(batches_of(&fetched), [(2, Some(marker))]);
                seen.push(fetched.slices);
            }
        }
        drop(logs);
        let restarted = world.broker(7).await;
        seen.push(fetch(&restarted, places[0], 2, Isolation::ReadUncommitted).await.slices);
        assert!(seen.iter().all(|slices| *slices == seen[0]), "byte for byte");
        assert_eq!(restarted.state().partition(places[0]).expect("there").next_offset, 3);
    }
}

#[tokio::test(start_paused = true)]
async fn aborted_transactions_are_told_only_where_the_answer_holds_something_of_them() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let mut producer = Producer::init(&log, "shop").await;
    let mut firsts = Vec::new();
    for number in 0..10 {
        firsts.push(producer.produce(&log, orders, &[&format!("{number}")]).await);
        producer.end(&log, number % 2 == 1).await;
    }
    let whole = fetch(&log, orders, 0, Isolation::ReadCommitted).await;
    let told: Vec<i64> = whole.aborted.iter().map(|aborted| aborted.first_offset).collect();
    assert_eq!(told, firsts.iter().step_by(2).copied().collect::<Vec<_>>());
    assert_eq!(committed_values(&whole), ["1", "3", "5", "7", "9"]);

    let one_batch = fetch_within(&log, orders, firsts[4], Isolation::ReadCommitted, 1, Duration::ZERO).await;
    assert_eq!(batches_of(&one_batch).len(), 1);
    let told: Vec<i64> = one_batch.aborted.iter().map(|aborted| aborted.first_offset).collect();
    assert_eq!(told, [firsts[4]], "neither earlier nor later ones");
    let marker_only = fetch_within(&log, orders, firsts[4] + 1, Isolation::ReadCommitted, 1, Duration::ZERO).await;
    assert_eq!(marker_only.aborted, one_batch.aborted, "a reader that starts inside of it");
    let uncommitted = fetch(&log, orders, 0, Isolation::ReadUncommitted).await;
    assert_eq!(uncommitted.aborted, []);
}

#[tokio::test(start_paused = true)]
async fn many_producers_interleaved_show_exactly_what_was_committed() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let log = world.broker(0).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let mut producers = Vec::new();
        for id in ["a", "b", "c", "d"] {
            producers.push(Producer::init(&log, id).await);
        }
        let mut expected = Vec::new();
        let mut pending: Vec<Vec<(i64, String)>> = vec![Vec::new(); producers.len()];
        for step in 0..200_usize {
            let which = (step * 7 + step / 5) % producers.len();
            let value = format!("{which}/{step}");
            let offset = producers[which].produce(&log, orders, &[&value]).await;
            pending[which].push((offset, value));
            if step % 9 == which {
                let commit = step % 4 != 1;
                producers[which].end(&log, commit).await;
                let values = std::mem::take(&mut pending[which]);
                expected.extend(values.into_iter().filter(|_| commit));
            }
        }
        for (producer, values) in producers.iter_mut().zip(pending) {
            producer.end(&log, true).await;
            expected.extend(values);
        }
        expected.sort();
        let expected: Vec<String> = expected.into_iter().map(|(_, value)| value).collect();
        let mut seen = Vec::new();
        let mut offset = 0;
        loop {
            let fetched = fetch_within(&log, orders, offset, Isolation::ReadCommitted, 700, Duration::ZERO).await;
            let Some((last, _)) = batches_of(&fetched).last().copied() else { break };
            seen.extend(committed_values(&fetched));
            offset = last + 1;
        }
        assert_eq!(seen, expected, "{bodies:?}");
        assert_eq!(offset, fetch(&log, orders, 0, Isolation::ReadCommitted).await.high_watermark);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_for_committed_data_waits_for_the_end_written_by_another_broker() {
    for commit in [true, false] {
        let world = World::new(Bodies::InLog);
        let logs = brokers(&world, 3).await;
        let coordinator = coordinator(&logs, "shop");
        let reader = logs.iter().find(|log| log.epoch() != coordinator.epoch()).expect("another broker");
        let orders = partition(create_topic(coordinator, "orders", 1).await, 0);
        let mut producer = Producer::init(coordinator, "shop").await;
        in_step(&logs).await;
        let start = Instant::now();
        let polling = fetch_within(reader, orders, 0, Isolation::ReadCommitted, 1 << 20, MINUTE);
        let writing = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            producer.produce(coordinator, orders, &["a"]).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            producer.end(coordinator, commit).await
        };
        let (fetched, _) = tokio::join!(polling, writing);
        assert_eq!(start.elapsed(), Duration::from_secs(3), "not woken up to answer before the end");
        assert_eq!(batches_of(&fetched).len(), 2, "the record and the marker");
        assert_eq!(fetched.aborted.len(), usize::from(!commit));
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_for_committed_data_wakes_when_a_new_producer_aborts_the_old_ones_transaction() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let mut zombie = Producer::init(&log, "shop").await;
    zombie.produce(&log, orders, &["a"]).await;
    let start = Instant::now();
    let polling = fetch_within(&log, orders, 0, Isolation::ReadCommitted, 1 << 20, MINUTE);
    let taking_over = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        Producer::init(&log, "shop").await
    };
    let (fetched, successor) = tokio::join!(polling, taking_over);
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(fetched.aborted, [AbortedTransaction { producer_id: zombie.id, first_offset: 0 }]);
    assert_eq!((successor.id, successor.epoch > zombie.epoch), (zombie.id, true));
    let late = produce(&log, zombie.batch(orders, &["late"])).await;
    assert_eq!(late, Err(crate::ProduceError::StaleProducerEpoch));
}

/// The promise about cost: one record whatever the number of partitions, and nothing in the store.
#[tokio::test(start_paused = true)]
async fn a_commit_over_fifty_partitions_is_one_metadata_record() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let log = world.broker(0).await;
        let topic = create_topic(&log, "wide", 50).await;
        let mut producer = Producer::init(&log, "shop").await;
        let before = log.state().applied();
        let batches = (0..50).map(|index| producer.batch(partition(topic, index), &["a"])).collect();
        assert!(log.submit(batches).await.await.iter().all(Result::is_ok));
        let produced = log.state().applied();
        assert_eq!(produced.0 - before.0, 1, "implicit partitions need no record of their own");
        let requests = world.all_requests();
        assert_eq!(producer.end(&log, true).await.len(), 50);
        assert_eq!(log.state().applied().0 - produced.0, 1, "the end");
        assert_eq!(world.all_requests(), requests);
        for index in 0..50 {
            let fetched = fetch(&log, partition(topic, index), 0, Isolation::ReadCommitted).await;
            assert_eq!((committed_values(&fetched).len(), fetched.last_stable_offset), (1, 2));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn partitions_added_before_take_batches_and_others_do_not() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let topic = create_topic(&log, "orders", 2).await;
    let mut producer = Producer::init(&log, "shop").await;
    let explicit = |mut batch: NewBatch| {
        batch.producer.as_mut().expect("a producer's").transactional = Some(Joining::Explicit);
        batch
    };
    let first = explicit(producer.batch(partition(topic, 0), &["a"]));
    assert_eq!(produce(&log, first.clone()).await, Err(crate::ProduceError::InvalidTxnState), "before it is added");
    let add = AddToTransaction {
        transactional_id: "shop".to_owned(),
        producer_id: producer.id,
        epoch: producer.epoch,
        partitions: vec![partition(topic, 0)],
        groups: Vec::new(),
    };
    assert_eq!(log.propose(Command::AddToTransaction(add)).await, Ok(Outcome::Done));
    assert_eq!(produce(&log, first).await.expect("stored").base_offset, 0);
    let elsewhere = explicit(producer.batch(partition(topic, 1), &["b"]));
    assert_eq!(produce(&log, elsewhere).await, Err(crate::ProduceError::InvalidTxnState), "another partition");
    let plain = batch_of(partition(topic, 0), producer.id, producer.epoch, 1, &["plain"]);
    assert_eq!(produce(&log, plain).await, Err(crate::ProduceError::InvalidTxnState), "outside of its own transaction");
    let mut stranger = producer.batch(partition(topic, 1), &["c"]);
    stranger.producer.as_mut().expect("a producer's").id = 999_999;
    assert_eq!(produce(&log, stranger).await, Err(crate::ProduceError::InvalidProducerIdMapping));
}

#[tokio::test(start_paused = true)]
async fn markers_are_found_by_time_and_go_with_the_log_start() {
    let world = World::new(Bodies::InStore);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let mut producer = Producer::init(&log, "shop").await;
    producer.produce(&log, orders, &["a"]).await;
    tokio::time::sleep(MINUTE).await;
    producer.end(&log, false).await;
    let found = log.offset_for_time(orders, START_MS + 1).await.expect("readable");
    assert_eq!(found, Some((1, START_MS + 60_000)), "the marker has the time of its record");
    assert_eq!(log.max_timestamp_offset(orders).await.expect("readable"), found);
    let start = Command::MoveLogStart { starts: vec![(orders, 2)] };
    assert_eq!(log.propose(start).await, Ok(Outcome::Done));
    let fetched = fetch(&log, orders, 2, Isolation::ReadCommitted).await;
    assert_eq!((fetched.result, fetched.aborted, fetched.log_start), (Ok(()), vec![], 2));
    assert!(log.state().partition(orders).expect("there").extents.is_empty());
}

/// KAFKA-17754: a delayed EndTxn that is delivered into the next transaction ends that one.
#[tokio::test(start_paused = true)]
async fn kafka_17754_a_late_end_never_touches_a_later_transaction() {
    for commit in [true, false] {
        let world = World::new(Bodies::InLog);
        let log = world.broker(0).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let mut producer = Producer::init(&log, "shop").await;
        producer.produce(&log, orders, &["first"]).await;
        let late = producer.ending(commit);
        producer.end(&log, commit).await;
        let begin = producer.produce(&log, orders, &["second"]).await;
        let again = log.propose(Command::EndTransaction(late)).await.expect("the log takes it");
        let answer =
            Outcome::TransactionEnded { producer_id: producer.id, epoch: producer.epoch, partitions: Vec::new() };
        assert_eq!(again, answer, "the answer of the first attempt, and no marker");
        let seen = fetch(&log, orders, 0, Isolation::ReadCommitted).await;
        assert_eq!(seen.last_stable_offset, begin, "the second transaction is still open");
        producer.end(&log, true).await;
        let seen = fetch(&log, orders, 0, Isolation::ReadCommitted).await;
        let expected = if commit { vec!["first", "second"] } else { vec!["second"] };
        assert_eq!(committed_values(&seen), expected);
    }
}

/// A batch that was delayed until its transaction had ended belongs to no other.
#[tokio::test(start_paused = true)]
async fn a_late_batch_never_gets_into_a_later_transaction() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let topic = create_topic(&log, "orders", 2).await;
    let mut producer = Producer::init(&log, "shop").await;
    producer.produce(&log, partition(topic, 0), &["first"]).await;
    let late = producer.batch(partition(topic, 1), &["late"]);
    producer.end(&log, true).await;
    producer.produce(&log, partition(topic, 0), &["second"]).await;
    assert_eq!(produce(&log, late).await, Err(crate::ProduceError::StaleProducerEpoch));
    producer.end(&log, true).await;
    assert_eq!(fetch(&log, partition(topic, 1), 0, Isolation::ReadUncommitted).await.high_watermark, 0);
}

/// The record of a broker that no longer coordinates the id is refused where it is applied.
#[tokio::test(start_paused = true)]
async fn a_stale_coordinators_record_is_refused() {
    let world = World::new(Bodies::InLog);
    let logs = brokers(&world, 3).await;
    let here = coordinator(&logs, "shop");
    let elsewhere = logs.iter().find(|log| log.epoch() != here.epoch()).expect("another broker");
    let orders = partition(create_topic(here, "orders", 1).await, 0);
    let mut producer = Producer::init(here, "shop").await;
    producer.produce(here, orders, &["a"]).await;
    let stale = elsewhere.propose(Command::EndTransaction(producer.ending(true))).await.expect("the log takes it");
    assert_eq!(stale, Outcome::Refused(frazil_meta::state::Refusal::NotCoordinator));
    assert_eq!(fetch(here, orders, 0, Isolation::ReadCommitted).await.last_stable_offset, 0);
    producer.end(here, true).await;
}

/// The coordinator dies with the transaction open; the next one ends it.
#[tokio::test(start_paused = true)]
async fn another_broker_takes_a_dead_coordinators_transactions_over() {
    let world = World::new(Bodies::InLog);
    let mut logs = brokers(&world, 3).await;
    let epoch = coordinator(&logs, "shop").epoch();
    let position = logs.iter().position(|log| log.epoch() == epoch).expect("one of them");
    let dying = logs.remove(position);
    let orders = partition(create_topic(&dying, "orders", 1).await, 0);
    let mut producer = Producer::init(&dying, "shop").await;
    producer.produce(&dying, orders, &["a"]).await;
    drop(dying);
    let outcome = logs[0].propose(Command::CloseBroker { epoch }).await;
    assert_eq!(outcome, Ok(Outcome::Done));
    in_step(&logs).await;
    let successor = coordinator(&logs, "shop");
    assert_eq!(producer.end(successor, true).await, [orders]);
    in_step(&logs).await;
    for log in &logs {
        assert_eq!(committed_values(&fetch(log, orders, 0, Isolation::ReadCommitted).await), ["a"]);
    }
}
