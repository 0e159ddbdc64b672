//! Snapshots: golden bytes that may never change, damage, and what does not fit together.

use super::model::{history, records};
use super::*;
use crate::record::tests::{damage, hex, pseudo_random, unhex};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// One line per format version.
const GOLDEN: &str = include_str!("golden.txt");

fn golden(version: usize) -> &'static str {
    GOLDEN.lines().nth(version - 1).expect("a line per version")
}

fn sample() -> State {
    first_sample().state
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
