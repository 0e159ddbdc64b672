//! Random faults of store and log, several brokers, producers that retry: what was acknowledged is there once, in order.

use super::world::*;
use crate::{Log, Placed, ProduceError};
use frazil_base::TopicPartition;
use frazil_meta::engine::testing::Rates;
use frazil_store::testing::FaultPlan;
use std::time::Duration;

const BATCHES: i32 = 40;

/// Sends its batches one after the other, each until it is acknowledged, through changing brokers.
async fn idempotent_producer(id: i64, orders: TopicPartition, logs: &[Log]) -> Vec<i64> {
    let mut offsets = Vec::new();
    for sequence in 0..BATCHES {
        let value = format!("{id}-{sequence}");
        let mut attempt = id as usize;
        loop {
            let log = &logs[attempt % logs.len()];
            match produce(log, batch_of(orders, id, 0, sequence, &[&value])).await {
                Ok(Placed { base_offset, .. }) => break offsets.push(base_offset),
                Err(ProduceError::Storage { .. }) => attempt += 1,
                Err(error) => panic!("{value}: {error}"),
            }
        }
    }
    offsets
}

async fn run(bodies: Bodies, seed: u64) -> u64 {
    let mut world = World::seeded(bodies, seed);
    // Small enough that segments fill up and overlap.
    world.options.segment_bytes = 600;
    let logs = [world.broker(0).await, world.broker(1).await];
    let topic = create_topic(&logs[0], "orders", 2).await;
    let target = logs[0].state().applied();
    logs[1].applied_changes().wait_for(|applied| *applied >= target).await;
    let delay = Duration::ZERO..Duration::from_millis(20);
    let rates = Rates { lost_answers: 50, lost_requests: 50, refused: 30, before: delay.clone(), after: delay };
    world.log_faults.set_rates(rates);
    world.store_faults.plan(FaultPlan {
        refused_permille: 30,
        lost_answer_permille: 30,
        torn_permille: 30,
        late_permille: 20,
        delayed_permille: 300,
        ..FaultPlan::default()
    });
    let producers = (0..6).map(|id| idempotent_producer(id, partition(topic, (id % 2) as i32), &logs));
    let offsets = futures::future::join_all(producers).await;
    world.log_faults.set_rates(Rates::default());
    world.store_faults.plan(FaultPlan::default());
    let fresh = world.broker(9).await;
    for index in 0..2 {
        let values = read_all(&fresh, partition(topic, index)).await;
        assert_eq!(values.len(), 3 * BATCHES as usize, "seed {seed}: nothing lost, nothing twice");
        for (id, offsets) in offsets.iter().enumerate().filter(|(id, _)| *id as i32 % 2 == index) {
            for (sequence, offset) in offsets.iter().enumerate() {
                assert_eq!(
                    values[*offset as usize],
                    format!("{id}-{sequence}"),
                    "seed {seed}: where it was said to be"
                );
            }
            assert!(offsets.is_sorted(), "seed {seed}: in order");
        }
    }
    for log in &logs {
        let target = fresh.state().applied();
        log.applied_changes().wait_for(|applied| *applied >= target).await;
        assert_eq!(log.state().hash(), fresh.state().hash(), "seed {seed}");
    }
    fresh.state().hash()
}

fn simulate(bodies: Bodies, seed: u64) -> u64 {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(run(bodies, seed))
}

#[test]
fn what_was_acknowledged_is_there_once_and_in_order_whatever_fails() {
    for seed in 0..20 {
        for bodies in [Bodies::InLog, Bodies::InStore] {
            simulate(bodies, seed);
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 100..103 {
        for bodies in [Bodies::InLog, Bodies::InStore] {
            assert_eq!(simulate(bodies, seed), simulate(bodies, seed), "seed {seed}");
        }
    }
}
