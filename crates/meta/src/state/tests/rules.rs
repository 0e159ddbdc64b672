//! One test per rule of a command.

use super::*;

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

/// Base offset, records, position, bytes of each extent.
fn places(partition: &Partition) -> Vec<(i64, u32, u32, u32)> {
    partition.extents.iter().map(|extent| (extent.base_offset, extent.records, extent.position, extent.bytes)).collect()
}

#[test]
fn a_registrations_epoch_is_its_sequence_number() {
    let mut cluster = Cluster::new();
    cluster.state.apply(Seq(41), &Record { epoch: Epoch(1), number: 1, time_ms: 0, command: close(9) });
    assert_eq!(cluster.register(registration(3)), Outcome::Registered(Epoch(42)));
    assert!(cluster.state.is_open(Epoch(42)) && !cluster.state.is_open(Epoch(41)));
    let broker = cluster.state.brokers().next().expect("registered");
    assert_eq!((broker.id, broker.epoch, broker.host.as_str(), broker.port), (BrokerId(3), Epoch(42), "host-3", 9092));
}

fn close(epoch: u64) -> Command {
    Command::CloseBroker { epoch: Epoch(epoch) }
}

#[test]
fn a_new_registration_closes_the_old_one_of_its_broker_only() {
    let mut cluster = Cluster::new();
    let (first, other) = (cluster.join(1), cluster.join(2));
    let second = cluster.join(1);
    assert_eq!([first, other, second].map(|epoch| cluster.state.is_open(epoch)), [false, true, true]);
}

#[test]
fn an_exclusive_registration_closes_all_others() {
    let mut cluster = Cluster::new();
    let (first, other) = (cluster.join(1), cluster.join(2));
    let exclusive = RegisterBroker { incarnation: 99, exclusive: true, ..registration(3) };
    assert_eq!(cluster.register(exclusive), Outcome::Registered(Epoch(3)));
    assert_eq!([first, other, Epoch(3)].map(|epoch| cluster.state.is_open(epoch)), [false, false, true]);
}

#[test]
fn the_same_incarnation_twice_is_one_registration() {
    let mut cluster = Cluster::new();
    let register = RegisterBroker { exclusive: true, ..registration(1) };
    assert_eq!(cluster.register(register.clone()), Outcome::Registered(Epoch(1)));
    assert_eq!(cluster.register(register), Outcome::Registered(Epoch(1)));
    assert!(cluster.state.is_open(Epoch(1)));
}

#[test]
fn a_registration_with_somebodys_epoch_is_refused() {
    let (mut cluster, epoch, _) = Cluster::with_topic();
    assert_eq!(cluster.run(epoch, Command::RegisterBroker(registration(5))), refused(Refusal::ClosedEpoch));
}

#[test]
fn records_of_a_closed_or_unknown_registration_are_refused() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let other = cluster.join(2);
    assert_eq!(cluster.run(epoch, Command::CloseBroker { epoch: other }), Outcome::Done);
    for closed in [other, Epoch(0), Epoch(1_000)] {
        let commit = segment(ObjectId { epoch: closed, number: 1 }, true, &[(at(topic, 0), &[plain(1)])]);
        assert_eq!(cluster.run(closed, Command::Commit(commit)), refused(Refusal::ClosedEpoch));
    }
    assert_eq!(cluster.partition(at(topic, 0)).next_offset, 0);
    assert_eq!(cluster.state.bodies().count(), 0);
}

#[test]
fn a_broker_may_close_itself_and_is_then_refused() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    assert_eq!(cluster.run(epoch, Command::CloseBroker { epoch }), Outcome::Done);
    assert_eq!(cluster.run(epoch, Command::DeleteTopic { topic }), refused(Refusal::ClosedEpoch));
    assert_eq!(cluster.state.leader(at(topic, 0), None), None);
}

#[test]
fn a_number_counts_once_per_registration() {
    let (mut cluster, epoch, _) = Cluster::with_topic();
    let other = cluster.join(2);
    let allocate =
        |epoch, number| Record { epoch, number, time_ms: 0, command: Command::AllocateProducerIds { count: 10 } };
    let ids = |first| Outcome::ProducerIds { first };
    let table = [
        (allocate(epoch, 500), ids(0)),
        (allocate(epoch, 500), refused(Refusal::Repeated)),
        (allocate(epoch, 499), refused(Refusal::Repeated)),
        (allocate(other, 2), ids(10)),
        (allocate(epoch, 501), ids(20)),
        (allocate(other, 1), refused(Refusal::Repeated)),
        (allocate(other, u64::MAX), ids(30)),
        (allocate(other, u64::MAX), refused(Refusal::Repeated)),
    ];
    for (record, expected) in table {
        assert_eq!(cluster.apply(record), expected);
    }
}

#[test]
fn a_refused_record_uses_its_number_up() {
    let (mut cluster, epoch, _) = Cluster::with_topic();
    let record = cluster.record(epoch, Command::DeleteTopic { topic: TopicId(1) });
    assert_eq!(cluster.apply(record.clone()), refused(Refusal::UnknownTopic));
    assert_eq!(cluster.apply(record), refused(Refusal::Repeated));
}

#[test]
#[should_panic(expected = "record 3 after record 3")]
fn a_sequence_number_comes_once() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    cluster.run(epoch, Command::DeleteTopic { topic });
    let record = cluster.record(epoch, Command::DeleteTopic { topic });
    cluster.state.apply(Seq(3), &record);
}

#[test]
fn the_feature_level_never_goes_down() {
    let (mut cluster, epoch, _) = Cluster::with_topic();
    assert_eq!(cluster.state.feature_level(), 1);
    assert_eq!(cluster.run(epoch, Command::FeatureLevel { level: 0 }), Outcome::Done);
    assert_eq!(cluster.state.feature_level(), 1);
}

#[test]
fn topics_are_found_by_name_and_by_id() {
    let (mut cluster, epoch, events) = Cluster::with_topic();
    let apples = cluster.topic(epoch, "apples", 1);
    let names: Vec<&str> = cluster.state.topics().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["apples", "events"]);
    let topic = cluster.state.topic(events).expect("created");
    assert_eq!((topic.name.as_str(), topic.partitions.len(), topic.created_ms), ("events", 3, cluster.now_ms));
    assert_eq!(topic.configs["retention.ms"], "5");
    assert_eq!(cluster.state.topic_by_name("apples").map(|topic| topic.id), Some(apples));
    assert!(cluster.state.partition(at(events, 2)).is_some());
    assert!(cluster.state.partition(at(events, 3)).is_none() && cluster.state.partition(at(events, -1)).is_none());
}

#[test]
fn a_topic_needs_a_free_name_and_id_and_a_possible_number_of_partitions() {
    let (mut cluster, epoch, events) = Cluster::with_topic();
    let fresh = TopicId(5);
    let table = [
        (create(fresh, "events", 1), Refusal::TopicExists),
        (create(events, "other", 1), Refusal::TopicExists),
        (create(fresh, "none", 0), Refusal::InvalidPartitions),
        (create(fresh, "none", -1), Refusal::InvalidPartitions),
        (create(fresh, "none", PARTITIONS_PER_TOPIC_MAX + 1), Refusal::InvalidPartitions),
    ];
    for (command, refusal) in table {
        assert_eq!(cluster.run(epoch, command), refused(refusal));
    }
    assert_eq!(cluster.state.topics().count(), 1);
}

#[test]
fn a_topic_deleted_and_created_again_starts_anew() {
    let (mut cluster, epoch, old) = Cluster::with_topic();
    cluster.commit(epoch, &[(at(old, 0), &[batch(1, 0, 0, 5)])]);
    assert_eq!(cluster.run(epoch, Command::DeleteTopic { topic: old }), Outcome::Done);
    assert_eq!(cluster.run(epoch, Command::DeleteTopic { topic: old }), refused(Refusal::UnknownTopic));
    assert!(cluster.state.topic_by_name("events").is_none());
    let new = cluster.topic(epoch, "events", 1);
    let outcomes = cluster.commit(epoch, &[(at(new, 0), &[batch(1, 0, 0, 5)]), (at(old, 0), &[plain(1), plain(1)])]);
    assert_eq!(outcomes, [vec![accepted(0)], vec![RunOutcome::UnknownPartition; 2]]);
}

#[test]
fn partitions_only_become_more() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    cluster.commit(epoch, &[(at(topic, 2), &[plain(4)])]);
    for total in [2, 3, -1, i32::MAX, PARTITIONS_PER_TOPIC_MAX + 1] {
        assert_eq!(
            cluster.run(epoch, Command::CreatePartitions { topic, total }),
            refused(Refusal::InvalidPartitions),
            "{total}"
        );
    }
    assert_eq!(cluster.run(epoch, Command::CreatePartitions { topic, total: 5 }), Outcome::Done);
    assert_eq!(cluster.partition(at(topic, 2)).next_offset, 4);
    assert_eq!(cluster.partition(at(topic, 4)).next_offset, 0);
    let unknown = Command::CreatePartitions { topic: TopicId(1), total: 5 };
    assert_eq!(cluster.run(epoch, unknown), refused(Refusal::UnknownTopic));
}

#[test]
fn configs_change_one_by_one_or_all_at_once() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let broker = ConfigResource::Broker(BrokerId(1));
    let mut alter = |resource: &ConfigResource, replace, changes: &[(&str, Option<&str>)]| {
        let changes = changes.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
        let outcome = cluster.run(epoch, Command::AlterConfigs { resource: resource.clone(), replace, changes });
        (outcome, cluster.state.configs(resource).clone().into_iter().collect::<Vec<_>>())
    };
    let set = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        (Outcome::Done, pairs.collect::<Vec<_>>())
    };
    let of_topic = ConfigResource::Topic(topic);
    assert_eq!(alter(&of_topic, false, &[("a", Some("1"))]), set(&[("a", "1"), ("retention.ms", "5")]));
    assert_eq!(alter(&of_topic, false, &[("retention.ms", None), ("b", None)]), set(&[("a", "1")]));
    assert_eq!(alter(&of_topic, true, &[("c", Some("3"))]), set(&[("c", "3")]));
    assert_eq!(alter(&broker, false, &[("x", Some("1"))]), set(&[("x", "1")]));
    assert_eq!(alter(&ConfigResource::Cluster, false, &[("x", Some("2"))]), set(&[("x", "2")]));
    assert_eq!(alter(&broker, true, &[]), set(&[]));
    let unknown = alter(&ConfigResource::Topic(TopicId(1)), false, &[("a", Some("1"))]);
    assert_eq!(unknown, (refused(Refusal::UnknownTopic), vec![]));
}

#[test]
fn quotas_change_one_by_one() {
    let (mut cluster, epoch, _) = Cluster::with_topic();
    let entity = QuotaEntity(vec![("user".into(), None)]);
    let mut alter = |changes: &[(&str, Option<f64>)]| {
        let changes = changes.iter().map(|(name, value)| ((*name).to_owned(), value.map(f64::to_bits))).collect();
        assert_eq!(cluster.run(epoch, Command::AlterQuotas { entity: entity.clone(), changes }), Outcome::Done);
        let quotas = cluster.state.quotas().get(&entity).cloned().unwrap_or_default();
        quotas.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect::<Vec<_>>()
    };
    assert_eq!(alter(&[("a", Some(1.5)), ("b", Some(2.0))]), [("a".to_owned(), 1.5), ("b".to_owned(), 2.0)]);
    assert_eq!(alter(&[("a", None), ("b", Some(3.0))]), [("b".to_owned(), 3.0)]);
    assert_eq!(alter(&[("b", None), ("c", None)]), []);
    assert!(cluster.state.quotas().is_empty());
}

#[test]
fn a_users_credentials_are_set_and_removed_by_mechanism() {
    let (mut cluster, epoch, _) = Cluster::with_topic();
    let credential = |iterations| {
        let [salt, stored_key, server_key] = ["salt", "stored", "server"].map(Into::into);
        Some(ScramCredential { salt, stored_key, server_key, iterations })
    };
    let mut alter = |mechanism, credential| {
        let alter = Command::AlterScramUser { user: "anna".into(), mechanism, credential };
        assert_eq!(cluster.run(epoch, alter), Outcome::Done);
        let credentials = cluster.state.scram_users().get("anna").cloned().unwrap_or_default();
        credentials.into_iter().map(|(mechanism, credential)| (mechanism, credential.iterations)).collect::<Vec<_>>()
    };
    assert_eq!(alter(1, credential(4096)), [(1, 4096)]);
    assert_eq!(alter(2, credential(8192)), [(1, 4096), (2, 8192)]);
    assert_eq!(alter(1, credential(5000)), [(1, 5000), (2, 8192)]);
    assert_eq!(alter(1, None), [(2, 8192)]);
    assert_eq!(alter(2, None), []);
    assert!(cluster.state.scram_users().is_empty());
}

#[test]
fn groups_and_client_metrics_have_settings() {
    let (mut cluster, epoch, _) = Cluster::with_topic();
    for resource in [ConfigResource::Group("readers".into()), ConfigResource::ClientMetrics("all".into())] {
        let changes = vec![("interval.ms".to_owned(), Some("5".to_owned()))];
        let alter = Command::AlterConfigs { resource: resource.clone(), replace: false, changes };
        assert_eq!(cluster.run(epoch, alter), Outcome::Done);
        assert_eq!(cluster.state.configs(&resource)["interval.ms"], "5");
    }
}

#[test]
fn offsets_are_given_in_the_order_of_parts_and_runs() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let (zero, one) = (at(topic, 0), at(topic, 1));
    let outcomes = cluster.commit(
        epoch,
        &[(one, &[plain(2), plain(3)]), (zero, &[plain(7)]), (at(topic, 3), &[plain(1)]), (one, &[plain(1)])],
    );
    let unknown = vec![RunOutcome::UnknownPartition];
    assert_eq!(outcomes, [vec![accepted(0), accepted(2)], vec![accepted(0)], unknown, vec![accepted(5)]]);
    assert_eq!(places(cluster.partition(one)), [(0, 5, 0, 200), (5, 1, 400, 100)]);
    assert_eq!(places(cluster.partition(zero)), [(0, 7, 200, 100)]);
    assert_eq!(cluster.partition(one).extents[0].max_timestamp, 1_003);
    let body = cluster.partition(one).extents[0].body;
    assert_eq!(body, BodyId::Log(cluster.state.applied()));
    let state = cluster.state.body(body).expect("live");
    assert_eq!((state.bytes, state.live_bytes, state.live_extents), (550, 400, 3));
}

#[test]
fn a_rejected_run_splits_extents() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let runs = [plain(1), batch(1, 0, 0, 2), batch(1, 0, 9, 2), batch(1, 0, 2, 2), plain(1)];
    let outcomes = cluster.commit(epoch, &[(at(topic, 0), &runs)]);
    let gap = RunOutcome::OutOfOrderSequence;
    assert_eq!(outcomes, [vec![accepted(0), accepted(1), gap, accepted(3), accepted(5)]]);
    assert_eq!(places(cluster.partition(at(topic, 0))), [(0, 3, 0, 200), (3, 3, 300, 200)]);
}

#[test]
fn parts_that_stand_next_to_each_other_share_an_extent_and_segments_never_do() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let zero = at(topic, 0);
    cluster.commit(epoch, &[(zero, &[plain(1)]), (zero, &[plain(2)])]);
    cluster.commit(epoch, &[(zero, &[plain(4)])]);
    assert_eq!(places(cluster.partition(zero)), [(0, 3, 0, 200), (3, 4, 0, 100)]);
}

#[test]
fn an_extent_never_counts_beyond_32_bits() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let zero = at(topic, 0);
    cluster.commit(epoch, &[(zero, &[plain(u32::MAX), plain(u32::MAX), plain(2)])]);
    let max = i64::from(u32::MAX);
    assert_eq!(
        places(cluster.partition(zero)),
        [(0, u32::MAX, 0, 100), (max, u32::MAX, 100, 100), (2 * max, 2, 200, 100)]
    );
}

#[test]
fn extents_from_starts_with_the_one_that_holds_the_offset() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let zero = at(topic, 0);
    for _ in 0..4 {
        cluster.commit(epoch, &[(zero, &[plain(10)])]);
    }
    let partition = cluster.partition(zero);
    let first = |offset| partition.extents_from(offset).next().map(|extent| extent.base_offset);
    assert_eq!([0, 9, 10, 39].map(first), [Some(0), Some(0), Some(10), Some(30)]);
    assert_eq!(first(40), None);
    assert_eq!(partition.extents_from(25).len(), 2);
}

#[test]
fn an_object_is_committed_once_and_only_by_its_writer() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let other = cluster.join(2);
    let zero = at(topic, 0);
    let object = cluster.commit_object(epoch, &[(zero, &[plain(1)])]);
    let again = Command::Commit(segment(object, false, &[(zero, &[plain(1)])]));
    assert_eq!(cluster.run(epoch, again.clone()), refused(Refusal::Repeated));
    assert_eq!(cluster.run(other, again.clone()), refused(Refusal::ClosedEpoch));
    cluster.run(epoch, Command::DeleteTopic { topic });
    assert_eq!(cluster.run(epoch, again), refused(Refusal::Repeated), "dead, not forgotten");
}

#[test]
fn a_body_without_live_extents_vanishes_from_the_log_and_dies_as_an_object() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let other = cluster.topic(epoch, "other", 1);
    cluster.commit(epoch, &[(at(topic, 0), &[plain(1)]), (at(other, 0), &[plain(1)])]);
    let in_log = cluster.state.applied();
    let object = cluster.commit_object(epoch, &[(at(topic, 1), &[plain(1)]), (at(other, 0), &[plain(1)])]);
    let live =
        |cluster: &Cluster| cluster.state.bodies().map(|(body, state)| (body, state.live_extents)).collect::<Vec<_>>();
    assert_eq!(live(&cluster), [(BodyId::Log(in_log), 2), (BodyId::Object(object), 2)]);
    cluster.run(epoch, Command::DeleteTopic { topic });
    assert_eq!(live(&cluster), [(BodyId::Log(in_log), 1), (BodyId::Object(object), 1)]);
    assert!(cluster.state.live_log_bodies().contains(in_log));
    assert_eq!(cluster.dead(), []);
    cluster.now_ms += 60_000;
    cluster.run(epoch, Command::DeleteTopic { topic: other });
    assert_eq!(live(&cluster), []);
    assert!(!cluster.state.live_log_bodies().contains(in_log));
    assert_eq!(cluster.dead(), [(object, cluster.now_ms)]);
}

#[test]
fn an_object_of_rejected_runs_only_is_dead_at_once() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let object = cluster.commit_object(epoch, &[(at(topic, 8), &[plain(1)])]);
    assert_eq!(cluster.dead(), [(object, cluster.now_ms)]);
    cluster.commit(epoch, &[(at(topic, 8), &[plain(1)])]);
    assert_eq!(cluster.state.bodies().count(), 0);
}

#[test]
fn only_dead_objects_are_forgotten() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let live = cluster.commit_object(epoch, &[(at(topic, 0), &[plain(1)])]);
    let dead = cluster.commit_object(epoch, &[(at(topic, 8), &[plain(1)])]);
    let unknown = ObjectId { epoch, number: 5 };
    assert_eq!(cluster.run(epoch, Command::ForgetObjects { objects: vec![live, dead, unknown] }), Outcome::Done);
    assert_eq!(cluster.dead(), []);
    assert!(cluster.state.body(BodyId::Object(live)).is_some());
}

#[test]
fn a_log_start_moves_forward_up_to_the_next_offset() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let zero = at(topic, 0);
    for _ in 0..3 {
        cluster.commit(epoch, &[(zero, &[plain(10)])]);
    }
    let mut move_to = |start| {
        let starts = vec![(at(topic, 9), 3), (zero, start)];
        assert_eq!(cluster.run(epoch, Command::MoveLogStart { starts }), Outcome::Done);
        let partition = cluster.partition(zero);
        (partition.log_start, places(partition).len(), cluster.state.bodies().count())
    };
    let table = [
        (i64::MIN, (0, 3, 3)),
        (9, (9, 3, 3)),
        (10, (10, 2, 2)),
        (5, (10, 2, 2)),
        (15, (15, 2, 2)),
        (29, (29, 1, 1)),
        (i64::MAX, (30, 0, 0)),
        (0, (30, 0, 0)),
    ];
    for (start, expected) in table {
        assert_eq!(move_to(start), expected, "to {start}");
    }
    assert_eq!(cluster.commit(epoch, &[(zero, &[plain(1)])]), [[accepted(30)]]);
}

#[test]
fn leaders_are_spread_stable_and_near() {
    let mut cluster = Cluster::new();
    for broker in 0..6 {
        let zone = Some(["a", "b"][broker as usize % 2].to_owned());
        cluster.register(RegisterBroker { zone, ..registration(broker) });
    }
    let topic = TopicId(0xabcd);
    let leaders = |state: &State, zone: Option<&str>| -> Vec<i32> {
        (0..6_000).map(|partition| state.leader(at(topic, partition), zone).expect("brokers are open").id.0).collect()
    };
    let all = leaders(&cluster.state, None);
    for broker in 0..6 {
        let count = all.iter().filter(|leader| **leader == broker).count();
        assert!((850..1150).contains(&count), "broker {broker} leads {count} of 6000");
    }
    assert!(leaders(&cluster.state, Some("a")).iter().all(|leader| leader % 2 == 0));
    assert_eq!(leaders(&cluster.state, Some("elsewhere")), all);
    let epoch = cluster.state.brokers().nth(4).expect("six brokers").epoch;
    cluster.run(Epoch(1), Command::CloseBroker { epoch });
    let moved = leaders(&cluster.state, None);
    assert!(all.iter().zip(&moved).all(|(before, after)| before == after || *before == 4));
    cluster.join(4);
    assert_eq!(leaders(&cluster.state, None), all, "a restarted broker gets its share back");
    assert_eq!(all[..8], [4, 1, 0, 5, 4, 4, 2, 5], "part of the format");
}

#[test]
fn the_hash_covers_sequence_numbers_records_and_outcomes() {
    let (cluster, epoch, topic) = Cluster::with_topic();
    let hash_after = |seq, record: &Record| {
        let mut state = cluster.state.clone();
        state.apply(Seq(seq), record);
        state.hash()
    };
    let delete = Record { epoch, number: 9, time_ms: 1, command: Command::DeleteTopic { topic } };
    let later = Record { time_ms: 2, ..delete.clone() };
    let unequal = [hash_after(3, &delete), hash_after(4, &delete), hash_after(3, &later), cluster.state.hash()];
    let distinct: std::collections::BTreeSet<u64> = unequal.into_iter().collect();
    assert_eq!(distinct.len(), 4);
    assert_eq!(hash_after(3, &delete), unequal[0]);
    let mut other = State::with_mutation(Mutation::AcceptClosedEpoch);
    let mut right = State::new();
    other.apply(Seq(1), &delete);
    right.apply(Seq(1), &delete);
    assert_ne!(other.hash(), right.hash(), "the same record with another outcome");
}

#[test]
fn applying_bytes_is_applying_the_record() {
    let (cluster, ..) = Cluster::with_topic();
    let mut state = State::new();
    for (seq, record) in &cluster.log {
        let (decoded, _) = state.apply_encoded(*seq, &record.encode()).expect("just encoded");
        assert_eq!(decoded, *record);
    }
    assert_eq!(state.hash(), cluster.state.hash());
    assert!(state.apply_encoded(Seq(99), b"").is_err());
    assert_eq!(state.applied(), cluster.state.applied(), "what does not decode changes nothing");
}
