//! Groups: who may commit offsets and when, rebalances, conversions between the protocols, deletion.

use super::*;
use crate::record::{
    ClassicMember, ClassicProtocols, ConsumerGroupUpdate, ConsumerMember, GroupCommit, GroupFence, GroupGeneration,
    MemberState,
};

const GROUP: &str = "readers";
/// A coordinator that has seen every record.
const EVERYTHING: Seq = Seq(u64::MAX);

struct Site {
    cluster: Cluster,
    broker: Epoch,
    topic: TopicId,
}

impl Site {
    fn new() -> Site {
        let (cluster, broker, topic) = Cluster::with_topic();
        Site { cluster, broker, topic }
    }

    fn run(&mut self, command: Command) -> Outcome {
        self.cluster.run(self.broker, command)
    }

    fn generation(&mut self, generation: i32, members: &[&str]) -> Outcome {
        self.run(classic(generation, members))
    }

    fn consumers(&mut self, group_epoch: i32, members: &[(&str, i32)], removed: &[&str]) -> Outcome {
        let upserted = members.iter().map(|(member, epoch)| consumer_member(member, *epoch)).collect();
        self.run(update(group_epoch, upserted, removed))
    }

    fn commit(&mut self, fence: GroupFence, offset: i64) -> Result<(), Refusal> {
        let command = commit(at(self.topic, 0), fence, offset);
        items(self.run(command))[0]
    }

    fn group(&self) -> &Group {
        self.cluster.state.group(GROUP).expect("the group is there")
    }

    fn committed(&self) -> Option<i64> {
        let group = self.cluster.state.group(GROUP)?;
        group.offsets.get(&at(self.topic, 0)).map(|committed| committed.offset)
    }

    /// Brokers join until another one coordinates the group. Returns that one.
    fn lose_coordination(&mut self) -> Epoch {
        for broker in 2.. {
            self.cluster.join(broker);
            let coordinator = self.cluster.state.coordinator(CoordinatorKind::Group, GROUP).expect("open").epoch;
            if coordinator != self.broker {
                return coordinator;
            }
        }
        unreachable!("brokers without end")
    }
}

fn classic(generation: i32, members: &[&str]) -> Command {
    let member = |member_id: &&str| ClassicMember {
        member_id: (*member_id).to_owned(),
        instance_id: None,
        client_id: "client".into(),
        client_host: "/host".into(),
        rebalance_timeout_ms: 1,
        session_timeout_ms: 2,
        protocols: vec![("range".into(), "subscription".into())],
        assignment: "assignment".into(),
    };
    Command::GroupGeneration(GroupGeneration {
        group: GROUP.into(),
        generation,
        protocol_type: "consumer".into(),
        protocol: members.first().map(|_| "range".into()),
        leader: members.first().map(|member| (*member).to_owned()),
        members: members.iter().map(member).collect(),
        seen: EVERYTHING,
    })
}

fn consumer_member(member_id: &str, member_epoch: i32) -> ConsumerMember {
    ConsumerMember {
        member_id: member_id.into(),
        instance_id: None,
        rack: None,
        client_id: "client".into(),
        client_host: "/host".into(),
        rebalance_timeout_ms: 1,
        topics: vec!["events".into()],
        regex: None,
        server_assignor: None,
        classic: None,
        member_epoch,
        previous_member_epoch: member_epoch - 1,
        state: MemberState::Stable,
        assigned: Assignment::new(),
        revoking: Assignment::new(),
        target: Assignment::new(),
    }
}

fn update(group_epoch: i32, upserted: Vec<ConsumerMember>, removed: &[&str]) -> Command {
    Command::ConsumerGroup(ConsumerGroupUpdate {
        group: GROUP.into(),
        group_epoch,
        target_epoch: group_epoch,
        assignor: "uniform".into(),
        upserted,
        removed: removed.iter().map(|member| (*member).to_owned()).collect(),
        seen: EVERYTHING,
    })
}

fn commit(partition: TopicPartition, fence: GroupFence, offset: i64) -> Command {
    let offset = OffsetCommit { offset, leader_epoch: 4, metadata: "note".into() };
    let commit = GroupCommit { group: GROUP.into(), fence, txn: None, offsets: vec![(partition, offset)] };
    Command::CommitOffsets { commits: vec![commit] }
}

fn items(outcome: Outcome) -> Vec<Result<(), Refusal>> {
    match outcome {
        Outcome::PerItem(items) => items,
        other => panic!("{other:?}"),
    }
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

fn in_generation(member_id: &str, generation: i32) -> GroupFence {
    GroupFence::Classic { member_id: member_id.into(), generation }
}

fn at_epoch(member_id: &str, member_epoch: i32) -> GroupFence {
    GroupFence::Consumer { member_id: member_id.into(), member_epoch }
}

#[test]
fn a_committed_offset_is_kept_with_its_note_epoch_and_time() {
    let mut site = Site::new();
    assert_eq!(site.commit(GroupFence::None, 12), Ok(()));
    let expected = CommittedOffset {
        offset: 12,
        leader_epoch: 4,
        metadata: "note".into(),
        committed_ms: site.cluster.now_ms,
        recorded: site.cluster.state.applied(),
    };
    assert_eq!(site.group().offsets[&at(site.topic, 0)], expected);
    assert_eq!((&site.group().kind, site.group().epoch()), (&GroupKind::Offsets, 0));
}

#[test]
fn a_repeated_or_late_commit_never_touches_a_later_generation() {
    let mut site = Site::new();
    site.generation(1, &["a", "b"]);
    let number_used = site.cluster.record(site.broker, commit(at(site.topic, 0), in_generation("a", 1), 10));
    assert_eq!(items(site.cluster.apply(number_used.clone())), [Ok(())]);
    assert_eq!(site.commit(in_generation("b", 1), 20), Ok(()));
    assert_eq!(site.cluster.apply(number_used), refused(Refusal::Repeated), "the same record again");
    assert_eq!(site.committed(), Some(20));
    site.generation(2, &["b"]);
    assert_eq!(site.commit(in_generation("b", 1), 5), Err(Refusal::StaleGeneration));
    assert_eq!(site.commit(in_generation("a", 2), 5), Err(Refusal::UnknownMember));
    assert_eq!(site.commit(in_generation("a", 1), 5), Err(Refusal::UnknownMember));
    assert_eq!(site.commit(in_generation("b", 3), 5), Err(Refusal::StaleGeneration));
    assert_eq!(site.commit(at_epoch("b", 2), 5), Err(Refusal::GroupKind));
    assert_eq!(site.committed(), Some(20));
    assert_eq!(site.commit(in_generation("b", 2), 30), Ok(()));
    assert_eq!(site.committed(), Some(30));
}

#[test]
fn a_commit_at_another_member_epoch_is_refused() {
    let mut site = Site::new();
    site.consumers(1, &[("a", 1), ("b", 1)], &[]);
    assert_eq!(site.commit(at_epoch("a", 1), 10), Ok(()));
    site.consumers(2, &[("a", 2)], &[]);
    assert_eq!(site.commit(at_epoch("a", 1), 5), Err(Refusal::StaleMemberEpoch));
    assert_eq!(site.commit(at_epoch("b", 1), 11), Ok(()), "it has not reached the new epoch");
    assert_eq!(site.commit(at_epoch("c", 1), 5), Err(Refusal::UnknownMember));
    assert_eq!(site.commit(in_generation("a", 2), 5), Err(Refusal::GroupKind));
    site.consumers(3, &[], &["b"]);
    assert_eq!(site.commit(at_epoch("b", 1), 5), Err(Refusal::UnknownMember));
    assert_eq!(site.committed(), Some(11));
}

#[test]
fn who_is_no_member_commits_only_while_there_are_none() {
    let mut site = Site::new();
    assert_eq!(site.commit(in_generation("a", 1), 1), Err(Refusal::UnknownGroup));
    assert!(site.cluster.state.group(GROUP).is_none(), "a refused commit creates nothing");
    assert_eq!(site.commit(GroupFence::None, 1), Ok(()));
    assert_eq!(site.commit(in_generation("a", 1), 2), Err(Refusal::UnknownMember));
    assert_eq!(site.commit(at_epoch("a", 1), 2), Err(Refusal::UnknownMember));
    site.generation(1, &["a"]);
    assert_eq!(site.commit(GroupFence::None, 3), Err(Refusal::NonEmptyGroup));
    site.generation(2, &[]);
    assert_eq!(site.commit(GroupFence::None, 4), Ok(()));
    site.consumers(3, &[("a", 3)], &[]);
    assert_eq!(site.commit(GroupFence::None, 5), Err(Refusal::NonEmptyGroup));
    site.consumers(4, &[], &["a"]);
    assert_eq!(site.commit(GroupFence::None, 6), Ok(()));
    assert_eq!(site.committed(), Some(6));
}

#[test]
fn a_stale_coordinators_rebalance_and_commits_are_refused() {
    let mut site = Site::new();
    site.generation(1, &["a"]);
    site.commit(in_generation("a", 1), 10).expect("a member");
    let next = site.lose_coordination();
    let topic = site.topic;
    assert_eq!(site.generation(2, &["a"]), refused(Refusal::NotCoordinator));
    assert_eq!(site.consumers(2, &[("a", 2)], &[]), refused(Refusal::NotCoordinator));
    assert_eq!(site.commit(in_generation("a", 1), 5), Err(Refusal::NotCoordinator));
    assert_eq!(items(site.run(Command::DeleteGroups { groups: vec![GROUP.into()] })), [Err(Refusal::NotCoordinator)]);
    let delete = Command::DeleteOffsets { group: GROUP.into(), partitions: vec![at(topic, 0)] };
    assert_eq!(site.run(delete), refused(Refusal::NotCoordinator));
    site.broker = next;
    assert_eq!(site.commit(in_generation("a", 1), 20), Ok(()), "the new one goes on in the same generation");
    assert_eq!(site.committed(), Some(20));
}

#[test]
fn commits_of_one_record_are_judged_one_by_one() {
    let mut site = Site::new();
    site.generation(1, &["a"]);
    let offset = |offset| OffsetCommit { offset, leader_epoch: -1, metadata: String::new() };
    let commit = |group: &str, fence, offsets| GroupCommit { group: group.into(), fence, txn: None, offsets };
    let (zero, unknown) = (at(site.topic, 0), at(site.topic, 9));
    let commits = vec![
        commit(GROUP, in_generation("a", 1), vec![(zero, offset(1)), (unknown, offset(2)), (zero, offset(3))]),
        commit(GROUP, in_generation("a", 0), vec![(zero, offset(4))]),
        commit("other", GroupFence::None, vec![(zero, offset(5))]),
        commit("void", GroupFence::None, vec![(unknown, offset(6))]),
    ];
    let outcome = site.run(Command::CommitOffsets { commits });
    assert_eq!(items(outcome), [Ok(()), Err(Refusal::StaleGeneration), Ok(()), Ok(())]);
    assert_eq!(
        (site.committed(), site.group().offsets.len()),
        (Some(3), 1),
        "the last one counts, unknown ones do not"
    );
    let groups: Vec<&str> = site.cluster.state.groups().map(|(id, _)| id).collect();
    assert_eq!(groups, ["other", GROUP]);
}

#[test]
fn generations_never_go_back_and_the_same_one_replaces_members() {
    let mut site = Site::new();
    assert_eq!(site.generation(5, &["a", "b"]), Outcome::Done);
    assert_eq!(site.generation(4, &["a"]), refused(Refusal::StaleGeneration));
    site.cluster.now_ms += 1;
    assert_eq!(site.generation(5, &["a", "c"]), Outcome::Done, "a static member came back under another id");
    assert_eq!(site.group().changed_ms, site.cluster.now_ms);
    assert_eq!(site.commit(in_generation("b", 5), 1), Err(Refusal::UnknownMember));
    assert_eq!(site.commit(in_generation("c", 5), 1), Ok(()));
    let GroupKind::Classic(group) = &site.group().kind else { panic!("a classic group") };
    assert_eq!((group.generation, group.leader.as_deref(), group.members.len()), (5, Some("a"), 2));
    assert_eq!((&group.members["a"].assignment[..], group.protocol.as_deref()), (&b"assignment"[..], Some("range")));
    assert_eq!(site.generation(5, &[]), Outcome::Done, "empty");
    assert_eq!((site.group().member_count(), site.group().epoch()), (0, 5));
}

#[test]
fn a_consumer_groups_members_change_one_by_one() {
    let mut site = Site::new();
    site.consumers(1, &[("a", 1), ("b", 1)], &[]);
    site.consumers(2, &[("b", 2), ("c", 2)], &["a", "unknown"]);
    assert_eq!(site.consumers(1, &[("d", 1)], &[]), refused(Refusal::StaleGeneration));
    assert_eq!(site.consumers(2, &[("c", 1)], &["c"]), Outcome::Done, "whoever is upserted stays");
    let GroupKind::Consumer(group) = &site.group().kind else { panic!("a consumer group") };
    let members: Vec<_> =
        group.members.values().map(|member| (member.member_id.as_str(), member.member_epoch)).collect();
    assert_eq!(members, [("b", 2), ("c", 1)]);
    assert_eq!((group.group_epoch, group.target_epoch, group.assignor.as_str()), (2, 2, "uniform"));
}

/// KIP-848: a classic group is upgraded when the first member of the new protocol joins, and back when the last leaves.
#[test]
fn a_group_changes_its_protocol_and_keeps_its_offsets() {
    let mut site = Site::new();
    site.commit(GroupFence::None, 10).expect("nobody is there");
    site.generation(3, &["old"]);
    let classic_protocols = ClassicProtocols { session_timeout_ms: 1, protocols: vec![] };
    let old = ConsumerMember { classic: Some(classic_protocols), ..consumer_member("old", 3) };
    let upgrade = |group_epoch| update(group_epoch, vec![old.clone(), consumer_member("new", 4)], &[]);
    assert_eq!(site.run(upgrade(3)), refused(Refusal::StaleGeneration));
    assert_eq!(site.run(upgrade(4)), Outcome::Done);
    assert_eq!(site.committed(), Some(10));
    assert_eq!(site.commit(in_generation("old", 3), 11), Ok(()), "its generation is its epoch");
    assert_eq!(site.commit(in_generation("old", 4), 0), Err(Refusal::StaleGeneration));
    assert_eq!(site.commit(at_epoch("new", 4), 12), Ok(()));
    assert_eq!(site.generation(3, &["old"]), refused(Refusal::StaleGeneration), "late");
    assert_eq!(site.generation(4, &["old"]), Outcome::Done, "downgraded");
    assert_eq!(site.commit(in_generation("old", 4), 13), Ok(()));
    assert_eq!(site.commit(at_epoch("new", 4), 0), Err(Refusal::UnknownMember));
    assert_eq!(site.consumers(4, &[("late", 4)], &[]), refused(Refusal::StaleGeneration));
    assert_eq!((site.committed(), site.group().epoch()), (Some(13), 4));
}

#[test]
fn only_groups_without_members_are_deleted() {
    let mut site = Site::new();
    let delete = Command::DeleteGroups { groups: vec![GROUP.into(), "unknown".into()] };
    site.generation(1, &["a"]);
    let unknown = Err(Refusal::UnknownGroup);
    assert_eq!(items(site.run(delete.clone())), [Err(Refusal::NonEmptyGroup), unknown]);
    site.generation(1, &[]);
    site.commit(GroupFence::None, 1).expect("nobody is there");
    assert_eq!(items(site.run(delete.clone())), [Ok(()), unknown]);
    assert_eq!(items(site.run(delete)), [unknown, unknown]);
    assert_eq!(site.cluster.state.groups().len(), 0);
}

#[test]
fn a_group_that_never_had_members_goes_with_its_last_offset() {
    let mut site = Site::new();
    let delete = |partitions| Command::DeleteOffsets { group: GROUP.into(), partitions };
    let (zero, one) = (at(site.topic, 0), at(site.topic, 1));
    site.commit(GroupFence::None, 1).expect("nobody is there");
    assert_eq!(site.run(delete(vec![one])), Outcome::Done);
    assert_eq!(site.committed(), Some(1));
    assert_eq!(site.run(delete(vec![one, zero])), Outcome::Done);
    assert!(site.cluster.state.group(GROUP).is_none());
    assert_eq!(site.run(delete(vec![zero])), refused(Refusal::UnknownGroup));
    site.generation(1, &["a"]);
    site.commit(in_generation("a", 1), 2).expect("a member");
    assert_eq!(site.run(delete(vec![zero])), Outcome::Done);
    assert_eq!((site.committed(), site.group().member_count()), (None, 1));
}

#[test]
fn a_deleted_topics_offsets_are_gone() {
    let mut site = Site::new();
    let other = site.cluster.topic(site.broker, "other", 1);
    site.generation(1, &["a"]);
    site.commit(in_generation("a", 1), 1).expect("a member");
    items(site.run(commit(at(other, 0), in_generation("a", 1), 7)));
    site.run(Command::DeleteTopic { topic: site.topic });
    let left: Vec<_> = site.group().offsets.iter().map(|(partition, offset)| (*partition, offset.offset)).collect();
    assert_eq!(left, [(at(other, 0), 7)]);
    let again = site.cluster.topic(site.broker, "events", 1);
    assert!(!site.group().offsets.contains_key(&at(again, 0)));
}

#[test]
fn coordinators_are_spread_and_stable_and_part_of_the_format() {
    let mut cluster = Cluster::new();
    for broker in 0..6 {
        cluster.join(broker);
    }
    let place = |cluster: &Cluster, kind| -> Vec<i32> {
        let coordinator = |number: i32| cluster.state.coordinator(kind, &format!("key-{number}")).expect("open").id.0;
        (0..6_000).map(coordinator).collect()
    };
    let groups = place(&cluster, CoordinatorKind::Group);
    for broker in 0..6 {
        let count = groups.iter().filter(|coordinator| **coordinator == broker).count();
        assert!((850..1150).contains(&count), "broker {broker} coordinates {count} of 6000");
    }
    assert_ne!(groups, place(&cluster, CoordinatorKind::Transaction));
    let epoch = cluster.state.brokers().nth(4).expect("six brokers").epoch;
    cluster.run(Epoch(1), Command::CloseBroker { epoch });
    let moved = place(&cluster, CoordinatorKind::Group);
    assert!(groups.iter().zip(&moved).all(|(before, after)| before == after || *before == 4));
    assert_eq!(groups[..8], [0, 3, 3, 3, 4, 0, 1, 1], "part of the format");
}

#[test]
fn a_coordinator_that_was_another_one_in_between_writes_nothing_from_before() {
    let mut site = Site::new();
    site.consumers(1, &[("a", 1)], &[]);
    let before = site.cluster.state.applied();
    let mut late = update(2, vec![consumer_member("late", 2)], &[]);
    let mut late_generation = classic(2, &["late"]);
    for command in [&mut late, &mut late_generation] {
        match command {
            Command::ConsumerGroup(update) => update.seen = before,
            Command::GroupGeneration(generation) => generation.seen = before,
            _ => unreachable!("both are of groups"),
        }
    }
    // Its own records do not make it stale.
    site.consumers(1, &[("b", 1)], &[]);
    assert_eq!(site.run(update(1, vec![], &[])), Outcome::Done);
    let other = site.lose_coordination();
    assert_eq!(site.run(late.clone()), Outcome::Refused(Refusal::NotCoordinator));
    assert_eq!(site.cluster.run(other, update(2, vec![consumer_member("c", 2)], &["b"])), Outcome::Done);
    let brokers = site.cluster.state.brokers().map(|broker| broker.epoch);
    let others: Vec<_> = brokers.filter(|epoch| *epoch != site.broker).collect();
    for epoch in others {
        site.run(Command::CloseBroker { epoch });
    }
    for stale in [late, late_generation] {
        assert_eq!(site.run(stale), Outcome::Refused(Refusal::NotCoordinator));
    }
    let mut fresh = update(3, vec![consumer_member("d", 3)], &[]);
    if let Command::ConsumerGroup(update) = &mut fresh {
        update.seen = site.cluster.state.applied();
    }
    assert_eq!(site.run(fresh), Outcome::Done);
    assert_eq!(site.group().member_count(), 3, "a, c and d");
}
