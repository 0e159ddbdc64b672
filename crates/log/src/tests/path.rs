//! From `submit` to `fetch`.

use super::world::*;
use crate::{FetchError, ProduceError};
use frazil_store::Operation;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_batch_goes_in_and_comes_out_at_its_offset() {
    for bodies in [Bodies::InLog, Bodies::InStore] {
        let world = World::new(bodies);
        let log = world.broker(0).await;
        let orders = partition(create_topic(&log, "orders", 1).await, 0);
        assert_eq!(produce_values(&log, orders, &["a", "b"]).await, 0);
        assert_eq!(produce_values(&log, orders, &["c"]).await, 2);
        assert_eq!(read_all(&log, orders).await, ["a", "b", "c"]);
        let fetched = fetch_once(&log, orders, 2).await;
        assert_eq!(records_of(&fetched.slices), [(2, "c".to_string())]);
        assert_eq!((fetched.high_watermark, fetched.log_start), (3, 0));
        assert_eq!(world.requests(Operation::Get), 0, "the writer leaves its own segments in the cache");
    }
}

#[tokio::test(start_paused = true)]
async fn batches_of_many_partitions_share_segments_and_keep_their_order() {
    for bodies in [Bodies::InLog, Bodies::InStore] {
        let world = World::new(bodies);
        let log = world.broker(0).await;
        let topic = create_topic(&log, "orders", 7).await;
        let mut tickets = Vec::new();
        for number in 0..200 {
            let value = number.to_string();
            let batches = (0..3).map(|step| batch(partition(topic, (number + step * 2) % 7), &[&value])).collect();
            tickets.push(log.submit(batches).await);
        }
        for ticket in tickets {
            assert!(ticket.await.iter().all(Result::is_ok));
        }
        for index in 0..7 {
            let values: Vec<i32> = read_all(&log, partition(topic, index))
                .await
                .iter()
                .map(|value| value.parse().expect("a number"))
                .collect();
            assert!(values.is_sorted(), "{values:?}");
            let expected =
                (0..200).flat_map(|number| (0..3).map(move |step| (number + step * 2) % 7)).filter(|at| *at == index);
            assert_eq!(values.len(), expected.count());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn errors_name_what_is_wrong() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let topic = create_topic(&log, "orders", 1).await;
    let unknown = partition(topic, 1);
    assert_eq!(produce(&log, batch(unknown, &["a"])).await, Err(ProduceError::UnknownPartition));
    assert_eq!(fetch_once(&log, unknown, 0).await.result, Err(FetchError::UnknownPartition));
    let known = partition(topic, 0);
    produce_values(&log, known, &["a"]).await;
    assert_eq!(fetch_once(&log, known, 2).await.result, Err(FetchError::OffsetOutOfRange));
    assert_eq!(fetch_once(&log, known, -1).await.result, Err(FetchError::OffsetOutOfRange));
    let at_the_end = fetch_once(&log, known, 1).await;
    assert_eq!(at_the_end.result, Ok(()));
    assert!(at_the_end.slices.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_when_something_is_committed_and_not_before() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let topic = create_topic(&log, "orders", 2).await;
    let (quiet, busy) = (partition(topic, 0), partition(topic, 1));
    let polling = fetch_with(&log, busy, 0, 1 << 20, Duration::from_secs(60));
    let start = tokio::time::Instant::now();
    let producing = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        produce_values(&log, quiet, &["elsewhere"]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        produce_values(&log, busy, &["here"]).await;
    };
    let (fetched, ()) = tokio::join!(polling, producing);
    assert_eq!(records_of(&fetched.slices), [(0, "here".to_string())]);
    assert_eq!(start.elapsed(), Duration::from_secs(2));
    let empty = fetch_with(&log, busy, 1, 1 << 20, Duration::from_secs(5)).await;
    assert!(empty.slices.is_empty());
    assert_eq!(start.elapsed(), Duration::from_secs(7), "it waited as long as it was allowed to");
}

#[tokio::test(start_paused = true)]
async fn plain_and_idempotent_batches_share_a_segment_and_are_judged_each_by_its_own_rules() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let batches = vec![
        batch(orders, &["plain", "plain"]),
        batch_of(orders, 1, 0, 0, &["first", "second"]),
        batch_of(orders, 1, 0, 0, &["first", "second"]),
        batch(orders, &["plain"]),
        batch(orders, &["plain"]),
        batch_of(orders, 1, 0, 5, &["too early"]),
        batch_of(orders, 1, 0, 2, &["third"]),
    ];
    let placements = log.submit(batches).await.await;
    let offset = |at: usize| placements[at].as_ref().map(|placed| (placed.base_offset, placed.duplicate));
    assert_eq!((offset(0), offset(1), offset(2)), (Ok((0, false)), Ok((2, false)), Ok((2, true))));
    assert_eq!((offset(3), offset(4)), (Ok((4, false)), Ok((5, false))));
    assert_eq!((offset(5), offset(6)), (Err(&ProduceError::OutOfOrderSequence), Ok((6, false))));
    let values = ["plain", "plain", "first", "second", "plain", "plain", "third"];
    assert_eq!(read_all(&log, orders).await, values);
    let other = world.broker(1).await;
    assert_eq!(read_all(&other, orders).await, values, "also around the bytes of what was rejected");
}
