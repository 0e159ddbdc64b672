//! Coordinators come, go, and are wrong about themselves.

use super::consumers::Fleet;
use super::world::{Site, World, partition};
use crate::group::GroupError;
use bytes::Bytes;
use frazil_base::{BrokerId, Epoch, Seq};
use frazil_meta::record::{Command, Record, RegisterBroker};
use frazil_meta::state::{CoordinatorKind, State};
use frazil_meta::{CommitLog, Entry};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

async fn three() -> (Arc<World>, Vec<Arc<Site>>) {
    let world = Arc::new(World::new());
    let mut sites = Vec::new();
    for id in 1..=3 {
        sites.push(world.start(id).await);
    }
    (world, sites)
}

#[tokio::test(start_paused = true)]
async fn a_group_has_one_coordinator_and_all_brokers_agree() {
    let (world, sites) = three().await;
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..50 {
        let group = format!("g{number}");
        let claims: Vec<_> = sites.iter().filter(|site| site.groups.check_role(&group).is_ok()).collect();
        assert_eq!(claims.len(), 1, "{group}");
        seen.insert(claims[0].id);
        let elsewhere = sites.iter().find(|site| site.id != claims[0].id).expect("three brokers");
        assert_eq!(elsewhere.join(&group, "").await, Err(GroupError::NotCoordinator));
        assert_eq!(elsewhere.groups.heartbeat(&group, "m", None, 1), Err(GroupError::NotCoordinator));
    }
    assert_eq!(seen.len(), 3, "groups are spread");
    drop(world);
}

#[tokio::test(start_paused = true)]
async fn another_broker_takes_a_group_over_without_a_rebalance() {
    let (world, _) = three().await;
    let topic = world.create_topic("t", 1).await;
    let first = world.coordinator("g").await;
    let (member, generation) = first.lone_member("g").await;
    first.commit("g", Some((&member, generation)), partition(topic, 0), 5).await.expect("committed");
    advance(Duration::from_secs(9)).await;
    world.kill(&first).await;
    let second = world.coordinator("g").await;
    assert_ne!(first.id, second.id);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(second.groups.heartbeat("g", &member, None, generation), Ok(()), "its session began anew");
    let synced = second.sync("g", &member, generation, Vec::new()).await.expect("it is still a member");
    assert_eq!(synced.assignment, "all");
    second.commit("g", Some((&member, generation)), partition(topic, 0), 6).await.expect("committed");
    assert_eq!(second.committed("g", partition(topic, 0)).map(|committed| committed.offset), Some(6));
    assert_eq!(
        first.commit("g", Some((&member, generation)), partition(topic, 0), 4).await,
        Err(GroupError::NotCoordinator)
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_dies_with_its_coordinator_is_noticed_by_the_next_one() {
    let (world, _) = three().await;
    let first = world.coordinator("g").await;
    first.lone_member("g").await;
    world.kill(&first).await;
    sleep(Duration::from_secs(11)).await;
    let second = world.coordinator("g").await;
    let members = second.log.state().group("g").map(|group| group.member_count());
    assert_eq!(members, Some(0), "nobody had to ask for the group");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_when_the_group_goes_to_another_broker() {
    let (world, sites) = three().await;
    let first = world.coordinator("g").await;
    let (member, generation) = first.lone_member("g").await;
    let waiting = tokio::spawn({
        let first = first.clone();
        async move { first.join("g", "").await }
    });
    while first.groups.heartbeat("g", &member, None, generation).is_ok() {
        tokio::task::yield_now().await;
    }
    // Brokers join until one of them gets the group.
    let mut id = 4;
    while first.groups.check_role("g").is_ok() {
        world.start(id).await;
        id += 1;
    }
    assert_eq!(waiting.await.expect("no panic"), Err(GroupError::NotCoordinator));
    let second = world.coordinator("g").await;
    assert_eq!(second.groups.heartbeat("g", &member, None, generation), Ok(()));
    drop(sites);
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_dies_in_the_middle_of_a_rebalance_delays_it_and_nothing_else() {
    let (world, _) = three().await;
    let fleet = Fleet::new(&world, "g", 40);
    let tasks: Vec<_> = (0..8).map(|number| tokio::spawn(fleet.clone().consume(number))).collect();
    let mut generation = fleet.settled(8, 0).await;
    for number in 8..10 {
        let site = world.coordinator("g").await;
        // Somebody joins, the others have not noticed yet; then the coordinator is gone.
        let newcomer = tokio::spawn(fleet.clone().consume(number));
        sleep(Duration::from_millis(500)).await;
        world.kill(&site).await;
        generation = fleet.settled(number + 1, generation).await;
        drop(newcomer);
    }
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Registers a broker behind the back of those that run, so that they have not heard of it when this returns.
pub(super) async fn register_unnoticed(world: &World, id: i32) -> Epoch {
    let register = RegisterBroker {
        broker: BrokerId(id),
        incarnation: 1,
        host: "nowhere".into(),
        port: 1,
        zone: None,
        exclusive: false,
    };
    let command = Command::RegisterBroker(register);
    let record = Record { epoch: Epoch::default(), number: 0, time_ms: 0, command };
    let entry = Entry { record: record.encode(), body: None };
    let tail = world.engine.tail().await.expect("memory does not fail");
    let appended = world.engine.append(tail, vec![entry]).await.expect("memory does not fail");
    assert_eq!(appended.first, Seq(tail.0 + 1));
    Epoch(appended.first.0)
}

/// A broker id to which this group goes if it joins.
pub(super) fn thief_of(state: &State, group: &str) -> i32 {
    let mut ids = 100..;
    let takes = |id: &i32| {
        let mut next = state.clone();
        let register = RegisterBroker {
            broker: BrokerId(*id),
            incarnation: 1,
            host: "nowhere".into(),
            port: 1,
            zone: None,
            exclusive: false,
        };
        let command = Command::RegisterBroker(register);
        next.apply(state.applied().next(), &Record { epoch: Epoch::default(), number: 0, time_ms: 0, command });
        next.coordinator(CoordinatorKind::Group, group).map(|broker| broker.id) == Some(BrokerId(*id))
    };
    ids.find(takes).expect("some id wins")
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_has_not_heard_of_its_successor_hands_out_no_assignment() {
    let world = World::new();
    let site = world.start(1).await;
    let joined = site.join("g", "").await.expect("it joins");
    let thief = thief_of(&site.log.state(), "g");
    let assignment = vec![(joined.member_id.clone(), Bytes::from_static(b"all"))];
    register_unnoticed(&world, thief).await;
    assert_eq!(site.groups.check_role("g"), Ok(()), "it still believes");
    let synced = site.sync("g", &joined.member_id, joined.generation, assignment).await;
    assert_eq!(synced, Err(GroupError::NotCoordinator));
    assert!(site.log.state().group("g").is_none(), "nothing was recorded");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_has_not_heard_of_its_successor_commits_nothing() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 1).await;
    let (member, generation) = site.lone_member("g").await;
    let thief = thief_of(&site.log.state(), "g");
    register_unnoticed(&world, thief).await;
    assert_eq!(site.groups.check_role("g"), Ok(()), "it still believes");
    let committed = site.commit("g", Some((&member, generation)), partition(topic, 0), 5).await;
    assert_eq!(committed, Err(GroupError::NotCoordinator));
    assert_eq!(site.committed("g", partition(topic, 0)), None);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_log_does_not_take_is_no_assignment_and_the_group_goes_on() {
    let world = World::new();
    let site = world.start(1).await;
    let joined = site.join("g", "").await.expect("it joins");
    let assignment = vec![(joined.member_id.clone(), Bytes::from_static(b"all"))];
    world.log_faults.refuse(1);
    let synced = site.sync("g", &joined.member_id, joined.generation, assignment.clone()).await;
    assert_eq!(synced, Err(GroupError::CoordinatorNotAvailable));
    let began = Instant::now();
    let (member, _) = site.lone_member("g").await;
    assert_ne!(member, joined.member_id);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_answer_was_lost_is_found_in_the_log() {
    let world = World::new();
    let site = world.start(1).await;
    let joined = site.join("g", "").await.expect("it joins");
    world.log_faults.lose_answers(1);
    let assignment = vec![(joined.member_id.clone(), Bytes::from_static(b"all"))];
    let synced = site.sync("g", &joined.member_id, joined.generation, assignment).await.expect("it syncs");
    assert_eq!(synced.assignment, "all");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stops_tells_who_waits() {
    let world = World::new();
    let site = world.start(1).await;
    site.lone_member("g").await;
    let waiting = tokio::spawn({
        let site = site.clone();
        async move { site.join("g", "").await }
    });
    sleep(Duration::from_millis(10)).await;
    site.stop.give();
    assert_eq!(waiting.await.expect("no panic"), Err(GroupError::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stood_still_does_not_take_its_members_for_dead() {
    let world = World::new();
    let site = world.start(1).await;
    let (member, generation) = site.lone_member("g").await;
    // Time jumps, as after SIGSTOP and SIGCONT: no task ran meanwhile, heartbeats wait in sockets.
    advance(Duration::from_secs(60)).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(site.groups.heartbeat("g", &member, None, generation), Ok(()));
    sleep(Duration::from_secs(11)).await;
    assert_eq!(site.groups.heartbeat("g", &member, None, generation), Err(GroupError::UnknownMember));
}
