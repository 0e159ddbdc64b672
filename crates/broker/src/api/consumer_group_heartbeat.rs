//! ConsumerGroupHeartbeat (API 68): a member of a group of the consumer protocol joins, stays or leaves (KIP-848).

use super::{Answer, Refused, Request, text, uuid};
use crate::error_code;
use crate::group::consumer::{Heartbeat, HeartbeatRefused, Reply, from_partitions};
use crate::node::Node;
use crate::stopping::Stopping;
use frazil_base::{TopicId, TopicPartition};
use frazil_meta::record::Assignment;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions as Owned;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment as Told, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use uuid::Builder;

/// First version whose members choose their ids (KIP-1082).
const MEMBER_ID_FROM: i16 = 1;
/// What stands for "as before".
const UNCHANGED: i32 = -1;

pub(crate) async fn handle(node: &Node, request: &Request, stopping: Stopping) -> Result<Answer, Refused> {
    let wanted: ConsumerGroupHeartbeatRequest = request.decode()?;
    let group = wanted.group_id.to_string();
    let needs_member_id = request.header.api_version >= MEMBER_ID_FROM;
    let heartbeat = heartbeat(node, request, wanted);
    let leaves = heartbeat.leaves();
    let reply = node.groups.consumer_heartbeat(&group, heartbeat, needs_member_id, &stopping).await;
    let response = match reply {
        Ok(reply) => success(reply, if leaves { 0 } else { node.groups.heartbeat_interval_ms(&group) }),
        Err(refused) => failure(&refused),
    };
    let code = response.error_code;
    request.answer(&response, code)
}

fn heartbeat(node: &Node, request: &Request, wanted: ConsumerGroupHeartbeatRequest) -> Heartbeat {
    let chooses_id = wanted.member_id.is_empty() && request.header.api_version < MEMBER_ID_FROM;
    let is_joining = wanted.member_epoch == 0;
    Heartbeat {
        member_id: if chooses_id && is_joining { fresh_id(node) } else { wanted.member_id.to_string() },
        member_epoch: wanted.member_epoch,
        instance_id: wanted.instance_id.map(|id| id.to_string()),
        rack: wanted.rack_id.map(|rack| rack.to_string()),
        rebalance_timeout_ms: (wanted.rebalance_timeout_ms != UNCHANGED).then_some(wanted.rebalance_timeout_ms),
        topics: wanted.subscribed_topic_names.map(|names| names.iter().map(|name| name.0.to_string()).collect()),
        regex: wanted.subscribed_topic_regex.map(|expression| expression.to_string()),
        server_assignor: wanted.server_assignor.map(|assignor| assignor.to_string()),
        owned: wanted.topic_partitions.map(|owned| from_partitions(owned.iter().flat_map(partitions_of))),
        client_id: request.header.client_id.clone().unwrap_or_default(),
        client_host: request.client_host(),
    }
}

fn partitions_of(owned: &Owned) -> impl Iterator<Item = TopicPartition> + '_ {
    let topic = TopicId(owned.topic_id.as_u128());
    owned.partitions.iter().map(move |partition| TopicPartition { topic, partition: *partition })
}

fn fresh_id(node: &Node) -> String {
    Builder::from_random_bytes(node.log.env().entropy.bits128().to_be_bytes()).into_uuid().to_string()
}

fn success(reply: Reply, heartbeat_interval_ms: i32) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(reply.member_id)))
        .with_member_epoch(reply.member_epoch)
        .with_heartbeat_interval_ms(heartbeat_interval_ms)
        .with_assignment(reply.assignment.as_ref().map(told))
}

fn told(assignment: &Assignment) -> Told {
    let topics = assignment.iter().map(|(topic, partitions)| {
        TopicPartitions::default().with_topic_id(uuid(*topic)).with_partitions(partitions.clone())
    });
    Told::default().with_topic_partitions(topics.collect())
}

fn failure(refused: &HeartbeatRefused) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(None)
        .with_error_code(error_code::of_consumer_group(refused).code())
        .with_error_message(Some(text(refused.to_string())))
}
