//! Transactions: ends that are late, repeated or written by somebody else; epochs; offsets in transactions; LSO.

use super::*;
use crate::record::{AddToTransaction, EndReason, EndTransaction, GroupCommit, GroupFence, InitTransactions, TxnFence};
use EndReason::{Admin, Client, Timeout};
use Joining::{Explicit, Implicit};
use frazil_base::limits::{TRANSACTIONAL_ID_EXPIRY_MS, TRANSACTIONAL_IDS_MAX};

const ID: &str = "payments";
const OLD: EndReason = Client { bump: false };
const NEW: EndReason = Client { bump: true };

/// A cluster of one broker with a topic, and a producer that has the transactional id.
struct Site {
    cluster: Cluster,
    broker: Epoch,
    topic: TopicId,
    producer_id: i64,
    epoch: i16,
}

impl Site {
    fn new() -> Site {
        let (cluster, broker, topic) = Cluster::with_topic();
        let mut site = Site { cluster, broker, topic, producer_id: 0, epoch: 0 };
        site.init(None);
        site
    }

    fn at(&self, partition: i32) -> TopicPartition {
        at(self.topic, partition)
    }

    fn run(&mut self, command: Command) -> Outcome {
        self.cluster.run(self.broker, command)
    }

    fn init_outcome(&mut self, expected: Option<(i64, i16)>) -> Outcome {
        self.run(Command::InitTransactions(InitTransactions {
            transactional_id: ID.into(),
            timeout_ms: 60_000,
            expected,
        }))
    }

    /// Takes the id over. Returns the partitions of the transaction that was aborted.
    fn init(&mut self, expected: Option<(i64, i16)>) -> Vec<TopicPartition> {
        match self.init_outcome(expected) {
            Outcome::Producer { id, epoch, aborted } => {
                (self.producer_id, self.epoch) = (id, epoch);
                aborted
            }
            other => panic!("{other:?}"),
        }
    }

    fn now(&self) -> (i64, i16) {
        (self.producer_id, self.epoch)
    }

    fn add(&mut self, partitions: &[i32], groups: &[&str]) -> Outcome {
        let partitions = partitions.iter().map(|number| self.at(*number)).collect();
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let Site { producer_id, epoch, .. } = *self;
        let transactional_id = ID.into();
        self.run(Command::AddToTransaction(AddToTransaction {
            transactional_id,
            producer_id,
            epoch,
            partitions,
            groups,
        }))
    }

    /// A batch of the present producer.
    fn batch(&self, joining: Joining, first_sequence: i32, records: u32) -> Run {
        in_transaction(batch(self.producer_id, self.epoch, first_sequence, records), joining)
    }

    fn produce(&mut self, partition: i32, run: Run) -> RunOutcome {
        let partition = self.at(partition);
        self.cluster.commit(self.broker, &[(partition, &[run])])[0][0]
    }

    fn end_command(&self, commit: bool, reason: EndReason) -> EndTransaction {
        let Site { producer_id, epoch, .. } = *self;
        EndTransaction { transactional_id: ID.into(), producer_id, epoch, commit, reason, started: None }
    }

    /// Ends what is open under the present id and epoch, and goes on with what is answered.
    fn end(&mut self, commit: bool, reason: EndReason) -> Vec<TopicPartition> {
        let outcome = self.run(Command::EndTransaction(self.end_command(commit, reason)));
        match outcome {
            Outcome::TransactionEnded { producer_id, epoch, partitions } => {
                (self.producer_id, self.epoch) = (producer_id, epoch);
                partitions
            }
            other => panic!("{other:?}"),
        }
    }

    fn transaction(&self) -> &Transaction {
        self.cluster.state.transaction(ID).expect("the id was taken over")
    }

    fn partition(&self, number: i32) -> &Partition {
        self.cluster.partition(self.at(number))
    }

    /// Next offset, last stable offset, and first and last offset of each aborted transaction.
    fn stability(&self, number: i32) -> (i64, i64, Vec<(i64, i64)>) {
        let partition = self.partition(number);
        let aborted = partition.aborted_in(0..i64::MAX);
        let aborted = aborted.iter().map(|aborted| (aborted.first_offset, aborted.last_offset)).collect();
        (partition.next_offset, partition.last_stable_offset(), aborted)
    }

    fn commit_offset(&mut self, group: &str, offset: i64, implicit: bool) -> Result<(), Refusal> {
        let Site { producer_id, epoch, .. } = *self;
        let txn = TxnFence { transactional_id: ID.into(), producer_id, epoch, implicit };
        let offset = OffsetCommit { offset, leader_epoch: 0, metadata: String::new() };
        let offsets = vec![(self.at(0), offset)];
        let commit = GroupCommit { group: group.into(), fence: GroupFence::Transactional, txn: Some(txn), offsets };
        match self.run(Command::CommitOffsets { commits: vec![commit] }) {
            Outcome::PerItem(items) => items[0],
            other => panic!("{other:?}"),
        }
    }

    fn committed(&self, group: &str) -> Option<i64> {
        self.cluster.state.group(group)?.offsets.get(&self.at(0)).map(|committed| committed.offset)
    }
}

fn in_transaction(run: Run, joining: Joining) -> Run {
    let producer = run.producer.expect("of a producer");
    Run { producer: Some(BatchProducer { transactional: Some(joining), ..producer }), ..run }
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

fn ended(producer_id: i64, epoch: i16) -> Outcome {
    Outcome::TransactionEnded { producer_id, epoch, partitions: vec![] }
}

#[test]
fn a_committed_transaction_is_stable_from_its_marker_on() {
    let mut site = Site::new();
    site.add(&[0, 1], &[]);
    assert_eq!(site.produce(0, plain(2)), accepted(0));
    assert_eq!(site.produce(0, site.batch(Explicit, 0, 3)), accepted(2));
    assert_eq!(site.produce(0, plain(1)), accepted(5));
    assert_eq!(site.stability(0), (6, 2, vec![]));
    assert_eq!(site.stability(1), (0, 0, vec![]), "added, not written to");
    let partitions = site.end(true, OLD);
    assert_eq!(partitions, [site.at(0), site.at(1)]);
    assert_eq!(site.stability(0), (7, 7, vec![]));
    assert_eq!(site.stability(1), (1, 1, vec![]), "markers stand on every partition that was added");
    assert_eq!(site.transaction().phase, TransactionPhase::Committed);
}

#[test]
fn an_aborted_transaction_is_listed_for_those_who_read_its_range() {
    let mut site = Site::new();
    site.add(&[0], &[]);
    site.produce(0, plain(2));
    site.produce(0, site.batch(Explicit, 0, 3));
    site.end(false, OLD);
    assert_eq!(site.stability(0), (6, 6, vec![(2, 5)]));
    let listed = |range| site.partition(0).aborted_in(range).len();
    assert_eq!([listed(0..2), listed(0..3), listed(5..6), listed(6..9)], [0, 1, 1, 0]);
    let aborted = site.partition(0).aborted_in(0..9);
    assert_eq!(aborted[0].producer_id, site.producer_id);
}

#[test]
fn a_marker_is_an_extent_of_one_offset_that_no_body_holds() {
    let mut site = Site::new();
    site.add(&[0], &[]);
    site.produce(0, site.batch(Explicit, 0, 3));
    site.cluster.now_ms += 5;
    let bodies = site.cluster.state.bodies().count();
    site.end(false, NEW);
    let extent = *site.partition(0).extents.back().expect("the marker");
    let marker = ControlMarker { producer_id: site.producer_id, epoch: 1, commit: false };
    let expected = Extent {
        base_offset: 3,
        records: 1,
        body: BodyId::Marker(marker),
        position: 0,
        bytes: CONTROL_BATCH_BYTES,
        max_timestamp: site.cluster.now_ms,
    };
    assert_eq!(extent, expected);
    assert_eq!(site.cluster.state.bodies().count(), bodies);
    site.run(Command::MoveLogStart { starts: vec![(site.at(0), 4)] });
    assert_eq!((site.partition(0).extents.len(), site.cluster.state.bodies().count()), (0, 0));
}

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
        assert_eq!(site.run(Command::EndTransaction(late.clone())), ended(producer_id, epoch), "the next one is open");
        let opposite = EndTransaction { commit: !commit, ..late.clone() };
        assert_eq!(site.run(Command::EndTransaction(opposite)), refused(Refusal::InvalidTxnState));
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
fn a_transaction_over_50_partitions_ends_with_one_record_and_all_stable_offsets_move_at_once() {
    let mut site = Site::new();
    site.topic = site.cluster.topic(site.broker, "wide", 50);
    let runs = [site.batch(Implicit, 0, 2)];
    let parts: Vec<(TopicPartition, &[Run])> = (0..50).map(|number| (site.at(number), &runs[..])).collect();
    site.cluster.commit(site.broker, &parts);
    assert!((0..50).all(|number| site.stability(number) == (2, 0, vec![])));
    let records = site.cluster.log.len();
    assert_eq!(site.end(true, NEW).len(), 50);
    assert_eq!(site.cluster.log.len(), records + 1);
    assert!((0..50).all(|number| site.stability(number) == (3, 3, vec![])));
}

#[test]
fn the_oldest_open_transaction_holds_the_stable_offset() {
    let mut site = Site::new();
    let mut other = InitTransactions { transactional_id: "other".into(), timeout_ms: 1, expected: None };
    let Outcome::Producer { id: first, .. } = site.run(Command::InitTransactions(other.clone())) else { panic!() };
    other.transactional_id = "another".into();
    let Outcome::Producer { id: second, .. } = site.run(Command::InitTransactions(other)) else { panic!() };
    let of = |id| in_transaction(batch(id, 0, 0, 1), Implicit);
    site.produce(0, of(first));
    site.produce(0, of(second));
    site.produce(0, site.batch(Implicit, 0, 1));
    let end = |transactional_id: &str, producer_id, commit| {
        let transactional_id = transactional_id.into();
        let end = EndTransaction { transactional_id, producer_id, epoch: 0, commit, reason: NEW, started: None };
        Command::EndTransaction(end)
    };
    site.run(end("another", second, false));
    assert_eq!(site.stability(0), (4, 0, vec![(1, 3)]));
    site.run(end("other", first, true));
    assert_eq!(site.stability(0), (5, 2, vec![(1, 3)]));
    site.end(false, NEW);
    assert_eq!(site.stability(0), (6, 6, vec![(1, 3), (2, 5)]));
    let listed = |range| site.partition(0).aborted_in(range).len();
    assert_eq!([listed(0..1), listed(0..2), listed(2..3), listed(4..5), listed(0..6)], [0, 1, 2, 1, 2]);
}

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
    let Outcome::Producer { id, epoch: 0, .. } = site.run(Command::InitTransactions(init)) else { panic!() };
    assert!(id > site.producer_id);
    let Outcome::ProducerIds { first } = site.run(Command::AllocateProducerIds { count: 10 }) else { panic!() };
    assert_eq!(first, id + 1, "both come from one counter");
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
fn offsets_of_a_transaction_take_effect_with_its_commit_or_never() {
    for (commit, expected) in [(true, Some(7)), (false, Some(3))] {
        let mut site = Site::new();
        site.commit_offset("readers", 3, true).expect("implicit");
        site.end(true, NEW);
        assert_eq!(site.committed("readers"), Some(3));
        site.commit_offset("readers", 7, true).expect("implicit");
        let group = site.cluster.state.group("readers").expect("it has offsets");
        assert!(group.is_pending(site.at(0)) && !group.is_pending(site.at(1)));
        assert_eq!(site.committed("readers"), Some(3));
        assert!(site.transaction().groups.contains("readers"));
        site.end(commit, NEW);
        assert_eq!(site.committed("readers"), expected);
        assert!(!site.cluster.state.group("readers").expect("it has offsets").is_pending(site.at(0)));
    }
}

#[test]
fn offsets_need_the_present_epoch_and_without_bumped_epochs_an_added_group() {
    let mut site = Site::new();
    assert_eq!(site.commit_offset("readers", 1, false), Err(Refusal::InvalidTxnState), "none is open");
    site.add(&[0], &["others"]);
    assert_eq!(site.commit_offset("readers", 1, false), Err(Refusal::InvalidTxnState), "not added");
    site.add(&[], &["readers"]);
    assert_eq!(site.commit_offset("readers", 1, false), Ok(()));
    site.end(true, NEW);
    (site.epoch, site.producer_id) = (site.epoch - 1, site.producer_id);
    assert_eq!(site.commit_offset("readers", 0, true), Err(Refusal::StaleProducerEpoch), "late");
    site.producer_id = 99;
    assert_eq!(site.commit_offset("readers", 0, true), Err(Refusal::InvalidProducerIdMapping));
    assert_eq!(site.committed("readers"), Some(1));
}

#[test]
fn a_group_with_offsets_of_an_open_transaction_is_not_deleted() {
    let mut site = Site::new();
    site.commit_offset("readers", 3, true).expect("implicit");
    let delete = Command::DeleteGroups { groups: vec!["readers".into()] };
    assert_eq!(site.run(delete.clone()), Outcome::PerItem(vec![Err(Refusal::NonEmptyGroup)]));
    site.end(true, NEW);
    assert_eq!(site.run(delete), Outcome::PerItem(vec![Ok(())]));
}

#[test]
fn a_deleted_topic_leaves_open_transactions() {
    let mut site = Site::new();
    let other = site.cluster.topic(site.broker, "other", 1);
    site.produce(0, site.batch(Implicit, 0, 1));
    let runs = [site.batch(Implicit, 0, 1)];
    site.cluster.commit(site.broker, &[(at(other, 0), &runs)]);
    site.commit_offset("readers", 3, true).expect("implicit");
    site.run(Command::DeleteTopic { topic: site.topic });
    assert_eq!(site.transaction().partitions.iter().copied().collect::<Vec<_>>(), [at(other, 0)]);
    assert!(site.cluster.state.group("readers").is_none(), "its only offset was of that topic");
    let restored = State::from_snapshot(&site.cluster.state.snapshot()).expect("just written");
    assert_eq!(restored.content_hash(), site.cluster.state.content_hash());
    assert_eq!(site.end(true, NEW), [at(other, 0)]);
    assert!(!site.transaction().is_ongoing());
    assert_eq!(site.cluster.partition(at(other, 0)).last_stable_offset(), 2);
}

#[test]
fn a_transaction_of_a_deleted_topic_only_still_ends() {
    let mut site = Site::new();
    site.produce(0, site.batch(Implicit, 0, 1));
    site.run(Command::DeleteTopic { topic: site.topic });
    assert!(site.transaction().is_ongoing());
    assert_eq!(site.end(true, NEW), []);
    assert_eq!(site.transaction().phase, TransactionPhase::Committed);
}

#[test]
fn the_list_of_aborted_transactions_goes_with_the_log_start() {
    let mut site = Site::new();
    for _ in 0..1_000 {
        site.produce(0, site.batch(Implicit, 0, 1));
        site.end(false, NEW);
    }
    assert_eq!(site.stability(0).2.len(), 1_000);
    let few = site.partition(0).aborted_in(500..510);
    assert_eq!((few.len(), few[0].first_offset), (5, 500));
    for (start, left) in [(1, 1_000), (2, 999), (3, 999), (1_000, 500), (1_999, 1), (2_000, 0)] {
        site.run(Command::MoveLogStart { starts: vec![(site.at(0), start)] });
        assert_eq!(site.stability(0).2.len(), left, "from {start}");
    }
    assert_eq!(site.partition(0).transactions, None, "nothing is kept of what is gone");
}

#[test]
fn a_log_start_within_an_open_transaction_is_stable() {
    let mut site = Site::new();
    site.produce(0, site.batch(Implicit, 0, 4));
    site.produce(0, plain(4));
    site.run(Command::MoveLogStart { starts: vec![(site.at(0), 6)] });
    assert_eq!(site.partition(0).last_stable_offset(), 6);
    site.end(false, NEW);
    assert_eq!(site.stability(0), (9, 9, vec![(0, 8)]));
}

#[test]
fn partitions_that_do_not_exist_do_not_join() {
    let mut site = Site::new();
    assert_eq!(site.add(&[7], &[]), Outcome::Done);
    assert!(!site.transaction().is_ongoing(), "nothing joined");
    assert_eq!(site.add(&[0, 7, 1], &[]), Outcome::Done);
    assert_eq!(site.end(true, OLD), [site.at(0), site.at(1)]);
    site.epoch += 1;
    assert_eq!(site.add(&[0], &[]), refused(Refusal::StaleProducerEpoch));
    site.producer_id += 1;
    assert_eq!(site.add(&[0], &[]), refused(Refusal::InvalidProducerIdMapping));
}

#[test]
fn idle_transactional_ids_are_forgotten_and_open_ones_are_not() {
    let mut site = Site::new();
    let open = InitTransactions { transactional_id: "open".into(), timeout_ms: 1, expected: None };
    let Outcome::Producer { id, .. } = site.run(Command::InitTransactions(open)) else { panic!() };
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

#[test]
fn a_transaction_survives_a_snapshot_in_any_phase() {
    let mut site = Site::new();
    let check = |site: &mut Site| {
        let restored = State::from_snapshot(&site.cluster.state.snapshot()).expect("just written");
        assert_eq!(restored.transaction(ID), site.cluster.state.transaction(ID));
        assert_eq!(restored.partition(site.at(0)), site.cluster.state.partition(site.at(0)));
        assert_eq!(restored.group("readers"), site.cluster.state.group("readers"));
        site.cluster.state = restored;
    };
    check(&mut site);
    for commit in [true, false, true] {
        site.add(&[0], &[]);
        check(&mut site);
        site.produce(0, site.batch(Implicit, 0, 2));
        site.commit_offset("readers", 7, true).expect("implicit");
        check(&mut site);
        site.end(commit, NEW);
        check(&mut site);
    }
    assert_eq!(site.stability(0), (9, 9, vec![(3, 5)]));
}
