//! Snapshots, restarts, trimming, and what is deleted when.

use super::world::*;
use crate::{Log, LogOptions};
use bytes::Bytes;
use frazil_base::{Seq, TopicId};
use frazil_meta::record::Command;
use frazil_meta::state::BodyId;
use frazil_meta::{CommitLog, Outcome, ReadError};
use frazil_store::{Key, ObjectStorage, Operation};
use std::time::Duration;

const BOTH: [Bodies; 2] = [Bodies::InLog, Bodies::InStore];

fn snapshot_often(world: &World) -> LogOptions {
    LogOptions { snapshot_after_records: 20, ..world.options.clone() }
}

async fn delete_topic(log: &Log, topic: TopicId) {
    assert_eq!(log.propose(Command::DeleteTopic { topic }).await.expect("the log takes it"), Outcome::Done);
}

/// Lets the maintenance task come to rest.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn closing_and_opening_gives_the_same_state_and_the_same_records() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let log = world.broker(0).await;
        let topic = create_topic(&log, "orders", 3).await;
        for number in 0..30 {
            produce_values(&log, partition(topic, number % 3), &[&number.to_string(), "x"]).await;
        }
        let before: Vec<_> = (0..3).map(|index| partition(topic, index)).collect();
        let mut read = Vec::new();
        for partition in &before {
            read.push(read_all(&log, *partition).await);
        }
        let starts =
            |log: &Log| before.iter().map(|at| log.state().partition(*at).expect("there").clone()).collect::<Vec<_>>();
        let partitions = starts(&log);
        log.close().await;
        drop(log);
        assert_eq!(world.keys("snap/").await.len(), 1);
        let log = world.broker(0).await;
        assert_eq!(starts(&log), partitions);
        for (partition, expected) in before.iter().zip(&read) {
            assert_eq!(&read_all(&log, *partition).await, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn coming_and_going_alone_writes_no_snapshot() {
    let world = World::new(Bodies::InLog);
    for _ in 0..5 {
        world.broker(0).await.close().await;
    }
    assert_eq!(world.requests(Operation::Put), 0);
}

#[tokio::test(start_paused = true)]
async fn snapshots_follow_the_records_and_the_log_below_them_is_trimmed() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let log = world.broker_with(0, snapshot_often(&world)).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        for number in 0..100 {
            produce_values(&log, orders, &[&number.to_string()]).await;
        }
        settle().await;
        let snapshots = world.keys("snap/").await;
        assert_eq!(snapshots.len(), 2, "two are kept: {snapshots:?}");
        assert!(
            matches!(world.engine.read(Seq(1), 1000).await, Err(ReadError::NotFound { .. })),
            "the log was trimmed"
        );
        let hash = log.state().hash();
        drop(log);
        let before = world.requests(Operation::Get);
        let log = world.broker(0).await;
        assert_eq!(world.requests(Operation::Get) - before, 1, "the newest snapshot only");
        assert_ne!(log.state().hash(), hash, "one registration further");
        assert_eq!(read_all(&log, orders).await.len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_snapshot_is_passed_over() {
    let world = World::new(Bodies::InLog);
    let log = world.broker_with(0, snapshot_often(&world)).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    for number in 0..100 {
        produce_values(&log, orders, &[&number.to_string()]).await;
    }
    settle().await;
    drop(log);
    let newest = world.keys("snap/").await.pop().expect("a snapshot");
    world.memory.put(&Key::new(newest), Bytes::from_static(b"damaged").into()).await.expect("memory does not fail");
    let log = world.broker(0).await;
    assert_eq!(read_all(&log, orders).await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn the_log_is_not_trimmed_below_a_snapshot_that_is_too_young() {
    let world = World::new(Bodies::InLog);
    let options = LogOptions { snapshots_kept_for: Duration::from_secs(24 * 3600), ..snapshot_often(&world) };
    let log = world.broker_with(0, options).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let produce_some = async || {
        for number in 0..50 {
            produce_values(&log, orders, &[&number.to_string()]).await;
        }
        settle().await;
    };
    produce_some().await;
    world.engine.read(Seq::ZERO, 1000).await.expect("nothing was trimmed");
    let first_day = log.state().applied();
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    produce_some().await;
    produce_some().await;
    assert!(matches!(world.engine.read(Seq(1), 1000).await, Err(ReadError::NotFound { .. })));
    world.engine.read(first_day, 1000).await.expect("what is younger than a day is there");
}

#[tokio::test(start_paused = true)]
async fn objects_of_a_deleted_topic_go_after_the_grace_and_are_forgotten() {
    let world = World::new(Bodies::InStore);
    let log = world.broker(0).await;
    let (gone, kept) = (create_topic(&log, "gone", 1).await, create_topic(&log, "kept", 1).await);
    for _ in 0..5 {
        produce_values(&log, partition(gone, 0), &["a"]).await;
    }
    let shared = vec![batch(partition(gone, 0), &["b"]), batch(partition(kept, 0), &["c"])];
    assert!(log.submit(shared).await.await.iter().all(Result::is_ok));
    assert_eq!(world.keys("wal/").await.len(), 6);
    delete_topic(&log, gone).await;
    tokio::time::sleep(world.options.delete_grace - Duration::from_secs(1)).await;
    assert_eq!(world.keys("wal/").await.len(), 6, "a reader may still want them");
    tokio::time::sleep(world.options.maintenance_interval * 2).await;
    assert_eq!(world.keys("wal/").await.len(), 1, "the shared one is still needed");
    assert_eq!(log.state().dead_objects().count(), 0);
    assert_eq!(read_all(&log, partition(kept, 0)).await, ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_interrupted_is_finished_by_the_next_broker() {
    let world = World::new(Bodies::InStore);
    let log = world.broker(0).await;
    let gone = create_topic(&log, "gone", 1).await;
    produce_values(&log, partition(gone, 0), &["a"]).await;
    delete_topic(&log, gone).await;
    let gate = world.store_faults.hold(Operation::Delete, "wal/", frazil_store::testing::Point::After);
    gate.arrived(1).await;
    drop(log);
    drop(gate);
    let log = world.broker(0).await;
    assert_eq!(log.state().dead_objects().count(), 1, "deleted, but the log does not know");
    tokio::time::sleep(world.options.delete_grace + world.options.maintenance_interval * 2).await;
    assert_eq!(log.state().dead_objects().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn bodies_of_a_deleted_topic_are_trimmed_after_the_grace() {
    let world = World::new(Bodies::InLog);
    let log = world.broker_with(0, snapshot_often(&world)).await;
    let (gone, kept) = (create_topic(&log, "gone", 1).await, create_topic(&log, "kept", 1).await);
    produce_values(&log, partition(gone, 0), &["a"]).await;
    let BodyId::Log(dead) = log.state().partition(partition(gone, 0)).expect("there").extents[0].body else {
        panic!("bodies are in the log")
    };
    let produce_some = async || {
        for _ in 0..50 {
            produce_values(&log, partition(kept, 0), &["b"]).await;
        }
        settle().await;
    };
    produce_some().await;
    world.engine.read_body(dead, 0..8).await.expect("live bodies outlive the trimming of their records");
    delete_topic(&log, gone).await;
    produce_some().await;
    world.engine.read_body(dead, 0..8).await.expect("a reader may still want it");
    tokio::time::sleep(world.options.delete_grace * 2).await;
    produce_some().await;
    tokio::time::sleep(world.options.delete_grace * 2).await;
    produce_some().await;
    assert!(matches!(world.engine.read_body(dead, 0..8).await, Err(ReadError::NotFound { .. })));
    assert_eq!(read_all(&log, partition(kept, 0)).await.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn of_several_brokers_one_does_the_housekeeping() {
    let world = World::new(Bodies::InStore);
    let logs = [world.broker_with(0, snapshot_often(&world)).await, world.broker_with(1, snapshot_often(&world)).await];
    let gone = create_topic(&logs[0], "gone", 1).await;
    for _ in 0..100 {
        produce_values(&logs[0], partition(gone, 0), &["a"]).await;
    }
    delete_topic(&logs[0], gone).await;
    tokio::time::sleep(world.options.delete_grace * 3).await;
    assert_eq!(world.requests(Operation::Delete) - world.deleted_snapshots().await, 100, "each object once");
    assert_eq!(world.keys("snap/").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_segment_in_the_store_explains_itself() {
    let world = World::new(Bodies::InStore);
    let log = world.broker(0).await;
    let topic = create_topic(&log, "orders", 2).await;
    let batches = vec![batch(partition(topic, 1), &["a"]), batch(partition(topic, 0), &["b", "c"])];
    assert!(log.submit(batches).await.await.iter().all(Result::is_ok));
    let key = Key::new(world.keys("wal/").await.remove(0));
    assert!(key.as_str().starts_with("wal/2024/02/29/13/"), "{key}");
    let bytes = world.memory.get(&key, None).await.expect("there");
    let segment = crate::format::Segment::parse(&bytes).expect("a segment");
    segment.check_batches(&bytes).expect("whole batches");
    assert_eq!(Some(segment.object), crate::layout::segment_of_key(&key));
    let parts: Vec<_> = segment.parts.iter().map(|part| (part.partition, part.batches, part.records)).collect();
    assert_eq!(parts, [(partition(topic, 0), 1, 2), (partition(topic, 1), 1, 1)]);
    let BodyId::Object(object) = log.state().partition(partition(topic, 0)).expect("there").extents[0].body else {
        panic!("bodies are objects")
    };
    assert_eq!(object, segment.object);
}

impl World {
    /// Snapshots that were written and are no longer there.
    async fn deleted_snapshots(&self) -> u64 {
        let written = self.requests(Operation::Put) - 100;
        written - self.keys("snap/").await.len() as u64
    }
}
