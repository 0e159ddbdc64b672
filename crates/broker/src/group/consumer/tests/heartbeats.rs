use super::super::heartbeat::{Heartbeat, HeartbeatError, InvalidHeartbeat, Reply};
use super::super::members::Members;
use super::*;
use std::collections::BTreeSet;

struct Scene {
    group: Members,
    topics: TopicMap,
}

impl Scene {
    fn new(partitions: i32) -> Scene {
        Scene { group: Members::empty("g", 0), topics: topics(1, &[("t", 1, partitions)]) }
    }

    fn send(&mut self, heartbeat: Heartbeat) -> Result<Reply, HeartbeatError> {
        self.group.heartbeat(&heartbeat, &self.topics, &rules())
    }

    /// The member's epoch and what it was told.
    fn told(&mut self, heartbeat: Heartbeat) -> (i32, Option<Assignment>) {
        let reply = self.send(heartbeat).expect("accepted");
        (reply.member_epoch, reply.assignment)
    }

    /// The same group on another coordinator.
    fn take_over(&mut self) {
        let update = self.group.take_update();
        let members = self.group.members().values().cloned().collect::<Vec<_>>();
        let epochs = update.map_or((self.group.group_epoch(), self.group.group_epoch()), |update| {
            (update.group_epoch, update.target_epoch)
        });
        self.group = Members::load("g", epochs, "uniform", members);
    }
}

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut scene = Scene::new(3);
    assert_eq!(scene.told(join("a")), (1, Some(partitions(&[0, 1, 2]))));
    assert!(is_stable(scene.group.member("a").unwrap()));
    let update = scene.group.take_update().expect("a change");
    assert_eq!((update.group_epoch, update.target_epoch, update.assignor.as_str()), (1, 1, "uniform"));
    assert_eq!(update.upserted.len(), 1);
}

#[test]
fn heartbeats_that_change_nothing_make_no_record_and_repeat_no_assignment() {
    let mut scene = Scene::new(3);
    scene.told(join("a"));
    scene.group.take_update();
    assert_eq!(scene.told(beat("a", 1)), (1, None));
    assert_eq!(scene.told(owning(beat("a", 1), &[0, 1, 2])), (1, None));
    let full = Heartbeat { member_epoch: 1, ..join("a") };
    assert_eq!(scene.told(full), (1, Some(partitions(&[0, 1, 2]))), "unless the client asks with a full request");
    assert_eq!(scene.group.take_update(), None);
}

#[test]
fn partitions_change_hands_only_after_the_owner_let_go() {
    let mut scene = Scene::new(4);
    scene.told(join("a"));
    assert_eq!(scene.told(join("b")), (2, Some(partitions(&[]))), "b waits at the new epoch");
    assert_eq!(scene.told(owning(beat("a", 1), &[0, 1, 2, 3])), (1, Some(partitions(&[0, 1]))));
    assert_eq!(scene.told(beat("b", 2)), (2, None));
    assert_eq!(scene.told(beat("a", 1)), (1, None), "a still gives up");
    assert_eq!(scene.told(owning(beat("a", 1), &[0, 1])), (2, None));
    assert_eq!(scene.told(beat("b", 2)), (2, Some(partitions(&[2, 3]))));
    assert!(scene.group.members().values().all(is_stable));
}

#[test]
fn a_lost_answer_is_made_up_for_by_the_epoch_before_it() {
    let mut scene = Scene::new(4);
    scene.told(join("a"));
    scene.told(join("b"));
    scene.told(owning(beat("a", 1), &[0, 1, 2, 3]));
    scene.told(owning(beat("a", 1), &[0, 1]));
    assert_eq!(scene.told(owning(beat("a", 1), &[0, 1])).0, 2, "the answer with epoch 2 was lost");
    let too_much = scene.send(owning(beat("a", 1), &[0, 1, 2])).unwrap_err();
    assert_eq!(too_much, HeartbeatError::FencedEpoch { received: 1, known: 2 });
    let unsaid = scene.send(beat("a", 1)).unwrap_err();
    assert_eq!(unsaid, HeartbeatError::FencedEpoch { received: 1, known: 2 });
    assert!(unsaid.to_string().contains("smaller member epoch (1)"), "{unsaid}");
    let ahead = scene.send(beat("a", 3)).unwrap_err();
    assert!(ahead.to_string().contains("greater member epoch (3)"), "{ahead}");
}

#[test]
fn a_member_that_joins_again_keeps_its_place() {
    let mut scene = Scene::new(2);
    scene.told(join("a"));
    scene.told(join("b"));
    assert_eq!(scene.told(join("a")), (2, Some(partitions(&[0]))), "it owns nothing, so nothing is to be given up");
    assert_eq!(scene.group.group_epoch(), 2);
}

#[test]
fn strangers_are_told_so() {
    let mut scene = Scene::new(1);
    scene.told(join("a"));
    let stranger = scene.send(beat("x", 1)).unwrap_err();
    assert_eq!(stranger.to_string(), "Member x is not a member of group g.");
    let instance = Heartbeat { instance_id: Some("i".to_owned()), ..beat("a", 1) };
    assert_eq!(scene.send(instance).unwrap_err(), HeartbeatError::UnknownInstance { instance: "i".to_owned() });
}

#[test]
fn a_full_group_takes_nobody_new() {
    let mut scene = Scene::new(1);
    let small = super::super::members::Rules { members_max: 1, ..rules() };
    scene.group.heartbeat(&join("a"), &scene.topics, &small).expect("room");
    let refused = scene.group.heartbeat(&join("b"), &scene.topics, &small).unwrap_err();
    assert_eq!(refused, HeartbeatError::GroupFull { most: 1 });
    scene.group.heartbeat(&beat("a", 1), &scene.topics, &small).expect("who is in stays in");
}

#[test]
fn new_partitions_and_topics_bump_the_epoch_with_the_next_heartbeat() {
    let mut scene = Scene::new(1);
    scene.told(join("a"));
    scene.topics = topics(2, &[("t", 1, 2), ("other", 2, 5)]);
    assert_eq!(scene.told(beat("a", 1)), (2, Some(partitions(&[0, 1]))));
    scene.topics = topics(3, &[("t", 1, 2), ("other", 2, 6)]);
    assert_eq!(scene.told(beat("a", 2)), (2, None), "a topic that nobody wants changes nothing");
    scene.topics = topics(4, &[("t", 9, 1)]);
    let (epoch, assignment) = scene.told(beat("a", 2));
    assert_eq!((epoch, assignment), (2, Some(Assignment::new())), "a topic made anew is another topic");
    let (epoch, assignment) = scene.told(owning(beat("a", 2), &[]));
    assert_eq!((epoch, assignment), (3, Some([(TopicId(9), vec![0])].into())));
}

#[test]
fn a_takeover_moves_nobody() {
    let mut scene = Scene::new(4);
    scene.told(join("a"));
    scene.told(join("b"));
    scene.told(owning(beat("a", 1), &[0, 1, 2, 3]));
    scene.take_over();
    assert_eq!(scene.told(owning(beat("a", 1), &[0, 1])), (2, None));
    assert_eq!(scene.told(beat("b", 2)), (2, Some(partitions(&[2, 3]))));
    scene.take_over();
    assert_eq!(scene.told(beat("a", 2)), (2, None));
    assert_eq!(scene.group.take_update(), None);
}

#[test]
fn topics_that_changed_between_two_coordinators_are_noticed() {
    let mut scene = Scene::new(1);
    scene.told(join("a"));
    scene.take_over();
    scene.topics = topics(7, &[("t", 1, 2)]);
    assert_eq!(scene.told(beat("a", 1)), (2, Some(partitions(&[0, 1]))));
}

#[test]
fn expressions_follow_the_topics() {
    let mut scene = Scene::new(1);
    let by_expression = Heartbeat { topics: Some(Vec::new()), regex: Some("t|u.*".to_owned()), ..join("a") };
    assert_eq!(scene.told(by_expression), (1, Some(partitions(&[0]))));
    scene.topics = topics(2, &[("t", 1, 1), ("user", 2, 1), ("xu", 3, 1)]);
    let both: Assignment = [(TopicId(1), vec![0]), (TopicId(2), vec![0])].into();
    assert_eq!(scene.told(beat("a", 1)), (2, Some(both.clone())));
    let taken_back = Heartbeat { regex: Some(String::new()), topics: Some(vec!["t".to_owned()]), ..beat("a", 2) };
    let taken_back = Heartbeat { owned: Some(both), ..taken_back };
    assert_eq!(scene.told(taken_back), (2, Some(partitions(&[0]))));
    assert_eq!(scene.told(owning(beat("a", 2), &[0])), (3, None));
}

#[test]
fn an_expression_that_is_none_is_refused_and_changes_nothing() {
    let mut scene = Scene::new(1);
    scene.told(join("a"));
    scene.group.take_update();
    let refused = scene.send(Heartbeat { regex: Some("[".to_owned()), ..beat("a", 1) }).unwrap_err();
    assert!(refused.to_string().starts_with("SubscribedTopicRegex `[` is not a valid regular expression: "));
    assert!(scene.send(Heartbeat { regex: Some("(".to_owned()), ..join("b") }).is_err());
    assert!(!scene.group.has_changes());
}

#[test]
fn most_votes_choose_the_assignor() {
    let mut scene = Scene::new(1);
    let asking =
        |member: &str, assignor: &str| Heartbeat { server_assignor: Some(assignor.to_owned()), ..join(member) };
    scene.told(asking("a", "range"));
    assert_eq!(scene.group.take_update().unwrap().assignor, "range");
    scene.told(asking("b", "uniform"));
    assert_eq!(scene.group.take_update().unwrap().assignor, "range", "of as many votes the first name");
    scene.told(asking("c", "uniform"));
    assert_eq!(scene.group.take_update().unwrap().assignor, "uniform");
}

#[test]
fn members_that_are_gone_leave_their_partitions_to_the_others() {
    let mut scene = Scene::new(2);
    scene.told(join("a"));
    scene.told(join("b"));
    scene.told(owning(beat("a", 1), &[0]));
    scene.group.take_update();
    scene.group.fence(&BTreeSet::from(["b".to_owned()]));
    let update = scene.group.take_update().expect("a change");
    assert_eq!((update.removed, update.group_epoch, update.target_epoch), (vec!["b".to_owned()], 3, 2));
    assert_eq!(scene.told(beat("a", 2)), (3, Some(partitions(&[0, 1]))));
}

fn with_instance(heartbeat: Heartbeat) -> Heartbeat {
    Heartbeat { instance_id: Some("i".to_owned()), ..heartbeat }
}

#[test]
fn a_static_member_that_comes_back_moves_nobody() {
    let mut scene = Scene::new(2);
    scene.told(with_instance(join("a")));
    scene.told(join("b"));
    scene.told(owning(with_instance(beat("a", 1)), &[0]));
    scene.told(beat("b", 2));
    let leaving = with_instance(beat("a", -2));
    assert_eq!(scene.group.check_leave(&leaving).unwrap(), "a");
    scene.group.leave_for_a_while("a");
    assert_eq!(scene.group.member("a").unwrap().member_epoch, -2);
    assert_eq!(scene.told(beat("b", 2)), (2, None), "its partitions wait for it");
    assert_eq!(
        scene.send(with_instance(beat("a", 2))).unwrap_err(),
        HeartbeatError::FencedEpoch { received: 2, known: -2 }
    );
    assert_eq!(scene.told(with_instance(join("a2"))), (2, Some(partitions(&[0]))));
    assert_eq!(scene.group.group_epoch(), 2);
    let update = scene.group.take_update().expect("a change");
    assert_eq!(update.removed, ["a"]);
    assert!(scene.send(beat("b", 2)).is_ok());
}

#[test]
fn an_instance_id_in_use_is_not_released() {
    let mut scene = Scene::new(1);
    scene.told(with_instance(join("a")));
    let refused = scene.send(with_instance(join("x"))).unwrap_err();
    let expected =
        "Static member x with instance id i cannot join the group because the instance id is owned by a member.";
    assert_eq!(refused.to_string(), expected);
    let fenced = scene.send(with_instance(beat("x", 1))).unwrap_err();
    assert_eq!(fenced.to_string(), "Static member x with instance id i was fenced by member a.");
    let leaving = scene.group.check_leave(&with_instance(beat("x", -1))).unwrap_err();
    assert!(matches!(leaving, HeartbeatError::FencedInstance { .. }));
    assert_eq!(scene.told(with_instance(join("a"))), (1, Some(partitions(&[0]))), "a retry of its own join");
}

#[test]
fn requests_that_are_none_are_refused_before_any_group_is_looked_at() {
    let check = |heartbeat: Heartbeat| match heartbeat.check("g", true, &Assignor::ALL) {
        Ok(()) => String::new(),
        Err(refused) => refused.to_string(),
    };
    assert_eq!(check(join("a")), "");
    assert_eq!(check(join("")), "MemberId can't be empty.");
    assert_eq!(check(with_instance(Heartbeat { rack: Some(String::new()), ..join("a") })), "RackId can't be empty.");
    assert_eq!(check(beat("a", 0)), "RebalanceTimeoutMs must be provided in first request.");
    assert_eq!(check(owning(join("a"), &[0])), "TopicPartitions must be empty when (re-)joining.");
    assert!(check(Heartbeat { topics: None, ..join("a") }).starts_with("Either SubscribedTopicNames"));
    assert_eq!(check(Heartbeat { topics: Some(Vec::new()), ..join("a") }), "", "subscribed to nothing");
    assert_eq!(check(beat("a", -2)), "InstanceId can't be null.");
    assert_eq!(check(beat("a", -3)), "MemberEpoch is -3, but must be >= -2.");
    let asking = Heartbeat { server_assignor: Some("best".to_owned()), ..join("a") };
    let refused = asking.check("g", true, &Assignor::ALL).unwrap_err();
    assert!(matches!(refused, InvalidHeartbeat::Assignor { .. }));
    assert_eq!(refused.to_string(), "ServerAssignor best is not supported. Supported assignors: uniform, range.");
    assert_eq!(join("").check("g", false, &Assignor::ALL), Ok(()), "the first version let the coordinator choose");
    assert!(join("a").check(" ", true, &Assignor::ALL).is_err());
}

#[test]
fn a_hundred_members_settle_within_two_rounds_of_heartbeats() {
    let mut scene = Scene::new(1_000);
    let names: Vec<String> = (0..100).map(|number| format!("m{number:02}")).collect();
    let mut owned: Vec<(i32, Assignment)> = Vec::new();
    for name in &names {
        let (epoch, assignment) = scene.told(join(name));
        owned.push((epoch, assignment.expect("told")));
    }
    // Clients give up within the interval and say so with the next heartbeat, as the Java client does.
    for _ in 0..2 {
        for (name, state) in names.iter().zip(&mut owned) {
            let before = Heartbeat { owned: Some(state.1.clone()), ..beat(name, state.0) };
            for heartbeat in [before, beat(name, 0)] {
                let heartbeat = match heartbeat.member_epoch {
                    0 => Heartbeat { owned: Some(state.1.clone()), ..beat(name, state.0) },
                    _ => heartbeat,
                };
                let (epoch, assignment) = scene.told(heartbeat);
                *state = (epoch, assignment.unwrap_or(state.1.clone()));
            }
        }
    }
    assert!(scene.group.members().values().all(|member| is_stable(member) && member.target == member.assigned));
    let total: usize = owned.iter().flat_map(|(_, assignment)| assignment.values()).map(Vec::len).sum();
    assert_eq!(total, 1_000);
}
