//! DescribeQuorum (API 55): the metadata log, told in the terms of KRaft.
//!
//! Who keeps the log is the engine's affair. Tools are shown one voter, the broker that Metadata calls the controller,
//! and the others as observers, all of them as far as this broker has read.

use super::{Answer, Refused, Request, broker_id, metadata, text};
use crate::node::Node;
use frazil_meta::state::{Broker, State};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_request::TopicData as WantedTopic;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node as Voter, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse, TopicName};

/// Kafka's name for its metadata log.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// First version that tells when replicas were seen.
const TIMES_FROM: i16 = 1;
/// First version that tells messages and the voters' addresses.
const NODES_FROM: i16 = 2;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeQuorumRequest = request.decode()?;
    if !asks_for_the_log(&wanted.topics) {
        let topics = wanted.topics.into_iter().map(unknown).collect();
        let code = ResponseError::UnknownTopicOrPartition.code();
        return request.answer(&DescribeQuorumResponse::default().with_error_message(None).with_topics(topics), code);
    }
    let state = node.log.state();
    let version = request.header.api_version;
    let partition = describe(&state, node.log.env().clock.now_ms(), version);
    let topic = TopicData::default().with_topic_name(TopicName(text(METADATA_TOPIC))).with_partitions(vec![partition]);
    let mut response = DescribeQuorumResponse::default().with_error_message(None).with_topics(vec![topic]);
    if version >= NODES_FROM {
        response = response.with_nodes(leader(&state).map(voter).into_iter().collect());
    }
    request.answer(&response, 0)
}

fn asks_for_the_log(topics: &[WantedTopic]) -> bool {
    let [topic] = topics else { return false };
    let is_first = matches!(topic.partitions.as_slice(), [partition] if partition.partition_index == 0);
    &*topic.topic_name.0 == METADATA_TOPIC && is_first
}

fn unknown(topic: WantedTopic) -> TopicData {
    let partitions = topic.partitions.iter().map(|partition| {
        PartitionData::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(ResponseError::UnknownTopicOrPartition.code())
            .with_error_message(None)
    });
    TopicData::default().with_partitions(partitions.collect()).with_topic_name(topic.topic_name)
}

fn leader(state: &State) -> Option<&Broker> {
    let id = metadata::controller(state);
    state.brokers().find(|broker| broker_id(broker.id) == id)
}

fn describe(state: &State, now_ms: i64, version: i16) -> PartitionData {
    let applied = i64::try_from(state.applied().0).unwrap_or(i64::MAX);
    let leader = leader(state);
    let replica = |broker: &Broker| {
        let replica = ReplicaState::default().with_replica_id(broker_id(broker.id)).with_log_end_offset(applied);
        if version < TIMES_FROM {
            return replica;
        }
        replica.with_last_fetch_timestamp(now_ms).with_last_caught_up_timestamp(now_ms)
    };
    let is_leader = |broker: &&Broker| leader.is_some_and(|leader| leader.id == broker.id);
    PartitionData::default()
        .with_error_message(None)
        .with_leader_id(metadata::controller(state))
        .with_leader_epoch(leader.map_or(-1, |leader| i32::try_from(leader.epoch.0).unwrap_or(i32::MAX)))
        .with_high_watermark(applied)
        .with_current_voters(state.brokers().filter(is_leader).map(replica).collect())
        .with_observers(state.brokers().filter(|broker| !is_leader(broker)).map(replica).collect())
}

fn voter(broker: &Broker) -> Voter {
    let listener =
        Listener::default().with_name(text("PLAINTEXT")).with_host(text(broker.host.clone())).with_port(broker.port);
    Voter::default().with_node_id(broker_id(broker.id)).with_listeners(vec![listener])
}
