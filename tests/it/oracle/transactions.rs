//! Transactions done wrong.

use super::{Transcript, compare, connect, text};
use bytes::Bytes;
use frazil_broker::testing::{Client, produce_request, topic_name};
use frazil_wire::batch::ProducerFields;
use frazil_wire::{BatchBuilder, Compression};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest, DescribeTransactionsRequest,
    EndTxnRequest, FindCoordinatorRequest, GroupId, InitProducerIdRequest, ListTransactionsRequest,
    TxnOffsetCommitRequest,
};
use std::net::SocketAddr;
use std::time::Duration;

/// "Not yet": loading, no coordinator, not this one, markers under way. Asked again, because Frazil never says so.
const NOT_YET: [i16; 4] = [14, 15, 16, 51];
const NAME: &str = "shop";

/// A client, and a transactional producer as it sees itself.
struct Probe {
    client: Client,
    transcript: Transcript,
    id: i64,
    epoch: i16,
    sequence: i32,
}

/// Asks until the answer is more than "not yet".
macro_rules! settled {
    ($client:expr, $version:expr, $request:expr, $code:expr) => {{
        let code: fn(&_) -> i16 = $code;
        loop {
            let response = $client.call($version, $request).await.expect("answered");
            let code = code(&response);
            if !NOT_YET.contains(&code) {
                break (response, code);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }};
}

impl Probe {
    async fn start(address: SocketAddr) -> Probe {
        let mut client = connect(address).await;
        assert_eq!(client.create_topic("t", 3, &[]).await.expect("answered"), 0);
        for (key, key_type) in [(NAME, 1), ("group", 0)] {
            let find = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(key_type);
            settled!(client, 2, &find, |found: &kafka_protocol::messages::FindCoordinatorResponse| found.error_code);
        }
        let mut probe = Probe { client, transcript: Transcript::default(), id: -1, epoch: -1, sequence: 0 };
        // So that there is an older epoch than the present one.
        probe.renew().await;
        probe
    }

    fn note(&mut self, asked: impl std::fmt::Display, code: i16) {
        self.transcript.note(asked, code);
    }

    /// A new epoch without an open transaction.
    async fn renew(&mut self) {
        let (code, id, epoch) = self.init(5, Some(NAME), 60_000, (-1, -1)).await;
        assert_eq!(code, 0);
        (self.id, self.epoch, self.sequence) = (id, epoch, 0);
    }

    async fn init(
        &mut self,
        version: i16,
        name: Option<&str>,
        timeout_ms: i32,
        expected: (i64, i16),
    ) -> (i16, i64, i16) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(name.map(|name| text(name).into()))
            .with_transaction_timeout_ms(timeout_ms);
        let request = match version {
            0..=2 => request,
            _ => request.with_producer_id(expected.0.into()).with_producer_epoch(expected.1),
        };
        let (response, code) =
            settled!(self.client, version, &request, |response: &kafka_protocol::messages::InitProducerIdResponse| {
                response.error_code
            });
        (code, response.producer_id.0, response.producer_epoch)
    }

    async fn add(&mut self, version: i16, name: &str, id: i64, epoch: i16, partitions: &[i32]) -> Vec<i16> {
        let topic = AddPartitionsToTxnTopic::default().with_name(topic_name("t")).with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(text(name).into())
            .with_v3_and_below_producer_id(id.into())
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic]);
        let (response, _) = settled!(
            self.client,
            version,
            &request,
            |response: &kafka_protocol::messages::AddPartitionsToTxnResponse| {
                response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
            }
        );
        let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
        let mut codes: Vec<_> =
            results.iter().map(|result| (result.partition_index, result.partition_error_code)).collect();
        codes.sort_unstable();
        codes.into_iter().map(|(_, code)| code).collect()
    }

    async fn add_group(&mut self, version: i16, name: &str, id: i64, epoch: i16) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(text(name).into())
            .with_producer_id(id.into())
            .with_producer_epoch(epoch)
            .with_group_id(GroupId(text("group")));
        settled!(self.client, version, &request, |response: &kafka_protocol::messages::AddOffsetsToTxnResponse| {
            response.error_code
        })
        .1
    }

    /// Error code, and how far the epoch was raised.
    async fn end(&mut self, version: i16, name: &str, id: i64, epoch: i16, commit: bool) -> (i16, i16) {
        let request = EndTxnRequest::default()
            .with_transactional_id(text(name).into())
            .with_producer_id(id.into())
            .with_producer_epoch(epoch)
            .with_committed(commit);
        let (response, code) =
            settled!(self.client, version, &request, |response: &kafka_protocol::messages::EndTxnResponse| response
                .error_code);
        let raised = if response.producer_epoch < 0 { 0 } else { response.producer_epoch - epoch };
        (code, raised)
    }

    async fn produce(&mut self, version: i16, name: Option<&str>, partition: i32, batch: Bytes) -> i16 {
        let request = produce_request("t", partition, batch).with_transactional_id(name.map(|name| text(name).into()));
        settled!(self.client, version, &request, |response: &kafka_protocol::messages::ProduceResponse| {
            response.responses[0].partition_responses[0].error_code
        })
        .1
    }

    /// A batch of the next sequence, in the open transaction.
    async fn write(&mut self, version: i16, partition: i32) -> i16 {
        let batch = batch(self.id, self.epoch, self.sequence, true);
        self.produce(version, Some(NAME), partition, batch).await
    }

    async fn commit_offset(&mut self, version: i16, change: impl FnOnce(&mut TxnOffsetCommitRequest)) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_metadata(Some(text("note")));
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        let mut request = TxnOffsetCommitRequest::default()
            .with_transactional_id(text(NAME).into())
            .with_group_id(GroupId(text("group")))
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
            .with_topics(vec![topic]);
        change(&mut request);
        settled!(self.client, version, &request, |response: &kafka_protocol::messages::TxnOffsetCommitResponse| {
            response.topics[0].partitions[0].error_code
        })
        .1
    }
}

fn batch(id: i64, epoch: i16, base_sequence: i32, transactional: bool) -> Bytes {
    let builder = BatchBuilder::new(Compression::None).producer(ProducerFields { id, epoch, base_sequence });
    let mut builder = if transactional { builder.transactional() } else { builder };
    builder.push(1_700_000_000_000, None, Some(b"value"), &[]);
    builder.build()
}

#[test]
fn producers_that_start_wrong_get_kafkas_codes() {
    compare(async |address| {
        let mut probe = Probe::start(address).await;
        for version in 0..=5 {
            for timeout_ms in [i32::MIN, -1, 0, 900_001, i32::MAX] {
                let code = probe.init(version, Some(NAME), timeout_ms, (-1, -1)).await.0;
                probe.note(format_args!("init {version}, timeout {timeout_ms}"), code);
            }
            let code = probe.init(version, Some(""), 1_000, (-1, -1)).await.0;
            probe.note(format_args!("init {version}, empty id"), code);
            let code = probe.init(version, None, 0, (-1, -1)).await.0;
            probe.note(format_args!("init {version}, no id"), code);
        }
        probe.renew().await;
        let (id, epoch) = (probe.id, probe.epoch);
        for version in 3..=5 {
            let wrong = [
                ("no epoch", (id, -1)),
                ("no id", (-1, epoch)),
                ("newer epoch", (id, epoch + 1)),
                ("other id", (id + 1_000, epoch)),
                ("last epoch", (id, i16::MAX)),
            ];
            for (what, expected) in wrong {
                let code = probe.init(version, Some(NAME), 1_000, expected).await.0;
                probe.note(format_args!("init {version}, {what}"), code);
            }
        }
        let (code, _, next) = probe.init(5, Some(NAME), 1_000, (id, epoch)).await;
        probe.note(format_args!("going on, epoch {:+}", next - epoch), code);
        let (code, _, next) = probe.init(5, Some(NAME), 1_000, (id, epoch)).await;
        probe.note(format_args!("the same again, epoch {:+}", next - epoch), code);
        for version in [3, 4] {
            let code = probe.init(version, Some(NAME), 1_000, (id, epoch - 1)).await.0;
            probe.note(format_args!("init {version}, an epoch of long ago"), code);
        }
        let (code, _, first) = probe.init(5, Some("unknown"), 1_000, (4711, 5)).await;
        probe.note(format_args!("an unknown id that claims to go on, epoch {first}"), code);
        probe.transcript
    });
}

#[test]
fn partitions_and_groups_that_join_wrong_get_kafkas_codes() {
    compare(async |address| {
        let mut probe = Probe::start(address).await;
        probe.renew().await;
        let (id, epoch) = (probe.id, probe.epoch);
        for version in 0..=3 {
            let wrong = [
                ("", id, epoch),
                ("nobody", id, epoch),
                (NAME, id + 1_000, epoch),
                (NAME, id, epoch - 1),
                (NAME, id, epoch + 1),
            ];
            for (name, other_id, other_epoch) in wrong {
                let off = format!("{name:?}, id {:+}, epoch {:+}", other_id - id, other_epoch - epoch);
                let codes = probe.add(version, name, other_id, other_epoch, &[0]).await;
                probe.note(format_args!("add {version}, {off}"), codes[0]);
                let code = probe.add_group(version, name, other_id, other_epoch).await;
                probe.note(format_args!("add group {version}, {off}"), code);
            }
            for (at, code) in probe.add(version, NAME, id, epoch, &[0, 1, 9]).await.into_iter().enumerate() {
                probe.note(format_args!("add {version}, one unknown, entry {at}"), code);
            }
            for partitions in [&[0, 1][..], &[0], &[0, 1, 2]] {
                let codes = probe.add(version, NAME, id, epoch, partitions).await;
                probe.note(format_args!("add {version}, {partitions:?}"), codes[0]);
            }
            let code = probe.add_group(version, NAME, id, epoch).await;
            probe.note(format_args!("add group {version}"), code);
        }
        probe.transcript
    });
}

#[test]
fn ends_in_the_wrong_state_get_kafkas_codes() {
    compare(async |address| {
        let mut probe = Probe::start(address).await;
        for version in 0..=5 {
            for commit in [true, false] {
                probe.renew().await;
                let (id, epoch) = (probe.id, probe.epoch);
                let note = |probe: &mut Probe, what: &str, (code, raised): (i16, i16)| {
                    probe.note(format_args!("end {version}, commit {commit}, {what}, epoch {raised:+}"), code);
                };
                for (what, name, other_id, other_epoch) in [
                    ("empty name", "", id, epoch),
                    ("unknown name", "nobody", id, epoch),
                    ("other id", NAME, id + 1_000, epoch),
                    ("older epoch", NAME, id, epoch - 1),
                    ("newer epoch", NAME, id, epoch + 1),
                ] {
                    let ended = probe.end(version, name, other_id, other_epoch, commit).await;
                    note(&mut probe, what, ended);
                }
                let ended = probe.end(version, NAME, id, epoch, true).await;
                note(&mut probe, "commit of nothing", ended);
                assert_eq!(probe.add(3, NAME, id, epoch, &[0]).await, [0]);
                let ended = probe.end(version, NAME, id, epoch - 1, commit).await;
                note(&mut probe, "open, older epoch", ended);
                let ended = probe.end(version, NAME, id, epoch + 1, commit).await;
                note(&mut probe, "open, newer epoch", ended);
                let ended = probe.end(version, NAME, id, epoch, commit).await;
                note(&mut probe, "open", ended);
                let ended = probe.end(version, NAME, id, epoch, commit).await;
                note(&mut probe, "again", ended);
                let ended = probe.end(version, NAME, id, epoch, !commit).await;
                note(&mut probe, "then the other way", ended);
                if version >= 5 {
                    let ended = probe.end(version, NAME, id, epoch + 1, true).await;
                    note(&mut probe, "commit of nothing in the new epoch", ended);
                    let ended = probe.end(version, NAME, id, epoch + 1, false).await;
                    note(&mut probe, "abort of nothing in the new epoch", ended);
                }
            }
        }
        probe.transcript
    });
}

#[test]
fn batches_that_fit_no_transaction_get_kafkas_codes() {
    compare(async |address| {
        let mut probe = Probe::start(address).await;
        for version in 7..=12 {
            probe.renew().await;
            let (id, epoch) = (probe.id, probe.epoch);
            let code = probe.produce(version, None, 0, batch(id, epoch, 0, true)).await;
            probe.note(format_args!("produce {version}, nobody named"), code);
            let code = probe.produce(version, Some(NAME), 0, batch(id + 1_000, 0, 0, true)).await;
            probe.note(format_args!("produce {version}, unknown id"), code);
            let code = probe.produce(version, Some("nobody"), 0, batch(id, epoch, 0, true)).await;
            probe.note(format_args!("produce {version}, another name"), code);
            let code = probe.produce(version, Some(NAME), 0, batch(id, epoch - 1, 0, true)).await;
            probe.note(format_args!("produce {version}, older epoch"), code);
            let code = probe.write(version, 0).await;
            probe.note(format_args!("produce {version}, not added"), code);
            if version < 12 {
                assert_eq!(probe.add(3, NAME, id, epoch, &[0]).await, [0]);
                let code = probe.write(version, 0).await;
                probe.note(format_args!("produce {version}, added"), code);
            }
            let code = probe.write(version, 0).await;
            probe.note(format_args!("produce {version}, the same again"), code);
            let code = probe.produce(version, Some(NAME), 0, batch(id, epoch, 9, true)).await;
            probe.note(format_args!("produce {version}, a gap"), code);
            let code = probe.produce(version, None, 0, batch(id, epoch, 1, false)).await;
            probe.note(format_args!("produce {version}, outside while one is open"), code);
            let code = probe.end(4, NAME, id, epoch, true).await.0;
            probe.note(format_args!("produce {version}, end"), code);
        }
        probe.transcript
    });
}

#[test]
fn offsets_that_are_committed_wrong_in_a_transaction_get_kafkas_codes() {
    compare(async |address| {
        let mut probe = Probe::start(address).await;
        for version in 0..=5 {
            probe.renew().await;
            let code = probe.commit_offset(version, |request| request.transactional_id = text("nobody").into()).await;
            probe.note(format_args!("commit {version}, unknown name"), code);
            let code = probe.commit_offset(version, |_| {}).await;
            probe.note(format_args!("commit {version}, group not added"), code);
            let (id, epoch) = (probe.id, probe.epoch);
            assert_eq!(probe.add_group(3, NAME, id, epoch).await, 0);
            type Change = fn(&mut TxnOffsetCommitRequest);
            let mut changes: Vec<(&str, Change)> = vec![
                ("empty group", |request| request.group_id = GroupId(text(""))),
                ("unknown partition", |request| request.topics[0].partitions[0].partition_index = 9),
                ("long note", |request| {
                    request.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4097)));
                }),
                ("unknown partition, older epoch", |request| {
                    request.topics[0].partitions[0].partition_index = 9;
                    request.producer_epoch -= 1;
                }),
                ("older epoch", |request| request.producer_epoch -= 1),
                ("newer epoch", |request| request.producer_epoch += 1),
                ("other id", |request| request.producer_id = 99_999.into()),
                ("as it should be", |_| {}),
            ];
            if version >= 3 {
                changes.push(("generation of a group without members", |request| {
                    (request.generation_id, request.member_id) = (3, text("member"));
                }));
                changes.push(("member without a generation", |request| request.member_id = text("member")));
                changes.push(("instance without a member", |request| request.group_instance_id = Some(text("one"))));
            }
            if version >= 5 {
                // Before, Kafka looks at the transaction first, which the group was not added to.
                changes.push(("generation of an unknown group", |request| {
                    (request.generation_id, request.group_id) = (3, GroupId(text("unknown")));
                }));
            }
            for (what, change) in changes {
                let code = probe.commit_offset(version, change).await;
                probe.note(format_args!("commit {version}, {what}"), code);
            }
        }
        probe.transcript
    });
}

#[test]
fn questions_about_transactions_get_kafkas_codes() {
    compare(async |address| {
        let mut probe = Probe::start(address).await;
        probe.renew().await;
        let asked = ["", "nobody", NAME];
        let describe = DescribeTransactionsRequest::default()
            .with_transactional_ids(asked.iter().map(|name| text(name).into()).collect());
        let described = probe.client.call(0, &describe).await.expect("answered");
        for row in described.transaction_states {
            let state = row.transaction_state.to_string();
            let asked = format!("describe {:?}: {state:?}", &*row.transactional_id);
            probe.note(format_args!("{asked}, start {}", row.transaction_start_time_ms), row.error_code);
        }
        for version in 0..=2 {
            let states = vec![text("Empty"), text("Nonsense")];
            let request = ListTransactionsRequest::default().with_state_filters(states);
            let listed = probe.client.call(version, &request).await.expect("answered");
            let (found, unknown) = (listed.transaction_states.len(), listed.unknown_state_filters.len());
            probe.note(format_args!("list {version}: {found} found, {unknown} unknown states"), listed.error_code);
        }
        for pattern in ["sh.*", "sh", "", "(", "[a-"] {
            let request = ListTransactionsRequest::default().with_transactional_id_pattern(Some(text(pattern)));
            let listed = probe.client.call(2, &request).await.expect("answered");
            probe.note(format_args!("list {pattern:?}: {}", listed.transaction_states.len()), listed.error_code);
        }
        for duration in [-1, 0, 3_600_000] {
            let request = ListTransactionsRequest::default().with_duration_filter(duration);
            let listed = probe.client.call(1, &request).await.expect("answered");
            probe.note(
                format_args!("list older than {duration}: {}", listed.transaction_states.len()),
                listed.error_code,
            );
        }
        let (code, name) = (probe.write(12, 1).await, "the transaction's first batch");
        probe.note(name, code);
        let topics = ["t", "nowhere"]
            .map(|name| TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(vec![0, 1, 9]));
        let request = DescribeProducersRequest::default().with_topics(topics.to_vec());
        let described = probe.client.call(0, &request).await.expect("answered");
        for topic in described.topics {
            for row in topic.partitions {
                let producers = row.active_producers.iter().map(|producer| {
                    (producer.last_sequence, producer.coordinator_epoch, producer.current_txn_start_offset)
                });
                let producers: Vec<_> = producers.map(|(sequence, _, start)| (sequence, start)).collect();
                let asked = format!("producers of {}/{}: {producers:?}", &**topic.name, row.partition_index);
                probe.note(asked, row.error_code);
            }
        }
        probe.transcript
    });
}
