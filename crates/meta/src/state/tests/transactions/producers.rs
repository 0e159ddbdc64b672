//! Who produces under a transactional id: producer ids and epochs, sequences, what is forgotten.

use super::*;
use frazil_base::limits::{TRANSACTIONAL_ID_EXPIRY_MS, TRANSACTIONAL_IDS_MAX};

#[test]
fn exhausted_epochs_give_a_new_producer_id() {
    let mut site = Site::new();
    let id = site.producer_id;
    while site.epoch < i16::MAX - 1 {
        site.init(None);
    }
    assert_eq!(site.now(), (id, i16::MAX - 1), "the last epoch that is given out");
    site.produce(0, site.batch(Implicit, 0, 1));
    let before = site.now();
    let late = site.end_command(true, NEW);
    site.end(true, NEW);
    let (next, epoch) = site.now();
    assert!(next > id && epoch == 0);
    let BodyId::Marker(marker) = site.partition(0).extents[1].body else { panic!("a marker") };
    assert_eq!((marker.producer_id, marker.epoch), (id, i16::MAX));
    assert_eq!(site.run(Command::EndTransaction(late)), ended(next, 0), "a retry across the change");
    assert_eq!(site.init_outcome(Some(before)), Outcome::Producer { id: next, epoch: 0, aborted: vec![] });
    let old = in_transaction(batch(before.0, before.1, 1, 1), Implicit);
    assert_eq!(site.produce(0, old), RunOutcome::InvalidProducerIdMapping);
    assert!(site.cluster.state.transaction_of(id).is_none());
    assert_eq!(site.cluster.state.transaction_of(next).map(|owner| owner.transactional_id.as_str()), Some(ID));
    assert_eq!(site.produce(0, site.batch(Implicit, 0, 1)), accepted(2));
}

#[test]
fn a_timeout_at_the_last_epoch_fences_and_the_next_producer_gets_a_new_id() {
    let mut site = Site::new();
    while site.epoch < i16::MAX - 1 {
        site.init(None);
    }
    let (id, _) = site.now();
    site.produce(0, site.batch(Implicit, 0, 1));
    site.end(false, Timeout);
    assert_eq!(site.now(), (id, i16::MAX));
    site.init(None);
    assert!(site.producer_id > id && site.epoch == 0);
}

#[test]
fn an_exhausted_producer_that_goes_on_gets_a_new_id_and_the_same_one_again() {
    let mut site = Site::new();
    while site.epoch < i16::MAX - 1 {
        site.init(None);
    }
    let before = site.now();
    site.produce(0, site.batch(Implicit, 0, 1));
    assert_eq!(site.init(Some(before)), [site.at(0)]);
    let after = site.now();
    assert!(after.0 > before.0 && after.1 == 0);
    assert_eq!(site.stability(0), (2, 2, vec![(0, 1)]));
    site.init(Some(before));
    assert_eq!(site.now(), after);
}

/// KIP-360: a producer goes on after an error; the answer may be lost.
#[test]
fn kip_360_a_producer_that_goes_on_must_be_the_present_one_and_its_retry_gets_the_present_epoch() {
    let mut site = Site::new();
    let first = site.now();
    site.init(Some(first));
    assert_eq!(site.now(), (first.0, 1));
    site.init(Some(first));
    assert_eq!(site.now(), (first.0, 1), "the answer was lost");
    site.produce(0, site.batch(Implicit, 0, 1));
    assert_eq!(site.init(Some(first)), [], "the first attempt arrives late: the open transaction goes on");
    assert_eq!(site.now(), (first.0, 1));
    assert!(site.transaction().is_ongoing());
    for wrong in [(first.0, 5), (first.0 + 1, 1), (first.0, -1)] {
        assert_eq!(site.init_outcome(Some(wrong)), refused(Refusal::StaleProducerEpoch));
    }
    assert_eq!(site.init(Some((first.0, 1))), [site.at(0)], "its own open transaction is aborted");
    assert_eq!(site.now(), (first.0, 2));
    site.init(None);
    let fenced = (first.0, 2);
    assert_eq!(site.init_outcome(Some(fenced)), refused(Refusal::StaleProducerEpoch), "somebody else took over");
    assert_eq!(site.init_outcome(Some((first.0, 1))), refused(Refusal::StaleProducerEpoch));
}

#[test]
fn an_unknown_id_with_an_expected_producer_starts_anew() {
    let mut site = Site::new();
    let init = InitTransactions { transactional_id: "new".into(), timeout_ms: 1, expected: Some((77, 3)) };
    let outcome = site.run(Command::InitTransactions(init.clone()));
    let Outcome::Producer { id, epoch: 0, .. } = outcome else { panic!("{outcome:?}") };
    assert!(id > site.producer_id);
    let outcome = site.run(Command::InitTransactions(init));
    assert_eq!(outcome, Outcome::Producer { id, epoch: 0, aborted: vec![] }, "the answer was lost");
    let outcome = site.run(Command::AllocateProducerIds { count: 10 });
    assert_eq!(outcome, Outcome::ProducerIds { first: id + 1 }, "both come from one counter");
}

#[test]
fn a_takeover_aborts_what_is_open_in_the_same_step() {
    let mut site = Site::new();
    site.add(&[1], &["readers"]);
    site.commit_offset("readers", 5, false).expect("added");
    site.produce(1, site.batch(Explicit, 0, 2));
    let old = site.now();
    assert_eq!(site.init(None), [site.at(1)]);
    assert_eq!(site.now(), (old.0, old.1 + 1));
    assert_eq!(site.stability(1), (3, 3, vec![(0, 2)]));
    assert!(site.cluster.state.group("readers").is_none(), "nothing is left of it");
    assert_eq!(site.transaction().phase, TransactionPhase::Empty);
    let end = EndTransaction { epoch: old.1, ..site.end_command(true, OLD) };
    assert_eq!(site.run(Command::EndTransaction(end)), refused(Refusal::StaleProducerEpoch));
}

#[test]
fn the_first_batch_of_an_implicit_join_has_sequence_0() {
    let mut site = Site::new();
    assert_eq!(site.produce(0, site.batch(Implicit, 5, 1)), RunOutcome::OutOfOrderSequence);
    assert!(!site.transaction().is_ongoing(), "a rejected batch opens nothing");
    assert_eq!(site.produce(0, site.batch(Implicit, 0, 5)), accepted(0));
    assert_eq!(site.produce(0, site.batch(Implicit, 5, 1)), accepted(5));
    site.add(&[1], &[]);
    assert_eq!(site.produce(1, site.batch(Explicit, 7, 1)), accepted(0), "as ever with the old protocol");
}

#[test]
fn sequences_start_again_with_every_epoch() {
    let mut site = Site::new();
    for round in 0..4i64 {
        assert_eq!(site.produce(0, site.batch(Implicit, 0, 2)), accepted(5 * round));
        assert_eq!(site.produce(0, site.batch(Implicit, 0, 2)), duplicate(5 * round));
        assert_eq!(site.produce(0, site.batch(Implicit, 3, 2)), RunOutcome::OutOfOrderSequence);
        assert_eq!(site.produce(0, site.batch(Implicit, 2, 2)), accepted(5 * round + 2));
        site.end(round % 2 == 0, NEW);
    }
    site.init(Some(site.now()));
    assert_eq!(site.produce(0, site.batch(Implicit, 4, 2)), RunOutcome::OutOfOrderSequence);
    assert_eq!(site.produce(0, site.batch(Implicit, 0, 2)), accepted(20));
}

#[test]
fn a_plain_batch_does_not_pass_its_producers_open_transaction_by() {
    let mut site = Site::new();
    site.produce(0, site.batch(Implicit, 0, 1));
    let plain_batch = batch(site.producer_id, site.epoch, 1, 1);
    assert_eq!(site.produce(0, plain_batch), RunOutcome::InvalidTxnState);
    let stranger = in_transaction(batch(4711, 0, 0, 1), Implicit);
    assert_eq!(site.produce(0, stranger), RunOutcome::InvalidProducerIdMapping);
    assert_eq!(site.produce(0, batch(4711, 0, 0, 1)), accepted(1), "an idempotent producer has no transactional id");
    let ahead = in_transaction(batch(site.producer_id, site.epoch + 1, 0, 1), Implicit);
    assert_eq!(site.produce(0, ahead), RunOutcome::StaleProducerEpoch);
}

#[test]
fn idle_transactional_ids_are_forgotten_and_open_ones_are_not() {
    let mut site = Site::new();
    let id = site.init_other("open");
    site.produce(0, in_transaction(batch(id, 0, 0, 1), Implicit));
    site.cluster.now_ms += TRANSACTIONAL_ID_EXPIRY_MS - 1;
    site.produce(0, plain(1));
    assert_eq!(site.cluster.state.transactions().count(), 2);
    site.cluster.now_ms += 2 * PRODUCER_SWEEP_MS;
    site.produce(0, plain(1));
    let left: Vec<&str> = site.cluster.state.transactions().map(|left| left.transactional_id.as_str()).collect();
    assert_eq!(left, ["open"]);
    let before = site.now();
    site.init(Some(before));
    assert!(site.producer_id > before.0, "known no longer");
}

#[test]
fn a_limited_number_of_transactional_ids_is_remembered() {
    let mut site = Site::new();
    site.produce(0, site.batch(Implicit, 0, 1));
    site.cluster.now_ms += 1;
    let id = |number: usize| format!("id-{number}");
    for number in 0..TRANSACTIONAL_IDS_MAX {
        let init = InitTransactions { transactional_id: id(number), timeout_ms: 1, expected: None };
        let record = site.cluster.record(site.broker, Command::InitTransactions(init));
        site.cluster.state.apply(site.cluster.state.applied().next(), &record);
    }
    let state = &site.cluster.state;
    assert_eq!(state.transactions().count(), TRANSACTIONAL_IDS_MAX - TRANSACTIONAL_IDS_MAX / 8 + 1);
    assert!(state.transaction(ID).is_some_and(Transaction::is_ongoing), "what is open stays");
    assert!(state.transaction(&id(0)).is_none() && state.transaction(&id(TRANSACTIONAL_IDS_MAX - 1)).is_some());
}

#[test]
fn producers_are_shown_with_their_open_transactions() {
    let mut site = Site::new();
    site.produce(0, batch(500, 2, 0, 3));
    site.produce(0, site.batch(Implicit, 0, 2));
    let views: Vec<ProducerView> = site.partition(0).producers().collect();
    let last_ms = site.cluster.now_ms;
    let open = ProducerView { id: site.producer_id, epoch: 0, last_sequence: 1, last_ms, txn_start: Some(3) };
    assert_eq!(views, [open, ProducerView { id: 500, epoch: 2, last_sequence: 2, last_ms, txn_start: None }]);
}
