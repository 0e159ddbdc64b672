use super::*;
use crate::group::consumer::HeartbeatError;
use crate::group::{Commit, CommittedBy};
use frazil_meta::record::{Command, ConfigResource};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn two_consumers_share_a_topic_and_then_write_nothing() {
    let (world, site, _, mut consumers) = settled(4, &["a", "b"]).await;
    assert_eq!([consumers[0].partitions(), consumers[1].partitions()], [vec![0, 1], vec![2, 3]]);
    let (applied, requests) = (site.log.state().applied(), world.store_faults.requests());
    for _ in 0..20 {
        for consumer in &mut consumers {
            let reply = consumer.beat(&site).await.expect("a member");
            assert_eq!((reply.member_epoch, reply.assignment), (2, None));
        }
        sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(site.log.state().applied(), applied, "heartbeats that change nothing append nothing");
    assert_eq!(world.store_faults.requests(), requests);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_falls_silent_leaves_its_partitions_to_the_others() {
    let (_, site, _, mut consumers) = settled(4, &["a", "b"]).await;
    for _ in 0..9 {
        sleep(Duration::from_secs(5)).await;
        consumers[0].beat(&site).await.expect("a member");
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(recorded_member(&site, "g", "b"), None, "45 s without a word");
    let reply = consumers[0].beat(&site).await.expect("a member");
    assert_eq!((reply.member_epoch, consumers[0].partitions()), (3, vec![0, 1, 2, 3]));
    let error = consumers[1].beat(&site).await.expect_err("it is gone");
    assert!(matches!(error, HeartbeatRefused::Member(HeartbeatError::UnknownMember { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_let_go_in_time_is_fenced() {
    let (_, site, _, mut consumers) = settled(4, &["a"]).await;
    let mut late = Consumer::new("g", "b");
    late.beat(&site).await.expect("joins");
    let holding = consumers[0].owned.clone();
    for _ in 0..29 {
        let heartbeat = Heartbeat { owned: Some(holding.clone()), ..consumers[0].heartbeat() };
        send(&site, "g", heartbeat).await.expect("it may take its time");
        sleep(Duration::from_secs(1)).await;
    }
    assert!(recorded_member(&site, "g", "a").is_some());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(recorded_member(&site, "g", "a"), None, "30 s are its rebalance timeout");
    late.beat(&site).await.expect("a member");
    assert_eq!(late.partitions(), [0, 1, 2, 3]);
    assert!(consumers[0].beat(&site).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_static_member_that_left_for_a_while_is_waited_for_until_its_session_ends() {
    let (world, site, _, mut others) = settled(2, &["b"]).await;
    let mut first = Consumer::new("g", "a").with_instance("i");
    settle(&world, &mut [&mut first, &mut others[0]]).await;
    let before = first.partitions();
    assert_eq!(before.len(), 1);
    assert_eq!(first.leave(&site, -2).await.expect("it may").member_epoch, -2);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(others[0].beat(&site).await.expect("a member").assignment, None);
    let mut second = Consumer::new("g", "a2").with_instance("i");
    second.beat(&site).await.expect("it is released");
    assert_eq!(second.partitions(), before);
    second.leave(&site, -2).await.expect("it may");
    sleep(Duration::from_secs(30)).await;
    others[0].beat(&site).await.expect("a member");
    sleep(Duration::from_secs(16)).await;
    assert_eq!(recorded_member(&site, "g", "a2"), None);
    others[0].beat(&site).await.expect("a member");
    assert_eq!(others[0].partitions(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_instance_id_in_use_is_refused_and_a_replaced_member_is_fenced() {
    let (_, site, _, _) = settled(2, &[]).await;
    let mut first = Consumer::new("g", "a").with_instance("i");
    first.beat(&site).await.expect("joins");
    let error = Consumer::new("g", "x").with_instance("i").beat(&site).await.expect_err("it is in use");
    assert!(matches!(error, HeartbeatRefused::Member(HeartbeatError::UnreleasedInstance { .. })));
    let mut stopped = first.clone();
    stopped.leave(&site, -2).await.expect("it may");
    Consumer::new("g", "x").with_instance("i").beat(&site).await.expect("it is released");
    let error = first.beat(&site).await.expect_err("another has its place");
    assert!(matches!(error, HeartbeatRefused::Member(HeartbeatError::FencedInstance { .. })));
}

#[tokio::test(start_paused = true)]
async fn new_topics_and_partitions_reach_members_with_the_next_heartbeat() {
    let (world, site, topic, mut consumers) = settled(2, &["a"]).await;
    let mut by_expression = Consumer::new("h", "b");
    by_expression.beat(&site).await.expect("joins");
    let heartbeat = Heartbeat {
        topics: Some(Vec::new()),
        regex: Some("t.*".to_owned()),
        ..Consumer { epoch: 0, owned: Assignment::new(), ..by_expression.clone() }.heartbeat()
    };
    by_expression.epoch = send(&site, "h", heartbeat).await.expect("joins").member_epoch;
    site.log.propose(Command::CreatePartitions { topic, total: 3 }).await.expect("the log takes it");
    let other = world.create_topic("tt", 1).await;
    let reply = consumers[0].beat(&site).await.expect("a member");
    assert_eq!((reply.member_epoch, consumers[0].partitions()), (2, vec![0, 1, 2]));
    by_expression.beat(&site).await.expect("a member");
    assert_eq!(by_expression.owned, [(topic, vec![0, 1, 2]), (other, vec![0])].into());
    site.log.propose(Command::DeleteTopic { topic }).await.expect("the log takes it");
    by_expression.beat(&site).await.expect("a member");
    assert_eq!(by_expression.owned, [(other, vec![0])].into());
}

#[tokio::test(start_paused = true)]
async fn offsets_are_committed_and_read_as_the_member_that_one_is() {
    let (world, site, topic, mut consumers) = settled(2, &["a"]).await;
    let place = partition(topic, 0);
    site.commit("g", Some(("a", 1)), place, 5).await.expect("committed");
    assert_eq!(site.committed("g", place).map(|committed| committed.offset), Some(5));
    for (member, epoch, error) in [
        ("a", 0, GroupError::StaleMemberEpoch),
        ("a", 2, GroupError::StaleMemberEpoch),
        ("x", 1, GroupError::UnknownMember),
    ] {
        assert_eq!(site.commit("g", Some((member, epoch)), place, 9).await, Err(error), "{member} at {epoch}");
        assert_eq!(site.groups.check_fetch("g", Some(member), epoch), Err(error), "{member} at {epoch}");
    }
    assert_eq!(site.commit("g", None, place, 9).await, Err(GroupError::UnknownMember), "the group has members");
    assert_eq!(site.groups.check_fetch("g", Some("a"), 1), Ok(()));
    assert_eq!(site.groups.check_fetch("g", None, -1), Ok(()), "a tool may look");

    let mut other = Consumer::new("g", "b");
    settle(&world, &mut [&mut consumers[0], &mut other]).await;
    assert_eq!(site.commit("g", Some(("a", 1)), place, 9).await, Err(GroupError::StaleMemberEpoch));
    site.commit("g", Some(("a", 2)), place, 6).await.expect("committed");
    consumers[0].leave(&site, -1).await.expect("it may");
    other.leave(&site, -1).await.expect("it may");
    site.commit("g", None, place, 7).await.expect("nobody is there any more");
    assert_eq!(site.committed("g", place).map(|committed| committed.offset), Some(7));
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_came_before_the_members_next_epoch_counts() {
    let (_, site, topic, mut consumers) = settled(2, &["a"]).await;
    let mut other = Consumer::new("g", "b");
    other.beat(&site).await.expect("joins");
    let holding = consumers[0].heartbeat();
    send(&site, "g", holding).await.expect("it is told to let go");
    let letting_go = Heartbeat { owned: Some([(topic, vec![0])].into()), ..consumers[0].heartbeat() };
    let (committed, reply) =
        tokio::join!(site.commit("g", Some(("a", 1)), partition(topic, 1), 5), send(&site, "g", letting_go),);
    committed.expect("it was in time");
    assert_eq!(reply.expect("a member").member_epoch, 2);
    consumers[0].epoch = 2;
}

#[tokio::test(start_paused = true)]
async fn groups_are_not_there_are_empty_or_speak_the_other_protocol() {
    let (_, site, _, mut consumers) = settled(1, &["a"]).await;
    let stranger = |group: &str| Heartbeat { member_epoch: 3, ..Consumer::new(group, "x").heartbeat() };
    let error = send(&site, "nowhere", stranger("nowhere")).await.expect_err("there is none");
    assert_eq!(error, HeartbeatRefused::UnknownGroup("nowhere".to_owned()));
    site.join("connect", "").await.expect("it joins");
    let error = send(&site, "connect", stranger("connect")).await.expect_err("it is a classic one");
    assert_eq!(error, HeartbeatRefused::NotOfThisProtocol("connect".to_owned()));
    consumers[0].leave(&site, -1).await.expect("it may");
    assert_eq!(recorded(&site, "g").members.len(), 0);
    assert!(site.groups.in_memory().iter().all(|group| group != "g"), "an empty group has no place in memory");
    let error = send(&site, "g", stranger("g")).await.expect_err("it is no member");
    assert!(matches!(error, HeartbeatRefused::Member(HeartbeatError::UnknownMember { .. })));
    let mut next = Consumer::new("g", "b");
    next.beat(&site).await.expect("joins");
    assert!(next.epoch > 2, "epochs go on: {}", next.epoch);
    let error = site.groups.delete(vec!["g".to_owned()]).await;
    assert_eq!(error, [Err(GroupError::NonEmptyGroup)]);
    next.leave(&site, -1).await.expect("it may");
    assert_eq!(site.groups.delete(vec!["g".to_owned()]).await, [Ok(())]);
}

#[tokio::test(start_paused = true)]
async fn a_group_may_have_timeouts_of_its_own_within_the_limits() {
    let (_, site, _, _) = settled(1, &["a"]).await;
    let changes = vec![
        ("consumer.session.timeout.ms".to_owned(), Some("50000".to_owned())),
        ("consumer.heartbeat.interval.ms".to_owned(), Some("1".to_owned())),
    ];
    let resource = ConfigResource::Group("h".to_owned());
    site.log.propose(Command::AlterConfigs { resource, replace: false, changes }).await.expect("the log takes it");
    assert_eq!(site.groups.heartbeat_interval_ms("g"), 5_000);
    assert_eq!(site.groups.heartbeat_interval_ms("h"), 5_000, "no shorter than the operator allows");
    let mut consumer = Consumer::new("h", "a");
    consumer.beat(&site).await.expect("joins");
    sleep(Duration::from_secs(46)).await;
    assert_eq!(recorded(&site, "g").members.len(), 0);
    assert_eq!(recorded(&site, "h").members.len(), 1);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(recorded(&site, "h").members.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_are_none_reach_no_group() {
    let (_, site, _, _) = settled(1, &[]).await;
    let error = send(&site, "g", Heartbeat { owned: None, ..Consumer::new("g", "a").heartbeat() }).await;
    assert!(matches!(error, Err(HeartbeatRefused::Invalid(_))));
    let asking = Heartbeat { server_assignor: Some("best".to_owned()), ..Consumer::new("g", "a").heartbeat() };
    assert!(matches!(send(&site, "g", asking).await, Err(HeartbeatRefused::Invalid(_))));
    let bad = Heartbeat { regex: Some("[".to_owned()), ..Consumer::new("g", "a").heartbeat() };
    let error = send(&site, "g", bad).await;
    assert!(matches!(error, Err(HeartbeatRefused::Member(HeartbeatError::InvalidExpression { .. }))));
    assert!(site.groups.in_memory().is_empty());
    assert!(site.log.state().group("g").is_none());
}

#[tokio::test(start_paused = true)]
async fn offsets_of_topics_that_no_member_is_subscribed_to_expire_and_a_stale_epoch_commits_not_even_nothing() {
    let mut world = World::new();
    for name in ["group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"] {
        world.fixed.insert(name.to_owned(), "1800000".to_owned());
    }
    let site = world.start(1).await;
    let (read, unread) = (world.create_topic("t", 1).await, world.create_topic("unread", 1).await);
    let mut consumer = Consumer::new("g", "a");
    settle(&world, &mut [&mut consumer]).await;
    for topic in [read, unread] {
        site.commit("g", Some(("a", consumer.epoch)), partition(topic, 0), 1).await.expect("committed");
    }
    for _ in 0..(8 * 24 * 3) {
        sleep(Duration::from_secs(1_200)).await;
        consumer.beat(&site).await.expect("a member");
    }
    assert!(site.committed("g", partition(read, 0)).is_some(), "it is subscribed to it");
    assert_eq!(site.committed("g", partition(unread, 0)), None, "seven days after its commit");
    let by = |epoch| CommittedBy { member_id: "a".to_owned(), instance_id: None, generation: epoch };
    let nothing = |epoch| Commit { group: "g".into(), by: by(epoch), txn: None, offsets: Vec::new() };
    let before = site.log.state().applied();
    assert_eq!(site.groups.commit(nothing(consumer.epoch)).await, Ok(()));
    assert_eq!(site.groups.commit(nothing(consumer.epoch - 1)).await, Err(GroupError::StaleMemberEpoch));
    assert_eq!(site.log.state().applied(), before);
}
