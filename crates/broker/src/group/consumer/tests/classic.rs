use super::super::classic::{ClassicClaim, ClassicError, ClassicIdentity, ClassicJoin};
use super::super::heartbeat::{Heartbeat, HeartbeatError};
use super::super::members::Members;
use super::super::migration::{self, UpgradeError};
use super::super::{ClassicMember, GroupGeneration, embedded};
use super::*;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeSet;

/// An embedded subscription of version 1 to `t`, owning partitions of it.
fn subscription(owned: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    bytes.put_i32(1);
    bytes.put_slice(b"\0\x01t");
    bytes.put_i32(-1);
    bytes.put_i32(1);
    bytes.put_slice(b"\0\x01t");
    bytes.put_i32(owned.len() as i32);
    owned.iter().for_each(|partition| bytes.put_i32(*partition));
    bytes.freeze()
}

fn classic_join(member: &str, owned: &[i32]) -> ClassicJoin {
    ClassicJoin {
        member_id: member.to_owned(),
        is_new: false,
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        session_timeout_ms: 45_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), subscription(owned))],
    }
}

fn claim(member: &str, generation: i32) -> ClassicClaim<'_> {
    let identity = ClassicIdentity { member_id: member, instance_id: None };
    ClassicClaim { identity, generation, protocol_type: None, protocol: None }
}

fn generation_of(members: &[(&str, &[i32])], topics: &TopicMap) -> GroupGeneration {
    let member = |(name, assigned): &(&str, &[i32])| ClassicMember {
        member_id: name.to_string(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 45_000,
        protocols: vec![("range".to_owned(), subscription(assigned))],
        assignment: embedded::write_assignment(1, &partitions(assigned), topics),
    };
    GroupGeneration {
        group: "g".to_owned(),
        generation: 7,
        protocol_type: "consumer".to_owned(),
        protocol: Some("range".to_owned()),
        leader: members.first().map(|(name, _)| name.to_string()),
        members: members.iter().map(member).collect(),
        seen: Seq::ZERO,
    }
}

fn upgraded(members: &[(&str, &[i32])]) -> (Members, TopicMap) {
    let topics = topics(1, &[("t", 1, 4)]);
    let group = migration::upgrade(&generation_of(members, &topics), &topics, &rules()).expect("an upgrade");
    (group, topics)
}

fn synced(group: &Members, member: &str, generation: i32, topics: &TopicMap) -> Assignment {
    let bytes = group.classic_sync(claim(member, generation), topics).expect("synced");
    embedded::by_id(&embedded::read_assignment(&bytes).expect("reads").partitions, topics)
}

#[test]
fn a_rolling_upgrade_and_the_way_back_keep_every_partition_with_one_owner() {
    let (mut group, topics) = upgraded(&[("a", &[0, 1]), ("b", &[2, 3])]);
    assert_eq!(group.classic_heartbeat(claim("a", 7)), Ok(()));
    let reply = group.heartbeat(&join("c"), &topics, &rules()).expect("joins");
    assert_eq!((reply.member_epoch, reply.assignment), (8, Some(Assignment::new())), "a and b own all of it");
    for member in ["a", "b"] {
        assert_eq!(group.classic_heartbeat(claim(member, 7)), Err(ClassicError::RebalanceInProgress));
    }
    let joined = group.classic_join(&classic_join("a", &[0, 1]), &topics, &rules()).expect("joins");
    assert_eq!((joined.generation, joined.protocol.as_str()), (8, "range"));
    assert_eq!(synced(&group, "a", 8, &topics), partitions(&[0, 1]));
    // Cooperative: b still owns what it has when it joins, and joins again when it has let go.
    let joined = group.classic_join(&classic_join("b", &[2, 3]), &topics, &rules()).expect("joins");
    assert_eq!((joined.generation, synced(&group, "b", 7, &topics)), (7, partitions(&[2])));
    assert_eq!(group.classic_heartbeat(claim("b", 7)), Err(ClassicError::RebalanceInProgress), "it has to let go");
    let joined = group.classic_join(&classic_join("b", &[2]), &topics, &rules()).expect("joins");
    assert_eq!((joined.generation, synced(&group, "b", 8, &topics)), (8, partitions(&[2])));
    let reply = group.heartbeat(&beat("c", 8), &topics, &rules()).expect("stays");
    assert_eq!(reply.assignment, Some(partitions(&[3])));
    assert!(group.members().values().all(is_stable));

    let leaving = BTreeSet::from(["c".to_owned()]);
    assert!(migration::may_downgrade(&group, &leaving, &rules()));
    group.remove("c");
    let classic = migration::downgrade(&group, &topics);
    assert_eq!((classic.generation, classic.protocol.as_deref()), (8, Some("range")));
    let dealt: Vec<_> = classic.members.iter().map(|member| embedded::read_assignment(&member.assignment)).collect();
    assert_eq!(dealt[0].as_ref().unwrap().partitions, [("t".to_owned(), vec![0, 1])]);
    assert_eq!(dealt[1].as_ref().unwrap().partitions, [("t".to_owned(), vec![2])]);
}

#[test]
fn a_group_with_a_member_of_the_new_protocol_left_stays_a_consumer_group() {
    let (mut group, topics) = upgraded(&[("a", &[0, 1])]);
    group.heartbeat(&join("c"), &topics, &rules()).expect("joins");
    group.heartbeat(&join("d"), &topics, &rules()).expect("joins");
    assert!(!migration::may_downgrade(&group, &BTreeSet::from(["c".to_owned()]), &rules()));
    let all = ["a", "c", "d"].map(str::to_owned).into();
    assert!(!migration::may_downgrade(&group, &all, &rules()), "nobody is left");
    let never = super::super::members::Rules { allows_downgrade: false, ..rules() };
    let both = ["c", "d"].map(str::to_owned).into();
    assert!(!migration::may_downgrade(&group, &both, &never));
    assert!(migration::may_downgrade(&group, &both, &rules()));
}

#[test]
fn an_eager_member_lets_go_of_everything_by_joining() {
    let (mut group, topics) = upgraded(&[("a", &[0, 1, 2, 3])]);
    group.heartbeat(&join("c"), &topics, &rules()).expect("joins");
    let joined = group.classic_join(&classic_join("a", &[]), &topics, &rules()).expect("joins");
    assert_eq!((joined.generation, synced(&group, "a", 8, &topics)), (8, partitions(&[0, 1])));
    let reply = group.heartbeat(&beat("c", 8), &topics, &rules()).expect("stays");
    assert_eq!(reply.assignment, Some(partitions(&[2, 3])));
}

#[test]
fn a_partition_that_a_leader_dealt_out_twice_has_one_owner_after_the_upgrade() {
    let (group, _) = upgraded(&[("a", &[0, 1]), ("b", &[1, 2])]);
    assert_eq!(group.member("b").unwrap().assigned, partitions(&[2]));
}

#[test]
fn groups_that_cannot_be_upgraded_say_why() {
    let topics = topics(1, &[("t", 1, 4)]);
    let good = generation_of(&[("a", &[0])], &topics);
    let refused = |classic: GroupGeneration, rules| migration::upgrade(&classic, &topics, &rules).expect_err("refused");
    let group = || "g".to_owned();
    let never = super::super::members::Rules { allows_upgrade: false, ..rules() };
    assert_eq!(refused(good.clone(), never), UpgradeError::Disabled { group: group() });
    let small = super::super::members::Rules { members_max: 0, ..rules() };
    assert_eq!(refused(good.clone(), small), UpgradeError::TooLarge { group: group() });
    let connect = GroupGeneration { protocol_type: "connect".to_owned(), ..good.clone() };
    assert_eq!(refused(connect, rules()), UpgradeError::NotOfConsumers { group: group() });
    let mut malformed = good.clone();
    malformed.members[0].protocols[0].1 = Bytes::from_static(b"?");
    assert_eq!(refused(malformed, rules()), UpgradeError::Malformed { group: group() });
    let mut custom = good;
    custom.members[0].assignment = Bytes::from_static(b"\0\x01\0\0\0\0\0\0\0\x01x");
    assert_eq!(refused(custom, rules()), UpgradeError::CustomAssignor { group: group() });
}

#[test]
fn classic_requests_of_the_wrong_member_generation_or_protocol_are_refused() {
    let (mut group, topics) = upgraded(&[("a", &[0, 1])]);
    group.heartbeat(&join("c"), &topics, &rules()).expect("joins");
    let unknown = |refused| matches!(refused, ClassicError::Member(HeartbeatError::UnknownMember { .. }));
    assert!(unknown(group.classic_heartbeat(claim("x", 7)).unwrap_err()));
    assert!(unknown(group.classic_heartbeat(claim("c", 8)).unwrap_err()), "it speaks the new protocol");
    let stale = group.classic_sync(claim("a", 6), &topics).unwrap_err();
    assert_eq!(stale, ClassicError::IllegalGeneration { received: 6, known: 7 });
    let other = ClassicClaim { protocol: Some("roundrobin"), ..claim("a", 7) };
    assert_eq!(group.classic_sync(other, &topics), Err(ClassicError::InconsistentProtocol));
    assert_eq!(group.classic_sync(claim("a", 7), &topics), Err(ClassicError::RebalanceInProgress));
    let stranger = ClassicJoin { protocols: vec![("sticky".to_owned(), subscription(&[]))], ..classic_join("x", &[]) };
    assert_eq!(group.classic_join(&stranger, &topics, &rules()), Err(ClassicError::InconsistentProtocol));
    let connect = ClassicJoin { protocol_type: "connect".to_owned(), ..classic_join("x", &[]) };
    assert_eq!(group.classic_join(&connect, &topics, &rules()), Err(ClassicError::InconsistentProtocol));
}

#[test]
fn a_member_that_speaks_the_new_protocol_after_its_restart_takes_its_own_place_as_a_static_one() {
    let (mut group, topics) = upgraded(&[("a", &[0, 1, 2, 3])]);
    let static_join = ClassicJoin { instance_id: Some("i".to_owned()), is_new: true, ..classic_join("s", &[]) };
    group.classic_join(&static_join, &topics, &rules()).expect("joins");
    let heartbeat = Heartbeat { instance_id: Some("i".to_owned()), ..join("s2") };
    group.heartbeat(&heartbeat, &topics, &rules()).expect("a classic static member need not have left");
    assert!(group.member("s").is_none());
    assert!(group.static_member("i").expect("in place").classic.is_none());
    let back = ClassicJoin { member_id: "s3".to_owned(), ..static_join };
    let joined = group.classic_join(&back, &topics, &rules()).expect("joins");
    assert!(!joined.has_new_subscription);
    assert!(migration::may_downgrade(&group, &BTreeSet::new(), &rules()));
}
