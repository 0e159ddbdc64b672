//! Tests of the state machine: one table per rule, a reference model, snapshots, sizes, and broken rules.

mod groups;
mod idempotence;
mod model;
mod mutations;
mod rules;
mod size;
mod snapshots;
mod transactions;

use super::*;
use crate::record::{Assignment, BatchProducer, Commit, CommitPart, Joining, OffsetCommit, RegisterBroker, Run};
use frazil_base::BrokerId;

/// Writes records for a state as brokers would, and applies them.
struct Cluster {
    state: State,
    /// Every record so far.
    log: Vec<(Seq, Record)>,
    now_ms: i64,
    number: u64,
}

impl Cluster {
    fn new() -> Cluster {
        Cluster { state: State::new(), log: Vec::new(), now_ms: 1_700_000_000_000, number: 0 }
    }

    /// A broker that registered, and a topic `events` of three partitions.
    fn with_topic() -> (Cluster, Epoch, TopicId) {
        let mut cluster = Cluster::new();
        let epoch = cluster.join(1);
        let topic = cluster.topic(epoch, "events", 3);
        (cluster, epoch, topic)
    }

    fn apply(&mut self, record: Record) -> Outcome {
        let seq = self.state.applied().next();
        self.log.push((seq, record.clone()));
        self.state.apply(seq, &record)
    }

    /// A new record of a broker.
    fn record(&mut self, epoch: Epoch, command: Command) -> Record {
        self.number += 1;
        Record { epoch, number: self.number, time_ms: self.now_ms, command }
    }

    fn run(&mut self, epoch: Epoch, command: Command) -> Outcome {
        let record = self.record(epoch, command);
        self.apply(record)
    }

    fn register(&mut self, register: RegisterBroker) -> Outcome {
        let command = Command::RegisterBroker(register);
        self.apply(Record { epoch: Epoch(0), number: 0, time_ms: self.now_ms, command })
    }

    fn join(&mut self, broker: i32) -> Epoch {
        let incarnation = u128::from(self.state.applied().0) + 1;
        match self.register(RegisterBroker { incarnation, ..registration(broker) }) {
            Outcome::Registered(epoch) => epoch,
            other => panic!("{other:?}"),
        }
    }

    fn topic(&mut self, epoch: Epoch, name: &str, partitions: i32) -> TopicId {
        let topic = TopicId(u128::from(self.state.applied().0) << 64 | 77);
        assert_eq!(self.run(epoch, create(topic, name, partitions)), Outcome::Done);
        topic
    }

    /// Commits one part per partition, into the log.
    fn commit(&mut self, epoch: Epoch, parts: &[(TopicPartition, &[Run])]) -> Vec<Vec<RunOutcome>> {
        let commit = segment(ObjectId { epoch, number: self.number }, true, parts);
        committed(self.run(epoch, Command::Commit(commit)))
    }

    /// Commits one part per partition, as an object of its own.
    fn commit_object(&mut self, epoch: Epoch, parts: &[(TopicPartition, &[Run])]) -> ObjectId {
        let object = ObjectId { epoch, number: 1000 + self.number };
        committed(self.run(epoch, Command::Commit(segment(object, false, parts))));
        object
    }

    fn partition(&self, partition: TopicPartition) -> &Partition {
        self.state.partition(partition).expect("the partition is there")
    }

    fn dead(&self) -> Vec<(ObjectId, i64)> {
        self.state.dead_objects().collect()
    }
}

fn committed(outcome: Outcome) -> Vec<Vec<RunOutcome>> {
    match outcome {
        Outcome::Committed(parts) => parts,
        other => panic!("{other:?}"),
    }
}

fn registration(broker: i32) -> RegisterBroker {
    let (incarnation, host, zone) = (7, format!("host-{broker}"), None);
    RegisterBroker { broker: BrokerId(broker), incarnation, host, port: 9092, zone, exclusive: false }
}

fn create(topic: TopicId, name: &str, partitions: i32) -> Command {
    let configs = vec![("retention.ms".to_owned(), "5".to_owned())];
    Command::CreateTopic(CreateTopic { topic, name: name.into(), partitions, replication_factor: 1, configs })
}

fn at(topic: TopicId, partition: i32) -> TopicPartition {
    TopicPartition { topic, partition }
}

/// A segment that holds the parts one after the other, and a footer of 50 bytes.
fn segment(object: ObjectId, in_log: bool, parts: &[(TopicPartition, &[Run])]) -> Commit {
    let mut end = 0;
    let mut place = |(partition, runs): &(TopicPartition, &[Run])| {
        let position = end;
        end += runs.iter().map(|run| run.bytes).sum::<u32>();
        CommitPart { partition: *partition, position, runs: runs.to_vec() }
    };
    let parts = parts.iter().map(&mut place).collect();
    Commit { object, in_log, bytes: end + 50, parts }
}

/// A plain run of 100 bytes.
fn plain(records: u32) -> Run {
    Run { bytes: 100, records, max_timestamp: 1_000 + i64::from(records), producer: None }
}

/// A batch of 100 bytes of an idempotent producer.
fn batch(id: i64, epoch: i16, first_sequence: i32, records: u32) -> Run {
    Run { producer: Some(BatchProducer { id, epoch, first_sequence, transactional: None }), ..plain(records) }
}

fn accepted(base_offset: i64) -> RunOutcome {
    RunOutcome::Accepted { base_offset }
}

fn duplicate(base_offset: i64) -> RunOutcome {
    RunOutcome::Duplicate { base_offset }
}
