//! Samples and arbitrary records of groups, transactions, quotas and credentials.

use super::*;
use bytes::Bytes;
use frazil_base::Seq;
use proptest::option;
use proptest::sample::select;

fn partition(topic_number: u128, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic(topic_number), partition }
}

fn classic_member(number: u8) -> ClassicMember {
    ClassicMember {
        member_id: format!("member-{number}"),
        instance_id: (number == 1).then(|| "instance-1".into()),
        client_id: "client".into(),
        client_host: "/10.0.0.1".into(),
        rebalance_timeout_ms: 300_000,
        session_timeout_ms: 45_000,
        protocols: vec![("range".into(), Bytes::from_static(&[0, 1, 255])), ("sticky".into(), Bytes::new())],
        assignment: Bytes::from_static(b"opaque"),
    }
}

fn consumer_member() -> ConsumerMember {
    ConsumerMember {
        member_id: "member-1".into(),
        instance_id: Some("instance-1".into()),
        rack: Some("a".into()),
        client_id: "client".into(),
        client_host: "/10.0.0.1".into(),
        rebalance_timeout_ms: 300_000,
        topics: vec!["events".into(), "flüsse".into()],
        regex: Some("e.*".into()),
        server_assignor: Some("uniform".into()),
        classic: Some(ClassicProtocols {
            session_timeout_ms: 45_000,
            protocols: vec![("range".into(), Bytes::from_static(&[7]))],
        }),
        member_epoch: 12,
        previous_member_epoch: 11,
        state: MemberState::Unrevoked,
        assigned: Assignment::from([(topic(1), vec![0, 1, 2, 9]), (topic(2), vec![3])]),
        revoking: Assignment::from([(topic(1), vec![5])]),
        target: Assignment::new(),
    }
}

fn plain_member() -> ConsumerMember {
    ConsumerMember {
        member_id: "member-2".into(),
        instance_id: None,
        rack: None,
        regex: None,
        server_assignor: None,
        classic: None,
        state: MemberState::Unreleased,
        ..consumer_member()
    }
}

fn offset(offset: i64, metadata: &str) -> OffsetCommit {
    OffsetCommit { offset, leader_epoch: -1, metadata: metadata.into() }
}

fn txn(implicit: bool) -> TxnFence {
    TxnFence { transactional_id: "payments".into(), producer_id: 4000, epoch: 3, implicit }
}

fn commits() -> Vec<GroupCommit> {
    let classic = GroupFence::Classic { member_id: "member-1".into(), generation: 5 };
    let consumer = GroupFence::Consumer { member_id: "member-2".into(), member_epoch: 12 };
    let offsets = vec![
        (partition(1, 0), offset(100, "")),
        (partition(1, 1), offset(300, "a note")),
        (partition(2, 70), OffsetCommit { leader_epoch: 4, ..offset(0, "") }),
    ];
    let commit = |fence, txn, offsets| GroupCommit { group: "readers".into(), fence, txn, offsets };
    vec![
        commit(classic, None, offsets.clone()),
        commit(consumer, None, offsets[..1].to_vec()),
        commit(GroupFence::None, None, vec![]),
        commit(GroupFence::Transactional, Some(txn(true)), offsets[..1].to_vec()),
        commit(GroupFence::Transactional, Some(txn(false)), offsets[2..].to_vec()),
    ]
}

fn transactional_commit() -> Command {
    let Command::Commit(mut commit) = super::commit(true) else { unreachable!("a commit") };
    let runs = &mut commit.parts[1].runs;
    for (run, transactional) in runs.iter_mut().zip([Some(Joining::Explicit), Some(Joining::Implicit)]) {
        run.producer = run.producer.map(|producer| BatchProducer { transactional, ..producer });
    }
    Command::Commit(commit)
}

fn credential() -> ScramCredential {
    let [salt, stored_key, server_key] = ["salt", "stored", "server"].map(Bytes::from);
    ScramCredential { salt, stored_key, server_key, iterations: 4096 }
}

fn end(commit: bool, reason: EndReason, started: Option<u64>) -> Command {
    let transactional_id = "payments".into();
    let started = started.map(Seq);
    Command::EndTransaction(EndTransaction { transactional_id, producer_id: 4000, epoch: 3, commit, reason, started })
}

/// One of each kind, with every field in use.
pub(super) fn samples() -> Vec<(&'static str, Record)> {
    let generation = GroupGeneration {
        group: "readers".into(),
        generation: 5,
        protocol_type: "consumer".into(),
        protocol: Some("range".into()),
        leader: Some("member-1".into()),
        members: vec![classic_member(1), classic_member(2)],
        seen: Seq(200),
    };
    let empty = GroupGeneration { protocol: None, leader: None, members: vec![], ..generation.clone() };
    let update = ConsumerGroupUpdate {
        group: "readers".into(),
        group_epoch: 12,
        target_epoch: 11,
        assignor: "uniform".into(),
        upserted: vec![consumer_member(), plain_member()],
        removed: vec!["member-3".into()],
        seen: Seq(200),
    };
    let init = InitTransactions { transactional_id: "payments".into(), timeout_ms: 60_000, expected: None };
    let again = InitTransactions { expected: Some((4000, 2)), ..init.clone() };
    let add = AddToTransaction {
        transactional_id: "payments".into(),
        producer_id: 4000,
        epoch: 3,
        partitions: vec![partition(1, 0), partition(1, 5), partition(2, 0)],
        groups: vec!["readers".into()],
    };
    let entity = QuotaEntity(vec![("client-id".into(), None), ("user".into(), Some("anna".into()))]);
    let changes = vec![("producer_byte_rate".into(), Some(1024.5f64.to_bits())), ("request_percentage".into(), None)];
    let alter = |resource| Command::AlterConfigs { resource, replace: false, changes: vec![("a".into(), None)] };
    let scram = |credential| Command::AlterScramUser { user: "anna".into(), mechanism: 2, credential };
    let partitions = vec![partition(1, 0), partition(2, 0), partition(2, i32::MIN)];
    vec![
        ("transactional-commit", record(transactional_commit())),
        ("group-generation", record(Command::GroupGeneration(generation))),
        ("empty-generation", record(Command::GroupGeneration(empty))),
        ("consumer-group", record(Command::ConsumerGroup(update))),
        ("delete-groups", record(Command::DeleteGroups { groups: vec!["readers".into(), "flüsse".into()] })),
        ("commit-offsets", record(Command::CommitOffsets { commits: commits() })),
        ("delete-offsets", record(Command::DeleteOffsets { group: "readers".into(), partitions })),
        ("init-transactions", record(Command::InitTransactions(init))),
        ("init-transactions-again", record(Command::InitTransactions(again))),
        ("add-to-transaction", record(Command::AddToTransaction(add))),
        ("commit-transaction", record(end(true, EndReason::Client { bump: false }, Some(70)))),
        ("commit-transaction-and-bump", record(end(true, EndReason::Client { bump: true }, None))),
        ("abort-after-timeout", record(end(false, EndReason::Timeout, Some(300)))),
        ("abort-by-admin", record(end(false, EndReason::Admin, None))),
        ("alter-quotas", record(Command::AlterQuotas { entity, changes })),
        ("set-scram-user", record(scram(Some(credential())))),
        ("remove-scram-user", record(scram(None))),
        ("alter-group-configs", record(alter(ConfigResource::Group("readers".into())))),
        ("alter-client-metrics", record(alter(ConfigResource::ClientMetrics("all".into())))),
    ]
}

/// Names that meet each other again, and others.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(vec!["a".to_owned(), "b".to_owned()]), 1 => any::<String>()]
}

fn blob() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..4).prop_map(Bytes::from)
}

fn small<T: Copy + std::fmt::Debug + TryFrom<i64> + 'static>(all: impl Strategy<Value = T>) -> impl Strategy<Value = T>
where
    T::Error: std::fmt::Debug,
{
    prop_oneof![4 => (-1i64..3).prop_map(|value| T::try_from(value).expect("a small number")), 1 => all]
}

fn classic_members() -> impl Strategy<Value = Vec<ClassicMember>> {
    let protocols = vec((name(), blob()), 0..2);
    let member = (name(), option::of(name()), name(), any::<i32>(), protocols, blob()).prop_map(
        |(member_id, instance_id, client_id, timeout_ms, protocols, assignment)| ClassicMember {
            member_id,
            instance_id,
            client_host: client_id.clone(),
            client_id,
            rebalance_timeout_ms: timeout_ms,
            session_timeout_ms: timeout_ms.wrapping_add(1),
            protocols,
            assignment,
        },
    );
    vec(member, 0..3)
}

fn assignment() -> impl Strategy<Value = Assignment> {
    proptest::collection::btree_map(arbitrary_topic(), vec(any::<i32>(), 0..3), 0..3)
}

fn consumer_members() -> impl Strategy<Value = Vec<ConsumerMember>> {
    let classic = (any::<i32>(), vec((name(), blob()), 0..2))
        .prop_map(|(session_timeout_ms, protocols)| ClassicProtocols { session_timeout_ms, protocols });
    let state = select(vec![MemberState::Stable, MemberState::Unrevoked, MemberState::Unreleased]);
    let epochs = (small(any::<i32>()), small(any::<i32>()));
    let wishes = (vec(name(), 0..2), option::of(name()), option::of(name()), option::of(classic));
    let member = (name(), option::of(name()), wishes, epochs, state, (assignment(), assignment(), assignment()));
    let member = member.prop_map(|(member_id, instance_id, wishes, epochs, state, (assigned, revoking, target))| {
        let (topics, regex, server_assignor, classic) = wishes;
        let (member_epoch, previous_member_epoch) = epochs;
        ConsumerMember {
            rack: regex.clone(),
            client_id: member_id.clone(),
            client_host: member_id.clone(),
            member_id,
            instance_id,
            rebalance_timeout_ms: member_epoch,
            topics,
            regex,
            server_assignor,
            classic,
            member_epoch,
            previous_member_epoch,
            state,
            assigned,
            revoking,
            target,
        }
    });
    vec(member, 0..3)
}

fn group_commit() -> impl Strategy<Value = GroupCommit> {
    let fence = prop_oneof![
        Just(GroupFence::None),
        Just(GroupFence::Transactional),
        (name(), small(any::<i32>())).prop_map(|(member_id, generation)| GroupFence::Classic { member_id, generation }),
        (name(), small(any::<i32>()))
            .prop_map(|(member_id, member_epoch)| GroupFence::Consumer { member_id, member_epoch }),
    ];
    let txn = (name(), small(any::<i64>()), small(any::<i16>()), any::<bool>()).prop_map(
        |(transactional_id, producer_id, epoch, implicit)| TxnFence { transactional_id, producer_id, epoch, implicit },
    );
    let offset = (any::<i64>(), any::<i32>(), name()).prop_map(|(offset, leader_epoch, metadata)| OffsetCommit {
        offset,
        leader_epoch,
        metadata,
    });
    (name(), fence, option::of(txn), vec((arbitrary_partition(), offset), 0..4))
        .prop_map(|(group, fence, txn, offsets)| GroupCommit { group, fence, txn, offsets })
}

fn end_transaction() -> impl Strategy<Value = EndTransaction> {
    let reasons =
        vec![EndReason::Client { bump: false }, EndReason::Client { bump: true }, EndReason::Timeout, EndReason::Admin];
    let started = option::of((0u64..20).prop_map(Seq));
    (name(), small(any::<i64>()), small(any::<i16>()), any::<bool>(), select(reasons), started).prop_map(
        |(transactional_id, producer_id, epoch, commit, reason, started)| EndTransaction {
            transactional_id,
            producer_id,
            epoch,
            commit,
            reason,
            started,
        },
    )
}

fn group_command() -> impl Strategy<Value = Command> {
    let generation = (name(), small(any::<i32>()), option::of(name()), classic_members(), any::<u64>()).prop_map(
        |(group, generation, protocol, members, seen)| GroupGeneration {
            protocol_type: group.clone(),
            group,
            generation,
            leader: protocol.clone(),
            protocol,
            members,
            seen: Seq(seen),
        },
    );
    let update = (name(), small(any::<i32>()), any::<i32>(), consumer_members(), vec(name(), 0..2), any::<u64>())
        .prop_map(|(group, group_epoch, target_epoch, upserted, removed, seen)| ConsumerGroupUpdate {
            assignor: group.clone(),
            group,
            group_epoch,
            target_epoch,
            upserted,
            removed,
            seen: Seq(seen),
        });
    prop_oneof![
        generation.prop_map(Command::GroupGeneration),
        update.prop_map(Command::ConsumerGroup),
        vec(name(), 0..3).prop_map(|groups| Command::DeleteGroups { groups }),
        vec(group_commit(), 0..3).prop_map(|commits| Command::CommitOffsets { commits }),
        (name(), vec(arbitrary_partition(), 0..3))
            .prop_map(|(group, partitions)| Command::DeleteOffsets { group, partitions }),
    ]
}

fn transaction_command() -> impl Strategy<Value = Command> {
    let expected = option::of((small(any::<i64>()), small(any::<i16>())));
    let init = (name(), any::<i32>(), expected).prop_map(|(transactional_id, timeout_ms, expected)| {
        Command::InitTransactions(InitTransactions { transactional_id, timeout_ms, expected })
    });
    let held = (vec(arbitrary_partition(), 0..3), vec(name(), 0..3));
    let add = (name(), small(any::<i64>()), small(any::<i16>()), held).prop_map(
        |(transactional_id, producer_id, epoch, (partitions, groups))| {
            Command::AddToTransaction(AddToTransaction { transactional_id, producer_id, epoch, partitions, groups })
        },
    );
    prop_oneof![init, add, end_transaction().prop_map(Command::EndTransaction)]
}

fn access_command() -> impl Strategy<Value = Command> {
    let entity = vec((name(), option::of(name())), 0..3).prop_map(QuotaEntity);
    let credential = (blob(), blob(), blob(), any::<i32>()).prop_map(|(salt, stored_key, server_key, iterations)| {
        ScramCredential { salt, stored_key, server_key, iterations }
    });
    let resource = prop_oneof![name().prop_map(ConfigResource::Group), name().prop_map(ConfigResource::ClientMetrics)];
    prop_oneof![
        (entity, vec((name(), option::of(any::<u64>())), 0..3))
            .prop_map(|(entity, changes)| Command::AlterQuotas { entity, changes }),
        (name(), any::<u8>(), option::of(credential))
            .prop_map(|(user, mechanism, credential)| Command::AlterScramUser { user, mechanism, credential }),
        (resource, any::<bool>(), vec((name(), option::of(name())), 0..3))
            .prop_map(|(resource, replace, changes)| Command::AlterConfigs { resource, replace, changes }),
    ]
}

pub(super) fn arbitrary_command() -> impl Strategy<Value = Command> {
    prop_oneof![2 => group_command(), 2 => transaction_command(), 1 => access_command()]
}

#[test]
fn a_commit_without_transactions_is_written_as_ever() {
    let bytes = record(super::commit(true)).encode();
    assert_eq!(bytes[1], 9);
    assert_eq!(record(transactional_commit()).encode()[1], 12);
    let mut wrong = bytes.to_vec();
    wrong[1] = 12;
    assert!(Record::decode(&wrong).is_err());
}

#[test]
fn ten_thousand_commits_of_offsets_fit_into_a_record() {
    let offsets: Vec<_> = (0..10).map(|number| (partition(1, number), offset(1 << 33, ""))).collect();
    let member_id = "consumer-readers-1-00000000-0000-0000-0000-000000000000".to_owned();
    let fence = GroupFence::Classic { member_id, generation: 7 };
    let commit = GroupCommit { group: "readers".into(), fence, txn: None, offsets };
    let record = record(Command::CommitOffsets { commits: vec![commit; 10_000] });
    let bytes = record.encode();
    assert!(bytes.len() < 2_000_000, "{} bytes", bytes.len());
    assert_eq!(Record::decode(&bytes), Ok(record));
}

#[test]
fn a_credential_is_not_printed() {
    assert_eq!(format!("{:?}", credential()), "ScramCredential { iterations: 4096, .. }");
}
