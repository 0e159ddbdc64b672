//! Records that are no longer kept: who moves log starts, how far, at what cost, and what becomes of the bytes.

use super::world::*;
use crate::{FetchError, Log, LogOptions, NewBatch, Retention, RetentionPolicy};
use frazil_base::{Seq, TopicPartition};
use frazil_meta::engine::{FileLog, FileOptions};
use frazil_meta::record::Command;
use frazil_meta::state::{BodyId, State, Topic};
use frazil_meta::{CommitLog, Outcome, Record};
use frazil_store::Operation;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const BOTH: [Bodies; 2] = [Bodies::InLog, Bodies::InStore];
const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3_600_000;

/// The same for all topics whose name does not begin with "kept".
#[derive(Debug)]
struct Uniform(Retention);

impl RetentionPolicy for Uniform {
    fn of(&self, _state: &State, topic: &Topic) -> Retention {
        if topic.name.starts_with("kept") { Retention::default() } else { self.0 }
    }
}

fn by_age(age: Duration) -> Retention {
    Retention { age_ms: Some(age.as_millis() as i64), bytes: None }
}

fn by_size(bytes: u64) -> Retention {
    Retention { age_ms: None, bytes: Some(bytes) }
}

fn keeping(world: &World, retention: Retention) -> LogOptions {
    LogOptions { retention: Arc::new(Uniform(retention)), ..world.options.clone() }
}

/// Log start and next offset.
fn range_of(log: &Log, partition: TopicPartition) -> (i64, i64) {
    let state = log.state();
    let partition = state.partition(partition).expect("there");
    (partition.log_start, partition.next_offset)
}

/// A round of retention.
async fn a_round(world: &World) {
    tokio::time::sleep(world.options.retention_interval + Duration::from_millis(10)).await;
}

async fn store(log: &Log, batch: NewBatch) {
    produce(log, batch).await.expect("stored");
}

#[tokio::test(start_paused = true)]
async fn records_older_than_their_topic_keeps_them_become_unreadable_and_later_ones_stay() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let log = world.broker_with(0, keeping(&world, by_age(HOUR))).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let kept = partition(create_topic(&log, "kept", 1).await, 0);
        for number in 0..4 {
            let now_ms = world.env.clock.now_ms();
            store(&log, batch_at(orders, &["a", "b"], now_ms)).await;
            store(&log, batch_at(kept, &["a", "b"], now_ms)).await;
            assert_eq!(range_of(&log, orders), (0, 2 * (number + 1)), "nothing is an hour old");
            tokio::time::sleep(HOUR / 4).await;
        }
        a_round(&world).await;
        assert_eq!(range_of(&log, orders), (2, 8));
        assert_eq!(fetch_once(&log, orders, 1).await.result, Err(FetchError::OffsetOutOfRange));
        assert_eq!(records_of(&fetch_once(&log, orders, 2).await.slices)[0], (2, "a".to_string()));
        tokio::time::sleep(HOUR).await;
        assert_eq!(range_of(&log, orders), (8, 8), "also the last ones, without anything new");
        assert_eq!(range_of(&log, kept), (0, 8));
        assert_eq!(produce_values(&log, orders, &["c"]).await, 8, "offsets go on");
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_records_go_while_the_rest_has_the_size_that_is_kept() {
    let one = batch(partition(frazil_base::TopicId(0), 0), &["x".repeat(1000).as_str()]).bytes.len() as u64;
    for (kept, gone) in [(0, 10), (one - 1, 9), (one, 9), (one + 1, 8), (5 * one, 5), (10 * one, 0), (99 * one, 0)] {
        let world = World::new(Bodies::InLog);
        let log = world.broker_with(0, keeping(&world, by_size(kept))).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        for _ in 0..10 {
            store(&log, large_batch(orders, 1000)).await;
        }
        a_round(&world).await;
        assert_eq!(range_of(&log, orders), (gone, 10), "{kept} bytes are kept, a batch has {one}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_does_not_count_as_size() {
    let world = World::new(Bodies::InLog);
    let log = world.broker_with(0, keeping(&world, Retention { age_ms: Some(HOUR_MS), bytes: Some(2 * 1100) })).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    for _ in 0..5 {
        store(&log, batch_at(orders, &["x".repeat(1000).as_str()], START_MS - 2 * HOUR_MS)).await;
    }
    store(&log, batch_at(orders, &["x".repeat(1000).as_str()], START_MS)).await;
    a_round(&world).await;
    assert_eq!(range_of(&log, orders), (5, 6));
}

#[tokio::test(start_paused = true)]
async fn a_timestamp_from_the_future_does_not_keep_records_longer_than_their_age() {
    let world = World::new(Bodies::InLog);
    let log = world.broker_with(0, keeping(&world, by_age(HOUR))).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    store(&log, batch_at(orders, &["next year"], START_MS + 365 * 24 * HOUR_MS)).await;
    store(&log, batch_at(orders, &["no time"], -1)).await;
    store(&log, batch_at(orders, &["now"], START_MS)).await;
    tokio::time::sleep(HOUR - Duration::from_secs(300)).await;
    assert_eq!(range_of(&log, orders), (0, 3));
    tokio::time::sleep(HOUR / 4).await;
    assert_eq!(range_of(&log, orders), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_young_record_keeps_old_ones_behind_it() {
    let world = World::new(Bodies::InLog);
    let log = world.broker_with(0, keeping(&world, by_age(HOUR))).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    for timestamp in [START_MS - 2 * HOUR_MS, START_MS, START_MS - 2 * HOUR_MS] {
        store(&log, batch_at(orders, &["a"], timestamp)).await;
    }
    a_round(&world).await;
    assert_eq!(range_of(&log, orders), (1, 3), "offsets go in order");
}

#[tokio::test(start_paused = true)]
async fn of_several_brokers_the_eldest_moves_log_starts_and_its_successor_goes_on() {
    let world = World::new(Bodies::InStore);
    let options = keeping(&world, by_age(HOUR));
    let logs = [world.broker_with(1, options.clone()).await, world.broker_with(0, options.clone()).await];
    let orders = partition(create_topic(&logs[0], "orders", 1).await, 0);
    store(&logs[0], batch_at(orders, &["a"], START_MS)).await;
    tokio::time::sleep(HOUR).await;
    store(&logs[0], batch_at(orders, &["b"], world.env.clock.now_ms())).await;
    let eldest = logs[0].epoch();
    tokio::time::sleep(world.options.retention_interval * 2).await;
    assert_eq!(range_of(&logs[1], orders), (1, 2));
    assert_eq!(moves(&world).await, [(eldest, 1)], "one record of one start");
    logs[0].close().await;
    tokio::time::sleep(HOUR * 2).await;
    assert_eq!(range_of(&logs[1], orders), (2, 2));
    assert_eq!(moves(&world).await, [(eldest, 1), (logs[1].epoch(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn starts_of_many_partitions_move_in_few_records_and_then_nothing_is_written() {
    let world = World::new(Bodies::InStore);
    let log = world.broker_with(0, keeping(&world, by_age(HOUR))).await;
    let topic = create_topic(&log, "orders", 6000).await;
    let batches = (0..6000).map(|index| batch(partition(topic, index), &["a"])).collect();
    assert!(log.submit(batches).await.await.iter().all(Result::is_ok));
    tokio::time::sleep(HOUR * 2).await;
    let moved: Vec<usize> = moves(&world).await.into_iter().map(|(_, starts)| starts).collect();
    assert_eq!(moved, [4096, 1904]);
    let (before, applied) = (world.all_requests(), log.state().applied());
    tokio::time::sleep(HOUR * 24).await;
    assert_eq!((world.all_requests(), log.state().applied()), (before, applied), "an idle broker writes nothing");
}

#[tokio::test(start_paused = true)]
async fn retention_goes_on_after_an_outage_of_the_log() {
    let world = World::new(Bodies::InStore);
    let log = world.broker_with(0, keeping(&world, by_age(HOUR))).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    store(&log, batch(orders, &["a"])).await;
    let hold = world.log_faults.hold(frazil_meta::engine::testing::Point::Before);
    tokio::time::sleep(HOUR * 2).await;
    assert_eq!(range_of(&log, orders), (0, 1));
    hold.release();
    a_round(&world).await;
    assert_eq!(range_of(&log, orders), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn objects_of_expired_records_are_deleted_after_the_grace_also_by_the_next_broker() {
    let world = World::new(Bodies::InStore);
    let options = keeping(&world, by_age(HOUR));
    let log = world.broker_with(0, options.clone()).await;
    let (orders, kept) = (create_topic(&log, "orders", 1).await, create_topic(&log, "kept", 1).await);
    for _ in 0..5 {
        store(&log, batch(partition(orders, 0), &["a"])).await;
    }
    let shared = vec![batch(partition(orders, 0), &["b"]), batch(partition(kept, 0), &["c"])];
    assert!(log.submit(shared).await.await.iter().all(Result::is_ok));
    while range_of(&log, partition(orders, 0)) != (6, 6) {
        a_round(&world).await;
    }
    assert_eq!(world.keys("wal/").await.len(), 6, "a reader may still want them");
    drop(log);
    let log = world.broker_with(0, options).await;
    tokio::time::sleep(world.options.delete_grace + world.options.maintenance_interval * 2).await;
    assert_eq!(world.keys("wal/").await.len(), 1, "the shared one is still needed");
    assert_eq!(log.state().dead_objects().count(), 0);
    assert_eq!(read_all(&log, partition(kept, 0)).await, ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_carries_segments_gives_their_space_back_although_it_is_idle() {
    // The last one restarts with most segments before a snapshot, so that it does not see them come.
    for (restarts, snapshot_after_records) in [(false, 1000), (true, 1000), (true, 10)] {
        let world = World::new(Bodies::InLog);
        let options =
            LogOptions { reclaim_after_bytes: 5_000, snapshot_after_records, ..keeping(&world, by_age(HOUR)) };
        let mut log = world.broker_with(0, options.clone()).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let mut bodies = Vec::new();
        for _ in 0..20 {
            store(&log, large_batch(orders, 1000)).await;
            bodies.push(newest_body(&log, orders));
        }
        if restarts {
            drop(log);
            log = world.broker_with(0, options).await;
        }
        while range_of(&log, orders) != (20, 20) {
            a_round(&world).await;
        }
        world.engine.read_body(bodies[0], 0..8).await.expect("a reader may still want it");
        tokio::time::sleep(world.options.delete_grace + world.options.maintenance_interval * 4).await;
        // The newest four are less than what is worth the trouble.
        for body in &bodies[..16] {
            world.engine.read_body(*body, 0..8).await.expect_err("its space came back");
        }
        let (before, applied) = (world.all_requests(), log.state().applied());
        tokio::time::sleep(HOUR * 24).await;
        assert_eq!((world.all_requests(), log.state().applied()), (before, applied), "and then it is idle");
        drop(log);
        let log = world.broker(0).await;
        assert_eq!(range_of(&log, orders), (20, 20));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_has_just_died_is_kept_for_its_readers_whatever_else_is_trimmed() {
    let world = World::new(Bodies::InLog);
    let options = LogOptions { snapshot_after_records: 20, ..world.options.clone() };
    let log = world.broker_with(0, options).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    for _ in 0..10 {
        store(&log, batch(orders, &["a"])).await;
    }
    let body = newest_body(&log, orders);
    // Long after the last look of the housekeeping at what is alive.
    tokio::time::sleep(world.options.delete_grace * 3).await;
    delete_before(&log, orders, 10).await;
    for _ in 0..50 {
        store(&log, batch(orders, &["b"])).await;
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(world.engine.read(Seq(1), 10).await.is_err(), "the log was trimmed");
    world.engine.read_body(body, 0..8).await.expect("a reader may still want it");
}

/// On the engine of a local directory space comes back as whole chunk files. It is written by a thread of its own, so
/// time is real here, and short.
#[tokio::test]
async fn chunks_of_the_journal_whose_records_expired_are_removed() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let world = World::new(Bodies::InLog);
    let env = frazil_base::Env { clock: frazil_base::Env::system().clock, ..world.env.clone() };
    let options = LogOptions {
        reclaim_after_bytes: 0,
        delete_grace: Duration::ZERO,
        maintenance_interval: Duration::from_millis(5),
        retention_interval: Duration::from_millis(5),
        ..keeping(&world, by_size(20_000))
    };
    let file_options = FileOptions { chunk_bytes: 64 << 10, spare_chunks: 0, ..FileOptions::default() };
    let engine = FileLog::open(folder.path(), env.clone(), file_options).await.expect("a journal");
    let log = world.open_on(Arc::new(engine), env, 0, options).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    for _ in 0..40 {
        store(&log, large_batch(orders, 10_000)).await;
    }
    log.applied_changes().wait_for(|_| range_of(&log, orders).0 >= 38).await;
    while chunk_bytes(folder.path()) > 4 * (64 << 10) {
        // Housekeeping moves on by records and in between; there is nothing else to wait for.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(records_of(&fetch_once(&log, orders, 39).await.slices).len(), 1);
}

fn chunk_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("readable").filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

fn newest_body(log: &Log, partition: TopicPartition) -> Seq {
    let state = log.state();
    match state.partition(partition).expect("there").extents.back().expect("an extent").body {
        BodyId::Log(seq) => seq,
        BodyId::Object(_) | BodyId::Marker(_) => panic!("bodies are in the log"),
    }
}

async fn delete_before(log: &Log, partition: TopicPartition, offset: i64) {
    let moved = log.propose(Command::MoveLogStart { starts: vec![(partition, offset)] }).await;
    assert_eq!(moved, Ok(Outcome::Done));
}

/// Who moved log starts, and how many at once, by the records of the log.
async fn moves(world: &World) -> Vec<(frazil_base::Epoch, usize)> {
    let records = world.engine.read(Seq::ZERO, usize::MAX).await.expect("nothing was trimmed");
    let moved = |bytes: &bytes::Bytes| match Record::decode(bytes).expect("a record") {
        Record { epoch, command: Command::MoveLogStart { starts }, .. } => Some((epoch, starts.len())),
        _ => None,
    };
    records.iter().filter_map(|(_, bytes)| moved(bytes)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_is_not_in_the_way_of_the_others() {
    let world = World::new(Bodies::InStore);
    let log = world.broker_with(0, keeping(&world, by_age(HOUR))).await;
    let (gone, orders) = (create_topic(&log, "gone", 3).await, create_topic(&log, "orders", 1).await);
    store(&log, batch(partition(gone, 1), &["a"])).await;
    store(&log, batch(partition(orders, 0), &["a"])).await;
    assert_eq!(log.propose(Command::DeleteTopic { topic: gone }).await, Ok(Outcome::Done));
    tokio::time::sleep(HOUR * 2).await;
    assert_eq!(range_of(&log, partition(orders, 0)), (1, 1));
    tokio::time::sleep(HOUR).await;
    assert_eq!(world.keys("wal/").await.len(), 0);
    assert_eq!(world.requests(Operation::Delete), 2);
}
