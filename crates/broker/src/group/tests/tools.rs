//! What administrators see and do.

use super::world::{World, partition};
use crate::group::GroupError;
use crate::group::membership::GroupState;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ConsumerProtocolSubscription;
use kafka_protocol::protocol::{Encodable, StrBytes};
use std::collections::{BTreeMap, BTreeSet};

fn subscription(topic: &'static str) -> Bytes {
    let mut metadata = BytesMut::new();
    metadata.put_i16(1);
    let subscription = ConsumerProtocolSubscription::default().with_topics(vec![StrBytes::from_static_str(topic)]);
    subscription.encode(&mut metadata, 1).expect("it can be written");
    metadata.freeze()
}

#[tokio::test(start_paused = true)]
async fn groups_are_described_while_they_form_and_when_they_are_empty() {
    let world = World::new();
    let site = world.start(1).await;
    assert_eq!(site.groups.describe("g"), Err(GroupError::GroupIdNotFound));
    let joined = site.join("g", "").await.expect("it joins");
    let described = site.groups.describe("g").expect("it is there");
    assert_eq!((described.state, described.protocol.as_str()), (GroupState::CompletingRebalance, ""));
    assert_eq!(described.members[0].metadata, "", "as in Kafka: not before the group is stable");
    site.sync("g", &joined.member_id, 1, vec![(joined.member_id.clone(), Bytes::from_static(b"all"))])
        .await
        .expect("it syncs");
    let described = site.groups.describe("g").expect("it is there");
    assert_eq!((described.state, described.protocol.as_str()), (GroupState::Stable, "range"));
    let member = &described.members[0];
    assert_eq!(
        (member.client_host.as_str(), &member.metadata[..], &member.assignment[..]),
        ("/127.0.0.1", &b"topics"[..], &b"all"[..])
    );
    let leaver = crate::group::membership::Leaver { member_id: joined.member_id, instance_id: None };
    site.groups.leave("g", vec![leaver], &site.stop.subscribe()).await.expect("it leaves");
    let described = site.groups.describe("g").expect("it is there");
    assert_eq!(
        (described.state, described.protocol_type.as_str(), described.members.len()),
        (GroupState::Empty, "consumer", 0)
    );
}

#[tokio::test(start_paused = true)]
async fn groups_are_listed_by_their_coordinators_only() {
    let world = World::new();
    for id in 1..=3 {
        world.start(id).await;
    }
    let topic = world.create_topic("t", 1).await;
    for number in 0..9 {
        let group = format!("g{number}");
        let site = world.coordinator(&group).await;
        match number % 3 {
            0 => drop(site.lone_member(&group).await),
            1 => site.commit(&group, None, partition(topic, 0), 1).await.expect("committed"),
            _ => drop(site.join_with(&group, "", |_| ()).await),
        }
    }
    let rows: Vec<_> = world.all().iter().flat_map(|site| site.groups.list()).collect();
    let states: BTreeMap<_, _> =
        rows.iter().map(|row| (row.group.as_str(), (row.state, row.protocol_type.as_str()))).collect();
    assert_eq!(rows.len(), 9);
    assert_eq!(states["g0"], ("Stable", "consumer"));
    assert_eq!(states["g1"], ("Empty", ""));
    assert_eq!(states["g2"], ("Empty", ""));
}

#[tokio::test(start_paused = true)]
async fn only_groups_without_members_are_deleted() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 1).await;
    site.lone_member("busy").await;
    site.commit("simple", None, partition(topic, 0), 1).await.expect("committed");
    let deleted = site.groups.delete(["busy", "simple", "none"].map(str::to_owned).to_vec()).await;
    assert_eq!(deleted, [Err(GroupError::NonEmptyGroup), Ok(()), Err(GroupError::GroupIdNotFound)]);
    assert!(site.log.state().group("simple").is_none());
    assert!(site.log.state().group("busy").is_some());
}

#[tokio::test(start_paused = true)]
async fn offsets_of_subscribed_topics_stay() {
    let world = World::new();
    let site = world.start(1).await;
    let (used, unused) = (world.create_topic("used", 1).await, world.create_topic("unused", 1).await);
    let joined = site
        .join_with("g", "", |join| {
            join.requires_member_id = false;
            join.protocols = vec![("range".to_owned(), subscription("used"))];
        })
        .await
        .expect("it joins");
    let member = (joined.member_id.as_str(), joined.generation);
    site.sync("g", member.0, member.1, Vec::new()).await.expect("it syncs");
    for topic in [used, unused] {
        site.commit("g", Some(member), partition(topic, 0), 1).await.expect("committed");
    }
    let wanted = [("used", used), ("unused", unused)].map(|(name, topic)| (name.to_owned(), vec![partition(topic, 0)]));
    let in_use = site.groups.delete_offsets("g", wanted.into()).await.expect("the group is there");
    assert_eq!(in_use, BTreeSet::from(["used".to_owned()]));
    assert!(site.committed("g", partition(used, 0)).is_some());
    assert_eq!(site.committed("g", partition(unused, 0)), None);
    assert_eq!(site.groups.delete_offsets("none", BTreeMap::new()).await, Err(GroupError::GroupIdNotFound));
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_group_of_another_kind_are_not_deleted_while_it_has_members() {
    let world = World::new();
    let site = world.start(1).await;
    let topic = world.create_topic("t", 1).await;
    let connect = |join: &mut crate::group::membership::Join| {
        (join.protocol_type, join.requires_member_id) = ("connect".to_owned(), false);
    };
    let joined = site.join_with("g", "", connect).await.expect("it joins");
    site.sync("g", &joined.member_id, 1, Vec::new()).await.expect("it syncs");
    let wanted = BTreeMap::from([("t".to_owned(), vec![partition(topic, 0)])]);
    assert_eq!(site.groups.delete_offsets("g", wanted).await, Err(GroupError::NonEmptyGroup));
}
