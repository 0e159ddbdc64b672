//! OffsetDelete (API 47): committed offsets of topics that a group no longer reads (KIP-496).

use super::{Answer, Refused, Request};
use crate::error_code;
use crate::node::Node;
use frazil_base::TopicPartition;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use std::collections::BTreeMap;

pub(crate) async fn handle(node: &Node, request: &Request) -> Result<Answer, Refused> {
    let wanted: OffsetDeleteRequest = request.decode()?;
    let known = known(node, &wanted);
    let used = match node.groups.delete_offsets(&wanted.group_id, known.clone()).await {
        Ok(used) => used,
        Err(error) => {
            let code = error_code::of_group(error).code();
            return request.answer(&OffsetDeleteResponse::default().with_error_code(code), code);
        }
    };
    let topics = wanted.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let exists =
                known.get(topic.name.as_str()).is_some_and(|known| known.iter().any(|place| place.partition == index));
            let error = match exists {
                false => Some(ResponseError::UnknownTopicOrPartition),
                true if used.contains(topic.name.as_str()) => Some(ResponseError::GroupSubscribedToTopic),
                true => None,
            };
            let code = error.map_or(0, |error| error.code());
            OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
        });
        let partitions = partitions.collect();
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions)
    });
    let topics: Vec<_> = topics.collect();
    let codes = topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let code = super::first_error(codes);
    request.answer(&OffsetDeleteResponse::default().with_topics(topics), code)
}

/// The partitions that exist, by topic.
fn known(node: &Node, wanted: &OffsetDeleteRequest) -> BTreeMap<String, Vec<TopicPartition>> {
    let state = node.log.state();
    let mut known = BTreeMap::<String, Vec<_>>::new();
    for topic in &wanted.topics {
        let places = topic.partitions.iter();
        let places = places.filter_map(|place| super::partition_named(&state, &topic.name, place.partition_index));
        known.entry(topic.name.to_string()).or_default().extend(places);
    }
    known
}
