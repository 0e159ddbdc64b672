//! Steps of random histories.

use crate::record::{EndReason, Joining};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// A step of a random history. Indexes pick among what exists, or existed, by then.
#[derive(Clone, Debug)]
pub(in super::super) enum Step {
    Join { broker: i32, exclusive: bool },
    Close { registration: usize },
    Create { name: u8, partitions: i32 },
    Delete { topic: usize },
    Grow { topic: usize, total: i32 },
    Configure { topic: usize, replace: bool, name: u8, value: Option<u8> },
    ConfigureBroker { broker: i32, name: u8, value: Option<u8> },
    Allocate { count: u32 },
    Commit { in_log: bool, parts: Vec<PartStep> },
    Forget { count: usize },
    Truncate { topic: usize, partition: i32, percent: i64 },
    Repeat { back: usize },
    Init { id: u8, expected: Option<Who> },
    Add { id: u8, who: Who, partitions: Vec<(usize, i32)>, group: Option<u8> },
    End { id: u8, who: Who, commit: bool, reason: EndReason, named: Named },
    Generation { group: u8, ahead: i32, members: u8, is_late: bool },
    Consumers { group: u8, ahead: i32, upserted: u8, removed: u8, classic: u8, is_late: bool },
    CommitOffsets(Vec<CommitStep>),
    DeleteGroups(Vec<u8>),
    DeleteOffsets { group: u8, partitions: Vec<(usize, i32)> },
}

/// A group's commit; members and groups are numbers.
#[derive(Clone, Debug)]
pub(in super::super) struct CommitStep {
    pub(super) group: u8,
    pub(super) fence: Fence,
    /// Transactional id, its producer, and whether the group joins implicitly.
    pub(super) txn: Option<(u8, Who, bool)>,
    pub(super) offsets: Vec<(usize, i32)>,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Fence {
    None,
    Transactional,
    Classic { member: u8, back: i32 },
    Consumer { member: u8, back: i32 },
}

/// Which producer of a transactional id writes.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Who {
    /// The present one.
    Present,
    /// The one so many epochs ago.
    Before(usize),
    /// One that never was.
    Nobody,
}

/// Which transaction an end names.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Named {
    None,
    /// The one opened last, or so many before it.
    Back(usize),
}

#[derive(Clone, Debug)]
pub(in super::super) struct PartStep {
    pub(super) topic: usize,
    pub(super) partition: i32,
    pub(super) gap: u32,
    pub(super) runs: Vec<RunStep>,
}

#[derive(Clone, Debug)]
pub(in super::super) struct RunStep {
    pub(super) bytes: u32,
    pub(super) records: u32,
    pub(super) producer: Option<(Source, Sequence)>,
}

/// Whose producer id and epoch a batch has.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Source {
    Idempotent { id: i64, epoch: i16 },
    Transactional { id: u8, who: Who, joining: Option<Joining> },
}

/// How a batch relates to what its producer sent before.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Sequence {
    Next,
    Retry { back: usize },
    Skip { ahead: i32 },
    At(i32),
}

fn any_who() -> impl Strategy<Value = Who> {
    prop_oneof![8 => Just(Who::Present), 3 => (1usize..3).prop_map(Who::Before), 1 => Just(Who::Nobody)]
}

fn any_source() -> impl Strategy<Value = Source> {
    let joining = prop_oneof![
        1 => Just(None),
        2 => Just(Some(Joining::Explicit)),
        4 => Just(Some(Joining::Implicit)),
    ];
    prop_oneof![
        (0i64..3, prop_oneof![6 => Just(0i16), 1 => 0i16..3])
            .prop_map(|(id, epoch)| Source::Idempotent { id: 1_000_000 + id, epoch }),
        (0u8..2, any_who(), joining).prop_map(|(id, who, joining)| Source::Transactional { id, who, joining }),
    ]
}

fn any_run() -> impl Strategy<Value = RunStep> {
    let sequence = prop_oneof![
        4 => Just(Sequence::Next),
        3 => (1usize..9).prop_map(|back| Sequence::Retry { back }),
        1 => (-4i32..4).prop_map(|ahead| Sequence::Skip { ahead }),
        1 => prop_oneof![Just(0), (i32::MAX - 6)..=i32::MAX].prop_map(Sequence::At),
    ];
    let producer = option::weighted(0.8, (any_source(), sequence));
    (1u32..50, 1u32..4, producer).prop_map(|(bytes, records, producer)| RunStep { bytes, records, producer })
}

fn any_place() -> impl Strategy<Value = (usize, i32)> {
    (0usize..3, 0i32..3)
}

fn any_transaction_step() -> impl Strategy<Value = Step> {
    let reason = select(vec![
        EndReason::Client { bump: false },
        EndReason::Client { bump: false },
        EndReason::Client { bump: true },
        EndReason::Client { bump: true },
        EndReason::Timeout,
        EndReason::Admin,
    ]);
    let named = prop_oneof![3 => Just(Named::None), 2 => (0usize..3).prop_map(Named::Back)];
    prop_oneof![
        1 => (0u8..2, option::of(any_who())).prop_map(|(id, expected)| Step::Init { id, expected }),
        3 => (0u8..2, any_who(), vec(any_place(), 0..3), option::of(0u8..2))
            .prop_map(|(id, who, partitions, group)| Step::Add { id, who, partitions, group }),
        4 => (0u8..2, any_who(), any::<bool>(), reason, named)
            .prop_map(|(id, who, commit, reason, named)| Step::End { id, who, commit, reason, named }),
    ]
}

fn any_group_step() -> impl Strategy<Value = Step> {
    let back = || prop_oneof![4 => Just(0), 1 => -1i32..3];
    let fence = prop_oneof![
        2 => Just(Fence::None),
        6 => Just(Fence::Transactional),
        3 => (0u8..3, back()).prop_map(|(member, back)| Fence::Classic { member, back }),
        3 => (0u8..3, back()).prop_map(|(member, back)| Fence::Consumer { member, back }),
    ];
    let late = || proptest::bool::weighted(0.2);
    let txn = option::weighted(0.7, (0u8..2, any_who(), proptest::bool::weighted(0.8)));
    let commit = (0u8..2, fence, txn, vec(any_place(), 0..3)).prop_map(|(group, fence, txn, offsets)| CommitStep {
        group,
        fence,
        txn,
        offsets,
    });
    prop_oneof![
        2 => (0u8..2, -1i32..2, 0u8..8, late())
            .prop_map(|(group, ahead, members, is_late)| Step::Generation { group, ahead, members, is_late }),
        2 => (0u8..2, -1i32..2, (0u8..8, 0u8..8, 0u8..8), late()).prop_map(|(group, ahead, bits, is_late)| {
            let (upserted, removed, classic) = bits;
            Step::Consumers { group, ahead, upserted, removed, classic, is_late }
        }),
        8 => vec(commit, 1..4).prop_map(Step::CommitOffsets),
        1 => vec(0u8..2, 0..3).prop_map(Step::DeleteGroups),
        1 => (0u8..2, vec(any_place(), 0..3))
            .prop_map(|(group, partitions)| Step::DeleteOffsets { group, partitions }),
    ]
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let part = (0usize..4, 0i32..3, prop_oneof![Just(0u32), 0u32..9], vec(any_run(), 0..5))
        .prop_map(|(topic, partition, gap, runs)| PartStep { topic, partition, gap, runs });
    let value = option::of(0u8..3);
    prop_oneof![
        3 => (0i32..3, proptest::bool::weighted(0.1)).prop_map(|(broker, exclusive)| Step::Join { broker, exclusive }),
        1 => (0usize..9).prop_map(|registration| Step::Close { registration }),
        4 => (0u8..3, 0i32..4).prop_map(|(name, partitions)| Step::Create { name, partitions }),
        1 => (0usize..4).prop_map(|topic| Step::Delete { topic }),
        1 => (0usize..4, 0i32..5).prop_map(|(topic, total)| Step::Grow { topic, total }),
        1 => (0usize..4, any::<bool>(), 0u8..3, value.clone())
            .prop_map(|(topic, replace, name, value)| Step::Configure { topic, replace, name, value }),
        1 => (0i32..2, 0u8..3, value).prop_map(|(broker, name, value)| Step::ConfigureBroker { broker, name, value }),
        1 => (0u32..1000).prop_map(|count| Step::Allocate { count }),
        20 => (any::<bool>(), vec(part, 0..4)).prop_map(|(in_log, parts)| Step::Commit { in_log, parts }),
        1 => (0usize..4).prop_map(|count| Step::Forget { count }),
        2 => (0usize..4, 0i32..3, -20i64..120)
            .prop_map(|(topic, partition, percent)| Step::Truncate { topic, partition, percent }),
        2 => (0usize..12).prop_map(|back| Step::Repeat { back }),
        12 => any_transaction_step(),
        8 => any_group_step(),
    ]
}
