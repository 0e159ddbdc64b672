//! The encoding: golden bytes that may never change, round trips, sizes, and input from an enemy.

mod coordinated;

use super::*;
use crate::state::FEATURE_LEVEL_KNOWN;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One line per record: its name, a space, its bytes in hex. Lines are added, never changed.
const GOLDEN: &str = include_str!("golden.txt");

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("two hex digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Numbers from a seed, without a generator to carry along.
pub(crate) fn pseudo_random(seed: u64, index: u64) -> u64 {
    let mixed = (seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 32)
}

fn record(command: Command) -> Record {
    Record { epoch: Epoch(7), number: 300, time_ms: 1_700_000_000_000, command }
}

fn topic(number: u128) -> TopicId {
    TopicId(0x0123_4567_89ab_cdef_0000_0000_0000_0000 + number)
}

fn register(exclusive: bool, zone: Option<&str>) -> Command {
    Command::RegisterBroker(RegisterBroker {
        broker: BrokerId(3),
        incarnation: 0xfeed_beef,
        host: "broker-3.example".into(),
        port: 9092,
        zone: zone.map(Into::into),
        exclusive,
    })
}

fn commit(in_log: bool) -> Command {
    let plain = Run { bytes: 70, records: 1, max_timestamp: 1_700_000_000_001, producer: None };
    let producer = BatchProducer { id: 4000, epoch: 1, first_sequence: 10, transactional: None };
    let first = Run { bytes: 100, records: 5, max_timestamp: -1, producer: Some(producer) };
    let next = Run { producer: Some(BatchProducer { first_sequence: 15, ..producer }), ..first };
    let part = |topic, partition, position, runs: &[Run]| CommitPart {
        partition: TopicPartition { topic, partition },
        position,
        runs: runs.to_vec(),
    };
    Command::Commit(Commit {
        object: ObjectId { epoch: Epoch(if in_log { 7 } else { 5 }), number: 12 },
        in_log,
        bytes: 8192,
        parts: vec![
            part(topic(1), 0, 0, &[plain]),
            part(topic(1), 1, 70, &[first, next, plain]),
            part(topic(1), 9, 400, &[plain]),
            part(topic(2), 0, 470, &[plain]),
            part(topic(2), 0, 540, &[]),
            part(topic(1), 3, 540, &[plain, first]),
        ],
    })
}

/// One of each kind, with every field in use.
pub(crate) fn samples() -> Vec<(&'static str, Record)> {
    let configs = vec![("retention.ms".to_owned(), "1000".to_owned()), ("x".to_owned(), String::new())];
    let changes = vec![("retention.ms".to_owned(), Some("-1".to_owned())), ("cleanup.policy".to_owned(), None)];
    let create =
        CreateTopic { topic: topic(1), name: "flüsse".into(), partitions: 6, replication_factor: -1, configs };
    let alter = |resource| Command::AlterConfigs { resource, replace: false, changes: changes.clone() };
    let objects = vec![ObjectId { epoch: Epoch(5), number: 1 }, ObjectId { epoch: Epoch(7), number: 900 }];
    let starts = vec![(TopicPartition { topic: topic(2), partition: 70 }, 123_456)];
    let unsigned = |command| Record { epoch: Epoch(0), number: 0, ..record(command) };
    let mut samples = vec![
        ("register-exclusive", unsigned(register(true, None))),
        ("register-in-zone", unsigned(register(false, Some("a")))),
        ("close-broker", record(Command::CloseBroker { epoch: Epoch(300) })),
        ("feature-level", record(Command::FeatureLevel { level: 1 })),
        ("create-topic", record(Command::CreateTopic(create))),
        ("delete-topic", record(Command::DeleteTopic { topic: topic(1) })),
        ("create-partitions", record(Command::CreatePartitions { topic: topic(1), total: 12 })),
        ("alter-topic-configs", record(alter(ConfigResource::Topic(topic(1))))),
        ("alter-broker-configs", record(alter(ConfigResource::Broker(BrokerId(2))))),
        (
            "replace-cluster-configs",
            record(Command::AlterConfigs { resource: ConfigResource::Cluster, replace: true, changes: vec![] }),
        ),
        ("allocate-producer-ids", record(Command::AllocateProducerIds { count: 1000 })),
        ("commit-in-log", record(commit(true))),
        ("commit-of-object", record(commit(false))),
        ("forget-objects", record(Command::ForgetObjects { objects })),
        ("move-log-start", record(Command::MoveLogStart { starts })),
        ("compare-state", record(Command::CompareState { seq: Seq(1024), hash: 0x0123_4567_89ab_cdef })),
    ];
    samples.extend(coordinated::samples());
    samples
}

#[test]
fn golden_bytes_never_change() {
    let golden: BTreeMap<&str, &str> = GOLDEN.lines().filter_map(|line| line.split_once(' ')).collect();
    let written: Vec<(&str, String)> = samples().iter().map(|(name, record)| (*name, hex(&record.encode()))).collect();
    let lines: String = written.iter().map(|(name, bytes)| format!("{name} {bytes}\n")).collect();
    let is_same = written.iter().all(|(name, bytes)| golden.get(name) == Some(&bytes.as_str()));
    assert!(is_same && golden.len() == written.len(), "the samples are written as\n{lines}");
    for (name, record) in samples() {
        assert_eq!(Record::decode(&unhex(golden[name])), Ok(record), "{name}");
    }
}

#[test]
fn a_newer_record_says_so() {
    let bytes = record(Command::FeatureLevel { level: 1 }).encode();
    let with = |at: usize, value: u8| {
        let mut changed = bytes.to_vec();
        changed[at] = value;
        Record::decode(&changed).expect_err("changed")
    };
    assert_eq!(with(0, 2), DecodeError::NewerVersion { version: 2, known: 1 });
    assert_eq!(with(1, 200), DecodeError::UnknownCommand { tag: 200 });
    let level = FEATURE_LEVEL_KNOWN + 1;
    let error = with(bytes.len() - 1, level as u8);
    assert_eq!(error, DecodeError::NewerFeatureLevel { level, known: FEATURE_LEVEL_KNOWN });
    assert_eq!(
        error.to_string(),
        "the cluster is at feature level 2, this Frazil knows levels up to 1: start a newer one"
    );
}

#[test]
fn a_record_cut_anywhere_or_with_more_behind_it_does_not_decode() {
    for (name, record) in samples() {
        let bytes = record.encode();
        for end in 0..bytes.len() {
            assert!(Record::decode(&bytes[..end]).is_err(), "{name} cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(matches!(Record::decode(&longer), Err(DecodeError::TrailingBytes { count: 1, .. })), "{name}");
    }
}

#[test]
fn a_record_beyond_the_limit_does_not_decode() {
    let bytes = vec![1; frazil_base::limits::META_RECORD_BYTES_MAX + 1];
    assert_eq!(Record::decode(&bytes), Err(DecodeError::TooLong { bytes: bytes.len() }));
}

fn wide_commit(partitions: i32, runs: u32, producer: bool) -> Record {
    let mut position = 0;
    let mut part = |partition| {
        let run = |index: u32| Run {
            bytes: 1000 + index % 7,
            records: 3,
            max_timestamp: 1_700_000_000_000 + i64::from(index),
            producer: producer.then(|| BatchProducer {
                id: 17,
                epoch: 0,
                first_sequence: 300_000 + 3 * index as i32,
                transactional: None,
            }),
        };
        let runs: Vec<Run> = (0..runs).map(run).collect();
        let start = position;
        position += runs.iter().map(|run| run.bytes).sum::<u32>();
        CommitPart { partition: TopicPartition { topic: topic(1), partition }, position: start, runs }
    };
    let parts = (0..partitions).map(&mut part).collect();
    let object = ObjectId { epoch: Epoch(7), number: 12 };
    record(Command::Commit(Commit { object, in_log: true, bytes: position, parts }))
}

#[test]
fn wide_commits_stay_small() {
    let bytes_each = |record: Record, count: usize| {
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Ok(record));
        bytes.len() as f64 / count as f64
    };
    assert!(bytes_each(wide_commit(10_000, 1, false), 10_000) < 5.1);
    assert!(bytes_each(wide_commit(8, 1024, false), 8192) < 4.1);
    assert!(bytes_each(wide_commit(8, 1024, true), 8192) < 7.1);
    assert!(bytes_each(wide_commit(10_000, 1, true), 10_000) < 10.1);
}

#[test]
#[should_panic(expected = "at 10 before 20")]
fn parts_that_overlap_are_not_written() {
    let run = Run { bytes: 20, records: 1, max_timestamp: 0, producer: None };
    let part = |position| CommitPart { partition: TopicPartition::default(), position, runs: vec![run] };
    let object = ObjectId::default();
    record(Command::Commit(Commit { object, in_log: true, bytes: 100, parts: vec![part(0), part(10)] })).encode();
}

fn arbitrary_topic() -> impl Strategy<Value = TopicId> {
    prop_oneof![(0u128..3).prop_map(topic), any::<u128>().prop_map(TopicId)]
}

fn arbitrary_partition() -> impl Strategy<Value = TopicPartition> {
    let number = prop_oneof![0i32..4, any::<i32>()];
    (arbitrary_topic(), number).prop_map(|(topic, partition)| TopicPartition { topic, partition })
}

fn arbitrary_run() -> impl Strategy<Value = Run> {
    let epoch = prop_oneof![0i16..2, any::<i16>()];
    let joining = prop_oneof![Just(None), Just(Some(Joining::Explicit)), Just(Some(Joining::Implicit))];
    let producer = (prop_oneof![0i64..3, any::<i64>()], epoch, prop_oneof![0..9, any::<i32>()], joining).prop_map(
        |(id, epoch, first_sequence, transactional)| BatchProducer { id, epoch, first_sequence, transactional },
    );
    let records = prop_oneof![1u32..9, 1u32..=u32::MAX];
    (0u32..1000, records, any::<i64>(), proptest::option::of(producer))
        .prop_map(|(bytes, records, max_timestamp, producer)| Run { bytes, records, max_timestamp, producer })
}

fn arbitrary_commit() -> impl Strategy<Value = Commit> {
    let part = (arbitrary_partition(), prop_oneof![Just(0u32), 0u32..100], vec(arbitrary_run(), 0..4));
    (any::<u64>(), any::<u64>(), any::<bool>(), 0u32..100, vec(part, 0..6)).prop_map(
        |(epoch, number, in_log, rest, parts)| {
            let mut end = 0;
            let mut place = |(partition, gap, runs): (_, u32, Vec<Run>)| {
                let position = end + gap;
                end = position + runs.iter().map(|run| run.bytes).sum::<u32>();
                CommitPart { partition, position, runs }
            };
            let parts = parts.into_iter().map(&mut place).collect();
            Commit { object: ObjectId { epoch: Epoch(epoch), number }, in_log, bytes: end + rest, parts }
        },
    )
}

fn arbitrary_command() -> impl Strategy<Value = Command> {
    let resource = prop_oneof![
        arbitrary_topic().prop_map(ConfigResource::Topic),
        any::<i32>().prop_map(|id| ConfigResource::Broker(BrokerId(id))),
        Just(ConfigResource::Cluster),
    ];
    let register = (any::<i32>(), any::<u128>(), any::<String>(), any::<u16>(), any::<Option<String>>(), any::<bool>());
    let create = (arbitrary_topic(), any::<String>(), any::<i32>(), any::<i16>(), vec(any::<(String, String)>(), 0..3));
    let object = any::<(u64, u64)>().prop_map(|(epoch, number)| ObjectId { epoch: Epoch(epoch), number });
    let first = prop_oneof![
        register.prop_map(|(broker, incarnation, host, port, zone, exclusive)| {
            let broker = BrokerId(broker);
            Command::RegisterBroker(RegisterBroker { broker, incarnation, host, port, zone, exclusive })
        }),
        any::<(u64, u64)>().prop_map(|(seq, hash)| Command::CompareState { seq: Seq(seq), hash }),
        any::<u64>().prop_map(|epoch| Command::CloseBroker { epoch: Epoch(epoch) }),
        (0..=FEATURE_LEVEL_KNOWN).prop_map(|level| Command::FeatureLevel { level }),
        create.prop_map(|(topic, name, partitions, replication_factor, configs)| {
            Command::CreateTopic(CreateTopic { topic, name, partitions, replication_factor, configs })
        }),
        arbitrary_topic().prop_map(|topic| Command::DeleteTopic { topic }),
        (arbitrary_topic(), any::<i32>()).prop_map(|(topic, total)| Command::CreatePartitions { topic, total }),
        (resource, any::<bool>(), vec(any::<(String, Option<String>)>(), 0..3))
            .prop_map(|(resource, replace, changes)| Command::AlterConfigs { resource, replace, changes }),
        any::<u32>().prop_map(|count| Command::AllocateProducerIds { count }),
        arbitrary_commit().prop_map(Command::Commit),
        vec(object, 0..4).prop_map(|objects| Command::ForgetObjects { objects }),
        vec((arbitrary_partition(), any::<i64>()), 0..4).prop_map(|starts| Command::MoveLogStart { starts }),
    ];
    prop_oneof![first, coordinated::arbitrary_command()]
}

/// Any record that may be written.
pub(crate) fn arbitrary_record() -> impl Strategy<Value = Record> {
    (any::<u64>(), any::<u64>(), any::<i64>(), arbitrary_command())
        .prop_map(|(epoch, number, time_ms, command)| Record { epoch: Epoch(epoch), number, time_ms, command })
}

/// Changes, cuts out, repeats and appends a few bytes.
pub(crate) fn damage(bytes: &mut Vec<u8>, seed: u64) {
    for step in 0..1 + seed % 3 {
        let random = |index| pseudo_random(seed, 10 * step + index) as usize;
        let at = random(0) % bytes.len().max(1);
        let interesting = [0x00, 0x01, 0x7f, 0x80, 0xff, random(1) as u8];
        match random(2) % 5 {
            0 if at < bytes.len() => bytes[at] = interesting[random(3) % 6],
            1 if at < bytes.len() => bytes[at] ^= 1 << (random(3) % 8),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, interesting[random(3) % 6]),
            _ => {
                let end = (at + random(3) % 9).min(bytes.len());
                let again = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
}

#[test]
fn hostile_bytes_never_panic_and_have_one_meaning() {
    let samples: Vec<Vec<u8>> = samples().into_iter().map(|(_, record)| record.encode().to_vec()).collect();
    let mut decoded = 0;
    for seed in 0..250_000u64 {
        let mut bytes = samples[seed as usize % samples.len()].clone();
        damage(&mut bytes, pseudo_random(1, seed));
        if let Ok(record) = Record::decode(&bytes) {
            assert_eq!(hex(&record.encode()), hex(&bytes), "two encodings of {record:?}");
            decoded += 1;
        }
    }
    assert!(decoded > 10_000, "damage that does no harm is part of the test: {decoded}");
    for seed in 0..100_000u64 {
        let mut bytes = vec![1, 1 + (seed % 23) as u8];
        bytes.extend((0..seed % 40).map(|index| (pseudo_random(seed, index) >> 20) as u8 & (0xff >> (seed % 5))));
        if let Ok(record) = Record::decode(&bytes) {
            assert_eq!(hex(&record.encode()), hex(&bytes), "two encodings of {record:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_record_survives(record in arbitrary_record()) {
        let bytes = record.encode();
        prop_assert_eq!(Record::decode(&bytes), Ok(record));
    }

    #[test]
    fn damaged_records_never_panic(record in arbitrary_record(), seed: u64) {
        let mut bytes = record.encode().to_vec();
        damage(&mut bytes, seed);
        if let Ok(record) = Record::decode(&bytes) {
            prop_assert_eq!(&record.encode()[..], &bytes[..]);
        }
    }
}
