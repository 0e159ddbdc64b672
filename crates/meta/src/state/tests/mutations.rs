//! Every broken rule shows: random histories that the right state machine and the model agree on come out differently.

use super::model::{history, records};
use super::*;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// What a checker outside could see.
fn view(state: &State) -> impl PartialEq {
    let partitions = state.topics().flat_map(|topic| topic.partitions.clone());
    let readable = partitions.map(|partition| {
        let (stable, aborted) = (partition.last_stable_offset(), partition.aborted_in(0..i64::MAX));
        (partition.next_offset, partition.extents, stable, aborted)
    });
    let offsets = state.groups().map(|(id, group)| (id.to_owned(), group.offsets.clone()));
    let bodies = state.bodies().map(|(body, _)| body);
    (readable.collect::<Vec<_>>(), bodies.collect::<Vec<_>>(), offsets.collect::<Vec<_>>())
}

/// Whether the log has other outcomes, or leaves other contents, under the broken rule.
fn shows(mutation: Mutation, log: &[(Seq, Record)]) -> bool {
    let (mut right, mut wrong) = (State::new(), State::with_mutation(mutation));
    log.iter()
        .any(|(seq, record)| right.apply(*seq, record) != wrong.apply(*seq, record) || view(&right) != view(&wrong))
}

#[test]
fn every_mutation_shows_and_stays_within_the_formats() {
    let mutations = [
        Mutation::SkipDuplicateCheck,
        Mutation::AcceptClosedEpoch,
        Mutation::ReuseOffset,
        Mutation::AcceptSequenceGap,
        Mutation::ForgetRepeatedNumber,
        Mutation::MisplaceExtent,
        Mutation::ForgetLiveBody,
        Mutation::AcceptEndedTransaction,
        Mutation::AcceptStaleGeneration,
        Mutation::TearEndTransaction,
        Mutation::EndLaterTransaction,
        Mutation::IgnoreCoordinator,
        Mutation::LosePendingOffsets,
        Mutation::ForgetOpenTransaction,
    ];
    let mut runner = TestRunner::deterministic();
    let logs: Vec<_> = (0..250)
        .map(|_| records(&history().new_tree(&mut runner).expect("histories are not filtered").current()))
        .collect();
    for mutation in mutations {
        let shown = logs.iter().filter(|log| shows(mutation, log)).count();
        assert!(shown > 5, "{mutation:?} shows in {shown} of {} histories", logs.len());
        for log in &logs {
            let mut state = State::with_mutation(mutation);
            log.iter().for_each(|(seq, record)| drop(state.apply(*seq, record)));
            let mut restored = State::from_snapshot(&state.snapshot()).expect("just written");
            assert_eq!(restored.content_hash(), state.content_hash(), "{mutation:?}");
            restored.mutate(mutation);
            assert!(view(&restored) == view(&state));
        }
    }
}
