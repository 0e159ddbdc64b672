//! Several brokers over one log and one store.

use super::world::*;
use crate::Log;
use frazil_meta::state::Mutation;
use frazil_store::Operation;
use std::time::Duration;
use tokio::time::Instant;

const BOTH: [Bodies; 2] = [Bodies::InLog, Bodies::InStore];

async fn brokers(world: &World, count: i32) -> Vec<Log> {
    let mut logs = Vec::new();
    for id in 0..count {
        logs.push(world.broker(id).await);
    }
    logs
}

/// Waits until every broker has applied what the first one has.
async fn in_step(logs: &[Log]) {
    let target = logs.iter().map(|log| log.state().applied()).max().expect("a broker");
    for log in logs {
        log.applied_changes().wait_for(|applied| *applied >= target).await;
    }
}

#[tokio::test(start_paused = true)]
async fn records_go_in_through_any_broker_and_come_out_through_any() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let logs = brokers(&world, 3).await;
        let orders = partition(create_topic(&logs[0], "orders", 1).await, 0);
        in_step(&logs).await;
        for (number, log) in logs.iter().enumerate() {
            assert_eq!(produce_values(log, orders, &[&format!("from {number}")]).await, number as i64);
        }
        in_step(&logs).await;
        for log in &logs {
            assert_eq!(read_all(log, orders).await, ["from 0", "from 1", "from 2"]);
        }
        let hashes: Vec<u64> = logs.iter().map(|log| log.state().hash()).collect();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_wakes_for_a_commit_of_another_broker() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let logs = brokers(&world, 2).await;
        let orders = partition(create_topic(&logs[0], "orders", 1).await, 0);
        in_step(&logs).await;
        let start = Instant::now();
        let polling = fetch_with(&logs[1], orders, 0, 1 << 20, Duration::from_secs(60));
        let producing = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            produce_values(&logs[0], orders, &["hello"]).await
        };
        let (fetched, offset) = tokio::join!(polling, producing);
        assert_eq!(records_of(&fetched.slices), [(offset, "hello".to_string())]);
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_on_the_writing_broker_gets_its_bytes_from_the_writers_hands() {
    let world = World::new(Bodies::InStore);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let polling = fetch_with(&log, orders, 0, 1 << 20, Duration::from_secs(60));
    let (fetched, offset) = tokio::join!(polling, produce_values(&log, orders, &["hello"]));
    assert_eq!(records_of(&fetched.slices), [(offset, "hello".to_string())]);
    assert_eq!(world.requests(Operation::Get), 0);
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_batch_retried_through_another_broker_is_stored_once() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let logs = brokers(&world, 3).await;
        let orders = partition(create_topic(&logs[0], "orders", 1).await, 0);
        in_step(&logs).await;
        let mut placed = Vec::new();
        for log in &logs {
            placed.push(produce(log, batch_of(orders, 8, 0, 0, &["a", "b"])).await.expect("stored"));
        }
        let first: Vec<_> = placed.iter().map(|placed| (placed.base_offset, placed.duplicate)).collect();
        assert_eq!(first, [(0, false), (0, true), (0, true)]);
        in_step(&logs).await;
        assert_eq!(read_all(&logs[2], orders).await, ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn readers_of_one_segment_share_one_read() {
    let world = World::new(Bodies::InStore);
    let logs = brokers(&world, 2).await;
    let topic = create_topic(&logs[0], "orders", 6).await;
    in_step(&logs).await;
    let batches = (0..6).map(|index| large_batch(partition(topic, index), 5000)).collect();
    assert!(logs[0].submit(batches).await.await.iter().all(Result::is_ok));
    in_step(&logs).await;
    let before = world.requests(Operation::Get);
    let fetches = (0..6).flat_map(|index| (0..4).map(move |_| partition(topic, index)));
    let fetched = futures::future::join_all(fetches.map(|partition| fetch_once(&logs[1], partition, 0))).await;
    assert!(fetched.iter().all(|fetched| fetched.slices.len() == 1));
    assert_eq!(world.requests(Operation::Get) - before, 6, "one per extent, whoever asks");
    let partitions =
        (0..6).map(|index| crate::FetchPartition { partition: partition(topic, index), offset: 0, max_bytes: 1 << 20 });
    let plan = crate::FetchPlan {
        max_wait: Duration::ZERO,
        min_bytes: 1,
        max_bytes: 1 << 20,
        isolation: crate::Isolation::default(),
        partitions: partitions.collect(),
    };
    let third = world.broker(2).await;
    let before = world.requests(Operation::Get);
    assert_eq!(third.fetch(plan.clone()).await.iter().map(|fetched| fetched.slices.len()).sum::<usize>(), 6);
    assert_eq!(world.requests(Operation::Get) - before, 1, "neighbours in one body are read together");
    third.fetch(plan).await;
    assert_eq!(world.requests(Operation::Get) - before, 1, "what was read is kept");
}

#[tokio::test(start_paused = true)]
async fn a_catch_up_reader_is_read_ahead_of() {
    let world = World::new(Bodies::InStore);
    let writer = world.broker(0).await;
    let orders = partition(create_topic(&writer, "orders", 1).await, 0);
    for _ in 0..20 {
        assert!(produce(&writer, large_batch(orders, 40 << 10)).await.is_ok());
    }
    let options = crate::LogOptions { read_ahead_bytes: 200 << 10, ..world.options.clone() };
    let reader = world.broker_with(1, options).await;
    let before = world.requests(Operation::Get);
    let fetched = fetch_with(&reader, orders, 0, 40 << 10, Duration::ZERO).await;
    assert_eq!(records_of(&fetched.slices).len(), 1);
    tokio::task::yield_now().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let ahead = world.requests(Operation::Get) - before;
    assert!((4..=7).contains(&ahead), "the next 200 KiB: {ahead} reads");
    let gate = world.store_faults.hold(Operation::Get, "wal/", frazil_store::testing::Point::Before);
    let next = fetch_with(&reader, orders, 1, 40 << 10, Duration::ZERO).await;
    assert_eq!(records_of(&next.slices).len(), 1, "it came from memory");
    drop(gate);
}

#[tokio::test(start_paused = true)]
async fn ids_of_idempotent_producers_are_never_given_twice() {
    let world = World::new(Bodies::InLog);
    let logs = brokers(&world, 2).await;
    let mut ids = Vec::new();
    for number in 0..2500 {
        ids.push(logs[number % 2].next_producer_id().await.expect("an id"));
    }
    drop(logs);
    let log = world.broker(0).await;
    ids.push(log.next_producer_id().await.expect("an id"));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

/// The other half of the test below, in a process of its own: brokers that apply the same records by different rules.
#[tokio::test(start_paused = true)]
async fn brokers_that_apply_by_different_rules() {
    if std::env::var_os(DISAGREEING).is_none() {
        return;
    }
    let world = World::new(Bodies::InLog);
    let right = world.broker(0).await;
    let _wrong = world.broken_broker(1, Mutation::SkipDuplicateCheck).await;
    let orders = partition(create_topic(&right, "orders", 1).await, 0);
    // A record each; the same batch again and again.
    for _ in 0..300 {
        produce(&right, batch_of(orders, 1, 0, 0, &["again"])).await.expect("stored, once");
    }
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

const DISAGREEING: &str = "FRAZIL_TEST_DISAGREEING_BROKERS";

#[test]
fn a_broker_whose_state_differs_from_the_others_stops_and_says_so() {
    let test = "tests::cluster::brokers_that_apply_by_different_rules";
    let mut child = std::process::Command::new(std::env::current_exe().expect("this test"));
    let ended = child.args(["--exact", test, "--nocapture"]).env(DISAGREEING, "1").output().expect("it runs");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success(), "it went on: {said}");
    assert!(said.contains("all brokers have the same state: after record 256"), "{said}");
}
