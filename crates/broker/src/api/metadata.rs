//! Metadata (API 3): brokers, topics, and who "leads" each partition.
//!
//! Any broker takes any record. Leaders are a choice that all brokers make alike from the metadata log, within the
//! client's zone where there is one, so that clients spread and stay. Replicas are as many as were asked for, all alive.

use super::create_topics::{CHANGES_AT_ONCE, Creation, NewNames, Refusal, create};
use super::{Answer, OPERATIONS_NOT_ASKED, Refused, Request, broker_id, text, uuid};
use crate::node::Node;
use crate::{topic_name, zone};
use frazil_base::{TopicId, TopicPartition};
use frazil_meta::state::{State, Topic};
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use std::collections::BTreeSet;

/// First version in which the client says whether unknown topics are to be created.
const AUTO_CREATION_ASKED_FROM: i16 = 4;
/// First version in which a topic that is only known by its id has no name.
const NULL_NAMES_FROM: i16 = 12;
/// Versions that tell what the client may do with the cluster.
const CLUSTER_OPERATIONS_IN: std::ops::RangeInclusive<i16> = 8..=10;

/// Everything that Kafka knows to do with a cluster: create, alter, describe, cluster action, describe and alter
/// configs, idempotent write (bits by `AclOperation`).
const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;
/// And with a topic: read, write, create, delete, alter, describe, describe and alter configs.
pub(crate) const TOPIC_OPERATIONS: i32 = 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// How a client sees the brokers.
pub(crate) struct View<'a> {
    zone: Option<&'a str>,
    /// The brokers' ids, ascending.
    broker_ids: Vec<BrokerId>,
}

/// A partition's place, as clients and tools see it.
pub(crate) struct PlacedPartition {
    pub leader: BrokerId,
    /// The leader first.
    pub replicas: Vec<BrokerId>,
}

impl<'a> View<'a> {
    /// The view of a client in `zone`.
    pub fn new(state: &State, zone: Option<&'a str>) -> View<'a> {
        View { zone, broker_ids: state.brokers().map(|broker| broker_id(broker.id)).collect() }
    }

    /// Where the client finds a partition; `None` while there is no broker.
    pub fn place(&self, state: &State, topic: &Topic, index: i32) -> Option<PlacedPartition> {
        let leader = state.leader(TopicPartition { topic: topic.id, partition: index }, self.zone)?;
        let leader = broker_id(leader.id);
        Some(PlacedPartition { leader, replicas: replicas(&self.broker_ids, leader, topic.replication_factor) })
    }
}

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: MetadataRequest = request.decode()?;
    let version = request.header.api_version;
    let all = wanted.topics.is_none() || version == 0 && wanted.topics.as_ref().is_some_and(Vec::is_empty);
    let asked = if all { Vec::new() } else { wanted.topics.unwrap_or_default() };
    let may_create =
        node.settings.auto_create_topics && (version < AUTO_CREATION_ASKED_FROM || wanted.allow_auto_topic_creation);
    let refused = if may_create { create_missing(node, &asked).await } else { Vec::new() };

    let state = node.log.state();
    let view = View::new(&state, zone::of_client(request.header.client_id.as_deref()));
    let describe = |topic: &Topic| {
        let described = describe(&state, topic, &view);
        let asked = wanted.include_topic_authorized_operations;
        described.with_topic_authorized_operations(if asked { TOPIC_OPERATIONS } else { OPERATIONS_NOT_ASKED })
    };
    let topics: Vec<_> = match all {
        true => state.topics().map(describe).collect(),
        false => {
            let found = |wanted: MetadataRequestTopic| match find(&state, &wanted) {
                Some(topic) => describe(topic),
                None => unknown(wanted, &refused, version),
            };
            asked.into_iter().map(found).collect()
        }
    };
    let error_code = super::first_error(topics.iter().map(|topic| topic.error_code));
    let mut response = MetadataResponse::default()
        .with_brokers(brokers(&state))
        .with_cluster_id(Some(text(node.settings.cluster_id.clone())))
        .with_controller_id(controller(&state))
        .with_topics(topics);
    drop(state);
    if CLUSTER_OPERATIONS_IN.contains(&version) {
        let asked = wanted.include_cluster_authorized_operations;
        response = response.with_cluster_authorized_operations(cluster_operations(asked));
    }
    request.answer(&response, error_code)
}

/// What the client may do with the cluster, as a bit set; "not asked" unless it asked.
pub(crate) fn cluster_operations(asked: bool) -> i32 {
    if asked { CLUSTER_OPERATIONS } else { OPERATIONS_NOT_ASKED }
}

/// The broker that clients send administration to: the one with the lowest id, so that all brokers name the same.
pub(crate) fn controller(state: &State) -> BrokerId {
    broker_id(state.brokers().map(|broker| broker.id).min().unwrap_or(frazil_base::BrokerId(-1)))
}

fn brokers(state: &State) -> Vec<MetadataResponseBroker> {
    let broker = |broker: &frazil_meta::state::Broker| {
        MetadataResponseBroker::default()
            .with_node_id(broker_id(broker.id))
            .with_host(text(broker.host.clone()))
            .with_port(broker.port.into())
            .with_rack(broker.zone.clone().map(text))
    };
    state.brokers().map(broker).collect()
}

/// Creates the topics that are asked for by a valid name and do not exist; gives those that could not be, and why.
async fn create_missing(node: &Node, asked: &[MetadataRequestTopic]) -> Vec<(TopicName, ResponseError)> {
    let missing: BTreeSet<TopicName> = {
        let state = node.log.state();
        let by_name = asked.iter().filter(|topic| topic.topic_id.is_nil()).filter_map(|topic| topic.name.clone());
        by_name.filter(|name| topic_name::check(name).is_ok() && state.topic_by_name(name).is_none()).collect()
    };
    let mut names = NewNames::default();
    let creations = missing.into_iter().map(|name| {
        let free = names.add(&name);
        create_one(node, name, free).boxed()
    });
    let creations: Vec<_> = creations.collect();
    stream::iter(creations).buffered(CHANGES_AT_ONCE).filter_map(std::future::ready).collect().await
}

async fn create_one(node: &Node, name: TopicName, free: Result<(), Refusal>) -> Option<(TopicName, ResponseError)> {
    let creation = Creation::with_defaults(node, &name);
    let created = match free.and_then(|()| creation.check_name(node)) {
        Ok(()) => create(node, creation).await.map(|_| ()),
        Err(refusal) => Err(refusal),
    };
    match created {
        Ok(()) => None,
        Err(refusal) if refusal.code == ResponseError::TopicAlreadyExists => None,
        Err(refusal) => Some((name, refusal.code)),
    }
}

/// The topic that the request names.
fn find<'a>(state: &'a State, wanted: &MetadataRequestTopic) -> Option<&'a Topic> {
    match (&wanted.name, wanted.topic_id.is_nil()) {
        (_, false) => state.topic(TopicId(wanted.topic_id.as_u128())),
        (Some(name), true) => state.topic_by_name(name),
        (None, true) => None,
    }
}

/// The answer to a topic that does not exist.
fn unknown(
    wanted: MetadataRequestTopic,
    refused: &[(TopicName, ResponseError)],
    version: i16,
) -> MetadataResponseTopic {
    let by_id = !wanted.topic_id.is_nil();
    let error = match &wanted.name {
        _ if by_id => ResponseError::UnknownTopicId,
        None => ResponseError::UnknownTopicId,
        Some(name) if topic_name::check(name).is_err() => ResponseError::InvalidTopicException,
        Some(name) => match refused.iter().find(|(refused, _)| refused == name) {
            // The client asks again; by then a coordinator or a store may have recovered.
            Some((_, error)) if error.is_retriable() => ResponseError::LeaderNotAvailable,
            Some((_, error)) => *error,
            None => ResponseError::UnknownTopicOrPartition,
        },
    };
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(if by_id && version >= NULL_NAMES_FROM { None } else { Some(wanted.name.unwrap_or_default()) })
        .with_topic_id(wanted.topic_id)
        .with_topic_authorized_operations(OPERATIONS_NOT_ASKED)
}

fn describe(state: &State, topic: &Topic, view: &View<'_>) -> MetadataResponseTopic {
    let count = i32::try_from(topic.partitions.len()).expect("partitions are numbered by i32");
    let partitions = (0..count).map(|index| describe_partition(state, topic, index, view)).collect();
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(topic.name.clone()))))
        .with_topic_id(uuid(topic.id))
        .with_partitions(partitions)
}

fn describe_partition(state: &State, topic: &Topic, index: i32, view: &View<'_>) -> MetadataResponsePartition {
    let response = MetadataResponsePartition::default().with_partition_index(index);
    let Some(PlacedPartition { leader, replicas }) = view.place(state, topic, index) else {
        return response.with_error_code(ResponseError::LeaderNotAvailable.code()).with_leader_id((-1).into());
    };
    response
        .with_leader_id(leader)
        .with_leader_epoch(super::fetch::LEADER_EPOCH)
        .with_replica_nodes(replicas.clone())
        .with_isr_nodes(replicas)
}

/// As many replicas as the topic was created with, the leader first; where there are fewer brokers, some stand twice, because
/// tools compare the length of this list with the replication factor.
fn replicas(brokers: &[BrokerId], leader: BrokerId, replication_factor: i16) -> Vec<BrokerId> {
    let first = brokers.iter().position(|id| *id == leader).unwrap_or(0);
    let count = usize::try_from(replication_factor).unwrap_or(1).max(1);
    brokers.iter().cycle().skip(first).take(count).copied().collect()
}
