//! Ends, batches and timeouts that are late, repeated, or written by somebody else.

use super::*;

/// KAFKA-17754, with KIP-890: the client's EndTxn was delayed, its retry ended the transaction, the next one is open.
/// The late one names the epoch that was.
#[test]
fn kafka_17754_a_late_end_never_touches_the_next_transaction_with_bumped_epochs() {
    let mut site = Site::new();
    site.produce(0, site.batch(Implicit, 0, 1));
    for commit in [true, false] {
        let late = site.end_command(commit, NEW);
        let opposite = EndTransaction { commit: !commit, ..late.clone() };
        site.end(commit, NEW);
        let (producer_id, epoch) = site.now();
        assert_eq!(site.run(Command::EndTransaction(late.clone())), ended(producer_id, epoch), "nothing is open");
        site.produce(0, site.batch(Implicit, 0, 1));
        let before = site.stability(0);
        assert_eq!(site.run(Command::EndTransaction(late.clone())), ended(producer_id, epoch));
        assert_eq!(site.run(Command::EndTransaction(opposite)), refused(Refusal::InvalidTxnState));
        assert_eq!(site.stability(0), before);
        assert!(site.transaction().is_ongoing());
        site.end(true, NEW);
        site.produce(0, site.batch(Implicit, 0, 1));
        let before = site.stability(0);
        assert_eq!(site.run(Command::EndTransaction(late)), refused(Refusal::StaleProducerEpoch), "two ends ago");
        assert_eq!(site.stability(0), before);
    }
}

/// KAFKA-17754 without KIP-890: the epoch stays the same, so the end names the record that opened the transaction.
#[test]
fn kafka_17754_a_late_end_never_touches_the_next_transaction_without_bumped_epochs() {
    let mut site = Site::new();
    for (commit, next) in [(true, false), (false, true), (true, true), (false, false)] {
        site.add(&[0], &[]);
        let sequence = site.transaction().started.0 as i32;
        let started = Some(site.transaction().started);
        let late = EndTransaction { started, ..site.end_command(commit, OLD) };
        let (producer_id, epoch) = site.now();
        let first = site.run(Command::EndTransaction(late.clone()));
        assert!(matches!(first, Outcome::TransactionEnded { ref partitions, .. } if partitions.len() == 1));
        assert_eq!(site.run(Command::EndTransaction(late.clone())), ended(producer_id, epoch), "nothing is open");
        site.add(&[0], &[]);
        site.produce(0, batch(99, 0, sequence, 1));
        let before = site.stability(0);
        let opposite = EndTransaction { commit: !commit, ..late.clone() };
        for late in [late.clone(), opposite] {
            let outcome = site.run(Command::EndTransaction(late));
            assert_eq!(outcome, refused(Refusal::ConcurrentTransactions), "the next one is open");
        }
        assert_eq!(site.stability(0), before);
        assert!(site.transaction().is_ongoing());
        site.end(next, OLD);
        let outcome = site.run(Command::EndTransaction(late));
        assert_eq!(outcome, refused(Refusal::InvalidTxnState), "the one before the last");
    }
}

#[test]
fn an_end_that_was_appended_twice_is_applied_once() {
    let mut site = Site::new();
    site.add(&[0], &[]);
    let record = site.cluster.record(site.broker, Command::EndTransaction(site.end_command(true, OLD)));
    assert!(matches!(site.cluster.apply(record.clone()), Outcome::TransactionEnded { .. }));
    site.add(&[0], &[]);
    assert_eq!(site.cluster.apply(record), refused(Refusal::Repeated));
    assert!(site.transaction().is_ongoing());
}

#[test]
fn a_late_batch_never_gets_into_the_next_transaction() {
    let mut site = Site::new();
    assert_eq!(site.produce(0, site.batch(Implicit, 0, 1)), accepted(0));
    let late = [site.batch(Implicit, 1, 1), site.batch(Explicit, 1, 1), batch(site.producer_id, site.epoch, 1, 1)];
    site.end(true, NEW);
    for run in late {
        assert_eq!(site.produce(0, run), RunOutcome::StaleProducerEpoch, "between two transactions");
    }
    assert_eq!(site.produce(0, site.batch(Implicit, 0, 1)), accepted(2));
    for run in late {
        assert_eq!(site.produce(0, run), RunOutcome::StaleProducerEpoch, "during the next");
        assert_eq!(site.produce(1, run), RunOutcome::StaleProducerEpoch, "on another partition");
    }
}

#[test]
fn without_bumped_epochs_a_retry_is_a_duplicate_and_anything_else_needs_an_open_transaction() {
    let mut site = Site::new();
    assert_eq!(site.produce(0, site.batch(Explicit, 0, 1)), RunOutcome::InvalidTxnState, "none is open");
    site.add(&[1], &[]);
    assert_eq!(site.produce(0, site.batch(Explicit, 0, 1)), RunOutcome::InvalidTxnState, "not of this partition");
    site.add(&[0], &[]);
    assert_eq!(site.produce(0, site.batch(Explicit, 0, 1)), accepted(0));
    site.end(true, OLD);
    assert_eq!(site.produce(0, site.batch(Explicit, 0, 1)), duplicate(0));
    assert_eq!(site.produce(0, site.batch(Explicit, 1, 1)), RunOutcome::InvalidTxnState);
    assert_eq!(site.stability(0), (2, 2, vec![]));
}

#[test]
fn timeouts_never_hit_a_later_transaction() {
    let mut site = Site::new();
    site.add(&[0], &[]);
    let late =
        EndTransaction { started: Some(site.transaction().started), ..site.end_command(false, EndReason::Timeout) };
    site.end(true, OLD);
    assert_eq!(site.run(Command::EndTransaction(late.clone())), refused(Refusal::InvalidTxnState));
    site.add(&[0], &[]);
    assert_eq!(site.run(Command::EndTransaction(late)), refused(Refusal::InvalidTxnState));
    assert!(site.transaction().is_ongoing());
}

#[test]
fn an_abort_that_the_producer_did_not_ask_for_fences_it() {
    for reason in [Timeout, Admin] {
        let mut site = Site::new();
        site.produce(0, site.batch(Implicit, 0, 1));
        let before = site.now();
        let end = site.end_command(true, reason);
        assert_eq!(site.run(Command::EndTransaction(end)), refused(Refusal::InvalidTxnState), "only clients commit");
        let client = EndTransaction { reason: NEW, ..site.end_command(false, NEW) };
        assert_eq!(site.end(false, reason), [site.at(0)]);
        assert_eq!(site.now(), (before.0, before.1 + 1));
        assert_eq!(site.run(Command::EndTransaction(client)), refused(Refusal::StaleProducerEpoch));
        let late = in_transaction(batch(before.0, before.1, 1, 1), Implicit);
        assert_eq!(site.produce(0, late), RunOutcome::StaleProducerEpoch);
        assert_eq!(site.init_outcome(Some(before)), refused(Refusal::StaleProducerEpoch));
        let again = EndTransaction { reason, ..site.end_command(false, reason) };
        assert_eq!(site.run(Command::EndTransaction(again)), refused(Refusal::InvalidTxnState), "nothing is open");
    }
}

#[test]
fn only_the_coordinator_writes_about_a_transactional_id_except_for_an_administrators_abort() {
    let mut site = Site::new();
    site.add(&[0], &[]);
    let mut others: Vec<Epoch> = (2..12).map(|broker| site.cluster.join(broker)).collect();
    others.push(site.broker);
    let coordinator = site.cluster.state.coordinator(CoordinatorKind::Transaction, ID).expect("brokers are open").epoch;
    let other = *others.iter().find(|broker| **broker != coordinator).expect("another broker");
    let init = InitTransactions { transactional_id: ID.into(), timeout_ms: 1, expected: None };
    let (producer_id, epoch) = site.now();
    let groups = vec!["g".to_owned()];
    let add = AddToTransaction { transactional_id: ID.into(), producer_id, epoch, partitions: vec![], groups };
    let commands = [
        Command::InitTransactions(init),
        Command::AddToTransaction(add),
        Command::EndTransaction(site.end_command(true, NEW)),
        Command::EndTransaction(site.end_command(false, Timeout)),
    ];
    for command in commands {
        let before = site.transaction().clone();
        assert_eq!(site.cluster.run(other, command.clone()), refused(Refusal::NotCoordinator), "{command:?}");
        assert_eq!(*site.transaction(), before);
    }
    let end = Command::EndTransaction(site.end_command(false, Admin));
    assert!(matches!(site.cluster.run(other, end), Outcome::TransactionEnded { .. }));
}

/// The coordinator dies with a record on its way; the next one has taken over when it arrives.
#[test]
fn a_stale_coordinators_record_is_refused() {
    let mut site = Site::new();
    site.add(&[0], &[]);
    let (mut stale, mut broker) = (site.broker, 2);
    while site.cluster.state.coordinator(CoordinatorKind::Transaction, ID).expect("open").epoch == site.broker {
        stale = site.broker;
        site.cluster.join(broker);
        broker += 1;
    }
    let late = Command::EndTransaction(site.end_command(true, OLD));
    assert_eq!(site.cluster.run(stale, late.clone()), refused(Refusal::NotCoordinator));
    site.cluster.run(stale, Command::CloseBroker { epoch: stale });
    assert_eq!(site.cluster.run(stale, late.clone()), refused(Refusal::ClosedEpoch));
    site.broker = site.cluster.state.coordinator(CoordinatorKind::Transaction, ID).expect("open").epoch;
    assert_eq!(site.end(true, OLD), [site.at(0)], "the new one goes on where the old one stood");
}

#[test]
fn nothing_to_end_is_an_error_but_for_an_abort_of_the_new_protocol() {
    let mut site = Site::new();
    let invalid = refused(Refusal::InvalidTxnState);
    for (commit, reason) in [(true, OLD), (false, OLD), (true, NEW), (false, Timeout), (false, Admin)] {
        let end = site.end_command(commit, reason);
        assert_eq!(site.run(Command::EndTransaction(end)), invalid, "{commit} {reason:?}");
    }
    assert_eq!(site.end(false, NEW), []);
    assert_eq!(site.epoch, 1);
    site.end(false, NEW);
    assert_eq!(site.epoch, 2);
    let unknown = EndTransaction { transactional_id: "unknown".into(), ..site.end_command(true, NEW) };
    assert_eq!(site.run(Command::EndTransaction(unknown)), refused(Refusal::InvalidProducerIdMapping));
    let wrong = EndTransaction { producer_id: 99, ..site.end_command(true, NEW) };
    assert_eq!(site.run(Command::EndTransaction(wrong)), refused(Refusal::InvalidProducerIdMapping));
}
