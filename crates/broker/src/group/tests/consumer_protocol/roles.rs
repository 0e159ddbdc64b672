use super::super::roles::{register_unnoticed, thief_of};
use super::*;
use frazil_meta::record::Command;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

async fn three() -> (World, TopicId) {
    let world = World::new();
    for id in 1..=3 {
        world.start(id).await;
    }
    let topic = world.create_topic("t", 6).await;
    (world, topic)
}

#[tokio::test(start_paused = true)]
async fn another_broker_takes_a_group_over_without_a_rebalance() {
    let (world, topic) = three().await;
    let (mut a, mut b) = (Consumer::new("g", "a"), Consumer::new("g", "b").with_instance("i"));
    settle(&world, &mut [&mut a, &mut b]).await;
    let first = world.coordinator("g").await;
    sleep(Duration::from_secs(40)).await;
    world.kill(&first).await;
    let second = world.coordinator("g").await;
    let (before, applied) = (recorded(&second, "g"), second.log.state().applied());
    sleep(Duration::from_secs(40)).await;
    for consumer in [&mut a, &mut b] {
        let reply = consumer.beat(&second).await.expect("its session began anew");
        assert_eq!((reply.member_epoch, reply.assignment), (2, None));
    }
    assert_eq!(recorded(&second, "g"), before);
    assert_eq!(second.log.state().applied(), applied);
    second.commit("g", Some(("a", 2)), partition(topic, 0), 6).await.expect("committed");
    assert_eq!(a.clone().beat(&first).await, Err(refused(GroupError::NotCoordinator)));
}

#[tokio::test(start_paused = true)]
async fn a_takeover_in_the_middle_of_a_revocation_goes_on_where_it_was() {
    let (world, topic) = three().await;
    let mut a = Consumer::new("g", "a");
    settle(&world, &mut [&mut a]).await;
    let first = world.coordinator("g").await;
    let mut b = Consumer::new("g", "b");
    b.beat(&first).await.expect("joins");
    let told = send(&first, "g", a.heartbeat()).await.expect("a member");
    assert_eq!((told.member_epoch, told.assignment), (1, Some([(topic, vec![0, 1, 2])].into())));
    world.kill(&first).await;
    let second = world.coordinator("g").await;
    assert_eq!(b.beat(&second).await.expect("a member").assignment, None, "a has not let go");
    a.owned = [(topic, vec![0, 1, 2])].into();
    settle(&world, &mut [&mut a, &mut b]).await;
    assert_eq!((a.epoch, b.epoch, b.partitions()), (2, 2, vec![3, 4, 5]));
}

#[tokio::test(start_paused = true)]
async fn members_that_died_with_their_coordinator_are_noticed_by_the_next_one() {
    let (world, _) = three().await;
    let mut consumers = [Consumer::new("g", "a"), Consumer::new("g", "b")];
    settle(&world, &mut consumers.iter_mut().collect::<Vec<_>>()).await;
    let first = world.coordinator("g").await;
    world.kill(&first).await;
    sleep(Duration::from_secs(50)).await;
    let second = world.coordinator("g").await;
    assert!(recorded(&second, "g").members.is_empty(), "nobody had to ask for the group");
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_has_not_heard_of_its_successor_tells_nobody_anything() {
    let (world, site, _, mut consumers) = settled(4, &["a"]).await;
    let thief = thief_of(&site.log.state(), "g");
    register_unnoticed(&world, thief).await;
    assert_eq!(site.groups.check_role("g"), Ok(()), "it still believes");
    let joined = Consumer::new("g", "b").beat(&site).await;
    assert_eq!(joined, Err(refused(GroupError::NotCoordinator)));
    assert_eq!(recorded(&site, "g").members.len(), 1, "nothing was recorded");
    assert_eq!(consumers[0].beat(&site).await, Err(refused(GroupError::NotCoordinator)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_waits_for_its_record_and_others_share_the_next_one() {
    let (world, site, _, _) = settled(100, &[]).await;
    let applied = site.log.state().applied().0;
    let world = std::sync::Arc::new(world);
    let joins = (0..50).map(|number| {
        let (site, world) = (site.clone(), world.clone());
        tokio::spawn(async move {
            let mut consumer = Consumer::new("g", &format!("m{number}"));
            let reply = consumer.beat(&site).await.expect("joins");
            let known = recorded_member(&site, "g", &consumer.member_id).expect("the log has it");
            assert_eq!(known.member_epoch, reply.member_epoch);
            assert_eq!(Some(known.assigned), reply.assignment);
            drop(world);
        })
    });
    for join in joins.collect::<Vec<_>>() {
        join.await.expect("no panic");
    }
    let records = site.log.state().applied().0 - applied;
    assert!(records <= 5, "fifty members joined with {records} records");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_log_does_not_take_is_told_to_nobody_and_the_group_goes_on() {
    let (world, site, _, mut consumers) = settled(4, &["a"]).await;
    world.log_faults.refuse(1);
    let joined = Consumer::new("g", "b").beat(&site).await;
    assert_eq!(joined, Err(refused(GroupError::CoordinatorNotAvailable)));
    assert_eq!(consumers[0].beat(&site).await.expect("a member").assignment, None);
    let mut other = Consumer::new("g", "b");
    let began = Instant::now();
    settle(&world, &mut [&mut consumers[0], &mut other]).await;
    assert_eq!(other.partitions(), [2, 3]);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_answer_was_lost_is_found_in_the_log() {
    let (world, site, _, _) = settled(4, &[]).await;
    world.log_faults.lose_answers(1);
    let mut consumer = Consumer::new("g", "a");
    consumer.beat(&site).await.expect("joins");
    assert_eq!(consumer.partitions(), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_stops_tells_who_waits() {
    let (world, site, _, _) = settled(4, &[]).await;
    world.log_faults.lose_answers(1);
    let waiting = tokio::spawn({
        let site = site.clone();
        async move { Consumer::new("g", "a").beat(&site).await }
    });
    tokio::task::yield_now().await;
    site.stop.give();
    match waiting.await.expect("no panic") {
        Ok(_) | Err(HeartbeatRefused::Group(GroupError::NotCoordinator)) => (),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn topics_that_changed_while_nobody_coordinated_are_noticed() {
    let (world, topic) = three().await;
    let mut a = Consumer::new("g", "a");
    settle(&world, &mut [&mut a]).await;
    let first = world.coordinator("g").await;
    world.kill(&first).await;
    let second = world.coordinator("g").await;
    second.log.propose(Command::CreatePartitions { topic, total: 8 }).await.expect("the log takes it");
    settle(&world, &mut [&mut a]).await;
    assert_eq!((a.epoch, a.partitions().len()), (2, 8));
}

/// Longer than any session.
const PAUSE: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn a_broker_that_was_paused_lets_its_members_show_that_they_live() {
    let (world, site, topic, mut consumers) = settled(4, &["a", "b"]).await;
    let before = recorded(&site, "g");
    for _ in 0..3 {
        advance(PAUSE).await;
        sleep(Duration::from_secs(30)).await;
        for consumer in &mut consumers {
            let reply = consumer.beat(&site).await.expect("its session began anew");
            assert_eq!(reply.assignment, None);
        }
    }
    assert_eq!(recorded(&site, "g"), before, "nobody was removed");
    site.commit("g", Some(("a", consumers[0].epoch)), partition(topic, 0), 6).await.expect("committed");
    drop(world);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_stays_silent_after_the_broker_was_paused_is_removed_a_session_later() {
    let (_world, site, _, mut consumers) = settled(4, &["a", "b"]).await;
    advance(PAUSE).await;
    sleep(Duration::from_secs(40)).await;
    consumers[0].beat(&site).await.expect("a member");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(recorded_member(&site, "g", "b"), None, "45 seconds of silence");
    assert!(recorded_member(&site, "g", "a").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_member_has_its_time_to_give_partitions_up_although_the_broker_was_paused() {
    let (_world, site, topic, mut consumers) = settled(4, &["a"]).await;
    let mut newcomer = Consumer::new("g", "b");
    newcomer.beat(&site).await.expect("it joins");
    let told = send(&site, "g", consumers[0].heartbeat()).await.expect("a member");
    assert_eq!(told.assignment, Some([(topic, vec![0, 1])].into()), "within 30 seconds");
    advance(PAUSE).await;
    sleep(Duration::from_secs(20)).await;
    consumers[0].beat(&site).await.expect("it is still a member");
    consumers[0].owned = [(topic, vec![0, 1])].into();
    consumers[0].beat(&site).await.expect("it has given up what it was told to");
    newcomer.beat(&site).await.expect("a member");
    assert_eq!(newcomer.partitions(), [2, 3]);
}
