//! What is bounded, and what an idle broker does.

use super::world::*;
use crate::LogOptions;
use frazil_meta::engine::testing::Point;
use frazil_store::Operation;
use frazil_store::testing::Mode;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn submit_waits_while_too_many_bytes_are_in_flight() {
    for bodies in [Bodies::InLog, Bodies::InStore] {
        let world = World::new(bodies);
        let log = world.broker_with(0, LogOptions { in_flight_bytes: 100 << 10, ..world.options.clone() }).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let hold = world.log_faults.hold(Point::Before);
        let mut tickets = Vec::new();
        for _ in 0..3 {
            tickets.push(log.submit(vec![large_batch(orders, 30 << 10)]).await);
        }
        let mut blocked = Box::pin(log.submit(vec![large_batch(orders, 30 << 10)]));
        tokio::select! {
            biased;
            _ = &mut blocked => panic!("there is no room for a fourth"),
            () = tokio::time::sleep(Duration::from_secs(600)) => {}
        }
        assert!(log.in_flight_bytes() <= 100 << 10, "{}", log.in_flight_bytes());
        hold.release();
        tickets.push(blocked.await);
        for (number, ticket) in tickets.into_iter().enumerate() {
            assert_eq!(ticket.await[0].as_ref().expect("stored").base_offset, number as i64);
        }
        assert_eq!(log.in_flight_bytes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_submission_larger_than_budget_and_segment_still_goes_through() {
    for bodies in [Bodies::InLog, Bodies::InStore] {
        let world = World::new(bodies);
        let log = world.broker_with(0, LogOptions { in_flight_bytes: 100 << 10, ..world.options.clone() }).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        produce(&log, large_batch(orders, 300 << 10)).await.expect("stored");
        produce(&log, large_batch(orders, 10)).await.expect("stored");
        assert_eq!(read_all(&log, orders).await.iter().map(String::len).collect::<Vec<_>>(), [300 << 10, 10]);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_do_not_grow_with_partitions() {
    let mut puts = Vec::new();
    for partitions in [1, 1000] {
        let world = World::new(Bodies::InStore);
        let options =
            LogOptions { flush_age: Duration::from_millis(250), segment_bytes: 1 << 20, ..world.options.clone() };
        let log = world.broker_with(0, options).await;
        let topic = create_topic(&log, "orders", partitions).await;
        let before = world.requests(Operation::Put);
        let mut tickets = Vec::new();
        for number in 0..2000 {
            tickets.push(log.submit(vec![batch(partition(topic, number % partitions), &["value"])]).await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for ticket in tickets {
            assert!(ticket.await[0].is_ok());
        }
        puts.push(world.requests(Operation::Put) - before);
    }
    assert!(puts[0] <= 9 && puts[1] <= puts[0], "{puts:?} for 2 s of flushes every 250 ms");
}

#[tokio::test(start_paused = true)]
async fn a_segment_closes_at_its_age_or_when_it_is_full() {
    let world = World::new(Bodies::InStore);
    let log = world.broker_with(0, LogOptions { flush_age: Duration::from_millis(250), ..world.options.clone() }).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let start = tokio::time::Instant::now();
    produce_values(&log, orders, &["alone"]).await;
    assert_eq!(start.elapsed(), Duration::from_millis(250));
    let tickets =
        [log.submit(vec![large_batch(orders, 40 << 10)]).await, log.submit(vec![large_batch(orders, 40 << 10)]).await];
    let [full, aged] = tickets;
    assert!(full.await[0].is_ok());
    assert_eq!(start.elapsed(), Duration::from_millis(250), "the second did not fit, so the first went at once");
    assert!(aged.await[0].is_ok());
    assert_eq!(start.elapsed(), Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn small_batches_share_one_append_while_two_are_under_way() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let applied = log.state().applied();
    let hold = world.log_faults.hold(Point::Before);
    let first = log.submit(vec![batch(orders, &["first"])]).await;
    hold.reached().await;
    let mut tickets = vec![first];
    for _ in 0..50 {
        tickets.push(log.submit(vec![batch(orders, &["more"])]).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hold.release();
    for ticket in tickets {
        assert!(ticket.await[0].is_ok());
    }
    assert_eq!(
        log.state().applied().0 - applied.0,
        3,
        "one record under way, one ready behind it, one for all that waited"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_broker_sends_no_request_for_hours() {
    for bodies in [Bodies::InLog, Bodies::InStore] {
        let world = World::new(bodies);
        let logs = [world.broker(0).await, world.broker(1).await];
        let orders = partition(create_topic(&logs[0], "orders", 10).await, 0);
        produce_values(&logs[0], orders, &["a"]).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        let (before, applied) = (world.all_requests(), logs[0].state().applied());
        tokio::time::sleep(Duration::from_secs(6 * 3600)).await;
        assert_eq!(world.all_requests(), before);
        assert_eq!(logs[1].state().applied(), applied, "nor does its log grow");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_gives_errors_that_can_be_retried_and_ends() {
    let world = World::new(Bodies::InStore);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    world.store_faults.mode(Mode::Outage);
    let failed = produce(&log, batch(orders, &["a"])).await;
    assert!(matches!(failed, Err(crate::ProduceError::Storage { outcome_known: true, .. })), "{failed:?}");
    assert!(matches!(log.health(), crate::Health::StoreOutage { .. }));
    world.store_faults.mode(Mode::Normal);
    assert_eq!(produce_values(&log, orders, &["a"]).await, 0);
    assert_eq!(log.health(), crate::Health::Ok);
}

#[tokio::test(start_paused = true)]
async fn a_closed_log_answers_everything_first_and_then_refuses() {
    for bodies in [Bodies::InLog, Bodies::InStore] {
        let world = World::new(bodies);
        let log =
            world.broker_with(0, LogOptions { flush_age: Duration::from_secs(3600), ..world.options.clone() }).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let ticket = log.submit(vec![batch(orders, &["a"])]).await;
        let start = tokio::time::Instant::now();
        log.close().await;
        assert_eq!(start.elapsed(), Duration::ZERO, "it did not wait for the age");
        assert_eq!(ticket.await[0].as_ref().expect("stored").base_offset, 0);
        assert!(produce(&log, batch(orders, &["b"])).await.is_err());
        log.close().await;
        assert_eq!(world.keys("snap/").await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_during_an_outage_ends_all_the_same() {
    for bodies in [Bodies::InLog, Bodies::InStore] {
        let world = World::new(bodies);
        let log = world.broker(0).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        let outage = world.log_faults.outage();
        let ticket = log.submit(vec![batch(orders, &["a"])]).await;
        let start = tokio::time::Instant::now();
        log.close().await;
        assert!(start.elapsed() <= Duration::from_secs(15), "{:?}", start.elapsed());
        drop(log);
        assert!(ticket.await[0].is_err());
        drop(outage);
    }
}
