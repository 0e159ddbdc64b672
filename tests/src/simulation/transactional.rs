//! A transactional producer, in the protocol before KIP-890 and in that after it.

use super::caller::{Caller, Kind, Lateness, code, text};
use super::chance::Chance;
use super::history::{Event, Value};
use super::plan::Fault;
use super::world::{START_MS, TOPIC_STEP, TOPICS, World};
use bytes::Bytes;
use frazil_wire::batch::{BatchBuilder, ProducerFields};
use frazil_wire::compression::Compression;
use kafka_protocol::error::ResponseError as Error;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest, ProduceRequest,
    TopicName, TransactionalId, TxnOffsetCommitRequest,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a transaction may stay open.
const TIMEOUT_MS: i32 = 20_000;
/// So often a batch is sent before its producer gives it up.
const ATTEMPTS: u32 = 8;

/// Which protocol a producer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Partitions and groups are added by requests of their own; an epoch lasts for many transactions.
    Before,
    /// KIP-890: they join implicitly, and each end raises the epoch.
    After,
}

/// Why a step of a transaction failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The transaction is to be aborted.
    Abort,
    /// Another has the transactional id now, or the transaction lasted too long: begin anew.
    Fenced,
    /// The member of the group is no longer one: abort, and join again.
    Rejoin,
}

/// As whom offsets are committed with a transaction.
#[derive(Clone, Debug)]
pub struct GroupMember {
    /// The group.
    pub group: &'static str,
    /// The member.
    pub member: String,
    /// Its generation.
    pub generation: i32,
}

/// One producer.
#[derive(Debug)]
pub struct Transactional {
    caller: Caller,
    id: String,
    protocol: Protocol,
    producer: (i64, i16),
    sequences: BTreeMap<i32, i32>,
    /// Whether a batch was given up, so that the epoch has to be raised before the next transaction (KIP-360).
    is_unresolved: bool,
}

/// Records of one partition on their way.
struct Outgoing {
    partition: i32,
    values: Vec<Value>,
    bytes: Bytes,
}

impl Transactional {
    /// Takes the transactional id over, as a new process does.
    pub async fn start(world: Arc<World>, id: String, protocol: Protocol, chance: Chance) -> Transactional {
        let caller = Caller::new(world, chance);
        let (producer, sequences) = ((-1, -1), BTreeMap::new());
        let mut new = Transactional { caller, id, protocol, producer, sequences, is_unresolved: false };
        new.init().await;
        new
    }

    fn key(&self) -> TransactionalId {
        text(&self.id).into()
    }

    /// InitProducerId until it works.
    async fn init(&mut self) {
        while !self.init_as((-1, -1)).await {
            tokio::time::sleep(self.caller.chance.millis(100..1_000)).await;
        }
    }

    async fn init_as(&mut self, (id, epoch): (i64, i16)) -> bool {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.key()))
            .with_transaction_timeout_ms(TIMEOUT_MS)
            .with_producer_id(id.into())
            .with_producer_epoch(epoch);
        let key = self.id.clone();
        let place = (Kind::Transaction, key.as_str());
        let response = self.caller.ask(place, 4, &request, Lateness::Perhaps, |response| response.error_code).await;
        if response.error_code == 0 {
            self.renew((response.producer_id.0, response.producer_epoch));
        } else if !code::is_fenced(response.error_code) {
            self.caller.unexpected("InitProducerId", response.error_code);
        }
        response.error_code == 0
    }

    /// Another id or epoch: sequences begin anew.
    fn renew(&mut self, producer: (i64, i16)) {
        if self.producer != producer {
            self.sequences.clear();
        }
        (self.producer, self.is_unresolved) = (producer, false);
    }

    /// Sends records, first and only once each, and waits until all are stored. All of them belong to one topic.
    pub async fn produce(&mut self, records: BTreeMap<i32, Vec<Value>>) -> Result<(), Failed> {
        if self.protocol == Protocol::Before {
            self.add_partitions(records.keys().copied().collect()).await?;
        }
        let mut outgoing: Vec<_> = records.into_iter().map(|(at, values)| self.batch(at, values)).collect();
        for batch in &outgoing {
            for first in &batch.values {
                let (partition, first, count) = (batch.partition, *first, 1);
                self.caller.world.note(Event::Sent { partition, first, count, idempotent: true });
            }
        }
        for attempt in 1..=ATTEMPTS {
            outgoing = self.send(outgoing).await?;
            if outgoing.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(self.caller.chance.millis(10..300) * attempt).await;
        }
        self.is_unresolved = true;
        Err(Failed::Abort)
    }

    fn batch(&mut self, partition: i32, values: Vec<Value>) -> Outgoing {
        let sequence = self.sequences.entry(partition).or_default();
        let (id, epoch) = self.producer;
        let fields = ProducerFields { id, epoch, base_sequence: *sequence };
        *sequence += values.len() as i32;
        let mut builder = BatchBuilder::new(Compression::None).producer(fields).transactional();
        // Not of now: the wall clock jumps, and records of the future are refused.
        values.iter().for_each(|value| builder.push(START_MS, None, Some(&value.to_bytes()), &[]));
        Outgoing { partition, values, bytes: builder.build() }
    }

    /// One attempt; gives back what has to be sent again.
    async fn send(&mut self, outgoing: Vec<Outgoing>) -> Result<Vec<Outgoing>, Failed> {
        let Some(first) = outgoing.first() else { return Ok(outgoing) };
        let data = |batch: &Outgoing| {
            let data = PartitionProduceData::default().with_index(batch.partition % TOPIC_STEP);
            data.with_records(Some(batch.bytes.clone()))
        };
        let topic = TopicProduceData::default()
            .with_name(topic(first.partition))
            .with_partition_data(outgoing.iter().map(data).collect());
        let request = ProduceRequest::default()
            .with_transactional_id(Some(self.key()))
            .with_acks(-1)
            .with_timeout_ms(30_000)
            .with_topic_data(vec![topic]);
        let version = if self.protocol == Protocol::After { 12 } else { 11 };
        let broker = self.caller.world.any_broker(&self.caller.chance).await;
        let patience = Duration::from_secs(31);
        let response = self.caller.call(&broker, version, &request, Lateness::Perhaps, patience).await;
        let Some(response) = response else { return Ok(outgoing) };
        let answers = &response.responses[0].partition_responses;
        let mut again = Vec::new();
        for (batch, answer) in outgoing.into_iter().zip(answers) {
            match answer.error_code {
                0 => self.note_stored(&batch, answer.base_offset),
                code if code::is(code, Error::DuplicateSequenceNumber) => self.note_stored(&batch, -1),
                code if code::is_retriable_produce(code) => again.push(batch),
                code => {
                    self.is_unresolved = true;
                    self.note_failed(&batch, code);
                    return Err(self.failure("Produce", code));
                }
            }
        }
        Ok(again)
    }

    fn note_stored(&self, batch: &Outgoing, base_offset: i64) {
        for (index, first) in batch.values.iter().enumerate() {
            let offset = if base_offset < 0 { -1 } else { base_offset + index as i64 };
            self.caller.world.note(Event::Acked { partition: batch.partition, first: *first, count: 1, offset });
        }
    }

    fn note_failed(&self, batch: &Outgoing, code: i16) {
        let first = batch.values[0];
        self.caller.world.note(Event::Failed { partition: batch.partition, first, cause: format!("code {code}") });
    }

    fn failure(&self, api: &str, code: i16) -> Failed {
        let abortable = [Error::TransactionAbortable, Error::InvalidTxnState, Error::OutOfOrderSequenceNumber];
        let rejoin = [Error::IllegalGeneration, Error::UnknownMemberId, Error::RebalanceInProgress];
        if code::is_fenced(code) {
            return Failed::Fenced;
        }
        if rejoin.iter().any(|error| error.code() == code) {
            return Failed::Rejoin;
        }
        if !abortable.iter().any(|error| error.code() == code) {
            self.caller.unexpected(api, code);
        }
        Failed::Abort
    }

    async fn add_partitions(&mut self, partitions: Vec<i32>) -> Result<(), Failed> {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(topic(partitions[0]))
            .with_partitions(partitions.iter().map(|partition| partition % TOPIC_STEP).collect());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.key())
            .with_v3_and_below_producer_id(self.producer.0.into())
            .with_v3_and_below_producer_epoch(self.producer.1)
            .with_v3_and_below_topics(vec![topic]);
        let code_of = |response: &kafka_protocol::messages::AddPartitionsToTxnResponse| {
            let topics = response.results_by_topic_v3_and_below.iter();
            let codes = topics.flat_map(|topic| &topic.results_by_partition).map(|result| result.partition_error_code);
            codes.max_by_key(|code| i32::from(*code != 0)).unwrap_or(0)
        };
        let key = self.id.clone();
        let response = self.caller.ask((Kind::Transaction, &key), 3, &request, Lateness::Perhaps, code_of).await;
        match code_of(&response) {
            0 => Ok(()),
            code => Err(self.failure("AddPartitionsToTxn", code)),
        }
    }

    /// Commits offsets of input partitions with the transaction.
    pub async fn commit_offsets(&mut self, of: &GroupMember, offsets: &BTreeMap<i32, i64>) -> Result<(), Failed> {
        if self.protocol == Protocol::Before {
            self.add_group(of.group).await?;
        }
        let partition = |(partition, offset): (&i32, &i64)| {
            TxnOffsetCommitRequestPartition::default()
                .with_partition_index(partition % TOPIC_STEP)
                .with_committed_offset(*offset)
                .with_committed_metadata(Some(text("")))
        };
        let first = offsets.keys().next().expect("there is something to commit");
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic(*first))
            .with_partitions(offsets.iter().map(partition).collect());
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.key())
            .with_group_id(GroupId(text(of.group)))
            .with_producer_id(self.producer.0.into())
            .with_producer_epoch(self.producer.1)
            .with_generation_id(of.generation)
            .with_member_id(text(&of.member))
            .with_topics(vec![topic]);
        let (version, lateness) = match self.protocol {
            Protocol::Before => (3, Lateness::Never),
            Protocol::After => (5, Lateness::Perhaps),
        };
        let code_of = |response: &kafka_protocol::messages::TxnOffsetCommitResponse| {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.error_code).max_by_key(|code| i32::from(*code != 0)).unwrap_or(0)
        };
        let response = self.caller.ask((Kind::Group, of.group), version, &request, lateness, code_of).await;
        match code_of(&response) {
            0 => Ok(()),
            code => Err(self.failure("TxnOffsetCommit", code)),
        }
    }

    async fn add_group(&mut self, group: &str) -> Result<(), Failed> {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.key())
            .with_producer_id(self.producer.0.into())
            .with_producer_epoch(self.producer.1)
            .with_group_id(GroupId(text(group)));
        let key = self.id.clone();
        let place = (Kind::Transaction, key.as_str());
        let response = self.caller.ask(place, 3, &request, Lateness::Perhaps, |response| response.error_code).await;
        match response.error_code {
            0 => Ok(()),
            code => Err(self.failure("AddOffsetsToTxn", code)),
        }
    }

    /// Commits or aborts; `true` when it ended so. Afterwards the next transaction may begin.
    pub async fn end(&mut self, txn: u32, commit: bool) -> bool {
        self.caller.world.note(Event::Ending { txn, commit });
        let request = EndTxnRequest::default()
            .with_transactional_id(self.key())
            .with_producer_id(self.producer.0.into())
            .with_producer_epoch(self.producer.1)
            .with_committed(commit);
        let (version, lateness) = match self.protocol {
            // Connections tell the broker what is late, as long as it is the same broker.
            Protocol::Before if self.caller.world.plan.faults == [Fault::Network] => (4, Lateness::Perhaps),
            Protocol::Before => (4, Lateness::Never),
            Protocol::After => (5, Lateness::Perhaps),
        };
        let key = self.id.clone();
        let place = (Kind::Transaction, key.as_str());
        let response = self.caller.ask(place, version, &request, lateness, |response| response.error_code).await;
        let code = response.error_code;
        if code == 0 {
            self.caller.world.note(Event::Ended { txn, commit });
        }
        match self.protocol {
            Protocol::After if code == 0 => self.renew((response.producer_id.0, response.producer_epoch)),
            Protocol::Before if code == 0 => self.raise_epoch_if_unresolved().await,
            // Nothing was open, because nothing had arrived; whatever of it may still arrive is fenced.
            _ => {
                if !code::is_fenced(code) && !code::is(code, Error::InvalidTxnState) {
                    self.caller.unexpected("EndTxn", code);
                }
                self.init().await;
            }
        }
        code == 0
    }

    async fn raise_epoch_if_unresolved(&mut self) {
        if self.is_unresolved && !self.init_as(self.producer).await {
            self.init().await;
        }
    }

    /// Gets out of a transaction in which something failed.
    pub async fn recover(&mut self, txn: u32, failed: Failed) {
        match failed {
            Failed::Abort | Failed::Rejoin => drop(self.end(txn, false).await),
            Failed::Fenced => self.init().await,
        }
    }

    /// Whether the producer is to stall now, or be killed: it may be the last that is heard of this transaction.
    pub async fn stalls(&self) -> bool {
        if !self.caller.stalls() {
            return false;
        }
        tokio::time::sleep(self.caller.chance.millis(0..30_000)).await;
        self.caller.chance.per_mille(500)
    }
}

/// The topic of a partition's number.
pub fn topic(partition: i32) -> TopicName {
    TopicName(text(TOPICS[(partition / TOPIC_STEP) as usize]))
}
