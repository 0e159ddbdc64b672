//! Transactions: what readers of committed data see, offsets in transactions, deleted topics.

mod ends;
mod producers;

use super::*;
use crate::record::{AddToTransaction, EndReason, EndTransaction, GroupCommit, GroupFence, InitTransactions, TxnFence};
use EndReason::{Admin, Client, Timeout};
use Joining::{Explicit, Implicit};

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

    /// Takes another id over. Returns its producer id.
    fn init_other(&mut self, transactional_id: &str) -> i64 {
        let init = InitTransactions { transactional_id: transactional_id.into(), timeout_ms: 1, expected: None };
        match self.run(Command::InitTransactions(init)) {
            Outcome::Producer { id, .. } => id,
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
    let (first, second) = (site.init_other("other"), site.init_other("another"));
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
fn an_offset_committed_after_that_of_a_transaction_stays_when_it_ends() {
    let mut site = Site::new();
    site.commit_offset("readers", 5, true).expect("implicit");
    let offset = OffsetCommit { offset: 9, leader_epoch: 0, metadata: String::new() };
    let offsets = vec![(site.at(0), offset)];
    let later = GroupCommit { group: "readers".into(), fence: GroupFence::None, txn: None, offsets };
    assert_eq!(site.run(Command::CommitOffsets { commits: vec![later] }), Outcome::PerItem(vec![Ok(())]));
    site.end(true, NEW);
    assert_eq!(site.committed("readers"), Some(9));
    site.commit_offset("readers", 11, true).expect("implicit");
    site.end(true, NEW);
    assert_eq!(site.committed("readers"), Some(11));
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
