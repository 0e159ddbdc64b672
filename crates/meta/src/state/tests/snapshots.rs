//! Snapshots: golden bytes that may never change, damage, and what does not fit together.

use super::model::{history, records};
use super::*;
use crate::record::tests::{damage, hex, pseudo_random, unhex};
use crate::record::{EndReason, EndTransaction, GroupCommit, GroupFence, GroupGeneration, InitTransactions, TxnFence};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// One line per format version.
const GOLDEN: &str = include_str!("golden.txt");

fn golden(version: usize) -> &'static str {
    GOLDEN.lines().nth(version - 1).expect("a line per version")
}

/// A state in which every field is in use.
fn sample() -> State {
    let mut cluster = first_sample();
    let topic = cluster.state.topic_by_name("events").expect("created").id;
    let commands = crate::record::tests::samples().into_iter().map(|(_, record)| record.command);
    for command in commands.filter(is_kept) {
        coordinate(&mut cluster, CoordinatorKind::Group, "readers", command);
    }
    let changes = vec![("consumer.heartbeat.interval.ms".to_owned(), Some("1000".to_owned()))];
    let resource = ConfigResource::Group("readers".into());
    cluster.run(Epoch(1), Command::AlterConfigs { resource, replace: false, changes });
    for (id, commit) in [("txn-aborted", Some(false)), ("txn-committed", Some(true)), ("txn-open", None)] {
        transaction(&mut cluster, id, at(topic, 1), commit);
    }
    cluster.state
}

/// Commands that need no topic or transaction of their own. They speak of the group `readers`.
fn is_kept(command: &Command) -> bool {
    matches!(
        command,
        Command::ConsumerGroup(_) | Command::AlterQuotas { .. } | Command::AlterScramUser { credential: Some(_), .. }
    )
}

/// Runs a command as whoever coordinates what it is about.
fn coordinate(cluster: &mut Cluster, kind: CoordinatorKind, key: &str, command: Command) -> Outcome {
    let coordinator = cluster.state.coordinator(kind, key).expect("brokers are open").epoch;
    let outcome = cluster.run(coordinator, command);
    assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    outcome
}

/// A transaction with a batch and an offset of a group, which is a classic one.
fn transaction(cluster: &mut Cluster, id: &str, partition: TopicPartition, commit: Option<bool>) {
    let key = id.to_owned();
    let init = InitTransactions { transactional_id: key.clone(), timeout_ms: 60_000, expected: None };
    let outcome = coordinate(cluster, CoordinatorKind::Transaction, id, Command::InitTransactions(init));
    let Outcome::Producer { id: producer_id, epoch, .. } = outcome else { panic!("{outcome:?}") };
    let producer = BatchProducer { id: producer_id, epoch, first_sequence: 0, transactional: Some(Joining::Implicit) };
    cluster.commit(Epoch(1), &[(partition, &[plain(1), Run { producer: Some(producer), ..plain(3) }])]);
    let txn = Some(TxnFence { transactional_id: key.clone(), producer_id, epoch, implicit: true });
    let offset = OffsetCommit { offset: 7, leader_epoch: 0, metadata: id.into() };
    let (group, fence) = ("copies".to_owned(), GroupFence::Transactional);
    let commits = vec![GroupCommit { group: group.clone(), fence, txn, offsets: vec![(partition, offset)] }];
    let generation = |command| match command {
        Command::GroupGeneration(new) => Command::GroupGeneration(GroupGeneration { group: group.clone(), ..new }),
        other => other,
    };
    let sample = crate::record::tests::samples().into_iter().find(|(name, _)| *name == "group-generation");
    let generation = generation(sample.expect("it is among the samples").1.command);
    coordinate(cluster, CoordinatorKind::Group, "copies", generation);
    coordinate(cluster, CoordinatorKind::Group, "copies", Command::CommitOffsets { commits });
    if let Some(commit) = commit {
        let reason = EndReason::Client { bump: true };
        let end = EndTransaction { transactional_id: key, producer_id, epoch, commit, reason, started: None };
        coordinate(cluster, CoordinatorKind::Transaction, id, Command::EndTransaction(end));
    }
}

/// A state in which every field of version 1 is in use.
fn first_sample() -> Cluster {
    let (mut cluster, first, events) = Cluster::with_topic();
    let zone = Some("b".to_owned());
    cluster.register(RegisterBroker { zone, ..registration(2) });
    let other = cluster.topic(first, "other", 1);
    let resource = ConfigResource::Cluster;
    let changes = vec![("log.retention.ms".to_owned(), Some("1".to_owned()))];
    cluster.run(first, Command::AlterConfigs { resource, replace: false, changes });
    cluster.run(first, Command::AllocateProducerIds { count: 1000 });
    let runs = [plain(3), batch(5, 1, 0, 2), batch(5, 1, 2, 2), batch(9, 0, i32::MAX, 1), batch(9, 0, 7, 1), plain(1)];
    cluster.commit(first, &[(at(events, 0), &runs), (at(other, 0), &[plain(1)])]);
    cluster.now_ms += 250;
    cluster.commit_object(first, &[(at(events, 0), &[plain(2)]), (at(events, 2), &[batch(5, 1, 0, 1)])]);
    cluster.commit_object(Epoch(3), &[(at(other, 7), &[plain(2)])]);
    cluster.run(first, Command::MoveLogStart { starts: vec![(at(events, 0), 4)] });
    cluster
}

fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = digest::digest(&body);
    body.extend_from_slice(&checksum.to_be_bytes());
    body
}

#[test]
fn golden_bytes_never_change() {
    let written = hex(&sample().snapshot());
    assert_eq!(golden(2), written, "the sample is written as\n{written}");
    let state = State::from_snapshot(&unhex(golden(2))).expect("golden");
    assert_eq!((state.hash(), state.content_hash()), (sample().hash(), sample().content_hash()));
}

#[test]
fn a_snapshot_of_version_1_is_read() {
    let state = State::from_snapshot(&unhex(golden(1))).expect("golden");
    let same = first_sample().state;
    assert_eq!((state.hash(), state.content_hash()), (same.hash(), same.content_hash()));
    assert_eq!(state.dead_objects().count(), 1);
    assert_eq!(state.brokers().count(), 2);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let wrong = |change: &dyn Fn(&mut State)| {
        let mut state = sample();
        change(&mut state);
        let error = State::from_snapshot(&state.snapshot()).expect_err("inconsistent");
        assert!(matches!(error, SnapshotError::Malformed(DecodeError::Invalid { .. })), "{error}");
    };
    let change_open = |state: &mut State, change: &dyn Fn(&mut Transaction)| {
        let mut open = state.transaction("txn-open").expect("open").clone();
        change(&mut open);
        state.transactions.replace(open);
    };
    wrong(&|state| change_open(state, &|open| open.partitions.clear()));
    wrong(&|state| change_open(state, &|open| open.groups.clear()));
    wrong(&|state| change_open(state, &|open| open.phase = TransactionPhase::Committed));
    wrong(&|state| change_open(state, &|open| open.partitions.extend([at(TopicId(1), 0)])));
    wrong(&|state| state.next_producer_id = 0);
}

#[test]
fn the_empty_state_survives() {
    let state = State::from_snapshot(&State::new().snapshot()).expect("just written");
    assert_eq!((state.applied(), state.hash()), (Seq::ZERO, 0));
    assert_eq!(state.content_hash(), State::default().content_hash());
}

#[test]
fn a_changed_bit_anywhere_is_noticed() {
    let bytes = sample().snapshot();
    for bit in 0..8 * bytes.len() {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(State::from_snapshot(&changed).is_err(), "bit {bit}");
    }
    for end in 0..bytes.len() {
        assert!(State::from_snapshot(&bytes[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn errors_name_the_cause() {
    let bytes = sample().snapshot();
    assert_eq!(State::from_snapshot(b"hello").err(), Some(SnapshotError::NotASnapshot { bytes: 5 }));
    let mut changed = bytes.to_vec();
    changed[20] ^= 1;
    assert!(matches!(State::from_snapshot(&changed), Err(SnapshotError::Checksum { .. })));
    let mut newer = bytes[..bytes.len() - 8].to_vec();
    newer[8] = 3;
    let error = State::from_snapshot(&sealed(newer)).expect_err("a newer version");
    assert_eq!(error, SnapshotError::Malformed(DecodeError::NewerVersion { version: 3, known: 2 }));
}

#[test]
fn damage_under_a_right_checksum_never_panics() {
    let mut runner = TestRunner::deterministic();
    let mut samples = vec![sample()];
    for _ in 0..9 {
        let mut state = State::new();
        let log = records(&history().new_tree(&mut runner).expect("histories are not filtered").current());
        log.iter().for_each(|(seq, record)| drop(state.apply(*seq, record)));
        samples.push(state);
    }
    let bodies: Vec<Vec<u8>> =
        samples.iter().map(|state| state.snapshot()).map(|bytes| bytes[..bytes.len() - 8].to_vec()).collect();
    let mut decoded = 0;
    for seed in 0..100_000u64 {
        let mut body = bodies[seed as usize % bodies.len()].clone();
        damage(&mut body, pseudo_random(2, seed));
        if let Ok(state) = State::from_snapshot(&sealed(body)) {
            let again = State::from_snapshot(&state.snapshot()).expect("just written");
            assert_eq!(again.content_hash(), state.content_hash());
            decoded += 1;
        }
    }
    assert!(decoded > 1_000, "damage that does no harm is part of the test: {decoded}");
}
