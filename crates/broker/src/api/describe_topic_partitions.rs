//! DescribeTopicPartitions (API 75, KIP-966): topics page by page.
//!
//! The answer is cut after so many partitions and says where to go on. Topics are in the order of their names, so that
//! a page means the same on every broker.

use super::metadata::{PlacedPartition, TOPIC_OPERATIONS, View};
use super::{Answer, Refused, Request, text, uuid};
use crate::node::Node;
use crate::{topic_name, zone};
use frazil_meta::state::{State, Topic};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};
use std::collections::BTreeSet;

/// Most partitions in one answer; Kafka's `max.request.partition.size.limit`.
const PARTITIONS_PER_ANSWER_MAX: i32 = 2000;

pub(crate) fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: DescribeTopicPartitionsRequest = request.decode()?;
    let limit = wanted.response_partition_limit.clamp(1, PARTITIONS_PER_ANSWER_MAX) as usize;
    let is_asked = |name: &TopicName| wanted.topics.is_empty() || wanted.topics.iter().any(|topic| topic.name == *name);
    let (from, first_partition) = match &wanted.cursor {
        Some(cursor) if !is_asked(&cursor.topic_name) => ("", None),
        Some(cursor) => (&*cursor.topic_name.0, usize::try_from(cursor.partition_index).ok()),
        None => ("", Some(0)),
    };
    let Some(first_partition) = first_partition else {
        let topics = wanted.topics.iter().map(|topic| refused(&topic.name, ResponseError::InvalidRequest));
        let response = DescribeTopicPartitionsResponse::default().with_topics(topics.collect());
        return request.answer(&response, ResponseError::InvalidRequest.code());
    };
    let state = node.log.state();
    let view = View::new(&state, zone::of_client(request.header.client_id.as_deref()));
    let mut page = Page { rest: limit, response: DescribeTopicPartitionsResponse::default() };
    let first_of = |name: &str| if name == from { first_partition } else { 0 };
    if wanted.topics.is_empty() {
        let topics = state.topics().filter(|topic| *topic.name >= *from);
        topics.take_while(|topic| page.add(&state, &view, topic, first_of(&topic.name))).for_each(drop);
    } else {
        let names: BTreeSet<&str> = wanted.topics.iter().map(|topic| &*topic.name.0).collect();
        for name in names.into_iter().filter(|name| *name >= from) {
            let goes_on = match state.topic_by_name(name) {
                Some(topic) => page.add(&state, &view, topic, first_of(name)),
                None => page.add_unknown(name),
            };
            if !goes_on {
                break;
            }
        }
    }
    let error_code = super::first_error(page.response.topics.iter().map(|topic| topic.error_code));
    request.answer(&page.response, error_code)
}

/// An answer that fills up.
struct Page {
    /// Partitions that still fit.
    rest: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page {
    /// Adds partitions of a topic, from `first` on. Returns whether the page goes on.
    fn add(&mut self, state: &State, view: &View<'_>, topic: &Topic, first: usize) -> bool {
        if self.rest == 0 {
            return self.end_before(&topic.name, 0);
        }
        let end = topic.partitions.len().min(first.saturating_add(self.rest));
        let partitions: Vec<_> = (first..end).map(|index| describe(state, topic, index as i32, view)).collect();
        self.rest -= partitions.len();
        let described = DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(TopicName(text(topic.name.clone()))))
            .with_topic_id(uuid(topic.id))
            .with_partitions(partitions)
            .with_topic_authorized_operations(TOPIC_OPERATIONS);
        self.response.topics.push(described);
        end >= topic.partitions.len() || self.end_before(&topic.name, end)
    }

    fn add_unknown(&mut self, name: &str) -> bool {
        if self.rest == 0 {
            return self.end_before(name, 0);
        }
        let error = match topic_name::check(name) {
            Ok(()) => ResponseError::UnknownTopicOrPartition,
            Err(_) => ResponseError::InvalidTopicException,
        };
        self.response.topics.push(refused(name, error));
        true
    }

    fn end_before(&mut self, topic: &str, partition: usize) -> bool {
        let name = TopicName(text(topic));
        let cursor = Cursor::default().with_topic_name(name).with_partition_index(partition as i32);
        self.response.next_cursor = Some(cursor);
        false
    }
}

fn refused(name: &str, error: ResponseError) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(TopicName(text(name))))
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn describe(state: &State, topic: &Topic, index: i32, view: &View<'_>) -> DescribeTopicPartitionsResponsePartition {
    let described = DescribeTopicPartitionsResponsePartition::default().with_partition_index(index);
    match view.place(state, topic, index) {
        None => described.with_error_code(ResponseError::LeaderNotAvailable.code()).with_leader_id((-1).into()),
        Some(PlacedPartition { leader, replicas }) => described
            .with_leader_id(leader)
            .with_leader_epoch(super::fetch::LEADER_EPOCH)
            .with_isr_nodes(replicas.clone())
            .with_replica_nodes(replicas)
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new())),
    }
}
