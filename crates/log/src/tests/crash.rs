//! Crash points of produce and commit, lost answers, fencing.
//!
//! A `Log` that is dropped loses its tasks at whatever point they are, as a killed process does.

use super::world::*;
use crate::{Health, Log, ProduceError};
use frazil_base::clock::Clock;
use frazil_base::{Env, TopicPartition};
use frazil_meta::engine::testing::Point;
use frazil_store::testing::Fault;
use frazil_store::{Operation, Reason};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BOTH: [Bodies; 2] = [Bodies::InLog, Bodies::InStore];

/// A world with broker 0 and one partition that holds the record "before".
async fn started(world: &World) -> (Log, TopicPartition) {
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    assert_eq!(produce(&log, batch_of(orders, 5, 0, 0, &["before"])).await.expect("stored").base_offset, 0);
    (log, orders)
}

fn is_unknown(result: &Result<crate::Placed, ProduceError>) -> bool {
    matches!(result, Err(ProduceError::Storage { outcome_known: false, .. }))
}

#[tokio::test(start_paused = true)]
async fn killed_before_the_append_nothing_of_the_batch_is_there_and_a_retry_stores_it_once() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let (log, orders) = started(&world).await;
        let hold = world.log_faults.hold(Point::Before);
        let ticket = log.submit(vec![batch_of(orders, 5, 0, 1, &["late"])]).await;
        hold.reached().await;
        drop(log);
        assert!(is_unknown(&ticket.await[0]));
        hold.release();
        let log = world.broker(0).await;
        assert_eq!(read_all(&log, orders).await, ["before"]);
        let retried = produce(&log, batch_of(orders, 5, 0, 1, &["late"])).await.expect("stored");
        assert_eq!((retried.base_offset, retried.duplicate), (1, false));
        assert_eq!(read_all(&log, orders).await, ["before", "late"]);
    }
}

#[tokio::test(start_paused = true)]
async fn killed_after_the_append_the_batch_is_there_and_a_retry_gets_its_first_offset() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let (log, orders) = started(&world).await;
        let hold = world.log_faults.hold(Point::After);
        let ticket = log.submit(vec![batch_of(orders, 5, 0, 1, &["late"])]).await;
        hold.reached().await;
        drop(log);
        drop(ticket);
        hold.release();
        let log = world.broker(0).await;
        assert_eq!(read_all(&log, orders).await, ["before", "late"]);
        let retried = produce(&log, batch_of(orders, 5, 0, 1, &["late"])).await.expect("stored before");
        assert_eq!((retried.base_offset, retried.duplicate), (1, true));
        assert_eq!(read_all(&log, orders).await, ["before", "late"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_without_a_commit_is_collected_after_its_writer_is_replaced() {
    let world = World::new(Bodies::InStore);
    let (log, orders) = started(&world).await;
    let hold = world.log_faults.hold(Point::Before);
    let ticket = log.submit(vec![batch(orders, &["lost"])]).await;
    hold.reached().await;
    assert_eq!(world.keys("wal/").await.len(), 2);
    drop((log, ticket));
    hold.release();
    let log = world.broker(0).await;
    tokio::time::sleep(world.options.maintenance_interval).await;
    assert_eq!(world.keys("wal/").await.len(), 1, "the orphan is gone, the other stays");
    assert_eq!(read_all(&log, orders).await, ["before"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_commit_is_under_way_is_no_orphan() {
    let world = World::new(Bodies::InStore);
    let (log, orders) = started(&world).await;
    let hold = world.log_faults.hold(Point::Before);
    let ticket = log.submit(vec![batch(orders, &["slow"])]).await;
    hold.reached().await;
    let other = {
        // A second broker starts, and looks for orphans, while the commit is on its way.
        let opening = world.broker(1);
        tokio::pin!(opening);
        assert!(futures::poll!(&mut opening).is_pending());
        hold.release();
        opening.await
    };
    tokio::time::sleep(world.options.maintenance_interval * 2).await;
    assert_eq!(ticket.await[0].as_ref().expect("stored").base_offset, 1);
    assert_eq!(world.keys("wal/").await.len(), 2);
    assert_eq!(read_all(&other, orders).await, ["before", "slow"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_found_in_the_log() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let (log, orders) = started(&world).await;
        world.log_faults.lose_answers(1);
        assert_eq!(produce_values(&log, orders, &["once"]).await, 1);
        assert_eq!(read_all(&log, orders).await, ["before", "once"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_sent_again() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let (log, orders) = started(&world).await;
        world.log_faults.lose_requests(3);
        assert_eq!(produce_values(&log, orders, &["once"]).await, 1);
        assert_eq!(read_all(&log, orders).await, ["before", "once"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_append_fails_its_batches_only_and_names_the_cause() {
    for bodies in BOTH {
        let world = World::new(bodies);
        let (log, orders) = started(&world).await;
        world.log_faults.refuse(1);
        match produce(&log, batch(orders, &["refused"])).await {
            Err(ProduceError::Storage { cause, outcome_known: true }) => {
                assert!(cause.contains("on purpose"), "{cause}")
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(log.health(), Health::StoreOutage { .. }));
        assert_eq!(produce_values(&log, orders, &["taken"]).await, 1);
        assert_eq!(log.health(), Health::Ok);
        assert_eq!(read_all(&log, orders).await, ["before", "taken"]);
        if bodies == Bodies::InStore {
            assert_eq!(world.keys("wal/").await.len(), 2, "what was uploaded in vain is deleted at once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_upload_fails_its_batches_only_and_leaves_no_object() {
    let world = World::new(Bodies::InStore);
    let (log, orders) = started(&world).await;
    let full = Fault::Refused(Reason::Full);
    for fault in [full, Fault::LostAnswer] {
        let next = fetch_once(&log, orders, 0).await.high_watermark;
        world.store_faults.strike(Operation::Put, "wal/", fault);
        let failed = produce(&log, batch(orders, &["failed"])).await;
        assert!(matches!(failed, Err(ProduceError::Storage { outcome_known: true, .. })), "{failed:?}");
        assert_eq!(produce_values(&log, orders, &["stored"]).await, next);
    }
    assert_eq!(read_all(&log, orders).await, ["before", "stored", "stored"]);
    assert_eq!(world.keys("wal/").await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn segments_commit_in_the_order_in_which_they_were_opened_however_long_their_uploads_take() {
    let world = World::new(Bodies::InStore);
    let (log, orders) = started(&world).await;
    world.store_faults.strike(Operation::Put, "wal/", Fault::Delayed(Duration::from_secs(10)));
    let first = log.submit(vec![large_batch(orders, 60 << 10)]).await;
    let second = log.submit(vec![large_batch(orders, 50 << 10)]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.keys("wal/").await.len(), 2, "the second is uploaded, the first is not");
    assert_eq!(fetch_once(&log, orders, 0).await.high_watermark, 1, "and waits for its turn");
    let offsets = [first.await[0].clone(), second.await[0].clone()].map(|placed| placed.expect("stored").base_offset);
    assert_eq!(offsets, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_upload_lets_the_segments_behind_it_pass() {
    let world = World::new(Bodies::InStore);
    let (log, orders) = started(&world).await;
    world.store_faults.strike(Operation::Put, "wal/", Fault::Refused(Reason::Unavailable));
    let first = log.submit(vec![large_batch(orders, 60 << 10)]).await;
    let second = log.submit(vec![large_batch(orders, 60 << 10)]).await;
    assert!(matches!(first.await[0], Err(ProduceError::Storage { outcome_known: true, .. })));
    assert_eq!(second.await[0].as_ref().expect("stored").base_offset, 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_broker_on_an_exclusive_log_fences_the_first() {
    let world = World::exclusive(Bodies::InLog);
    let (first, orders) = started(&world).await;
    let second = world.broker(1).await;
    let refused = produce(&first, batch(orders, &["too late"])).await;
    assert!(matches!(refused, Err(ProduceError::Fenced { .. })), "{refused:?}");
    assert!(matches!(first.health(), Health::Fenced { .. }));
    let again = produce(&first, batch(orders, &["still"])).await;
    assert!(matches!(again, Err(ProduceError::Fenced { .. })), "{again:?}");
    assert_eq!(produce_values(&second, orders, &["after"]).await, 1);
    assert_eq!(read_all(&second, orders).await, ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_whose_id_starts_elsewhere_is_fenced_and_its_uploads_are_collected() {
    let world = World::new(Bodies::InStore);
    let (first, orders) = started(&world).await;
    let second = world.broker(0).await;
    let refused = produce(&first, batch(orders, &["too late"])).await;
    assert!(matches!(refused, Err(ProduceError::Fenced { .. })), "{refused:?}");
    assert_eq!(produce_values(&second, orders, &["after"]).await, 1);
    drop(first);
    let third = world.broker(2).await;
    tokio::time::sleep(world.options.maintenance_interval * 2).await;
    assert_eq!(world.keys("wal/").await.len(), 2);
    assert_eq!(read_all(&third, orders).await, ["before", "after"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_log_is_waited_out_and_shown() {
    let world = World::new(Bodies::InLog);
    let (log, orders) = started(&world).await;
    let outage = world.log_faults.outage();
    let ticket = log.submit(vec![batch(orders, &["patient"])]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(matches!(log.health(), Health::StoreOutage { .. }), "{:?}", log.health());
    drop(outage);
    assert_eq!(ticket.await[0].as_ref().expect("stored").base_offset, 1);
    assert_eq!(log.health(), Health::Ok);
}

/// The machine's time goes on while the process is stopped, so boot time runs ahead of what its timers saw.
#[derive(Debug)]
struct Suspended {
    clock: Arc<dyn Clock>,
    slept: AtomicU64,
}

impl Clock for Suspended {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    fn since_boot(&self) -> Duration {
        self.clock.since_boot() + Duration::from_secs(self.slept.load(Ordering::Relaxed))
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_was_stopped_and_replaced_meanwhile_notices_without_writing() {
    let world = World::exclusive(Bodies::InLog);
    let suspended = Arc::new(Suspended { clock: world.env.clock.clone(), slept: AtomicU64::new(0) });
    let env = Env { clock: suspended.clone(), ..world.env.clone() };
    let old = world.broker_in(env, 0).await;
    let _new = world.broker(0).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(old.health(), Health::Ok, "it ran all the time, wrote nothing and asked for nothing");
    suspended.slept.store(30, Ordering::Relaxed);
    let health = old.health_changes().wait_for(|health| *health != Health::Ok).await.expect("it is open").clone();
    assert!(matches!(health, Health::Fenced { .. }), "{health:?}");
}
