use super::*;

fn stable_pair(world: &mut Harness) -> (String, String) {
    let joins = [world.join_static("one"), world.join_static("two")];
    world.advance(0);
    world.advance(0);
    let ids = joins.map(|waiter| world.joined(waiter).member_id);
    world.sync(&ids[1], 1, &[]);
    world.sync(&ids[0], 1, &[(&ids[0], "a"), (&ids[1], "b")]);
    world.apply_records();
    let [first, second] = ids;
    (first, second)
}

#[test]
fn a_static_member_that_comes_back_gets_a_new_id_without_a_rebalance() {
    let mut world = Harness::new();
    let (_, old) = stable_pair(&mut world);
    let back = world.join_static("two");
    assert!(world.is_waiting(back), "its new id has to be durable first");
    let record = world.apply_records().expect("a record");
    let joined = world.joined(back);
    assert_ne!(joined.member_id, old);
    assert_eq!((joined.generation, joined.skip_assignment, record.generation), (1, false, 1));
    assert!(record.members.iter().any(|member| member.member_id == joined.member_id && member.assignment == "b"));
    assert_eq!(world.group.state(), GroupState::Stable);
    let synced = world.sync(&joined.member_id, 1, &[]);
    assert_eq!(world.assignment(synced), "b");
    let stale = world.group.heartbeat(world.now_ms, &old, Some("two"), 1);
    assert_eq!(stale, Err(GroupError::FencedInstanceId));
    assert_eq!(world.heartbeat(&old, 1), Err(GroupError::UnknownMember));
}

#[test]
fn a_static_leader_that_comes_back_is_told_to_skip_the_assignment() {
    let mut world = Harness::new();
    let (old_leader, _) = stable_pair(&mut world);
    let back = world.join_static("one");
    world.apply_records();
    let joined = world.joined(back);
    assert!(joined.skip_assignment);
    assert_eq!((joined.leader, joined.members.len()), (joined.member_id, 2));
    let older = world.join_with("", |join| {
        join.instance_id = Some("one".to_owned());
        join.can_skip_assignment = false;
    });
    world.apply_records();
    let joined = world.joined(older);
    assert!(!joined.skip_assignment);
    assert!(joined.members.is_empty());
    assert_ne!(joined.leader, joined.member_id, "an old client believes that it follows");
    assert_ne!(joined.leader, old_leader);
}

#[test]
fn a_static_member_that_comes_back_with_another_protocol_rebalances() {
    let mut world = Harness::new();
    let both = |instance: &'static str| {
        move |join: &mut Join| {
            join.instance_id = Some(instance.to_owned());
            join.protocols = ["range", "sticky"].map(|name| (name.to_owned(), Bytes::new())).to_vec();
        }
    };
    let joins = [world.join_with("", both("one")), world.join_with("", both("two"))];
    world.advance(0);
    world.advance(0);
    world.settle(&joins);
    let back = world.join_with("", |join| {
        join.instance_id = Some("two".to_owned());
        join.protocols = vec![("sticky".to_owned(), Bytes::new())];
    });
    assert!(world.is_waiting(back));
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_static_member_replaced_while_it_waits_is_fenced() {
    let mut world = Harness::new();
    let (first, _) = stable_pair(&mut world);
    let waiting = world.join_with(&first, |join| join.instance_id = Some("one".to_owned()));
    assert!(world.is_waiting(waiting));
    let back = world.join_static("one");
    assert_eq!(world.join_error(waiting), GroupError::FencedInstanceId);
    world.join_static("two");
    assert_eq!(world.joined(back).generation, 2);
}

#[test]
fn a_static_member_replaced_before_the_assignment_rebalances() {
    let mut world = Harness::new();
    let joins = [world.join_static("one"), world.join_static("two")];
    world.advance(0);
    world.advance(0);
    let old = world.joined(joins[1]).member_id;
    let waiting = world.sync(&old, 1, &[]);
    world.join_static("two");
    assert_eq!(world.sync_error(waiting), GroupError::FencedInstanceId);
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_static_member_that_does_not_join_again_keeps_its_place_until_its_session_ends() {
    let mut world = Harness::new();
    stable_pair(&mut world);
    let newcomer = world.join("");
    world.advance(0);
    for _ in 0..5 {
        world.advance(5_000);
    }
    let members = world.joined(newcomer).members;
    assert_eq!(members.len(), 1, "both sessions ended before the rebalance timeout");
    let mut world = Harness::new();
    let (first, second) = stable_pair(&mut world);
    let again = world.join_with(&first, |join| join.instance_id = Some("one".to_owned()));
    for _ in 0..12 {
        world.advance(5_000);
        let _ = world.group.heartbeat(world.now_ms, &second, Some("two"), 1);
    }
    assert_eq!(world.joined(again).members.len(), 2, "the silent joiner is a member of the next generation");
}

#[test]
fn an_administrator_removes_static_members_by_instance_id() {
    let mut world = Harness::new();
    let (first, _) = stable_pair(&mut world);
    let removed = world.leave(&[("", Some("two")), ("", Some("three")), ("", None), ("other", Some("one"))]);
    assert_eq!(
        world.left(removed),
        [Ok(()), Err(GroupError::UnknownMember), Err(GroupError::UnknownMember), Err(GroupError::FencedInstanceId)]
    );
    let last = world.leave(&[(&first, Some("one"))]);
    world.apply_records();
    assert_eq!(world.left(last), [Ok(())]);
    assert_eq!(world.group.state(), GroupState::Empty);
}

#[test]
fn an_unknown_instance_id_is_an_unknown_member() {
    let mut world = Harness::new();
    let (first, _) = stable_pair(&mut world);
    let now_ms = world.now_ms;
    assert_eq!(world.group.heartbeat(now_ms, &first, Some("three"), 1), Err(GroupError::UnknownMember));
}
