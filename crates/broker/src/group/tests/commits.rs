//! Offsets: merged, ordered, fenced, expired.

use super::world::{World, partition};
use crate::group::membership::Leaver;
use crate::group::{Commit, CommittedBy, GroupError};
use bytes::{BufMut, Bytes, BytesMut};
use frazil_meta::record::OffsetCommit;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{advance, interval, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn a_thousand_consumers_that_commit_once_a_second_cost_no_more_appends_than_the_window_allows() {
    const CONSUMERS: i32 = 1_000;
    const SECONDS: u64 = 10;
    let mut world = World::new();
    world.options.flush_age = Duration::from_millis(250);
    let site = world.start(1).await;
    let topic = world.create_topic("t", CONSUMERS).await;
    let before = site.append_calls();
    let mut consumers = JoinSet::new();
    for number in 0..CONSUMERS {
        let site = site.clone();
        consumers.spawn(async move {
            sleep(Duration::from_millis(number as u64)).await;
            let mut every_second = interval(Duration::from_secs(1));
            for offset in 0..SECONDS {
                every_second.tick().await;
                let group = format!("g{}", number % 10);
                let committed = site.commit(&group, None, partition(topic, number), offset as i64).await;
                assert_eq!(committed, Ok(()));
            }
        });
    }
    while let Some(ended) = consumers.join_next().await {
        ended.expect("no panic");
    }
    let appends = site.append_calls() - before;
    assert!(appends <= SECONDS * 4 + 6, "{appends} appends in {SECONDS} s");
    for number in [0, 17, CONSUMERS - 1] {
        let committed = site.committed(&format!("g{}", number % 10), partition(topic, number)).expect("committed");
        assert_eq!(committed.offset, SECONDS as i64 - 1);
    }
}

#[tokio::test(start_paused = true)]
async fn commits_that_arrive_while_a_record_is_under_way_share_the_next_one() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 100).await;
    let hold = world.log_faults.hold(frazil_meta::engine::testing::Point::Before);
    let mut commits = JoinSet::new();
    for number in 0..100 {
        let site = site.clone();
        commits.spawn(async move { site.commit("g", None, partition(topic, number), 1).await });
        tokio::task::yield_now().await;
    }
    let before = site.log.state().applied();
    sleep(Duration::from_secs(1)).await;
    hold.release();
    while let Some(ended) = commits.join_next().await {
        assert_eq!(ended.expect("no panic"), Ok(()));
    }
    assert!(site.log.state().applied().0 - before.0 <= 3, "a hundred commits, a few records");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_in_time_goes_ahead_of_the_next_generation() {
    let mut world = World::new();
    world.options.flush_age = Duration::from_secs(5);
    let site = world.start(1).await;
    let topic = world.create_topic("t", 2).await;
    let (member, generation) = site.lone_member("g").await;
    site.commit("g", Some((&member, generation)), partition(topic, 0), 1).await.expect("the first waits for nothing");
    let committing = tokio::spawn({
        let (site, member) = (site.clone(), member.clone());
        async move { site.commit("g", Some((&member, generation)), partition(topic, 1), 7).await }
    });
    tokio::task::yield_now().await;
    // The leader joins again, and its next assignment is recorded long before the window closes.
    let joined = site.join("g", &member).await.expect("it joins");
    assert_eq!(joined.generation, generation + 1);
    site.sync("g", &member, joined.generation, Vec::new()).await.expect("it syncs");
    assert_eq!(committing.await.expect("no panic"), Ok(()));
    assert_eq!(site.committed("g", partition(topic, 1)).map(|committed| committed.offset), Some(7));
}

/// Found by real clients: their commits waited for a record that nobody wrote, and the broker in vain for them.
#[tokio::test(start_paused = true)]
async fn a_commit_that_waits_when_the_broker_stops_is_written_and_a_later_one_refused() {
    let mut world = World::new();
    world.options.flush_age = Duration::from_secs(5);
    let site = world.start(1).await;
    let topic = world.create_topic("t", 1).await;
    site.commit("g", None, partition(topic, 0), 1).await.expect("the first waits for nothing");
    let committing = tokio::spawn({
        let site = site.clone();
        async move { site.commit("g", None, partition(topic, 0), 2).await }
    });
    tokio::task::yield_now().await;
    assert!(!committing.is_finished(), "it waits for its record");
    site.stop.give();
    let committed = timeout(Duration::from_secs(1), committing).await.expect("it is answered");
    assert_eq!(committed.expect("no panic"), Ok(()));
    assert_eq!(site.committed("g", partition(topic, 0)).map(|committed| committed.offset), Some(2));
    let late = timeout(Duration::from_secs(1), site.commit("g", None, partition(topic, 0), 3)).await;
    assert_eq!(late.expect("it is answered"), Err(GroupError::NotCoordinator));
}

#[tokio::test(start_paused = true)]
async fn commits_of_strangers_and_of_other_generations_are_refused() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 1).await;
    let place = partition(topic, 0);
    assert_eq!(site.commit("g", Some(("m", 1)), place, 1).await, Err(GroupError::GroupIdNotFound));
    let (member, generation) = site.lone_member("g").await;
    assert_eq!(site.commit("g", None, place, 1).await, Err(GroupError::UnknownMember));
    assert_eq!(site.commit("g", Some(("other", generation)), place, 1).await, Err(GroupError::UnknownMember));
    assert_eq!(site.commit("g", Some((&member, generation + 1)), place, 1).await, Err(GroupError::IllegalGeneration));
    assert_eq!(site.commit("g", Some((&member, generation)), place, 1).await, Ok(()));
    site.groups
        .leave("g", vec![Leaver { member_id: member.clone(), instance_id: None }], &site.stop.subscribe())
        .await
        .expect("it leaves");
    assert_eq!(site.commit("g", Some((&member, generation)), place, 2).await, Err(GroupError::UnknownMember));
    assert_eq!(site.commit("g", None, place, 3).await, Ok(()), "an administrator may, now");
}

#[tokio::test(start_paused = true)]
async fn a_commit_keeps_its_member_alive() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 1).await;
    let (member, generation) = site.lone_member("g").await;
    for offset in 0..5 {
        sleep(Duration::from_secs(8)).await;
        assert_eq!(site.commit("g", Some((&member, generation)), partition(topic, 0), offset).await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_larger_than_a_record_takes_several() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 2_000).await;
    let metadata = "x".repeat(4_096);
    let offsets = (0..2_000).map(|number| {
        (partition(topic, number), OffsetCommit { offset: 1, leader_epoch: -1, metadata: metadata.clone() })
    });
    let by = CommittedBy { member_id: String::new(), instance_id: None, generation: -1 };
    let commit = Commit { group: "g".into(), by, txn: None, offsets: offsets.collect() };
    let before = site.log.state().applied();
    assert_eq!(site.groups.commit(commit).await, Ok(()));
    assert!(site.log.state().applied().0 - before.0 >= 8);
    assert!((0..2_000).all(|number| site.committed("g", partition(topic, number)).is_some()));
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_group_expire_a_retention_after_its_last_member_left() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 2).await;
    let day = Duration::from_secs(24 * 3600);
    let (member, generation) = site.lone_member("g").await;
    site.commit("g", Some((&member, generation)), partition(topic, 0), 1).await.expect("committed");
    site.commit("simple", None, partition(topic, 0), 1).await.expect("committed");
    advance(day).await;
    site.commit("simple", None, partition(topic, 1), 1).await.expect("committed");
    // Whether the day was a pause of the broker or of the member: it is gone a session later.
    sleep(Duration::from_secs(11)).await;
    assert_eq!(site.log.state().group("g").map(|group| group.member_count()), Some(0));
    advance(6 * day - Duration::from_secs(60)).await;
    sleep(Duration::from_secs(1_000)).await;
    assert_eq!(site.committed("simple", partition(topic, 0)), None, "seven days after its commit");
    assert!(site.committed("simple", partition(topic, 1)).is_some());
    assert!(site.committed("g", partition(topic, 0)).is_some(), "six days after the last member left");
    advance(day).await;
    sleep(Duration::from_secs(1_000)).await;
    assert!(site.log.state().group("g").is_none(), "nothing is left of it");
    assert!(site.log.state().group("simple").is_none());
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_group_with_members_never_expire() {
    let world = Arc::new(World::new());
    let site = world.start(1).await;
    let topic = world.create_topic("t", 1).await;
    let long = |join: &mut crate::group::membership::Join| {
        (join.session_timeout_ms, join.requires_member_id) = (1_800_000, false);
    };
    let joined = site.join_with("g", "", long).await.expect("it joins");
    let (member, generation) = (joined.member_id, joined.generation);
    site.sync("g", &member, generation, Vec::new()).await.expect("it syncs");
    site.commit("g", Some((&member, generation)), partition(topic, 0), 1).await.expect("committed");
    for _ in 0..(8 * 24 * 3) {
        sleep(Duration::from_secs(1_200)).await;
        assert_eq!(site.groups.heartbeat("g", &member, None, generation), Ok(()));
    }
    assert!(site.committed("g", partition(topic, 0)).is_some());
}

/// As a consumer writes it: version, topics, user data.
fn subscription(topic: &str) -> Bytes {
    let mut metadata = BytesMut::new();
    metadata.put_i16(0);
    metadata.put_i32(1);
    metadata.put_i16(topic.len() as i16);
    metadata.put_slice(topic.as_bytes());
    metadata.put_i32(-1);
    metadata.freeze()
}

/// Twenty minutes, so often that it takes eight days.
const BEATS: u32 = 8 * 24 * 3;
const BEAT: Duration = Duration::from_secs(1_200);

#[tokio::test(start_paused = true)]
async fn offsets_of_topics_that_a_live_classic_group_reads_no_longer_expire() {
    let world = World::new();
    let site = world.start(1).await;
    let (read, unread) = (world.create_topic("read", 1).await, world.create_topic("unread", 2).await);
    let long = |join: &mut crate::group::membership::Join| {
        (join.session_timeout_ms, join.requires_member_id) = (1_800_000, false);
        join.protocols = vec![("range".to_owned(), subscription("read"))];
    };
    let joined = site.join_with("g", "", long).await.expect("it joins");
    let (member, generation) = (joined.member_id, joined.generation);
    site.sync("g", &member, generation, Vec::new()).await.expect("it syncs");
    for place in [partition(read, 0), partition(unread, 0), partition(unread, 1)] {
        site.commit("g", Some((&member, generation)), place, 1).await.expect("committed");
    }
    for beat in 0..BEATS {
        sleep(BEAT).await;
        assert_eq!(site.groups.heartbeat("g", &member, None, generation), Ok(()));
        if beat == BEATS / 2 {
            site.commit("g", Some((&member, generation)), partition(unread, 1), 2).await.expect("committed");
        }
    }
    assert!(site.committed("g", partition(read, 0)).is_some(), "it is subscribed to it");
    assert_eq!(site.committed("g", partition(unread, 0)), None, "seven days after its commit");
    assert!(site.committed("g", partition(unread, 1)).is_some(), "four days after its commit");
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_live_group_of_another_protocol_type_never_expire() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 1).await;
    let long = |join: &mut crate::group::membership::Join| {
        (join.session_timeout_ms, join.requires_member_id) = (1_800_000, false);
        (join.protocol_type, join.protocols) = ("connect".to_owned(), vec![("default".to_owned(), Bytes::new())]);
    };
    let joined = site.join_with("g", "", long).await.expect("it joins");
    let (member, generation) = (joined.member_id, joined.generation);
    site.sync("g", &member, generation, Vec::new()).await.expect("it syncs");
    site.commit("g", Some((&member, generation)), partition(topic, 0), 1).await.expect("committed");
    for _ in 0..BEATS {
        sleep(BEAT).await;
        assert_eq!(site.groups.heartbeat("g", &member, None, generation), Ok(()));
    }
    assert!(site.committed("g", partition(topic, 0)).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_nothing_is_checked_and_writes_nothing() {
    let world = World::new();
    let site = world.start(1).await;
    let (member, generation) = site.lone_member("g").await;
    let nothing = |member: &str, generation: i32| {
        let by = CommittedBy { member_id: member.to_owned(), instance_id: None, generation };
        site.groups.commit(Commit { group: "g".into(), by, txn: None, offsets: Vec::new() })
    };
    let before = site.log.state().applied();
    assert_eq!(nothing(&member, generation).await, Ok(()));
    assert_eq!(nothing(&member, generation + 1).await, Err(GroupError::IllegalGeneration));
    assert_eq!(nothing("other", generation).await, Err(GroupError::UnknownMember));
    assert_eq!(nothing("", -1).await, Err(GroupError::UnknownMember), "it has a member");
    assert_eq!(site.log.state().applied(), before);
}
