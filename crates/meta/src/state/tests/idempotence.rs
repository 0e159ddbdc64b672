//! The rules for batches of idempotent producers.

use super::*;
use RunOutcome::{OutOfOrderSequence, StaleProducerEpoch};
use frazil_base::limits::PRODUCERS_PER_PARTITION_MAX;
use proptest::prelude::*;

/// Commits each batch by itself, to partition 0 of a new topic.
fn check(steps: &[(Run, RunOutcome)]) {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    for (step, (run, expected)) in steps.iter().enumerate() {
        let outcome = cluster.commit(epoch, &[(at(topic, 0), &[*run])]);
        assert_eq!(outcome, [[*expected]], "step {step}: {:?}", run.producer);
    }
}

#[test]
fn a_retry_gets_the_offset_of_the_original() {
    check(&[
        (batch(1, 0, 0, 3), accepted(0)),
        (batch(1, 0, 0, 3), duplicate(0)),
        (plain(4), accepted(3)),
        (batch(1, 0, 3, 2), accepted(7)),
        (batch(1, 0, 0, 3), duplicate(0)),
        (batch(1, 0, 3, 2), duplicate(7)),
        (batch(1, 0, 5, 1), accepted(9)),
    ]);
}

#[test]
fn a_retry_with_other_bounds_is_out_of_order() {
    check(&[
        (batch(1, 0, 0, 3), accepted(0)),
        (batch(1, 0, 0, 2), OutOfOrderSequence),
        (batch(1, 0, 1, 2), OutOfOrderSequence),
        (batch(1, 0, 0, 4), OutOfOrderSequence),
    ]);
}

#[test]
fn five_batches_are_remembered_and_older_ones_known_to_be_stored() {
    let mut steps: Vec<_> = (0..7).map(|index| (batch(1, 0, 2 * index, 2), accepted(2 * i64::from(index)))).collect();
    steps.extend((2..7).map(|index| (batch(1, 0, 2 * index, 2), duplicate(2 * i64::from(index)))));
    steps.extend((0..2).map(|index| (batch(1, 0, 2 * index, 2), duplicate(-1))));
    steps.push((batch(1, 0, 3, 2), OutOfOrderSequence));
    check(&steps);
}

#[test]
fn what_came_before_an_unknown_producers_first_batch_is_missing_not_stored() {
    check(&[
        (batch(1, 0, 10, 1), accepted(0)),
        (batch(1, 0, 9, 1), OutOfOrderSequence),
        (batch(1, 0, 11, 1), accepted(1)),
        (batch(1, 0, 12, 1), accepted(2)),
        (batch(1, 0, 13, 1), accepted(3)),
        (batch(1, 0, 14, 1), accepted(4)),
        (batch(1, 0, 15, 1), accepted(5)),
        (batch(1, 0, 9, 1), OutOfOrderSequence),
        (batch(1, 0, 9, 2), OutOfOrderSequence),
        (batch(1, 0, 10, 1), duplicate(-1)),
    ]);
}

#[test]
fn a_gap_is_out_of_order_until_it_is_filled() {
    check(&[
        (batch(1, 0, 0, 1), accepted(0)),
        (batch(1, 0, 2, 1), OutOfOrderSequence),
        (batch(1, 0, 1, 1), accepted(1)),
        (batch(1, 0, 2, 1), accepted(2)),
    ]);
}

#[test]
fn sequences_wrap_past_the_greatest_to_zero() {
    let max = i32::MAX;
    check(&[
        (batch(1, 0, max - 3, 2), accepted(0)),
        (batch(1, 0, max - 1, 2), accepted(2)),
        (batch(1, 0, 0, 2), accepted(4)),
        (batch(1, 0, max - 1, 2), duplicate(2)),
        (batch(2, 0, max - 1, 4), accepted(6)),
        (batch(2, 0, 0, 1), OutOfOrderSequence),
        (batch(2, 0, 2, 1), accepted(10)),
        (batch(2, 0, max - 1, 4), duplicate(6)),
    ]);
}

#[test]
fn a_gap_is_no_old_retry_however_much_was_stored() {
    let half = 1 << 30;
    check(&[
        (batch(1, 0, 0, half), accepted(0)),
        (batch(1, 0, 1 << 30, half), accepted(1 << 30)),
        (batch(1, 0, 0, 10), accepted(1 << 31)),
        (batch(1, 0, 15, 1), OutOfOrderSequence),
        (batch(1, 0, 1 << 29, 1), OutOfOrderSequence),
        (batch(1, 0, 10, 5), accepted((1 << 31) + 10)),
    ]);
}

#[test]
fn a_new_producer_epoch_starts_at_zero_and_ends_the_old_one() {
    check(&[
        (batch(1, 3, 0, 2), accepted(0)),
        (batch(1, 4, 2, 2), OutOfOrderSequence),
        (batch(1, 3, 2, 1), accepted(2)),
        (batch(1, 5, 0, 2), accepted(3)),
        (batch(1, 3, 0, 2), StaleProducerEpoch),
        (batch(1, 4, 0, 2), StaleProducerEpoch),
        (batch(1, 5, 0, 2), duplicate(3)),
        (batch(1, 5, 2, 2), accepted(5)),
    ]);
}

#[test]
fn producers_and_partitions_do_not_disturb_each_other() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let runs = [batch(2, 0, 0, 1), batch(1, 7, 40, 1), batch(2, 0, 1, 1), batch(1, 7, 41, 1), batch(2, 0, 0, 1)];
    let outcomes = cluster.commit(epoch, &[(at(topic, 0), &runs), (at(topic, 1), &runs[..2])]);
    assert_eq!(outcomes[0], [accepted(0), accepted(1), accepted(2), accepted(3), duplicate(0)]);
    assert_eq!(outcomes[1], [accepted(0), accepted(1)]);
}

#[test]
fn the_same_batch_twice_in_one_commit_is_stored_once() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let run = batch(1, 0, 0, 5);
    let parts: &[(TopicPartition, &[Run])] = &[(at(topic, 0), &[run, run]), (at(topic, 0), &[run])];
    assert_eq!(cluster.commit(epoch, parts), [vec![accepted(0), duplicate(0)], vec![duplicate(0)]]);
}

#[test]
fn a_silent_producer_is_forgotten_after_a_day() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let zero = at(topic, 0);
    cluster.commit(epoch, &[(zero, &[batch(1, 0, 0, 1), batch(2, 0, 0, 1)])]);
    cluster.now_ms += PRODUCER_EXPIRY_MS / 2;
    cluster.commit(epoch, &[(zero, &[batch(2, 0, 1, 1)])]);
    cluster.now_ms += PRODUCER_EXPIRY_MS / 2 + PRODUCER_SWEEP_MS;
    let outcomes = cluster.commit(epoch, &[(zero, &[batch(1, 0, 9, 1), batch(2, 0, 9, 1)])]);
    assert_eq!(outcomes, [[accepted(3), OutOfOrderSequence]]);
}

#[test]
fn a_broker_whose_clock_is_ahead_does_not_make_others_forget() {
    let (mut cluster, slow, topic) = Cluster::with_topic();
    let fast = cluster.join(2);
    let zero = at(topic, 0);
    let now_ms = cluster.now_ms;
    for round in 0..20 {
        cluster.now_ms = now_ms + 10 * PRODUCER_EXPIRY_MS + round;
        cluster.commit(fast, &[(zero, &[plain(1)])]);
        cluster.now_ms = now_ms + round;
        let runs = [batch(1, 0, round as i32, 1)];
        assert!(matches!(cluster.commit(slow, &[(zero, &runs)])[0][0], RunOutcome::Accepted { .. }));
        cluster.now_ms = now_ms + 10 * PRODUCER_EXPIRY_MS + round;
        assert!(matches!(cluster.commit(fast, &[(zero, &runs)])[0][0], RunOutcome::Duplicate { .. }));
    }
}

#[test]
fn a_partition_remembers_a_limited_number_of_producers() {
    let (mut cluster, epoch, topic) = Cluster::with_topic();
    let zero = at(topic, 0);
    for id in 0..PRODUCERS_PER_PARTITION_MAX as i64 {
        cluster.now_ms += 1;
        cluster.commit(epoch, &[(zero, &[batch(id, 0, 0, 1)])]);
    }
    cluster.commit(epoch, &[(zero, &[batch(0, 0, 1, 1)])]);
    cluster.commit(epoch, &[(zero, &[batch(1 << 40, 0, 0, 1)])]);
    let count = cluster.partition(zero).producers.iter().len();
    assert_eq!(count, PRODUCERS_PER_PARTITION_MAX - PRODUCERS_PER_PARTITION_MAX / 8 + 1);
    let runs = [batch(0, 0, 1, 1), batch(1, 0, 9, 1), batch(1 << 40, 0, 0, 1)];
    let outcomes = cluster.commit(epoch, &[(zero, &runs)]);
    assert!(matches!(
        outcomes[0][..],
        [RunOutcome::Duplicate { .. }, RunOutcome::Accepted { .. }, RunOutcome::Duplicate { .. }]
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A producer sends batches with up to five in flight; each may be sent again, and arrive in any order, while it
    /// or one before it has no answer. Its sequences cross the wrap.
    #[test]
    fn a_batch_is_stored_once_in_any_interleaving(
        arrivals in proptest::collection::vec((0usize..5, 1u32..4), 1..120),
        start in prop_oneof![Just(0i32), (i32::MAX - 60)..=i32::MAX],
    ) {
        let (mut cluster, epoch, topic) = Cluster::with_topic();
        let mut sequence = start;
        let mut batches: Vec<Run> = Vec::new();
        let mut stored: Vec<Option<i64>> = Vec::new();
        for (slot, records) in arrivals {
            let oldest_open = stored.iter().position(Option::is_none).unwrap_or(stored.len());
            let choice = oldest_open.saturating_sub(2) + slot;
            while batches.len() <= choice {
                batches.push(batch(9, 0, sequence, records));
                stored.push(None);
                sequence = sequence_after(sequence, records);
            }
            let next_offset = cluster.partition(at(topic, 0)).next_offset;
            let outcome = cluster.commit(epoch, &[(at(topic, 0), &[batches[choice]])])[0][0];
            let is_next = choice == oldest_open;
            match (stored[choice], outcome) {
                (Some(base_offset), RunOutcome::Duplicate { base_offset: again }) => prop_assert_eq!(base_offset, again),
                (None, RunOutcome::Accepted { base_offset }) if is_next => {
                    prop_assert_eq!(base_offset, next_offset);
                    stored[choice] = Some(base_offset);
                }
                (None, RunOutcome::Accepted { base_offset }) if oldest_open == 0 => {
                    // An unknown producer may begin anywhere; what it skipped can then never be stored.
                    prop_assert_eq!(base_offset, next_offset);
                    batches.drain(..choice);
                    stored.drain(..choice);
                    stored[0] = Some(base_offset);
                }
                (None, RunOutcome::OutOfOrderSequence) => prop_assert!(!is_next),
                other => prop_assert!(false, "batch {} of {}: {:?}", choice, oldest_open, other),
            }
        }
        let records: i64 = batches.iter().zip(&stored).filter(|(_, at)| at.is_some()).map(|(run, _)| i64::from(run.records)).sum();
        prop_assert_eq!(cluster.partition(at(topic, 0)).next_offset, records);
    }
}
