//! Transactions as an administrator sees them: which there are, what they hold up, and ending them.

use super::coordinator::{Everyone, Found};
use super::offsets::by_topic;
use super::{Client, ClientError, CoordinatorKind, Node, TopicPartition, check, text, topic_name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeTransactionsRequest, InitProducerIdRequest, ListTransactionsRequest, ProducerId,
    TransactionalId, WriteTxnMarkersRequest,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The timeout that the id has until its producer comes back with its own. Brokers refuse more than 15 minutes.
const TIMEOUT_AFTER_ABORT_MS: i32 = 60_000;

/// A transactional id as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// The id.
    pub transactional_id: String,
    /// Such as `Ongoing` or `CompleteCommit`.
    pub state: String,
    /// Its producer.
    pub producer_id: i64,
    /// Node id of its coordinator.
    pub coordinator: i32,
}

/// Which transactions to list.
#[derive(Clone, Debug, Default)]
pub struct TransactionFilter {
    /// Those in one of these states; all when empty.
    pub states: Vec<String>,
    /// Those of one of these producers; all when empty.
    pub producer_ids: Vec<i64>,
    /// Those that run longer than this.
    pub longer_than: Option<Duration>,
}

/// A transactional id and its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The id.
    pub transactional_id: String,
    /// Such as `Ongoing` or `CompleteCommit`.
    pub state: String,
    /// Its coordinator.
    pub coordinator: Node,
    /// Its producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// A transaction that is open for longer is aborted by the broker.
    pub timeout: Duration,
    /// When the open transaction began, milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// What the open transaction has written to, in order.
    pub partitions: Vec<TopicPartition>,
}

impl TransactionDescription {
    /// Whether it can still be aborted.
    pub fn is_open(&self) -> bool {
        self.state == "Ongoing"
    }

    /// Whether its end is decided, and only still being told to the partitions.
    pub fn is_ending(&self) -> bool {
        self.state.starts_with("Prepare") && self.state != "PrepareEpochFence"
    }
}

/// A transaction that is open in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Its producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i32,
    /// The epoch of the coordinator that wrote the last marker of this producer; -1 if none did.
    pub coordinator_epoch: i32,
    /// Its first record in this partition; readers of committed records wait here.
    pub first_offset: i64,
    /// When its producer wrote last, milliseconds since 1970.
    pub last_write_ms: i64,
}

fn what(transactional_id: &str) -> String {
    format!("transactional id {transactional_id}")
}

impl Client {
    /// Transactional ids of all brokers, by id.
    pub async fn transactions(&self, filter: &TransactionFilter) -> Result<Found<TransactionListing>, ClientError> {
        let longer_than = filter.longer_than.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let request = ListTransactionsRequest::default()
            .with_state_filters(filter.states.iter().map(|state| text(state)).collect())
            .with_producer_id_filters(filter.producer_ids.iter().map(|id| ProducerId(*id)).collect())
            .with_duration_filter(longer_than.unwrap_or(-1));
        let refusal = |code: i16| check(code, || "list of transactions".to_string(), None);
        let Everyone { answers, silent } = self.ask_everyone(&request, |answer| refusal(answer.error_code)).await?;
        let mut found = BTreeMap::new();
        for (node, answer) in answers {
            for listed in answer.transaction_states {
                let listing = TransactionListing {
                    transactional_id: listed.transactional_id.to_string(),
                    state: listed.transaction_state.to_string(),
                    producer_id: listed.producer_id.0,
                    coordinator: node.id,
                };
                found.insert(listing.transactional_id.clone(), listing);
            }
        }
        Ok(Found { all: found.into_values().collect(), silent })
    }

    /// A transactional id and its transaction.
    pub async fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription, ClientError> {
        let id = TransactionalId(text(transactional_id));
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id]);
        self.ask_coordinator(CoordinatorKind::Transaction, transactional_id, &request, |node, answer| {
            let what = || what(transactional_id);
            let state = answer.transaction_states.into_iter().next().ok_or_else(|| ClientError::no_answer(what()))?;
            check(state.error_code, what, None)?;
            Ok(description(node, state))
        })
        .await
    }

    /// Aborts the open transaction of an id and fences its producer, as a new producer with this id would do.
    pub async fn abort_transaction(&self, transactional_id: &str) -> Result<(), ClientError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(transactional_id))))
            .with_transaction_timeout_ms(TIMEOUT_AFTER_ABORT_MS)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        // The coordinator says so while it tells all partitions.
        let is_transient =
            |error: &ClientError| error.is(ResponseError::ConcurrentTransactions) || error.is_transient();
        let kind = CoordinatorKind::Transaction;
        self.retrying_while(is_transient, || async {
            let coordinator = self.coordinator(kind, transactional_id).await?;
            let answer = self.node(coordinator.id).await?.call(&request, self.timeout()).await?;
            check(answer.error_code, || what(transactional_id), None)
        })
        .await
    }

    /// Transactions that are open in these partitions. Partitions that do not exist are left out.
    pub async fn open_transactions(
        &self,
        wanted: &BTreeSet<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Vec<OpenTransaction>>, ClientError> {
        self.retrying(|| async {
            let by_leader = self.by_leader(wanted).await?;
            let asks = by_leader.iter().map(|(leader, places)| self.producers_of_node(*leader, places));
            let answers = futures::future::try_join_all(asks).await?;
            Ok(answers.into_iter().flatten().collect())
        })
        .await
    }

    async fn producers_of_node(
        &self,
        node: i32,
        places: &[&TopicPartition],
    ) -> Result<Vec<(TopicPartition, Vec<OpenTransaction>)>, ClientError> {
        let topic = |(topic, places): (&str, Vec<&TopicPartition>)| {
            let partitions = places.iter().map(|place| place.partition).collect();
            TopicRequest::default().with_name(topic_name(topic)).with_partition_indexes(partitions)
        };
        let topics = by_topic(places.iter().copied()).into_iter().map(topic).collect();
        let request = DescribeProducersRequest::default().with_topics(topics);
        let answer = self.node(node).await?.call(&request, self.timeout()).await?;
        let mut found = Vec::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let place = TopicPartition::new(&topic.name, partition.partition_index);
                check(partition.error_code, || format!("partition {place}"), partition.error_message.as_ref())?;
                found.push((place, partition.active_producers.iter().filter_map(open_transaction).collect()));
            }
        }
        Ok(found)
    }

    /// Ends an open transaction in one partition whatever its coordinator thinks. For those that it has forgotten.
    pub async fn write_abort_marker(
        &self,
        place: &TopicPartition,
        transaction: &OpenTransaction,
    ) -> Result<(), ClientError> {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(topic_name(&place.topic))
            .with_partition_indexes(vec![place.partition]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(ProducerId(transaction.producer_id))
            .with_producer_epoch(i16::try_from(transaction.producer_epoch).unwrap_or(i16::MAX))
            .with_transaction_result(false)
            // A coordinator that wrote none has no epoch; 0 is below that of any.
            .with_coordinator_epoch(transaction.coordinator_epoch.max(0))
            .with_topics(vec![topic]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        self.retrying(|| async {
            let leader = self.leaders(&place.topic, false).await?.get(&place.partition).copied().unwrap_or(-1);
            let answer = self.node(leader).await?.call(&request, self.timeout()).await?;
            let topics = answer.markers.iter().flat_map(|marker| &marker.topics);
            let mut partitions = topics.flat_map(|topic| &topic.partitions);
            partitions.try_for_each(|partition| check(partition.error_code, || format!("partition {place}"), None))
        })
        .await
    }
}

fn description(coordinator: Node, state: TransactionState) -> TransactionDescription {
    let topics = state.topics.iter();
    let places =
        topics.flat_map(|topic| topic.partitions.iter().map(|partition| TopicPartition::new(&topic.topic, *partition)));
    let has_ended = ["Empty", "Dead", "CompleteCommit", "CompleteAbort"].contains(&&*state.transaction_state);
    TransactionDescription {
        partitions: places.collect::<BTreeSet<_>>().into_iter().collect(),
        transactional_id: state.transactional_id.to_string(),
        state: state.transaction_state.to_string(),
        coordinator,
        producer_id: state.producer_id.0,
        producer_epoch: state.producer_epoch,
        timeout: Duration::from_millis(u64::try_from(state.transaction_timeout_ms).unwrap_or(0)),
        // Kafka goes on telling the start of a transaction that has ended.
        started_ms: Some(state.transaction_start_time_ms).filter(|start| *start >= 0 && !has_ended),
    }
}

fn open_transaction(producer: &ProducerState) -> Option<OpenTransaction> {
    (producer.current_txn_start_offset >= 0).then_some(OpenTransaction {
        producer_id: producer.producer_id.0,
        producer_epoch: producer.producer_epoch,
        coordinator_epoch: producer.coordinator_epoch,
        first_offset: producer.current_txn_start_offset,
        last_write_ms: producer.last_timestamp,
    })
}
