use super::*;
use crate::group::membership::Join;
use bytes::{BufMut, Bytes, BytesMut};
use std::time::Duration;
use tokio::time::sleep;

/// An embedded subscription to `t`, of a member that has these partitions of it.
fn subscription(owned: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_slice(b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t");
    bytes.put_i32(owned.len() as i32);
    owned.iter().for_each(|partition| bytes.put_i32(*partition));
    bytes.freeze()
}

/// An embedded assignment of partitions of `t`.
fn assignment(partitions: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_slice(b"\0\x01\0\0\0\x01\0\x01t");
    bytes.put_i32(partitions.len() as i32);
    partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    bytes.put_i32(-1);
    bytes.freeze()
}

/// The partitions of `t` in an embedded assignment.
fn read(assignment: &Bytes) -> Vec<i32> {
    if assignment.len() <= 10 {
        return Vec::new();
    }
    let partitions = assignment.slice(13..assignment.len() - 4);
    partitions.chunks(4).map(|bytes| i32::from_be_bytes(bytes.try_into().expect("four bytes"))).collect()
}

/// A member of the classic protocol with a cooperative assignor.
struct Classic {
    member_id: String,
    generation: i32,
    owned: Vec<i32>,
}

impl Classic {
    fn new() -> Classic {
        Classic { member_id: String::new(), generation: -1, owned: Vec::new() }
    }

    async fn join(&mut self, site: &Site) -> Result<Vec<String>, GroupError> {
        let owned = self.owned.clone();
        let change = |join: &mut Join| join.protocols = vec![("cooperative-sticky".to_owned(), subscription(&owned))];
        let joined = match site.join_with("g", &self.member_id, change).await {
            Err(refused) if refused.error == GroupError::MemberIdRequired => {
                self.member_id = refused.member_id;
                site.join_with("g", &self.member_id, change).await
            }
            joined => joined,
        };
        let joined = joined.map_err(|refused| refused.error)?;
        (self.member_id, self.generation) = (joined.member_id, joined.generation);
        Ok(joined.members.into_iter().map(|member| member.member_id).collect())
    }

    async fn sync(&mut self, site: &Site, dealt: Vec<(String, Bytes)>) -> Result<(), GroupError> {
        self.owned = read(&site.sync("g", &self.member_id, self.generation, dealt).await?.assignment);
        Ok(())
    }

    fn beat(&self, site: &Site) -> Result<(), GroupError> {
        site.groups.heartbeat("g", &self.member_id, None, self.generation)
    }
}

/// Two classic members that share four partitions.
async fn classic_pair(world: &World) -> (Classic, Classic) {
    let site = world.coordinator("g").await;
    let (mut a, mut b) = (Classic::new(), Classic::new());
    a.join(&site).await.expect("joins");
    a.sync(&site, vec![(a.member_id.clone(), assignment(&[0, 1, 2, 3]))]).await.expect("syncs");
    let (joined_a, joined_b) = tokio::join!(
        async {
            while a.beat(&site).is_ok() {
                tokio::task::yield_now().await;
            }
            a.join(&site).await
        },
        b.join(&site),
    );
    assert_eq!(joined_a.expect("joins").len(), 2, "a leads");
    assert_eq!(joined_b.expect("joins").len(), 0);
    let dealt = vec![(a.member_id.clone(), assignment(&[0, 1])), (b.member_id.clone(), assignment(&[2, 3]))];
    let (synced_a, synced_b) = tokio::join!(a.sync(&site, dealt), b.sync(&site, Vec::new()));
    synced_a.expect("syncs");
    synced_b.expect("syncs");
    (a, b)
}

/// The classic members do what they are told until they are told nothing.
async fn follow(site: &Site, members: &mut [&mut Classic]) {
    for member in members.iter_mut() {
        while member.beat(site) == Err(GroupError::RebalanceInProgress) {
            member.join(site).await.expect("joins");
            member.sync(site, Vec::new()).await.expect("syncs");
        }
    }
}

fn sorted(lists: &[&[i32]]) -> Vec<i32> {
    let mut all = lists.concat();
    all.sort_unstable();
    all
}

#[tokio::test(start_paused = true)]
async fn classic_members_and_consumers_share_a_group_and_the_group_turns_back_when_the_consumers_go() {
    let world = World::new();
    let first = world.start(1).await;
    world.create_topic("t", 4).await;
    let (mut a, mut b) = classic_pair(&world).await;
    let generation = a.generation;
    let mut c = Consumer::new("g", "c");
    assert_eq!(c.beat(&first).await.expect("joins").assignment, Some(Assignment::new()));
    assert_eq!(recorded(&first, "g").members.len(), 3);
    assert_eq!(recorded(&first, "g").group_epoch, generation + 1);
    for _ in 0..3 {
        follow(&first, &mut [&mut a, &mut b]).await;
        c.beat(&first).await.expect("a member");
    }
    assert_eq!(sorted(&[&a.owned, &b.owned, &c.partitions()]), [0, 1, 2, 3]);
    assert_eq!(c.partitions().len(), 1);
    assert_eq!(a.generation, generation + 1);

    // The broker is replaced while they are mixed.
    let second = world.start(2).await;
    world.kill(&first).await;
    assert_eq!((a.beat(&second), b.beat(&second)), (Ok(()), Ok(())));
    assert_eq!(c.beat(&second).await.expect("a member").assignment, None);

    c.leave(&second, -1).await.expect("it may");
    {
        let state = second.log.state();
        assert!(
            matches!(&state.group("g").expect("a group").kind, GroupKind::Classic(group) if group.members.len() == 2)
        );
    }
    assert_eq!(a.beat(&second), Err(GroupError::RebalanceInProgress), "they have partitions to share again");
    let (joined_a, joined_b) = tokio::join!(a.join(&second), b.join(&second));
    let leads_a = !joined_a.expect("joins").is_empty();
    assert_eq!(leads_a, joined_b.expect("joins").is_empty(), "one of them leads");
    assert!(a.generation > generation + 1);
    let dealt = vec![(a.member_id.clone(), assignment(&[0, 1])), (b.member_id.clone(), assignment(&[2, 3]))];
    let (to_a, to_b) = if leads_a { (dealt, Vec::new()) } else { (Vec::new(), dealt) };
    let (synced_a, synced_b) = tokio::join!(a.sync(&second, to_a), b.sync(&second, to_b));
    assert_eq!((synced_a, synced_b), (Ok(()), Ok(())));
    assert_eq!([a.owned, b.owned], [vec![0, 1], vec![2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn a_classic_member_that_falls_silent_in_a_consumer_group_is_removed_by_its_own_session_timeout() {
    let world = World::new();
    let site = world.start(1).await;
    world.create_topic("t", 4).await;
    let (_, mut b) = classic_pair(&world).await;
    let mut c = Consumer::new("g", "c");
    c.beat(&site).await.expect("joins");
    for _ in 0..12 {
        follow(&site, &mut [&mut b]).await;
        c.beat(&site).await.expect("a member");
        sleep(Duration::from_secs(1)).await;
    }
    let members = recorded(&site, "g").members;
    assert!(members.len() == 2 && members.contains_key(&b.member_id) && members.contains_key("c"));
    assert_eq!(c.partitions().len(), 2, "the silent member's partitions");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_refused_does_not_upgrade_a_group() {
    let world = World::new();
    let site = world.start(1).await;
    world.create_topic("t", 4).await;
    let (a, b) = classic_pair(&world).await;
    let bad = Heartbeat { regex: Some("[".to_owned()), ..Consumer::new("g", "c").heartbeat() };
    assert!(send(&site, "g", bad).await.is_err());
    assert_eq!((a.beat(&site), b.beat(&site)), (Ok(()), Ok(())), "nothing happened to the others");
    let state = site.log.state();
    assert!(matches!(&state.group("g").expect("a group").kind, GroupKind::Classic(_)));
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_forbid_upgrades() {
    let mut world = World::new();
    world.fixed.insert("group.consumer.migration.policy".to_owned(), "disabled".to_owned());
    let site = world.start(1).await;
    world.create_topic("t", 4).await;
    classic_pair(&world).await;
    let error = Consumer::new("g", "c").beat(&site).await.expect_err("forbidden");
    assert!(matches!(error, HeartbeatRefused::Upgrade(_)));
    let expected = "Cannot upgrade classic group g to consumer group because online upgrade is disabled.";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test(start_paused = true)]
async fn offsets_of_classic_members_in_a_consumer_group_are_fenced_by_their_generation() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 4).await;
    let (a, _) = classic_pair(&world).await;
    let mut c = Consumer::new("g", "c");
    c.beat(&site).await.expect("joins");
    site.commit("g", Some((&a.member_id, a.generation)), partition(topic, 0), 3).await.expect("committed");
    let stale = site.commit("g", Some((&a.member_id, a.generation - 1)), partition(topic, 0), 4).await;
    assert_eq!(stale, Err(GroupError::IllegalGeneration));
    assert_eq!(site.committed("g", partition(topic, 0)).map(|committed| committed.offset), Some(3));
}
