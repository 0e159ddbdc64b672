use super::*;

#[test]
fn a_new_member_is_told_its_id_first_and_joins_with_it() {
    let mut world = Harness::new();
    let first = world.join_with("", |join| join.requires_member_id = true);
    let Some(Answer::Join(Err(refused))) = world.answers.get(&first).cloned() else { panic!("refused") };
    assert_eq!(refused.error, GroupError::MemberIdRequired);
    assert_eq!(world.group.state(), GroupState::Empty);
    assert!(!world.group.is_disposable(), "the id is remembered");
    let second = world.join(&refused.member_id);
    world.advance(0);
    assert_eq!(world.joined(second).member_id, refused.member_id);
}

#[test]
fn an_id_that_was_never_used_lapses_with_the_session_timeout() {
    let mut world = Harness::new();
    world.join_with("", |join| join.requires_member_id = true);
    assert_eq!(world.group.next_deadline_ms(), Some(11_000));
    world.advance(10_000);
    assert!(world.group.is_disposable());
    let late = world.join("m1");
    assert_eq!(world.join_error(late), GroupError::UnknownMember);
}

#[test]
fn a_rebalance_waits_for_an_id_that_was_given_out() {
    let mut world = Harness::new();
    let (ids, _) = world.stable(1);
    world.join_with("", |join| join.requires_member_id = true);
    assert_eq!(world.group.state(), GroupState::Stable, "an id alone rebalances nothing");
    let leader = world.join(&ids[0]);
    assert!(world.is_waiting(leader), "the other is about to join");
    let pending = world.group.pending.keys().next().expect("one").clone();
    let newcomer = world.join(&pending);
    assert_eq!(world.joined(leader).generation, 2);
    assert_eq!(world.joined(leader).members.len(), 2);
    assert_eq!(world.joined(newcomer).members, []);
}

#[test]
fn an_empty_group_waits_the_initial_delay_again_as_long_as_members_come() {
    let mut world = Harness::with(Rules { initial_delay_ms: 3_000, members_max: 10 });
    let first = world.join("");
    world.advance(2_000);
    let second = world.join("");
    world.advance(1_000);
    assert!(world.is_waiting(first), "somebody joined: another round");
    world.advance(2_999);
    assert!(world.is_waiting(first));
    world.advance(1);
    assert_eq!(world.joined(first).generation, 1);
    assert_eq!(world.joined(second).leader, world.joined(first).member_id);
}

#[test]
fn the_initial_delay_ends_with_the_rebalance_timeout() {
    let mut world = Harness::with(Rules { initial_delay_ms: 3_000, members_max: 100 });
    let short = |join: &mut Join| join.rebalance_timeout_ms = 7_000;
    let first = world.join_with("", short);
    let mut waited_ms = 0;
    while world.is_waiting(first) {
        world.join_with("", short);
        world.advance(1_000);
        waited_ms += 1_000;
    }
    assert!((7_000..=9_000).contains(&waited_ms), "{waited_ms}");
}

#[test]
fn members_that_do_not_join_again_in_time_are_removed_and_another_leads() {
    let mut world = Harness::new();
    let (ids, generation) = world.stable(3);
    let newcomer = world.join("");
    let survivor = world.join(&ids[2]);
    assert_eq!(world.heartbeat(&ids[0], generation), Err(GroupError::RebalanceInProgress));
    for _ in 0..12 {
        world.advance(5_000);
        for id in &ids[..2] {
            let _ = world.heartbeat(id, generation);
        }
    }
    assert_eq!(world.joined(survivor).generation, generation + 1);
    assert!(
        [world.joined(survivor).member_id, world.joined(newcomer).member_id].contains(&world.joined(newcomer).leader)
    );
    assert_eq!(world.heartbeat(&ids[0], generation), Err(GroupError::UnknownMember));
}

#[test]
fn a_silent_member_is_removed_after_its_session_timeout_and_the_others_rebalance() {
    let mut world = Harness::new();
    let (ids, generation) = world.stable(2);
    world.advance(9_000);
    assert_eq!(world.heartbeat(&ids[0], generation), Ok(()));
    world.advance(1_000);
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
    assert_eq!(world.heartbeat(&ids[0], generation), Err(GroupError::RebalanceInProgress));
    let again = world.join(&ids[0]);
    assert_eq!(world.joined(again).members.len(), 1);
}

#[test]
fn a_join_keeps_a_member_alive_however_long_it_waits() {
    let mut world = Harness::new();
    let (ids, generation) = world.stable(2);
    let waiting = world.join(&ids[0]);
    for _ in 0..5 {
        world.advance(9_000);
        assert_eq!(world.heartbeat(&ids[1], generation), Err(GroupError::RebalanceInProgress));
    }
    assert!(world.is_waiting(waiting));
    world.join(&ids[1]);
    assert_eq!(world.joined(waiting).generation, generation + 1);
}

#[test]
fn a_new_member_whose_join_waits_for_five_minutes_is_forgotten() {
    let mut world = Harness::new();
    let long = |join: &mut Join| (join.rebalance_timeout_ms, join.session_timeout_ms) = (1_000_000, 1_000_000);
    let first = world.join_with("", long);
    world.advance(0);
    let (ids, generation) = world.settle(&[first]);
    let newcomer = world.join("");
    world.advance(299_999);
    assert!(world.is_waiting(newcomer));
    world.advance(1);
    assert_eq!(world.join_error(newcomer), GroupError::UnknownMember);
    assert_eq!(world.heartbeat(&ids[0], generation), Err(GroupError::RebalanceInProgress));
}

#[test]
fn the_assignment_is_answered_only_after_its_record() {
    let mut world = Harness::new();
    let joins = [world.join(""), world.join("")];
    world.advance(0);
    world.advance(0);
    let (leader, follower) = (world.joined(joins[0]).member_id, world.joined(joins[1]).member_id);
    let follows = world.sync(&follower, 1, &[]);
    let leads = world.sync(&leader, 1, &[(&leader, "a"), (&follower, "b"), ("nobody", "c")]);
    assert!(world.is_waiting(follows) && world.is_waiting(leads));
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
    let record = world.apply_records().expect("a record");
    assert_eq!((record.generation, record.members.len()), (1, 2));
    assert_eq!(world.assignment(follows), "b");
    assert_eq!(world.assignment(leads), "a");
    assert_eq!(world.group.state(), GroupState::Stable);
    let again = world.sync(&follower, 1, &[]);
    assert_eq!(world.assignment(again), "b");
}

#[test]
fn a_follower_without_an_assignment_gets_empty_bytes() {
    let mut world = Harness::new();
    let joins = [world.join(""), world.join("")];
    world.advance(0);
    world.advance(0);
    let (leader, follower) = (world.joined(joins[0]).member_id, world.joined(joins[1]).member_id);
    let follows = world.sync(&follower, 1, &[]);
    world.sync(&leader, 1, &[(&leader, "a")]);
    world.apply_records();
    assert_eq!(world.assignment(follows), "");
}

#[test]
fn an_assignment_whose_record_arrives_after_the_next_rebalance_began_is_not_handed_out() {
    let mut world = Harness::new();
    let first = world.join("");
    world.advance(0);
    let leader = world.joined(first).member_id;
    let leads = world.sync(&leader, 1, &[(&leader, "a")]);
    let newcomer = world.join("");
    assert_eq!(world.sync_error(leads), GroupError::RebalanceInProgress);
    world.apply_records();
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
    let again = world.join(&leader);
    assert_eq!((world.joined(again).generation, world.joined(newcomer).generation), (2, 2));
    assert_eq!(world.group.members().map(|(_, member)| member.assignment.len()).sum::<usize>(), 0);
}

#[test]
fn a_leader_that_syncs_twice_writes_one_record() {
    let mut world = Harness::new();
    let first = world.join("");
    world.advance(0);
    let leader = world.joined(first).member_id;
    let syncs = [world.sync(&leader, 1, &[(&leader, "a")]), world.sync(&leader, 1, &[(&leader, "b")])];
    assert_eq!(world.records.len(), 1);
    world.apply_records();
    assert_eq!(syncs.map(|sync| world.assignment(sync)), ["a", "a"]);
}

#[test]
fn members_that_never_ask_for_their_assignment_are_removed_after_the_rebalance_timeout() {
    let mut world = Harness::new();
    let joins = [world.join(""), world.join("")];
    world.advance(0);
    world.advance(0);
    let (leader, follower) = (world.joined(joins[0]).member_id, world.joined(joins[1]).member_id);
    let follows = world.sync(&follower, 1, &[]);
    for _ in 0..10 {
        world.advance(5_900);
        assert_eq!(world.heartbeat(&leader, 1), Ok(()));
    }
    assert!(world.is_waiting(follows));
    world.advance(1_000);
    assert_eq!(world.sync_error(follows), GroupError::RebalanceInProgress);
    assert_eq!(world.heartbeat(&leader, 1), Err(GroupError::UnknownMember));
}

#[test]
fn the_protocol_with_most_votes_that_all_members_support_is_chosen() {
    let mut world = Harness::new();
    let protocols = |names: &'static [&'static str]| {
        move |join: &mut Join| {
            join.protocols = names.iter().map(|name| (name.to_string(), Bytes::from(name.to_uppercase()))).collect();
        }
    };
    let first = world.join_with("", protocols(&["only-first", "range", "sticky"]));
    let second = world.join_with("", protocols(&["sticky", "range"]));
    let third = world.join_with("", protocols(&["sticky", "range", "only-third"]));
    let alien = world.join_with("", protocols(&["only-alien"]));
    assert_eq!(world.join_error(alien), GroupError::InconsistentGroupProtocol);
    world.advance(0);
    world.advance(0);
    for waiter in [first, second, third] {
        assert_eq!(world.joined(waiter).protocol.as_deref(), Some("sticky"));
    }
    assert!(world.joined(first).members.iter().all(|member| member.metadata == "STICKY"));
}

#[test]
fn another_protocol_type_or_none_is_refused() {
    let mut world = Harness::new();
    let nothing = world.join_with("", |join| join.protocols.clear());
    assert_eq!(world.join_error(nothing), GroupError::InconsistentGroupProtocol);
    let untyped = world.join_with("", |join| join.protocol_type.clear());
    assert_eq!(world.join_error(untyped), GroupError::InconsistentGroupProtocol);
    world.stable(1);
    let connect = world.join_with("", |join| join.protocol_type = "connect".to_owned());
    assert_eq!(world.join_error(connect), GroupError::InconsistentGroupProtocol);
}

#[test]
fn a_sync_with_another_protocol_is_refused() {
    let mut world = Harness::new();
    let first = world.join("");
    world.advance(0);
    let member_id = world.joined(first).member_id;
    let sync = Sync { member_id, generation: 1, protocol: Some("sticky".to_owned()), ..Sync::default() };
    let waiter = world.waiter();
    let effects = world.group.sync(world.now_ms, waiter, sync);
    world.take(effects);
    assert_eq!(world.sync_error(waiter), GroupError::InconsistentGroupProtocol);
}

#[test]
fn a_follower_that_joins_a_stable_group_unchanged_gets_the_current_generation() {
    let mut world = Harness::new();
    let (ids, generation) = world.stable(2);
    let again = world.join(&ids[1]);
    let joined = world.joined(again);
    assert_eq!((joined.generation, joined.leader, joined.members.len()), (generation, ids[0].clone(), 0));
    assert_eq!(world.group.state(), GroupState::Stable);
    world.join_with(&ids[1], |join| join.protocols[0].1 = Bytes::from_static(b"other topics"));
    assert_eq!(world.group.state(), GroupState::PreparingRebalance, "changed metadata rebalances");
}

#[test]
fn a_leader_that_joins_a_stable_group_rebalances_it() {
    let mut world = Harness::new();
    let (ids, _) = world.stable(2);
    let again = world.join(&ids[0]);
    assert!(world.is_waiting(again));
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_join_whose_answer_was_lost_is_answered_again() {
    let mut world = Harness::new();
    let joins = [world.join(""), world.join("")];
    world.advance(0);
    world.advance(0);
    for waiter in joins {
        let told = world.joined(waiter);
        let again = world.join(&told.member_id);
        assert_eq!(world.joined(again), told);
    }
    assert_eq!(world.group.state(), GroupState::CompletingRebalance);
}

#[test]
fn two_joins_of_one_member_are_both_answered() {
    let mut world = Harness::new();
    let (ids, _) = world.stable(2);
    let twice = [world.join(&ids[0]), world.join(&ids[0])];
    world.join(&ids[1]);
    assert_eq!(world.joined(twice[0]), world.joined(twice[1]));
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut world = Harness::with(Rules { initial_delay_ms: 0, members_max: 2 });
    let (ids, _) = world.stable(2);
    let third = world.join("");
    assert_eq!(world.join_error(third), GroupError::GroupMaxSizeReached);
    assert_eq!(world.group.state(), GroupState::Stable);
    world.join(&ids[0]);
    let second = world.join(&ids[1]);
    assert_eq!(world.joined(second).generation, 2, "its own members may come back");
}

#[test]
fn metadata_that_does_not_fit_into_a_record_is_refused() {
    let mut world = Harness::new();
    let large = Bytes::from(vec![0; GROUP_METADATA_BYTES_MAX]);
    let waiter = world.join_with("", |join| join.protocols = vec![("range".to_owned(), large)]);
    assert_eq!(world.join_error(waiter), GroupError::GroupMaxSizeReached);
    let (ids, generation) = world.stable(1);
    world.join(&ids[0]);
    let large = Bytes::from(vec![0; GROUP_ASSIGNMENT_BYTES_MAX + 1]);
    let sync = Sync {
        member_id: ids[0].clone(),
        generation: generation + 1,
        assignment: vec![(ids[0].clone(), large)],
        ..Sync::default()
    };
    let waiter = world.waiter();
    let effects = world.group.sync(world.now_ms, waiter, sync);
    world.take(effects);
    assert_eq!(world.sync_error(waiter), GroupError::AssignmentTooLarge);
}

#[test]
fn the_last_member_to_leave_is_answered_when_the_empty_group_is_recorded() {
    let mut world = Harness::new();
    let (ids, generation) = world.stable(2);
    let first = world.leave(&[(&ids[0], None)]);
    assert_eq!(world.left(first), [Ok(())]);
    let last = world.leave(&[(&ids[1], None), ("nobody", None)]);
    assert!(world.is_waiting(last));
    let record = world.apply_records().expect("a record");
    assert_eq!((record.members.len(), record.generation), (0, generation + 1));
    assert_eq!(world.left(last), [Ok(()), Err(GroupError::UnknownMember)]);
    assert!(world.group.is_disposable());
}

#[test]
fn a_member_that_leaves_while_it_waits_is_told_so() {
    let mut world = Harness::new();
    let (ids, _) = world.stable(2);
    let waiting = world.join(&ids[0]);
    world.leave(&[(&ids[0], None)]);
    assert_eq!(world.join_error(waiting), GroupError::UnknownMember);
}

#[test]
fn an_emptied_group_continues_its_generations() {
    let mut world = Harness::new();
    let (ids, generation) = world.stable(1);
    world.leave(&[(&ids[0], None)]);
    world.apply_records();
    let (_, later) = world.stable(1);
    assert_eq!(later, generation + 2);
}

#[test]
fn commits_follow_membership() {
    let mut world = Harness::new();
    let commit =
        |member_id, generation| Committing { member_id, instance_id: None, generation, is_transactional: false };
    let simple = commit("", -1);
    assert_eq!(world.group.check_commit(0, &simple), Ok(()));
    assert_eq!(world.group.check_commit(0, &commit("m1", 1)), Err(GroupError::UnknownMember));
    let first = world.join("");
    world.advance(0);
    let id = world.joined(first).member_id;
    assert_eq!(world.group.check_commit(0, &commit(&id, 1)), Err(GroupError::RebalanceInProgress));
    let transactional = Committing { is_transactional: true, ..commit(&id, 1) };
    assert_eq!(world.group.check_commit(0, &transactional), Ok(()), "the group's state does not matter to it");
    world.settle(&[first]);
    assert_eq!(world.group.check_commit(0, &commit(&id, 1)), Ok(()));
    assert_eq!(world.group.check_commit(0, &commit(&id, 0)), Err(GroupError::IllegalGeneration));
    assert_eq!(world.group.check_commit(0, &simple), Err(GroupError::UnknownMember));
    assert_eq!(world.group.check_commit(0, &Committing { is_transactional: true, ..simple }), Ok(()));
    world.join("");
    assert_eq!(world.group.state(), GroupState::PreparingRebalance);
    assert_eq!(world.group.check_commit(0, &commit(&id, 1)), Ok(()), "a member may commit until it joins");
}

#[test]
fn a_restored_group_goes_on_where_it_was_recorded_with_new_sessions() {
    let mut world = Harness::new();
    let joins = [world.join(""), world.join("")];
    world.advance(0);
    world.advance(0);
    let (leader, follower) = (world.joined(joins[0]).member_id, world.joined(joins[1]).member_id);
    world.sync(&leader, 1, &[(&leader, "a"), (&follower, "b")]);
    let record = world.apply_records().expect("a record");
    let rules = Rules { initial_delay_ms: 0, members_max: 1000 };
    let mut elsewhere = Harness::new();
    elsewhere.now_ms = 77_000;
    elsewhere.group = Membership::restore("g", &applied(&record), rules, elsewhere.now_ms);
    assert_eq!(elsewhere.group.state(), GroupState::Stable);
    assert_eq!(elsewhere.group.next_deadline_ms(), Some(87_000));
    assert_eq!(elsewhere.heartbeat(&follower, 1), Ok(()));
    let synced = elsewhere.sync(&follower, 1, &[]);
    assert_eq!(elsewhere.assignment(synced), "b");
    let rejoined = elsewhere.join(&follower);
    assert_eq!(elsewhere.joined(rejoined).generation, 1, "no extra rebalance");
}

#[test]
fn abandoning_a_group_answers_everybody() {
    let mut world = Harness::new();
    let (ids, _) = world.stable(2);
    let waiting = world.join(&ids[0]);
    let effects = world.group.abandon(GroupError::NotCoordinator);
    world.take(effects);
    assert_eq!(world.join_error(waiting), GroupError::NotCoordinator);
    let mut world = Harness::new();
    let (ids, _) = world.stable(1);
    let leaving = world.leave(&[(&ids[0], None)]);
    let effects = world.group.abandon(GroupError::NotCoordinator);
    world.take(effects);
    assert_eq!(world.answers[&leaving], Answer::Leave(Err(GroupError::NotCoordinator)));
}
