use super::*;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);

/// A consumer as the clients write them: it beats at its interval, and at once when it has done what it was told.
async fn consume(world: Arc<World>, mut consumer: Consumer) {
    loop {
        let site = world.coordinator(&consumer.group).await;
        match consumer.beat(&site).await {
            Ok(reply) if reply.assignment.is_some() => continue,
            Ok(_) => sleep(HEARTBEAT_INTERVAL).await,
            Err(HeartbeatRefused::Group(_)) => sleep(Duration::from_millis(100)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_settled(site: &Site, members: usize, partitions: usize) -> bool {
    let state = site.log.state();
    let Some(GroupKind::Consumer(group)) = state.group("g").map(|group| &group.kind) else { return false };
    let is_done = |member: &ConsumerMember| {
        member.member_epoch == group.target_epoch && member.assigned == member.target && member.revoking.is_empty()
    };
    let owned = group.members.values().flat_map(|member| member.assigned.values().flatten());
    group.members.len() == members
        && group.group_epoch == group.target_epoch
        && group.members.values().all(is_done)
        && owned.collect::<Vec<_>>().len() == partitions
}

async fn until_settled(world: &World, members: usize, partitions: usize) {
    let site = world.coordinator("g").await;
    site.log.applied_changes().wait_for(|_| is_settled(&site, members, partitions)).await;
    let numbers: BTreeSet<_> = recorded(&site, "g")
        .members
        .values()
        .flat_map(|member| member.assigned.values().flatten().copied().collect::<Vec<_>>())
        .collect();
    assert_eq!(numbers.len(), partitions, "every partition has one owner");
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_of_a_hundred_members_over_a_thousand_partitions_settles_within_two_heartbeats() {
    let world = Arc::new(World::new());
    for id in 1..=3 {
        world.start(id).await;
    }
    world.create_topic("t", 1_000).await;
    let consumer = |number: usize| Consumer::new("g", &format!("m{number:03}"));
    let mut tasks: Vec<_> = (0..99).map(|number| tokio::spawn(consume(world.clone(), consumer(number)))).collect();
    until_settled(&world, 99, 1_000).await;
    let began = Instant::now();
    tasks.push(tokio::spawn(consume(world.clone(), consumer(99))));
    until_settled(&world, 100, 1_000).await;
    assert!(began.elapsed() <= 2 * HEARTBEAT_INTERVAL, "{:?}", began.elapsed());
    // One dies: its session has to end first, then the same holds.
    tasks.pop().expect("a task").abort();
    sleep(Duration::from_secs(45)).await;
    let began = Instant::now();
    until_settled(&world, 99, 1_000).await;
    assert!(began.elapsed() <= 2 * HEARTBEAT_INTERVAL, "{:?}", began.elapsed());
    // The coordinator dies with nothing going on: nothing happens.
    let epoch = recorded(&world.coordinator("g").await.clone(), "g").group_epoch;
    world.kill(&world.coordinator("g").await).await;
    sleep(Duration::from_secs(60)).await;
    let after = recorded(&world.coordinator("g").await.clone(), "g");
    assert_eq!((after.group_epoch, after.members.len()), (epoch, 99));
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_idle_groups_cost_no_store_requests_and_no_records() {
    const GROUPS: usize = 2_000;
    let world = World::new();
    let site = world.start(1).await;
    world.create_topic("t", 1).await;
    let mut consumers: Vec<_> = (0..GROUPS).map(|number| Consumer::new(&format!("g{number}"), "m")).collect();
    for consumer in &mut consumers {
        consumer.beat(&site).await.expect("joins");
    }
    sleep(Duration::from_secs(1)).await;
    let (requests, applied) = (world.store_faults.requests(), site.log.state().applied());
    for _ in 0..3 {
        for consumer in &mut consumers {
            consumer.beat(&site).await.expect("a member");
        }
        sleep(HEARTBEAT_INTERVAL).await;
    }
    assert_eq!(site.log.state().applied(), applied, "heartbeats are not recorded");
    assert_eq!(world.store_faults.requests(), requests);
    sleep(Duration::from_secs(60)).await;
    assert!(site.groups.in_memory().is_empty(), "empty groups have no place in memory");
    assert_eq!(site.groups.alarm_count(), 0);
}
