//! Transactions from outside, with one broker and with three, in the protocol before and after KIP-890.

use super::world::{Running, World};
use crate::BrokerSettings;
use crate::testing::{Client, batch, fetch_request, produce_request, topic_name};
use bytes::Bytes;
use frazil_wire::batch::{Marker, ProducerFields};
use frazil_wire::{BatchBuilder, Batches, Compression, Records};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest, DescribeProducersRequest,
    DescribeTransactionsRequest, EndTxnRequest, EndTxnResponse, FindCoordinatorRequest, GroupId, InitProducerIdRequest,
    InitProducerIdResponse, ListOffsetsRequest, ListTransactionsRequest, TransactionalId, TxnOffsetCommitRequest,
    WriteTxnMarkersRequest,
};
use kafka_protocol::protocol::StrBytes;

fn id_of(name: &str) -> TransactionalId {
    text(name).into()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn error(code: i16) -> Option<ResponseError> {
    ResponseError::try_from_code(code)
}

/// A transactional producer as a client sees itself.
struct Producer {
    client: Client,
    name: &'static str,
    id: i64,
    epoch: i16,
}

impl Producer {
    /// Takes the transactional id over, by way of its coordinator.
    async fn init(brokers: &[&Running], name: &'static str) -> Producer {
        let mut client = coordinator_of(brokers, name, 1).await;
        let response = init(&mut client, 5, name, 60_000, None).await;
        assert_eq!(error(response.error_code), None);
        Producer { client, name, id: response.producer_id.0, epoch: response.producer_epoch }
    }

    fn batch(&self, base_sequence: i32, values: &[&str]) -> Bytes {
        transactional_batch(self.id, self.epoch, base_sequence, values)
    }

    /// Error code and base offset of one batch in version `version` of Produce, by way of `client`.
    async fn produce(
        &self,
        client: &mut Client,
        version: i16,
        partition: i32,
        base_sequence: i32,
        values: &[&str],
    ) -> (Option<ResponseError>, i64) {
        produce(client, version, Some(self.name), partition, self.batch(base_sequence, values)).await
    }

    async fn add_partitions(&mut self, version: i16, partitions: &[i32]) -> Vec<Option<ResponseError>> {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name("t")).with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id_of(self.name))
            .with_v3_and_below_producer_id(self.id.into())
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let response = self.client.call(version, &request).await.expect("answered");
        let results = response.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
        results.map(|result| error(result.partition_error_code)).collect()
    }

    /// Ends the transaction; takes over what is to be used from then on.
    async fn end(&mut self, version: i16, commit: bool) -> Option<ResponseError> {
        let response = self.end_as(version, commit, self.epoch).await;
        if response.error_code == 0 && version >= 5 {
            (self.id, self.epoch) = (response.producer_id.0, response.producer_epoch);
        }
        error(response.error_code)
    }

    async fn end_as(&mut self, version: i16, commit: bool, epoch: i16) -> EndTxnResponse {
        let request = self.end_request(commit, epoch);
        self.client.call(version, &request).await.expect("answered")
    }

    fn end_request(&self, commit: bool, epoch: i16) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(id_of(self.name))
            .with_producer_id(self.id.into())
            .with_producer_epoch(epoch)
            .with_committed(commit)
    }

    fn offset_commit(&self, version: i16, group: &str, offset: i64) -> TxnOffsetCommitRequest {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")));
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id_of(self.name))
            .with_group_id(GroupId(text(group)))
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
            .with_topics(vec![topic]);
        if version >= 3 { request.with_generation_id(-1) } else { request }
    }
}

fn transactional_batch(id: i64, epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    let fields = ProducerFields { id, epoch, base_sequence };
    let mut builder = BatchBuilder::new(Compression::None).producer(fields).transactional();
    values.iter().for_each(|value| builder.push(5, None, Some(value.as_bytes()), &[]));
    builder.build()
}

async fn produce(
    client: &mut Client,
    version: i16,
    transactional_id: Option<&str>,
    partition: i32,
    batch: Bytes,
) -> (Option<ResponseError>, i64) {
    let request = produce_request("t", partition, batch).with_transactional_id(transactional_id.map(id_of));
    let response = client.call(version, &request).await.expect("answered");
    let partition = &response.responses[0].partition_responses[0];
    (error(partition.error_code), partition.base_offset)
}

/// A client of the broker that coordinates `key`: a group (0) or a transactional id (1).
async fn coordinator_of(brokers: &[&Running], key: &str, key_type: i8) -> Client {
    let request = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(key_type);
    let found = brokers[0].client().await.call(2, &request).await.expect("answered");
    assert_eq!(found.error_code, 0);
    let broker = brokers.iter().find(|broker| i32::from(broker.address.port()) == found.port);
    broker.expect("a broker of the cluster").client().await
}

async fn init(
    client: &mut Client,
    version: i16,
    name: &str,
    timeout_ms: i32,
    expected: Option<(i64, i16)>,
) -> InitProducerIdResponse {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id_of(name)))
        .with_transaction_timeout_ms(timeout_ms);
    let request = match expected {
        Some((id, epoch)) => request.with_producer_id(id.into()).with_producer_epoch(epoch),
        None => request,
    };
    client.call(version, &request).await.expect("answered")
}

async fn fetch(client: &mut Client, partition: i32, isolation_level: i8, max_wait_ms: i32) -> PartitionData {
    let request = fetch_request("t", partition, 0, max_wait_ms).with_isolation_level(isolation_level);
    let response = client.call(12, &request).await.expect("answered");
    response.responses[0].partitions[0].clone()
}

/// Values and markers in the order of offsets; a marker is `commit` or `abort`.
fn contents(fetched: &PartitionData) -> Vec<String> {
    let bytes = fetched.records.clone().unwrap_or_default();
    let mut found = Vec::new();
    for (position, header) in Batches::new(&bytes) {
        let batch = bytes.slice(position..position + header.total_bytes());
        for record in Records::new(&batch, 1 << 20).expect("records") {
            let record = record.expect("a record");
            found.push(match Marker::read(&header, &record) {
                Some(marker) if marker.commit => "commit".to_owned(),
                Some(_) => "abort".to_owned(),
                None => String::from_utf8_lossy(&record.value.expect("a value")).into_owned(),
            });
        }
    }
    found
}

async fn last_stable_offset(client: &mut Client, partition: i32) -> i64 {
    let wanted = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![wanted]);
    let request =
        ListOffsetsRequest::default().with_replica_id((-1).into()).with_isolation_level(1).with_topics(vec![topic]);
    client.call(4, &request).await.expect("answered").topics[0].partitions[0].offset
}

#[tokio::test]
async fn a_transaction_of_implicit_partitions_commits_and_raises_the_epoch() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 2).await;
    let mut producer = Producer::init(&[&broker], "shop").await;
    assert_eq!(producer.epoch, 0);
    for partition in [0, 1] {
        assert_eq!(producer.produce(&mut client, 12, partition, 0, &["a", "b"]).await, (None, 0));
    }
    assert_eq!(last_stable_offset(&mut client, 0).await, 0);
    let open = fetch(&mut client, 0, 1, 0).await;
    assert_eq!((open.high_watermark, open.last_stable_offset, contents(&open)), (2, 0, vec![]));
    assert_eq!(contents(&fetch(&mut client, 0, 0, 0).await), ["a", "b"]);

    assert_eq!(producer.end(5, true).await, None);
    assert_eq!(producer.epoch, 1);
    for partition in [0, 1] {
        let committed = fetch(&mut client, partition, 1, 0).await;
        assert_eq!(contents(&committed), ["a", "b", "commit"]);
        assert_eq!((committed.last_stable_offset, committed.aborted_transactions), (3, Some(vec![])));
    }
    assert_eq!(fetch(&mut client, 0, 0, 0).await.aborted_transactions, None, "null for read uncommitted");
    // Sequences begin anew with each epoch.
    assert_eq!(producer.produce(&mut client, 12, 0, 0, &["c"]).await, (None, 3));
    assert_eq!(producer.end(5, false).await, None);
    let aborted = fetch(&mut client, 0, 1, 0).await;
    assert_eq!(contents(&aborted), ["a", "b", "commit", "c", "abort"]);
    let told = aborted.aborted_transactions.expect("a list");
    assert_eq!(
        told.iter().map(|aborted| (aborted.producer_id.0, aborted.first_offset)).collect::<Vec<_>>(),
        [(producer.id, 3)]
    );
}

#[tokio::test]
async fn a_transaction_of_added_partitions_keeps_its_epoch_in_every_version() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let mut producer = Producer::init(&[&broker], "shop").await;
    for (sequence, version) in (0..=4).enumerate() {
        let sequence = sequence as i32;
        let unadded = producer.produce(&mut client, 9, 0, sequence, &["x"]).await.0;
        assert_eq!(unadded, Some(ResponseError::InvalidTxnState));
        let unadded = producer.produce(&mut client, 11, 0, sequence, &["x"]).await.0;
        assert_eq!(unadded, Some(ResponseError::TransactionAbortable), "as clients from version 11 on know it");
        assert_eq!(producer.add_partitions(version.min(3), &[0]).await, [None]);
        assert_eq!(producer.add_partitions(version.min(3), &[0]).await, [None], "again");
        assert_eq!(producer.produce(&mut client, 9, 0, sequence, &["x"]).await.0, None);
        let commit = version % 2 == 0;
        assert_eq!(producer.end(version, commit).await, None);
        assert_eq!(producer.end(version, commit).await, None, "the answer may have been lost");
        assert_eq!(producer.end(version, !commit).await, Some(ResponseError::InvalidTxnState), "ended otherwise");
    }
    let expected = ["x", "commit", "x", "abort", "x", "commit", "x", "abort", "x", "commit"];
    assert_eq!(contents(&fetch(&mut client, 0, 1, 0).await), expected, "one marker per transaction");
}

/// The table in Kafka's `TransactionCoordinator.endTransaction`: what a retry and a new request get in each state.
#[tokio::test]
async fn ends_and_their_retries_get_kafkas_codes_in_every_state() {
    use ResponseError::{InvalidProducerIdMapping, InvalidTxnState, ProducerFenced};
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let mut producer = Producer::init(&[&broker], "shop").await;
    assert_eq!(producer.end(4, true).await, Some(InvalidTxnState), "nothing is open");
    assert_eq!(producer.end(4, false).await, Some(InvalidTxnState), "nothing is open");
    assert_eq!(producer.end(5, true).await, Some(InvalidTxnState), "nothing is open");
    assert_eq!(error(producer.end_as(5, false, producer.epoch + 1).await.error_code), Some(ProducerFenced));
    assert_eq!(producer.end(5, false).await, None, "an abort of nothing raises the epoch");
    assert_eq!(producer.epoch, 1);

    for commit in [true, false] {
        assert_eq!(producer.produce(&mut client, 12, 0, 0, &["a"]).await.0, None);
        let before = producer.epoch;
        assert_eq!(producer.end(5, commit).await, None);
        let retry = producer.end_as(5, commit, before).await;
        let answer = (error(retry.error_code), retry.producer_id.0, retry.producer_epoch);
        assert_eq!(answer, (None, producer.id, before + 1), "the same answer");
        let otherwise = producer.end_as(5, !commit, before).await;
        assert_eq!(error(otherwise.error_code), Some(InvalidTxnState));
        assert_eq!((otherwise.producer_id.0, otherwise.producer_epoch), (-1, -1));
        assert_eq!(error(producer.end_as(5, true, producer.epoch).await.error_code), Some(InvalidTxnState));
        let stale = producer.end_as(5, commit, before - 1).await;
        assert_eq!(error(stale.error_code), Some(ProducerFenced));
    }
    let request = producer.end_request(true, producer.epoch);
    let unknown = request.clone().with_transactional_id(id_of("nobody"));
    assert_eq!(
        error(producer.client.call(5, &unknown).await.expect("answered").error_code),
        Some(InvalidProducerIdMapping)
    );
    let other_id = request.clone().with_producer_id(999.into());
    assert_eq!(
        error(producer.client.call(5, &other_id).await.expect("answered").error_code),
        Some(InvalidProducerIdMapping)
    );
    let empty = request.with_transactional_id(id_of(""));
    assert_eq!(
        error(producer.client.call(5, &empty).await.expect("answered").error_code),
        Some(ResponseError::InvalidRequest)
    );
    let fenced = producer.end_as(1, true, 0).await;
    assert_eq!(error(fenced.error_code), Some(ResponseError::InvalidProducerEpoch), "before KIP-588");
}

#[tokio::test]
async fn init_producer_id_fences_bumps_and_refuses_as_kafka_does() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    for version in 0..=5 {
        for timeout_ms in [0, -1, 900_001, i32::MAX] {
            let refused = init(&mut client, version, "shop", timeout_ms, None).await;
            assert_eq!(error(refused.error_code), Some(ResponseError::InvalidTransactionTimeout), "{timeout_ms}");
            assert_eq!((refused.producer_id.0, refused.producer_epoch), (-1, -1));
        }
        let empty = init(&mut client, version, "", 1_000, None).await;
        assert_eq!(error(empty.error_code), Some(ResponseError::InvalidRequest));
        let taken = init(&mut client, version, "shop", 900_000, None).await;
        assert_eq!((error(taken.error_code), taken.producer_epoch), (None, version), "one epoch further each time");
    }
    let id = init(&mut client, 5, "shop", 1_000, None).await.producer_id.0;
    for torn in [(id, -1), (-1, 3)] {
        let refused = init(&mut client, 5, "shop", 1_000, Some(torn)).await;
        assert_eq!(error(refused.error_code), Some(ResponseError::InvalidRequest));
    }
    let going_on = init(&mut client, 3, "shop", 1_000, Some((id, 6))).await;
    assert_eq!((error(going_on.error_code), going_on.producer_epoch), (None, 7));
    let retried = init(&mut client, 3, "shop", 1_000, Some((id, 6))).await;
    assert_eq!((error(retried.error_code), retried.producer_epoch), (None, 7), "the answer was lost");
    let stale = init(&mut client, 3, "shop", 1_000, Some((id, 5))).await;
    assert_eq!(error(stale.error_code), Some(ResponseError::InvalidProducerEpoch));
    let stale = init(&mut client, 4, "shop", 1_000, Some((id, 5))).await;
    assert_eq!(error(stale.error_code), Some(ResponseError::ProducerFenced));
    let other = init(&mut client, 4, "shop", 1_000, Some((id + 77, 7))).await;
    assert_eq!(error(other.error_code), Some(ResponseError::ProducerFenced));
    let forgotten = init(&mut client, 4, "new", 1_000, Some((4711, 3))).await;
    assert_eq!((error(forgotten.error_code), forgotten.producer_epoch), (None, 0), "a new id, whatever it was");
}

#[tokio::test]
async fn a_zombie_is_fenced_on_every_path_and_its_transaction_aborted() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 2).await;
    let mut zombie = Producer::init(&[&broker], "shop").await;
    assert_eq!(zombie.produce(&mut client, 12, 0, 0, &["zombie"]).await, (None, 0));
    let mut successor = Producer::init(&[&broker], "shop").await;
    assert_eq!((successor.id, successor.epoch), (zombie.id, zombie.epoch + 1));
    assert_eq!(contents(&fetch(&mut client, 0, 1, 0).await), ["zombie", "abort"]);
    for version in [9, 11, 12] {
        let late = zombie.produce(&mut client, version, 0, 1, &["late"]).await.0;
        assert_eq!(late, Some(ResponseError::InvalidProducerEpoch), "version {version}");
    }
    assert_eq!(zombie.add_partitions(1, &[1]).await, [Some(ResponseError::InvalidProducerEpoch)]);
    assert_eq!(zombie.add_partitions(2, &[1]).await, [Some(ResponseError::ProducerFenced)]);
    assert_eq!(zombie.end(5, true).await, Some(ResponseError::ProducerFenced));
    let offsets = zombie.offset_commit(5, "group", 1);
    let refused = zombie.client.call(5, &offsets).await.expect("answered");
    assert_eq!(error(refused.topics[0].partitions[0].error_code), Some(ResponseError::InvalidProducerEpoch));
    assert_eq!(successor.produce(&mut client, 12, 1, 0, &["successor"]).await, (None, 0));
    assert_eq!(successor.end(5, true).await, None);
    assert_eq!(contents(&fetch(&mut client, 1, 1, 0).await), ["successor", "commit"]);
}

#[tokio::test]
async fn batches_outside_of_any_transaction_get_kafkas_codes() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let producer = Producer::init(&[&broker], "shop").await;
    let unnamed = produce(&mut client, 12, None, 0, producer.batch(0, &["a"])).await.0;
    assert_eq!(unnamed, Some(ResponseError::TransactionalIdAuthorizationFailed));
    let stranger = transactional_batch(999_999, 0, 0, &["a"]);
    let unknown = produce(&mut client, 12, Some("shop"), 0, stranger).await.0;
    assert_eq!(unknown, Some(ResponseError::InvalidProducerIdMapping));
    let borrowed = produce(&mut client, 12, Some("other"), 0, producer.batch(0, &["a"])).await.0;
    assert_eq!(borrowed, Some(ResponseError::InvalidProducerIdMapping));
    let gap = producer.produce(&mut client, 12, 0, 5, &["a"]).await.0;
    assert_eq!(gap, Some(ResponseError::OutOfOrderSequenceNumber), "the first batch of an epoch begins at 0");
    assert_eq!(producer.produce(&mut client, 12, 0, 0, &["a"]).await, (None, 0));
    assert_eq!(producer.produce(&mut client, 12, 0, 0, &["a"]).await, (None, 0), "a retry");
    let fields = ProducerFields { id: producer.id, epoch: producer.epoch, base_sequence: 1 };
    let mut plain = BatchBuilder::new(Compression::None).producer(fields);
    plain.push(1, None, Some(b"plain"), &[]);
    let outside = produce(&mut client, 12, None, 0, plain.build()).await.0;
    assert_eq!(outside, Some(ResponseError::InvalidTxnState), "while its transaction is open");
    let others = produce(&mut client, 12, Some("shop"), 0, batch(Compression::None, 1, &["other"])).await;
    assert_eq!(others, (None, 1), "a batch without a producer passes, as in Kafka");
}

#[tokio::test]
async fn transactional_batches_stay_transactional_when_the_topic_has_a_codec_of_its_own() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    assert_eq!(client.create_topic("t", 1, &[("compression.type", "zstd")]).await.expect("answered"), 0);
    let mut producer = Producer::init(&[&broker], "shop").await;
    assert_eq!(producer.produce(&mut client, 12, 0, 0, &["a"]).await, (None, 0));
    assert_eq!(contents(&fetch(&mut client, 0, 1, 0).await), [""; 0]);
    assert_eq!(producer.end(5, true).await, None);
    let fetched = fetch(&mut client, 0, 1, 0).await;
    let bytes = fetched.records.clone().expect("records");
    let header = Batches::new(&bytes).next().expect("a batch").1;
    assert!(header.is_transactional() && header.compression() == Ok(Compression::Zstd));
    assert_eq!(contents(&fetched), ["a", "commit"]);
}

#[tokio::test]
async fn a_partition_that_does_not_exist_leaves_the_others_not_attempted() {
    let world = World::new();
    let broker = world.start(0).await;
    broker.client_with("t", 2).await;
    let mut producer = Producer::init(&[&broker], "shop").await;
    let codes = producer.add_partitions(3, &[0, 7, 1]).await;
    let (skipped, unknown) = (ResponseError::OperationNotAttempted, ResponseError::UnknownTopicOrPartition);
    assert_eq!(codes, [Some(skipped), Some(unknown), Some(skipped)]);
    assert!(!broker.log.state().transaction("shop").expect("known").is_ongoing());
}

#[tokio::test]
async fn a_transaction_that_is_open_for_too_long_is_aborted_and_its_producer_fenced() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let mut slow = Producer::init(&[&broker], "slow").await;
    let limited = init(&mut slow.client, 5, "slow", 100, None).await;
    (slow.id, slow.epoch) = (limited.producer_id.0, limited.producer_epoch);
    assert_eq!(slow.produce(&mut client, 12, 0, 0, &["slow"]).await.0, None);
    let fetched = fetch(&mut client, 0, 1, 60_000).await;
    assert_eq!(contents(&fetched), ["slow", "abort"], "a reader of committed data is woken by it");
    assert_eq!(slow.end(5, true).await, Some(ResponseError::ProducerFenced));
    assert_eq!(slow.produce(&mut client, 12, 0, 1, &["late"]).await.0, Some(ResponseError::InvalidProducerEpoch));
    let mut again = Producer::init(&[&broker], "slow").await;
    assert_eq!(again.produce(&mut client, 12, 0, 0, &["in time"]).await.0, None);
    assert_eq!(again.end(5, true).await, None);
}

#[tokio::test]
async fn offsets_of_a_transaction_take_effect_with_its_commit() {
    let world = World::new();
    let broker = world.start(0).await;
    broker.client_with("t", 1).await;
    let topic = broker.log.state().topic_by_name("t").expect("created").id;
    let place = frazil_base::TopicPartition { topic, partition: 0 };
    let committed = |broker: &Running| {
        let state = broker.log.state();
        state.group("group").and_then(|group| group.offsets.get(&place)).map(|committed| committed.offset)
    };
    let mut producer = Producer::init(&[&broker], "shop").await;
    // Before KIP-890 the group has to be added first.
    for (version, code) in [(3, ResponseError::InvalidTxnState), (4, ResponseError::TransactionAbortable)] {
        let request = producer.offset_commit(version, "group", 5);
        let refused = producer.client.call(version, &request).await.expect("answered");
        assert_eq!(error(refused.topics[0].partitions[0].error_code), Some(code));
    }
    let add = AddOffsetsToTxnRequest::default()
        .with_transactional_id(id_of("shop"))
        .with_producer_id(producer.id.into())
        .with_producer_epoch(producer.epoch)
        .with_group_id(GroupId(text("group")));
    for (version, offset, commit, expected) in [(3, 5, true, 5), (2, 6, false, 5), (0, 7, true, 7)] {
        assert_eq!(producer.client.call(version, &add).await.expect("answered").error_code, 0);
        let request = producer.offset_commit(version, "group", offset);
        let accepted = producer.client.call(version, &request).await.expect("answered");
        assert_eq!(accepted.topics[0].partitions[0].error_code, 0);
        assert_ne!(committed(&broker), Some(offset), "not before the end");
        assert_eq!(producer.end(3, commit).await, None);
        assert_eq!(committed(&broker), Some(expected));
    }
    let request = producer.offset_commit(5, "group", 9);
    assert_eq!(producer.client.call(5, &request).await.expect("answered").topics[0].partitions[0].error_code, 0);
    assert_eq!(producer.end(5, true).await, None, "the commit opened the transaction");
    assert_eq!(committed(&broker), Some(9));
}

#[tokio::test]
async fn offset_commits_that_cannot_be_get_kafkas_codes() {
    let world = World::new();
    let broker = world.start(0).await;
    broker.client_with("t", 1).await;
    let mut producer = Producer::init(&[&broker], "shop").await;
    let good = producer.offset_commit(5, "group", 5);
    let mut codes = Vec::new();
    let mut bad = vec![good.clone(); 5];
    bad[0].group_id = GroupId(text(""));
    bad[1].topics[0].partitions[0].partition_index = 3;
    bad[2].topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4097)));
    bad[3].generation_id = 4;
    bad[4].transactional_id = id_of("nobody");
    for request in bad {
        let response = producer.client.call(5, &request).await.expect("answered");
        codes.push(error(response.topics[0].partitions[0].error_code).expect("refused"));
    }
    assert_eq!(
        codes,
        [
            ResponseError::InvalidGroupId,
            ResponseError::UnknownTopicOrPartition,
            ResponseError::OffsetMetadataTooLarge,
            ResponseError::IllegalGeneration,
            ResponseError::InvalidProducerIdMapping,
        ]
    );
}

/// KAFKA-17754 with a client that keeps its epoch: it gave the connection up on which its EndTxn was delayed, asked again
/// over another one and began its next transaction; only then is the first request read.
#[tokio::test]
async fn kafka_17754_an_end_delayed_on_a_connection_that_was_given_up_never_ends_the_next_transaction() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    for commit in [true, false] {
        let mut producer = Producer::init(&[&broker], "shop").await;
        assert_eq!(producer.add_partitions(3, &[0]).await, [None]);
        assert_eq!(producer.produce(&mut client, 9, 0, 0, &["first"]).await.0, None);
        let mut given_up = std::mem::replace(&mut producer.client, broker.client().await);
        assert_eq!(producer.end(3, commit).await, None, "asked again over a new connection");
        assert_eq!(producer.add_partitions(3, &[0]).await, [None]);
        let (refused, begun) = producer.produce(&mut client, 9, 0, 1, &["second"]).await;
        assert_eq!(refused, None);
        given_up.send(3, &producer.end_request(commit, producer.epoch)).await.expect("sent");
        assert_eq!(given_up.until_closed().await, b"", "no answer: nobody is there");
        assert_eq!(last_stable_offset(&mut client, 0).await, begun, "the second transaction is still open");
        assert_eq!(producer.end(3, true).await, None);
        assert_eq!(last_stable_offset(&mut client, 0).await, begun + 2);
    }
}

/// A connection that is older and lives, as of another client that goes on with this producer, may speak for it again
/// once it has connected anew.
#[tokio::test]
async fn a_producer_that_goes_on_over_another_connection_is_heard() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let mut producer = Producer::init(&[&broker], "shop").await;
    assert_eq!(producer.add_partitions(3, &[0]).await, [None]);
    assert_eq!(producer.produce(&mut client, 9, 0, 0, &["a"]).await.0, None);
    for _ in 0..3 {
        producer.client = broker.client().await;
        assert_eq!(producer.add_partitions(3, &[0]).await, [None]);
    }
    assert_eq!(producer.end(3, true).await, None);
}

#[tokio::test]
async fn only_the_coordinator_answers_and_any_broker_takes_the_records() {
    let world = World::new();
    let (first, second, third) = (world.start(1).await, world.start(2).await, world.start(3).await);
    let brokers = [&first, &second, &third];
    first.client_with("t", 3).await;
    for broker in brokers {
        broker.catch_up_with(&third).await;
        broker.catch_up_with(&first).await;
    }
    let mut producer = Producer::init(&brokers, "shop").await;
    let mut refused = 0;
    for broker in brokers {
        let mut client = broker.client().await;
        let end = client.call(5, &producer.end_request(true, producer.epoch)).await.expect("answered");
        refused += usize::from(error(end.error_code) == Some(ResponseError::NotCoordinator));
        let init = init(&mut client, 5, "shop", 1_000, Some((producer.id, 77))).await;
        let expected = match error(end.error_code) {
            Some(ResponseError::NotCoordinator) => ResponseError::NotCoordinator,
            _ => ResponseError::ProducerFenced,
        };
        assert_eq!(error(init.error_code), Some(expected));
        let describe = DescribeTransactionsRequest::default().with_transactional_ids(vec![id_of("shop")]);
        let described = client.call(0, &describe).await.expect("answered");
        let is_refused = expected == ResponseError::NotCoordinator;
        assert_eq!(error(described.transaction_states[0].error_code).is_some(), is_refused);
        let listed = client.call(0, &ListTransactionsRequest::default()).await.expect("answered");
        assert_eq!(listed.transaction_states.is_empty(), is_refused, "each lists its own");
    }
    assert_eq!(refused, 2);
    // Batches go through all of them; some have not even heard of the producer yet.
    for (number, broker) in (0..).zip(brokers) {
        let produced = producer.produce(&mut broker.client().await, 12, number, 0, &["a"]).await;
        assert_eq!(produced, (None, 0), "broker {number}");
    }
    assert_eq!(producer.end(5, true).await, None);
    for (number, broker) in (0..).zip(brokers) {
        let fetched = fetch(&mut broker.client().await, number, 1, 60_000).await;
        assert_eq!(contents(&fetched), ["a", "commit"]);
    }
}

#[tokio::test]
async fn another_coordinator_goes_on_where_the_one_that_left_stood() {
    let world = World::new();
    let mut brokers = vec![world.start(1).await, world.start(2).await, world.start(3).await];
    brokers[2].client_with("t", 1).await;
    for broker in &brokers {
        broker.catch_up_with(&brokers[2]).await;
    }
    let mut producer = Producer::init(&brokers.iter().collect::<Vec<_>>(), "shop").await;
    let find = FindCoordinatorRequest::default().with_key(text("shop")).with_key_type(1);
    let port = brokers[0].client().await.call(2, &find).await.expect("answered").port;
    let position = brokers.iter().position(|broker| i32::from(broker.address.port()) == port).expect("one of them");
    assert_eq!(producer.add_partitions(3, &[0]).await, [None]);
    let leaving = brokers.remove(position);
    assert_eq!(producer.produce(&mut brokers[0].client().await, 9, 0, 0, &["a"]).await, (None, 0));
    drop(producer.client);
    leaving.broker.stop().await;
    leaving.log.close().await;
    for broker in &brokers {
        broker.log.applied_changes().wait_for(|_| broker.log.state().brokers().count() == 2).await;
    }
    producer.client = coordinator_of(&brokers.iter().collect::<Vec<_>>(), "shop", 1).await;
    assert_eq!(producer.end(3, true).await, None);
    for broker in &brokers {
        assert_eq!(contents(&fetch(&mut broker.client().await, 0, 1, 60_000).await), ["a", "commit"]);
    }
}

#[tokio::test]
async fn administrators_see_and_abort_transactions_on_any_broker() {
    let world = World::new();
    let (first, second) = (world.start(1).await, world.start(2).await);
    let mut client = first.client_with("t", 2).await;
    second.catch_up_with(&first).await;
    let mut producer = Producer::init(&[&first, &second], "shop").await;
    assert_eq!(producer.produce(&mut client, 12, 1, 0, &["a"]).await, (None, 0));
    first.catch_up_with(&second).await;
    second.catch_up_with(&first).await;
    let describe = DescribeTransactionsRequest::default().with_transactional_ids(vec![id_of("shop"), id_of("nobody")]);
    let described = producer.client.call(0, &describe).await.expect("answered").transaction_states;
    let open = &described[0];
    assert_eq!((open.error_code, &open.transaction_state[..], open.transaction_timeout_ms), (0, "Ongoing", 60_000));
    assert_eq!((open.producer_id.0, open.producer_epoch), (producer.id, producer.epoch));
    assert_eq!((&open.topics[0].topic[..], &open.topics[0].partitions[..]), ("t", &[1][..]));
    assert!(open.transaction_start_time_ms > 0);
    assert_ne!(described[1].error_code, 0);

    let list = ListTransactionsRequest::default();
    let filters = [
        (list.clone().with_state_filters(vec![text("Ongoing"), text("Gone")]), 1),
        (list.clone().with_state_filters(vec![text("Empty")]), 0),
        (list.clone().with_producer_id_filters(vec![producer.id.into()]), 1),
        (list.clone().with_producer_id_filters(vec![4711.into()]), 0),
        (list.clone().with_duration_filter(3_600_000), 0),
        (list.clone().with_transactional_id_pattern(Some(text("sh.*"))), 1),
        (list.clone().with_transactional_id_pattern(Some(text("sh"))), 0),
    ];
    for (request, expected) in filters {
        let listed = producer.client.call(2, &request).await.expect("answered");
        assert_eq!(listed.transaction_states.len(), expected, "{request:?}");
        let unknown = usize::from(request.state_filters.len() == 2);
        assert_eq!(listed.unknown_state_filters.len(), unknown);
    }
    let broken = list.with_transactional_id_pattern(Some(text("(")));
    let refused = producer.client.call(2, &broken).await.expect("answered");
    assert_eq!(error(refused.error_code), Some(ResponseError::InvalidRegularExpression));

    for broker in [&first, &second] {
        let topic = TopicRequest::default().with_name(topic_name("t")).with_partition_indexes(vec![0, 1, 9]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic]);
        let response = broker.client().await.call(0, &request).await.expect("answered");
        let [idle, active, unknown] = &response.topics[0].partitions[..] else { panic!("{response:?}") };
        assert_eq!((idle.active_producers.len(), unknown.error_code), (0, 3));
        let seen = &active.active_producers[0];
        assert_eq!((seen.producer_id.0, seen.last_sequence, seen.current_txn_start_offset), (producer.id, 0, 0));
    }
    let marker = |commit, epoch| {
        let topic = WritableTxnMarkerTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![1]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(producer.id.into())
            .with_producer_epoch(epoch)
            .with_transaction_result(commit)
            .with_topics(vec![topic]);
        WriteTxnMarkersRequest::default().with_markers(vec![marker])
    };
    let commit = client.call(1, &marker(true, producer.epoch)).await.expect("answered");
    assert_eq!(error(commit.markers[0].topics[0].partitions[0].error_code), Some(ResponseError::InvalidRequest));
    let abort = client.call(1, &marker(false, producer.epoch)).await.expect("answered");
    assert_eq!(abort.markers[0].topics[0].partitions[0].error_code, 0);
    assert_eq!(contents(&fetch(&mut client, 1, 1, 60_000).await), ["a", "abort"]);
    assert_eq!(producer.end(5, true).await, Some(ResponseError::ProducerFenced));
}

/// A broker is asked for its features in the versions that can say them; version 3 cannot bear a lowest level of 0.
#[tokio::test]
async fn api_versions_finalizes_transactions_of_version_two() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client().await;
    let request =
        ApiVersionsRequest::default().with_client_software_name(text("test")).with_client_software_version(text("1"));
    for version in 3..=4 {
        let response = client.call(version, &request).await.expect("answered");
        let finalized = response.finalized_features.iter().find(|feature| &feature.name[..] == "transaction.version");
        let finalized = finalized.expect("finalized");
        assert_eq!((finalized.min_version_level, finalized.max_version_level), (2, 2));
        assert!(response.finalized_features_epoch >= 0);
        let supported = response.supported_features.iter().find(|feature| &feature.name[..] == "transaction.version");
        let range = supported.map(|feature| (feature.min_version, feature.max_version));
        assert_eq!(range, (version == 4).then_some((0, 2)), "KAFKA-17492");
    }
    let old = client.call(2, &ApiVersionsRequest::default()).await.expect("answered");
    assert!(old.finalized_features.is_empty());
}

/// What a restart must not lose: an open transaction, its epoch, and the memory of the last end.
#[tokio::test]
async fn transactions_survive_the_death_of_the_only_broker() {
    let world = World::new();
    let broker = world.start(0).await;
    let mut client = broker.client_with("t", 1).await;
    let mut producer = Producer::init(&[&broker], "shop").await;
    assert_eq!(producer.produce(&mut client, 12, 0, 0, &["a"]).await, (None, 0));
    assert_eq!(producer.end(5, true).await, None);
    assert_eq!(producer.produce(&mut client, 12, 0, 0, &["b"]).await, (None, 2));
    let epoch = broker.log.epoch();
    drop((client, broker));
    let broker = world.start_with(0, None, BrokerSettings::default()).await;
    assert!(!broker.log.state().is_open(epoch), "the same broker id, another registration");
    let mut client = broker.client().await;
    producer.client = broker.client().await;
    let retried = producer.end_as(5, true, producer.epoch - 1).await;
    assert_eq!((error(retried.error_code), retried.producer_epoch), (None, producer.epoch));
    assert_eq!(last_stable_offset(&mut client, 0).await, 2, "still open");
    assert_eq!(producer.produce(&mut client, 12, 0, 1, &["c"]).await, (None, 3));
    assert_eq!(producer.end(5, true).await, None);
    assert_eq!(contents(&fetch(&mut client, 0, 1, 0).await), ["a", "commit", "b", "c", "commit"]);
}
