//! Many members, many groups.

use super::consumers::{Fleet, HEARTBEAT_INTERVAL};
use super::world::World;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_rebalance_of_a_hundred_members_over_a_thousand_partitions_settles_within_two_heartbeats() {
    let world = Arc::new(World::new());
    for id in 1..=3 {
        world.start(id).await;
    }
    let fleet = Fleet::new(&world, "g", 1_000);
    let mut tasks: Vec<_> = (0..99).map(|number| tokio::spawn(fleet.clone().consume(number))).collect();
    let mut generation = fleet.settled(99, 0).await;
    let records = world.all()[0].log.state().applied();
    let began = Instant::now();
    tasks.push(tokio::spawn(fleet.clone().consume(99)));
    generation = fleet.settled(100, generation).await;
    assert!(began.elapsed() <= 2 * HEARTBEAT_INTERVAL, "{:?}", began.elapsed());
    let one_more = world.all()[0].log.state().applied().0 - records.0;
    assert_eq!(one_more, 1, "a rebalance is one record");
    // A member dies: its session has to end first, then the same holds.
    tasks.pop().expect("a task").abort();
    fleet.owned.send_modify(|owned| drop(owned.remove(&99)));
    sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    fleet.settled(99, generation).await;
    assert!(began.elapsed() <= 2 * HEARTBEAT_INTERVAL, "{:?}", began.elapsed());
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_idle_groups_cost_no_store_requests_and_no_records() {
    const GROUPS: usize = 10_000;
    let world = World::new();
    let site = world.start(1).await;
    let mut members = Vec::new();
    for number in 0..GROUPS {
        let group = format!("g{number}");
        let (member, generation) = site.lone_member(&group).await;
        members.push((group, member, generation));
    }
    let heartbeats = async || {
        for _ in 0..10 {
            for (group, member, generation) in &members {
                assert_eq!(site.groups.heartbeat(group, member, None, *generation), Ok(()));
            }
            sleep(HEARTBEAT_INTERVAL).await;
        }
    };
    // The log's own work after so many records ends first.
    heartbeats().await;
    heartbeats().await;
    let (requests, applied) = (world.store_faults.requests(), site.log.state().applied());
    heartbeats().await;
    assert_eq!(site.log.state().applied(), applied, "heartbeats are not recorded");
    assert_eq!(world.store_faults.requests(), requests);
    assert_eq!(site.groups.in_memory().len(), GROUPS);
    // They all die. Empty groups have no place in memory and no alarm.
    sleep(Duration::from_secs(30)).await;
    assert!(site.groups.in_memory().is_empty());
    assert_eq!(site.groups.alarm_count(), 0);
}
