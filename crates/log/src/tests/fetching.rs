//! Fetch against a model: any partitions, batch sizes, offsets and limits.

use super::world::*;
use crate::{FetchPartition, FetchPlan, LogOptions};
use bytes::Bytes;
use frazil_wire::Batches;
use proptest::prelude::*;
use std::time::Duration;

/// A stored batch: first offset, records, bytes.
#[derive(Clone, Copy, Debug)]
struct Stored {
    base_offset: i64,
    records: i64,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Step {
    partition: i32,
    records: usize,
    value_bytes: usize,
}

#[derive(Clone, Debug)]
struct Ask {
    at: Vec<(i32, f64)>,
    partition_max: usize,
    max_bytes: usize,
}

const PARTITIONS: i32 = 3;

fn steps() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let step = (0..PARTITIONS, 1_usize..6, 1_usize..4000).prop_map(|(partition, records, value_bytes)| Step {
        partition,
        records,
        value_bytes,
    });
    proptest::collection::vec(proptest::collection::vec(step, 1..8), 1..20)
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    let limit = || prop_oneof![Just(0), Just(1), 1_usize..100_000, Just(usize::MAX)];
    let ask = (proptest::collection::vec((0..PARTITIONS, 0.0..=1.0), 1..4), limit(), limit())
        .prop_map(|(at, partition_max, max_bytes)| Ask { at, partition_max, max_bytes });
    proptest::collection::vec(ask, 1..12)
}

fn model(stored: &[Vec<Stored>], ask: &[(usize, i64)], partition_max: usize, max_bytes: usize) -> Vec<Vec<i64>> {
    let (mut rest, mut is_first) = (max_bytes, true);
    let mut answer = Vec::new();
    for (partition, offset) in ask {
        let limit = partition_max.min(rest);
        let (mut taken, mut bases) = (0, Vec::new());
        for batch in stored[*partition].iter().filter(|batch| batch.base_offset + batch.records > *offset) {
            if taken + batch.bytes > limit && !is_first {
                break;
            }
            is_first = false;
            taken += batch.bytes;
            bases.push(batch.base_offset);
        }
        rest = rest.saturating_sub(taken);
        answer.push(bases);
    }
    answer
}

fn bases(slices: &[Bytes]) -> Vec<i64> {
    slices
        .iter()
        .flat_map(|slice| Batches::new(slice).map(|(_, header)| header.base_offset).collect::<Vec<_>>())
        .collect()
}

async fn run(bodies: Bodies, steps: &[Vec<Step>], asks: &[Ask]) {
    let world = World::new(bodies);
    let writer = world.broker(0).await;
    let topic = create_topic(&writer, "orders", PARTITIONS).await;
    let mut stored = vec![Vec::new(); PARTITIONS as usize];
    for submission in steps {
        let batches: Vec<_> = submission
            .iter()
            .map(|step| {
                let value = "v".repeat(step.value_bytes);
                batch(partition(topic, step.partition), &vec![value.as_str(); step.records])
            })
            .collect();
        let sizes: Vec<usize> = batches.iter().map(|batch| batch.bytes.len()).collect();
        let placed = writer.submit(batches).await.await;
        for ((step, placed), bytes) in submission.iter().zip(placed).zip(sizes) {
            let base_offset = placed.expect("stored").base_offset;
            stored[step.partition as usize].push(Stored { base_offset, records: step.records as i64, bytes });
        }
    }
    // A reader with the writer's cache, one that has to load, and one whose cache holds almost nothing.
    let loader = world.broker(1).await;
    let forgetful = world.broker_with(2, LogOptions { cache_bytes: 1, ..world.options.clone() }).await;
    for log in [&writer, &loader, &forgetful] {
        for ask in asks {
            let at = |(index, share): &(i32, f64)| {
                let end = stored[*index as usize].last().map_or(0, |batch| batch.base_offset + batch.records);
                (*index as usize, (end as f64 * share) as i64)
            };
            let wanted: Vec<(usize, i64)> = ask.at.iter().map(at).collect();
            let partitions = wanted.iter().map(|(index, offset)| FetchPartition {
                partition: partition(topic, *index as i32),
                offset: *offset,
                max_bytes: ask.partition_max,
            });
            let plan = FetchPlan {
                max_wait: Duration::ZERO,
                min_bytes: 1,
                max_bytes: ask.max_bytes,
                isolation: crate::Isolation::ReadUncommitted,
                partitions: partitions.collect(),
            };
            let fetched = log.fetch(plan).await;
            let found: Vec<Vec<i64>> = fetched.iter().map(|fetched| bases(&fetched.slices)).collect();
            let expected = model(&stored, &wanted, ask.partition_max, ask.max_bytes);
            check(&found, &expected, ask);
        }
    }
}

/// Plans estimate sizes inside an extent, so a partition may get fewer batches than its limits allow, never others, and
/// never none if it was the first.
fn check(found: &[Vec<i64>], expected: &[Vec<i64>], ask: &Ask) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(expected.starts_with(found), "partition {index} of {ask:?}: {found:?}, expected {expected:?}");
    }
    let first = expected.iter().position(|bases| !bases.is_empty());
    if let Some(first) = first {
        assert!(!found[first].is_empty(), "the first that has anything gives something: {ask:?}");
    }
    if ask.max_bytes == usize::MAX && ask.partition_max == usize::MAX {
        assert_eq!(found, expected, "without limits everything comes");
    }
}

#[test]
fn fetches_follow_the_model() {
    proptest!(ProptestConfig::with_cases(40), |(steps in steps(), asks in asks(), in_log in any::<bool>())| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        runtime.block_on(run(if in_log { Bodies::InLog } else { Bodies::InStore }, &steps, &asks));
    });
}

#[tokio::test(start_paused = true)]
async fn a_fetch_inside_a_batch_gets_the_batch() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    produce_values(&log, orders, &["a", "b", "c"]).await;
    produce_values(&log, orders, &["d"]).await;
    let fetched = fetch_with(&log, orders, 1, 1, Duration::ZERO).await;
    assert_eq!(bases(&fetched.slices), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_for_as_many_bytes_as_it_asks_for() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let orders = partition(create_topic(&log, "orders", 1).await, 0);
    let plan = FetchPlan {
        max_wait: Duration::from_secs(60),
        min_bytes: 2500,
        max_bytes: 1 << 20,
        isolation: crate::Isolation::ReadUncommitted,
        partitions: vec![FetchPartition { partition: orders, offset: 0, max_bytes: 1 << 20 }],
    };
    let start = tokio::time::Instant::now();
    let producing = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            produce(&log, large_batch(orders, 1000)).await.expect("stored");
        }
    };
    let polling = async { (log.fetch(plan).await, start.elapsed()) };
    let ((fetched, waited), ()) = tokio::join!(polling, producing);
    assert_eq!(waited, Duration::from_secs(3));
    assert_eq!(bases(&fetched[0].slices), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_ends_the_polls_on_it() {
    let world = World::new(Bodies::InLog);
    let log = world.broker(0).await;
    let topic = create_topic(&log, "orders", 1).await;
    let polling = fetch_with(&log, partition(topic, 0), 0, 1 << 20, Duration::from_secs(60));
    let deleting = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.propose(frazil_meta::record::Command::DeleteTopic { topic }).await.expect("taken")
    };
    let (fetched, _) = tokio::join!(polling, deleting);
    assert_eq!(fetched.result, Err(crate::FetchError::UnknownPartition));
}
